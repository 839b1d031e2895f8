"""The images of the other frameworks, in real containers from the build to an answer: `make test-frameworks`.

The images of every combination are proven by one project of each framework: tests/seedcode/test_rendering.py looks that
those of a framework are built alike. Between them the projects copy the packages of all data sets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images.conftest import IMAGES, engine, run_loop
from tests.seedcode.matrix import run

pytestmark = pytest.mark.frameworks
# PyPI's torch brings these and no lock has them: they differ from machine to machine.
GPU = ("nvidia-", "cuda-", "triton")


@pytest.mark.parametrize(
    ("framework", "problem", "library", "hyperparameters"),
    [
        ("xgboost", "multiclass-classification", "xgboost-cpu", {"rounds": "20", "learning_rate": "0.2"}),
        ("tensorflow", "binary-classification", "tensorflow-cpu", {"epochs": "2", "batch_size": "32"}),
        ("huggingface", "text-classification", "torch", {"epochs": "1", "width": "32"}),
    ],
)
def test_a_framework_s_images_train_evaluate_and_serve(
    framework: str,
    problem: str,
    library: str,
    hyperparameters: dict[str, str],
    stamped: Callable[..., Path],
    packages: dict[str, str],
    tmp_path: Path,
) -> None:
    """Protects Dockerfiles, requirements and pins: the image's own pip installs them, and what is installed works.

    Also that everything in an image is pinned: a model is made again from the same versions.
    """
    project, dataset = stamped(framework, problem), tmp_path / "dataset"
    dataset.mkdir()
    code = "import pathlib, sys; from tests.invented import write; write(pathlib.Path(sys.argv[1]))"
    done = run(project, sys.executable, "-c", code, str(dataset))
    assert done.returncode == 0, done.stderr
    pins = dict(line.split("==") for line in (project / "constraints.txt").read_text().splitlines() if "==" in line)
    with engine("buildah", tmp_path / "home", packages) as runtime:
        loop = run_loop(runtime, project, dataset, tmp_path / "work", hyperparameters)
        installed = {name: dict(line.split("==") for line in loop.packages(name)) for name in IMAGES}
        print(f"\n{framework}: {loop.told()}; {library} {installed['training'][library]}")
    assert len(loop.samples["predicted"]) >= 10
    assert loop.predictions == pytest.approx([float(value) for value in loop.samples["predicted"]], abs=1e-5)
    for name in IMAGES:
        found = {package: version.partition("+")[0] for package, version in installed[name].items()}
        own = {package: version for package, version in found.items() if not package.startswith(GPU)}
        assert own == {package: pins.get(package, "not pinned") for package in own}, name
    assert not set(installed["preprocessing"]) & {library}
