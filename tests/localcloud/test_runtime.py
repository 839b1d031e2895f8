"""Images and containers of the process runtime, its `docker` command, and their way through ECR."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from localcloud.core.cloud import Credentials
from localcloud.runtime import (
    BuildError,
    BuildSpec,
    EcrRegistry,
    ImageNotFound,
    RunSpec,
    Runtime,
    RuntimeFault,
    Secret,
    create,
    pip,
    trees,
)
from localcloud.runtime.references import parse
from tests.localcloud.conftest import PRODUCTION, REGION, STAGING, TOOLING, LocalCloud, free_port

BASE = "public.ecr.aws/docker/library/python:3.11-slim-bookworm"
DOCKERFILE = f"""\
ARG BASE_IMAGE={BASE}
FROM ${{BASE_IMAGE}}
ENV PYTHONPATH=/opt/program GREETING="hello there"
WORKDIR /opt/program
COPY *.whl /tmp/
RUN pip install --no-cache-dir --no-index /tmp/*.whl && rm -rf /tmp/*.whl
COPY src/ ./
ENTRYPOINT ["python", "/opt/program/main.py"]
CMD ["default"]
"""
MAIN = """\
import json, os, pathlib, sys
import little
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
print(json.dumps({"args": sys.argv[1:], "little": little.VALUE, "greeting": os.environ["GREETING"], "base": str(base)}))
if "write" in sys.argv:
    (base / "model").mkdir(parents=True, exist_ok=True)
    (base / "model" / "made.txt").write_text("made")
    pathlib.Path("beside.txt").write_text("only in this container")
if pathlib.Path("beside.txt").exists() and "write" not in sys.argv:
    print("the last container's file is here")
if "fail" in sys.argv:
    sys.exit(7)
if "wait" in sys.argv:
    import time; time.sleep(60)
if "serve" in sys.argv:
    import http.server
    class Ping(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers(); self.wfile.write(b"pong")
    print("serving", flush=True)
    http.server.HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Ping).serve_forever()
"""


def wheel(directory: Path, value: int = 1) -> Path:
    """A package without dependencies, made here: builds need no network."""
    path = directory / "little-1.0-py3-none-any.whl"
    info = "little-1.0.dist-info"
    source = f"VALUE = {value}\n"
    sha = base64.urlsafe_b64encode(hashlib.sha256(source.encode()).digest()).decode().rstrip("=")
    listed = f"little/__init__.py,sha256={sha},{len(source)}\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {
            "little/__init__.py": source,
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: little\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": f"{listed}{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
        }.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    return path


@pytest.fixture
def context(tmp_path: Path) -> Path:
    top = tmp_path / "context"
    (top / "src").mkdir(parents=True)
    (top / "Dockerfile").write_text(DOCKERFILE)
    (top / "src" / "main.py").write_text(MAIN)
    wheel(top)
    return top


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return create("process", tmp_path / "home")


Build = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def build(runtime: Runtime, context: Path) -> Build:
    """Build the context, or a Dockerfile given as text; returns digest and lines."""

    def make(text: str | None = None, **options: Any) -> tuple[str, list[str]]:
        lines: list[str] = []
        if text is not None:
            (context / "Dockerfile").write_text(text)
        spec = BuildSpec(context, context / "Dockerfile", ["test/image:1"], on_line=lines.append, **options)
        return runtime.build_image(spec), lines

    return make


def run(runtime: Runtime, image: str, *arguments: str, **options: Any) -> tuple[int, list[str]]:
    lines: list[str] = []
    code = runtime.run(RunSpec(image, arguments=arguments or None, on_line=lines.append, **options))
    return code, lines


def test_an_image_runs_with_its_packages_environment_and_mounts(runtime: Runtime, build: Build, tmp_path: Path) -> None:
    """The program finds its packages, its variables and /opt/ml; its arguments point into the mount."""
    digest, _ = build()
    ml = tmp_path / "ml"
    ml.mkdir()
    code, lines = run(runtime, digest, "write", "/opt/ml/input/data", "--at=/opt/ml/model", mounts=[(ml, "/opt/ml")])
    assert code == 0
    assert json.loads(lines[0]) == {
        "args": ["write", f"{ml}/input/data", f"--at={ml}/model"],
        "little": 1,
        "greeting": "hello there",
        "base": str(ml),
    }
    assert (ml / "model" / "made.txt").read_text() == "made"
    assert json.loads(run(runtime, "test/image:1")[1][0])["args"] == ["default"]


def test_a_container_leaves_the_image_as_it_was(runtime: Runtime, build: Build, tmp_path: Path) -> None:
    """What one container writes beside its program the next one does not see."""
    digest, _ = build()
    run(runtime, digest, "write", mounts=[(tmp_path, "/opt/ml")])
    assert "the last container's file is here" not in run(runtime, digest)[1]
    assert list((tmp_path / "home" / "containers").iterdir()) == []


def test_channels_alone_are_mounted_below_one_base_directory(runtime: Runtime, build: Build, tmp_path: Path) -> None:
    """A program that looks for /opt/ml/input/data/train finds it even if nothing is mounted on /opt/ml itself."""
    digest, _ = build()
    train = tmp_path / "train"
    train.mkdir()
    (train / "rows.csv").write_text("1")
    code = (
        "import os, pathlib\n"
        "print((pathlib.Path(os.environ['SAGEMAKER_BASE_DIR']) / 'input/data/train/rows.csv').read_text())"
    )
    lines: list[str] = []
    spec = RunSpec(
        digest, entrypoint=["python", "-c", code], mounts=[(train, "/opt/ml/input/data/train")], on_line=lines.append
    )
    assert runtime.run(spec) == 0
    assert lines == ["1"]


def test_an_unchanged_instruction_is_not_done_again(runtime: Runtime, build: Build, context: Path) -> None:
    """A changed source redoes its COPY and keeps the installed packages; an unchanged context redoes nothing."""
    first, lines = build()
    assert not any(line.endswith("CACHED") for line in lines)
    again, lines = build()
    assert again == first
    assert not any(" DONE 0" in line for line in lines)
    (context / "src" / "main.py").write_text(MAIN + "# changed\n")
    changed, lines = build()
    assert changed != first
    assert sum(line.endswith("CACHED") for line in lines) == 3
    assert sum(" DONE 0" in line for line in lines) == 1


def test_equal_contents_have_equal_digests_anywhere(context: Path, tmp_path: Path) -> None:
    """Another directory, another time, no cache: the same image."""
    digests = set()
    for name in ("one", "two"):
        for path in context.rglob("*"):
            os.utime(path, (time.time() - 100, time.time() - 100))
        made = create("process", tmp_path / name).build_image(
            BuildSpec(context, context / "Dockerfile", ["x:1"], no_cache=True)
        )
        digests.add(made)
    assert len(digests) == 1


def test_dockerignore_and_stages(runtime: Runtime, build: Build, context: Path) -> None:
    """What .dockerignore names is in no image; a stage hands on only what is copied from it."""
    (context / ".dockerignore").write_text("src/secret*\n")
    (context / "src" / "secret.txt").write_text("s")
    (context / "src" / "kept.txt").write_text("k")
    digest, _ = build(
        f"FROM {BASE} AS build\nWORKDIR /work\nCOPY src/ ./\nRUN mkdir out && cp kept.txt out/\n"
        f"FROM {BASE}\nCOPY --from=build --chmod=600 /work/out/ /data/\nWORKDIR /data\n"
    )
    lines: list[str] = []
    listing = "import os; print(sorted(os.listdir('.')), oct(os.stat('kept.txt').st_mode & 0o777))"
    assert runtime.run(RunSpec(digest, entrypoint=["python", "-c", listing], on_line=lines.append)) == 0
    assert lines == ["['kept.txt'] 0o600"]
    with pytest.raises(BuildError, match=r'"src/secret.txt": not found'):
        build(f"FROM {BASE}\nCOPY src/secret.txt /x\n")


def test_secrets_are_seen_by_their_run_and_stay_nowhere(
    runtime: Runtime, build: Build, context: Path, tmp_path: Path
) -> None:
    """A token of the package index is in no image, no cache and no record."""
    token = "very-secret-token-1234"
    (context / "see.py").write_text(
        "import os, pathlib, sys\n"
        "assert os.environ['TOKEN'] == pathlib.Path(sys.argv[1]).read_text(), 'not the same'\nprint('seen')\n"
    )
    text = (
        f"FROM {BASE}\nWORKDIR /w\nCOPY see.py ./\n"
        "RUN --mount=type=secret,id=t,env=TOKEN --mount=type=secret,id=u python see.py /run/secrets/u\n"
        "RUN python -c \"import os; print('TOKEN' in os.environ)\"\n"
    )
    _, lines = build(text, secrets={"t": Secret(token.encode()), "u": Secret(token.encode())})
    assert any(line.endswith(" seen") for line in lines)
    assert any(line.endswith(" False") for line in lines)
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert token.encode() not in path.read_bytes()
    with pytest.raises(BuildError, match="secret t: not found"):
        build("FROM " + BASE + "\nRUN --mount=type=secret,id=t,required=true true\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FROM alpine:3\n", "not served by the process runtime"),
        (f"FROM {BASE}\nRUN make all\n", "Dockerfile:2: RUN: the command 'make' is not served"),
        (f"FROM {BASE}\nRUN pip install --no-index nothing-of-this-name\n", "nothing-of-this-name"),
        (f"FROM {BASE}\nCOPY none /x\n", '"none": not found'),
        (f"FROM {BASE}\nCOPY ../x /x\n", "outside of the build context"),
        (f"FROM {BASE}\nUSER somebody\n", "unable to find user somebody"),
        (f"FROM {BASE}\nRUN python -c 'import sys; print(\"why\"); sys.exit(3)'\n", "non-zero code: 3"),
    ],
)
def test_a_failed_build_says_where_and_leaves_the_old_image(
    runtime: Runtime, build: Build, text: str, told: str
) -> None:
    """File, line and reason; the tag still names what it named."""
    first, _ = build()
    with pytest.raises(BuildError) as error:
        build(text)
    assert told in str(error.value)
    assert runtime.inspect("test/image:1").digest == first


def test_exit_codes_timeouts_and_kills(runtime: Runtime, build: Build) -> None:
    """As a container engine and the local cloud's other processes have them."""
    digest, _ = build()
    assert run(runtime, digest, "fail")[0] == 7
    assert run(runtime, digest, "wait", timeout=1)[0] == 124
    killer = threading.Timer(1, lambda: runtime.kill("mine"))
    killer.start()
    began = time.monotonic()
    assert run(runtime, digest, "wait", key="mine")[0] == 143
    assert time.monotonic() - began < 20
    lines: list[str] = []
    assert runtime.run(RunSpec(digest, entrypoint=["no-such-program"], on_line=lines.append)) == 127
    assert "executable file not found" in lines[0]


def test_a_server_answers_on_its_port_until_it_is_stopped(runtime: Runtime, build: Build, tmp_path: Path) -> None:
    """An endpoint's container: health checks reach it, its output arrives, its directory goes."""
    digest, _ = build()
    lines: list[str] = []
    port = free_port()
    handle = runtime.start(RunSpec(digest, arguments=["serve"], ports={8080: port}, on_line=lines.append, key="s"))
    assert handle.port == port
    deadline = time.monotonic() + 20
    answer = b""
    while not answer and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as response:
                answer = response.read()
        except OSError:
            time.sleep(0.1)
    assert answer == b"pong"
    assert handle.alive()
    handle.stop()
    handle.stop()
    assert not handle.alive()
    assert any("serving" in line for line in lines)
    assert list((tmp_path / "home" / "containers").iterdir()) == []


def test_a_build_killed_at_any_moment_leaves_nothing_half_made(context: Path, tmp_path: Path) -> None:
    """After kill -9 the next build is right, every image on disk is whole, and what was begun is cleared away."""
    home = tmp_path / "home"
    code = (
        "import sys, pathlib; from localcloud.runtime import create\n"
        "c = pathlib.Path(sys.argv[2]); create('process', pathlib.Path(sys.argv[1])).build(c, c / 'Dockerfile', 'x:1')"
    )
    for delay in (0.3, 0.5, 0.7, 0.9):
        process = subprocess.Popen([sys.executable, "-c", code, str(home), str(context)])
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    runtime = create("process", home)
    deadline = time.monotonic() + 20
    runtime.recover()
    # An installer that the last kill left behind writes on for a moment; a server ends it before it recovers.
    while list((home / "work").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.2)
        runtime.recover()
    assert list((home / "work").iterdir()) == []
    digest = runtime.build(context, context / "Dockerfile", "x:1")
    expected = create("process", tmp_path / "other").build(context, context / "Dockerfile", "x:1")
    assert digest == expected
    assert json.loads(run(runtime, digest)[1][0])["little"] == 1


def test_builds_at_the_same_time_agree(context: Path, tmp_path: Path) -> None:
    """A project's images are built in parallel; shared steps are done once."""
    runtime = create("process", tmp_path / "home")
    digests: list[str] = []
    threads = [
        threading.Thread(
            target=lambda tag=f"x:{n}": digests.append(runtime.build(context, context / "Dockerfile", tag))
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 4
    assert len(set(digests)) == 1
    assert [name for name, _ in runtime.images() if name.startswith("x:")] == [f"x:{n}" for n in range(4)]


def test_installed_packages_have_bytecode_whatever_the_image_says(
    runtime: Runtime, build: Build, tmp_path: Path
) -> None:
    """PYTHONDONTWRITEBYTECODE is usual in images, whose pip has compiled; without that every import would be slow."""
    digest, _ = build(DOCKERFILE.replace("ENV ", "ENV PYTHONDONTWRITEBYTECODE=1 "))
    lines: list[str] = []
    code = (
        "import little, os; print(little.__cached__); print(os.path.exists(little.__cached__)); print(little.__file__)"
    )
    assert runtime.run(RunSpec(digest, entrypoint=["python", "-c", code], on_line=lines.append)) == 0
    assert lines[1] == "True"
    assert str(tmp_path / "home" / "trees") in lines[2]


def test_a_full_disk_and_a_missing_uv_are_one_clear_error(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause and the mend, not a traceback."""

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patched:
        patched.setattr(trees, "real_copy", full)
        with pytest.raises(RuntimeFault, match="no space left on the disk"):
            build()
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeFault, match="uv was not found"):
        pip.find_uv()


def test_unknown_runtimes_are_refused(tmp_path: Path) -> None:
    """A typing error in LOCALCLOUD_RUNTIME is told, with what is allowed."""
    with pytest.raises(RuntimeFault, match="process, buildah, docker"):
        create("podman", tmp_path)


# The docker command and ECR


@pytest.fixture
def shared(cloud: LocalCloud) -> Runtime:
    """The image store of the running local cloud."""
    return create("process", cloud.home / "images" / "process")


@pytest.fixture
def docker(cloud: LocalCloud, shared: Runtime, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The `docker` command as a build's shell finds it."""
    path = f"{shared.shim_directory()}:{os.environ['PATH']}"

    def call(
        *arguments: str, account: str = TOOLING, text: str = "", extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {**cloud.environment(account), "PATH": path, "HOME": str(tmp_path / "user"), **(extra or {})}
        return subprocess.run(
            ["docker", *arguments], env=environment, input=text, capture_output=True, text=True, check=False
        )

    return call


Docker = Callable[..., subprocess.CompletedProcess[str]]


def test_an_image_goes_by_docker_push_to_another_account(
    cloud: LocalCloud, shared: Runtime, docker: Docker, context: Path
) -> None:
    """Built and pushed as CodeBuild does it; pulled with the rights of who runs it; immutable under its tag."""
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="run/train", imageTagMutability="IMMUTABLE")
    registry = f"{TOOLING}.dkr.ecr.{REGION}.amazonaws.com"
    name = f"{registry}/run/train:1"
    built = docker("build", "-t", name, "--label", "commit=abc", str(context))
    assert built.returncode == 0, built.stderr
    refused = docker("push", name)
    assert refused.returncode == 1
    assert "no basic auth credentials" in refused.stderr
    login = docker("login", "--username", "AWS", "--password-stdin", registry, text="token")
    assert login.stdout == "Login Succeeded\n"
    pushed = docker("push", name)
    assert pushed.returncode == 0, pushed.stderr
    digest = docker("image", "inspect", "--format", "{{index .RepoDigests 0}}", name).stdout.strip()
    record = ecr.describe_images(repositoryName="run/train")["imageDetails"][0]
    assert digest == f"{registry}/run/train@{record['imageDigest']}"
    assert record["imageSizeInBytes"] > 0
    assert docker("push", name).returncode == 0  # the same again is no error

    def caller(account: str) -> Credentials:
        return Credentials(account, "test", None, cloud.endpoint, REGION)

    image = shared.resolve(name, caller(TOOLING))
    assert image.config.labels == {"commit": "abc"}
    assert shared.resolve(digest, caller(TOOLING)).digest == image.digest
    with pytest.raises(ImageNotFound, match="AccessDenied"):
        shared.resolve(digest, caller(STAGING))
    statement = {
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{STAGING}:root"}, "Action": "ecr:BatchGetImage"
    }  # fmt: skip
    ecr.set_repository_policy(repositoryName="run/train", policyText=json.dumps({"Statement": [statement]}))
    assert shared.resolve(digest, caller(STAGING)).digest == image.digest
    with pytest.raises(ImageNotFound):
        shared.resolve(digest, caller(PRODUCTION))
    with pytest.raises(ImageNotFound, match="not in the registry"):
        shared.resolve(f"{registry}/run/train:2", caller(TOOLING))

    (context / "src" / "main.py").write_text("print('other')")
    docker("build", "-t", name, str(context))
    refused = docker("push", name)
    assert refused.returncode == 1
    assert "ImageTagAlreadyExistsException" in refused.stderr


def test_a_mirrored_base_image_is_a_base(cloud: LocalCloud, docker: Docker, context: Path) -> None:
    """The platform mirrors the public base into ECR; projects build FROM the mirror, by digest."""
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="base/python")
    registry = f"{TOOLING}.dkr.ecr.{REGION}.amazonaws.com"
    mirror = f"{registry}/base/python:3.11-slim-bookworm"
    docker("login", "-u", "AWS", "--password-stdin", registry, text="token")
    for words in (["pull", BASE], ["tag", BASE, mirror], ["push", mirror]):
        done = docker(*words)
        assert done.returncode == 0, done.stderr
    digest = ecr.describe_images(repositoryName="base/python")["imageDetails"][0]["imageDigest"]
    for base in (mirror, f"{registry}/base/python@{digest}"):
        done = docker("build", "--build-arg", f"BASE_IMAGE={base}", "-t", "from-mirror:1", str(context))
        assert done.returncode == 0, done.stderr
    missing = docker("build", "--build-arg", f"BASE_IMAGE={registry}/base/none:1", "-t", "x:1", str(context))
    assert missing.returncode == 1
    assert "RepositoryNotFoundException" in missing.stderr


def test_the_docker_command_serves_what_builds_use(docker: Docker, context: Path, tmp_path: Path) -> None:
    """Listing, inspecting, running; exit codes of containers come through."""
    secret = {"INDEX": "http://u:p@127.0.0.1/simple"}
    done = docker("buildx", "build", "--load", "--progress=plain", "--secret", "id=i,env=INDEX", "-t", "a/b:1", "-t",
                  "a/b:2", "-f", str(context / "Dockerfile"), "--iidfile", str(tmp_path / "iid"), str(context),
                  extra=secret)  # fmt: skip
    assert done.returncode == 0, done.stderr
    identity = (tmp_path / "iid").read_text()
    assert docker("inspect", "-f", "{{.Id}}", "a/b:2").stdout.strip() == identity
    listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "a/b").stdout.split()
    assert listed == ["a/b:1", "a/b:2"]
    ml = tmp_path / "ml"
    ml.mkdir()
    ran = docker("run", "--rm", "-v", f"{ml}:/opt/ml", "-e", "GREETING=hi", "a/b:1", "fail", "/opt/ml/x")
    assert ran.returncode == 7
    assert json.loads(ran.stdout)["greeting"] == "hi"
    assert docker("run", "--entrypoint", "python", "a/b:1", "-c", "print(1)").stdout == "1\n"
    assert "Untagged: a/b:1" in docker("rmi", "a/b:1").stdout
    assert docker("inspect", "a/b:1").returncode == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["compose", "up"], "docker compose is not served"),
        (["build", "--squash", "."], "--squash is not served"),
        (["build", "--platform", "linux/arm64", "."], "linux/amd64"),
        (["run", "--privileged", "x"], "--privileged is not served"),
        (["build"], "requires exactly 1 argument"),
        (["build", "-t", "BAD NAME", "."], "not the name of an image"),
        (["login", "-u", "AWS", "-p", "x", "1.example"], "served are ACCOUNT"),
        (["inspect", "-f", "{{range .X}}", BASE], "served"),
        (["pull", "alpine"], "not served by the process runtime"),
    ],
)
def test_other_commands_are_refused_by_name(docker: Docker, words: list[str], told: str) -> None:
    """One line that says what is served; no traceback."""
    docker("pull", BASE)
    done = docker(*words)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_registry_record_without_contents_is_not_run(cloud: LocalCloud, shared: Runtime) -> None:
    """A record whose files are gone is told as that, when it is resolved and not when it is run."""
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="run/empty")
    text = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []})
    ecr.put_image(repositoryName="run/empty", imageManifest=text, imageTag="1")
    with pytest.raises(ImageNotFound, match="not on this machine"):
        shared.resolve(
            f"{TOOLING}.dkr.ecr.{REGION}.amazonaws.com/run/empty:1",
            Credentials(TOOLING, "test", None, cloud.endpoint, REGION),
        )
    registry = EcrRegistry(Credentials(TOOLING, "test", None, cloud.endpoint, REGION))
    with pytest.raises(ImageNotFound):
        registry.get_image(parse(f"{TOOLING}.dkr.ecr.{REGION}.amazonaws.com/run/empty:2"))
