"""A rendered project, its three images and one pass through its steps, on each container runtime."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localcloud.runtime import Image, RunSpec, Runtime, create
from localcloud.runtime.pip import machine
from slipway import configuration
from slipway.release.verify import to_csv
from slipway_demo.flights import curated
from tests.seedcode.conftest import stamped, template

__all__ = ["stamped", "template"]

ROOT = Path(__file__).parents[2]
BASE = "public.ecr.aws/docker/library/python:3.11-slim-bookworm"
IMAGES = ("preprocessing", "training", "inference")
READY_SECONDS = 60
HYPERPARAMETERS = {"learning_rate": "0.1", "max_iter": "40", "seed": "2013"}
_PACKAGES = (
    "import importlib.metadata as m\n"
    'print(\'\\n\'.join(sorted({f\'{d.metadata["Name"].lower().replace("_", "-")}=={d.version}\''
    " for d in m.distributions()})))"
)
_TOOLS = ("pip==", "setuptools==", "wheel==")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it takes minutes and needs root: `pytest -m images`, and `-m frameworks` for the other frameworks."""
    missing = [tool for tool in ("buildah", "debootstrap") if not shutil.which(tool, path=os.defpath + ":/usr/sbin")]
    for item in items:
        if Path(__file__).parent in item.path.parents:
            if item.get_closest_marker("frameworks") is None:
                item.add_marker(pytest.mark.images)
            if missing:
                item.add_marker(pytest.mark.skip(f"apt-get install --no-install-recommends {' '.join(missing)}"))
            elif os.geteuid() != 0:
                item.add_marker(pytest.mark.skip("buildah's chroot isolation needs root"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How builds reach packages: as this machine does, and the platform's own wheel."""
    wheels = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(wheels), str(ROOT / "cicd")],
        check=True, capture_output=True,
    )  # fmt: skip
    settings = machine()
    known = settings.get("UV_FIND_LINKS")
    return {**settings, "UV_FIND_LINKS": f"{wheels},{known}" if known else str(wheels)}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One month of flights."""
    folder = tmp_path_factory.mktemp("dataset")
    for name, content in curated(("1",)):
        (folder / name).write_bytes(content)
    return folder


@dataclass
class Loop:
    """What the project's images gave on one runtime."""

    runtime: Runtime
    environment: dict[str, str]
    images: dict[str, Image] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)
    predictions: list[float] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def timed(self, name: str, action: Callable[[], Any]) -> Any:
        """Do something and keep how long it took."""
        began = time.monotonic()
        result = action()
        self.seconds[name] = round(time.monotonic() - began, 2)
        return result

    def step(self, name: str, ml: Path, **options: Any) -> None:
        """Run a step to its end with `ml` mounted as /opt/ml."""
        spec = RunSpec(
            mounts=[(ml, "/opt/ml")], environment=self.environment, on_line=self.lines.append, **options
        )  # fmt: skip
        code = self.timed(name, lambda: self.runtime.run(spec))
        assert code == 0, "\n".join(self.lines[-30:])

    def packages(self, name: str) -> list[str]:
        """What is installed in an image, `name==version`, but for the tools that install."""
        lines: list[str] = []
        spec = RunSpec(self.images[name], entrypoint=["python", "-c", _PACKAGES], on_line=lines.append)
        assert self.runtime.run(spec) == 0, lines
        return [line for line in lines if not line.startswith(_TOOLS)]

    def told(self) -> str:
        """How long each step took."""
        return ", ".join(f"{step} {seconds}s" for step, seconds in self.seconds.items())


@contextmanager
def engine(name: str, home: Path, packages: Mapping[str, str]) -> Iterator[Runtime]:
    """A runtime that takes its images with it: they are gigabytes, and pytest keeps the folders of three runs."""
    try:
        yield create(name, home, machine=packages)
    finally:
        shutil.rmtree(home)


def run_loop(runtime: Runtime, project: Path, dataset: Path, work: Path, hyperparameters: Mapping[str, str]) -> Loop:
    """Build the images; preprocess, train, evaluate and serve as SageMaker's jobs and endpoints do."""
    wanted = configuration.load(project / "project.yaml")
    loop = Loop(runtime, {"SLIPWAY_TARGET": wanted.data.target, "SLIPWAY_PROBLEM": wanted.problem})
    runtime.pull(BASE, registry=None, on_line=loop.lines.append)  # type: ignore[arg-type]
    for name in IMAGES:
        digest = loop.timed(
            f"build {name}",
            lambda name=name: runtime.build(
                project, project / name / "Dockerfile", f"project/{name}:1", {"BASE_IMAGE": BASE}, loop.lines.append
            ),
        )
        loop.images[name] = runtime.inspect(digest)

    prepared = work / "processing"
    shutil.copytree(dataset, prepared / "processing" / "input" / "dataset")
    given = [f"--{name.replace('_', '-')}={value}" for name, value in wanted.preprocessing.parameters.items()]
    loop.step("preprocess", prepared, image=loop.images["preprocessing"], arguments=given)
    parts = {name: prepared / "processing" / "output" / name for name in ("train", "validation", "test")}
    loop.files = {name: (folder / f"{name}.csv").read_bytes() for name, folder in parts.items()}

    training = work / "training"
    for name in ("train", "validation"):
        shutil.copytree(parts[name], training / "input" / "data" / name)
    (training / "input" / "config").mkdir()
    (training / "input" / "config" / "hyperparameters.json").write_text(json.dumps(dict(hyperparameters)))
    loop.step("train", training, image=loop.images["training"], arguments=["train"])

    evaluation = work / "evaluation"
    for name in ("train", "test"):
        shutil.copytree(parts[name], evaluation / "processing" / "input" / name)
    (evaluation / "processing" / "input" / "model").mkdir()
    with tarfile.open(evaluation / "processing" / "input" / "model" / "model.tar.gz", "w:gz") as archive:
        archive.add(training / "model", ".")
    loop.step("evaluate", evaluation, image=loop.images["training"], entrypoint=["python", "evaluate.py"])
    output = evaluation / "processing" / "output" / "evaluation"
    loop.evaluation = json.loads((output / "evaluation.json").read_text())
    loop.samples = json.loads((output / "samples.json").read_text())

    serving = work / "serving"
    shutil.copytree(training / "model", serving / "model")
    loop.predictions = _served(loop, serving)
    return loop


def _served(loop: Loop, ml: Path) -> list[float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    handle = loop.runtime.start(
        RunSpec(
            loop.images["inference"], arguments=["serve"], mounts=[(ml, "/opt/ml")], ports={8080: port},
            environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}, on_line=loop.lines.append, key=f"serve/{port}",
        )
    )  # fmt: skip
    try:
        loop.timed("endpoint answers /ping", lambda: _ready(f"http://127.0.0.1:{port}/ping", handle.alive))
        rows = to_csv(loop.samples["rows"])
        answer = _call(f"http://127.0.0.1:{port}/invocations", rows, {"Content-Type": "text/csv"})
        return [float(value) for value in json.loads(answer)["predictions"]]
    finally:
        handle.stop()


def _ready(url: str, alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            _call(url)
        except (urllib.error.URLError, ConnectionError):
            assert alive(), "the server ended"
            assert time.monotonic() < deadline, "no answer in time"
            time.sleep(0.1)
        else:
            return


def _call(url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    request = urllib.request.Request(url, data=data, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())


@pytest.fixture(scope="session", params=["process", "buildah"])
def loop(request: pytest.FixtureRequest, loops: Callable[[str], Loop]) -> Loop:
    """The loop on each runtime in turn."""
    return loops(request.param)


@pytest.fixture(scope="session")
def loops(
    stamped: Callable[..., Path], packages: dict[str, str], dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Loop]]:
    """The loop of scikit-learn's project by the name of the runtime, run once."""
    project = stamped("scikit-learn", "regression")
    found: dict[str, Loop] = {}
    with ExitStack() as engines:

        def get(name: str) -> Loop:
            if name not in found:
                runtime = engines.enter_context(engine(name, tmp_path_factory.mktemp(f"{name}-home"), packages))
                found[name] = run_loop(runtime, project, dataset, tmp_path_factory.mktemp(name), HYPERPARAMETERS)
                print(f"\n{name}: {found[name].told()}")
            return found[name]

        yield get
