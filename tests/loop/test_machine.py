"""What the machine may lack: room on the disk, a network, a free port. One clear message, and it goes on afterwards."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway_demo import commands, watching
from slipway_demo.console import Journal, Stop
from tests.loop.conftest import BUILD, TOOLING, LocalCloud, Loop, as_demonstrated, down, free_port

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.xdist_group("loop")]
NOWHERE = "http://127.0.0.1:9/simple"  # the discard port: nothing listens


def _localcloud(loop: Loop, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localcloud", *arguments], env=loop.environment(), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


# ---------------------------------------------------------------------- the disk


@pytest.fixture
def small_disk(loop: Loop, tmp_path: Path) -> Iterator[Path]:
    """The folder of a small disk on which the loop's home is, by an overlay: afterwards it is as it was before."""
    disk, home = tmp_path / "disk", loop.cloud.home
    disk.mkdir()
    size = ["-o", "size=160m"]
    if subprocess.run(["mount", "-t", "tmpfs", *size, "tmpfs", str(disk)], capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    assert _localcloud(loop, "down").returncode == 0
    kept = home.with_name("home.kept")
    home.rename(kept)
    for folder in (home, disk / "upper", disk / "work"):
        folder.mkdir()
    layers = f"lowerdir={kept},upperdir={disk / 'upper'},workdir={disk / 'work'}"
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "-o", layers, "overlay", str(home)], capture_output=True, text=True, check=False
    )
    try:
        if mounted.returncode:
            pytest.skip(f"this machine has no overlay file system: {mounted.stderr}")
        started = _localcloud(loop, "up")
        assert started.returncode == 0, started.stderr
        yield disk
    finally:
        down(home)
        if not mounted.returncode:
            subprocess.run(["umount", "--lazy", str(home)], check=True)
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        home.rmdir()
        kept.rename(home)
        assert _localcloud(loop, "up").returncode == 0


def _fill_when_images_are_built(loop: Loop, execution: str, disk: Path) -> None:
    pipelines = loop.admin(TOOLING).client("codepipeline")
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        actions = pipelines.list_action_executions(
            pipelineName=BUILD, filter={"pipelineExecutionId": execution}
        )["actionExecutionDetails"]  # fmt: skip
        if any(action["stageName"] == "Images" for action in actions):
            break
        time.sleep(0.1)
    try:
        with (disk / "fill").open("wb", buffering=0) as opened:
            while True:
                opened.write(bytes(1 << 16))
    except OSError:
        return  # it is full


def test_a_disk_that_fills_in_the_middle_of_a_build(loop: Loop, small_disk: Path) -> None:
    """Protects the state: the build ends with one cause, the old model serves; with room the next build succeeds."""
    before, packages = loop.predict(), loop.packages()
    clone = as_demonstrated(loop)
    script = clone / "training" / "train.py"
    script.write_text(script.read_text() + "\n# Another image.\n")
    execution = loop.execution(loop.push(clone, "Fill the disk"))
    filler = threading.Thread(target=_fill_when_images_are_built, args=(loop, execution, small_disk))
    filler.start()
    with pytest.raises(Stop) as caught:
        watching.follow(Journal(), loop.person("DataScientist"), BUILD, execution)
    filler.join(60)
    told = str(caught.value)
    assert "no space left on the disk of" in told or "is full" in told, told
    assert "ake room" in told
    assert "Traceback" not in told
    assert (loop.predict(), loop.packages()) == (before, packages)
    (small_disk / "fill").unlink()
    script.write_text(script.read_text() + "# And another.\n")
    assert loop.wait(loop.execution(loop.push(clone, "There is room again"))) == "Succeeded"
    assert loop.predict() == before


# ---------------------------------------------------------------------- the network


def test_without_an_index_make_says_so_in_one_line(tmp_path: Path) -> None:
    """Protects a newcomer without network or behind a proxy: not a screen of retries, but the cause and the mend."""
    for name in ("Makefile", "requirements.lock", "requirements.in"):
        shutil.copy(commands.ROOT / name, tmp_path)
    for name in ("demo", "cicd", "localcloud"):
        (tmp_path / name).mkdir()
        shutil.copy(commands.ROOT / name / "pyproject.toml", tmp_path / name)
    shutil.copy(commands.ROOT / "demo" / "install.py", tmp_path / "demo")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "MAKE"))}
    unreachable = {"PIP_INDEX_URL": NOWHERE, "UV_INDEX_URL": NOWHERE, "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        ["make", "demo", f"PYTHON={sys.executable}"], cwd=tmp_path, env={**kept, **unreachable}, capture_output=True,
        text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(told) == 2, done.stderr
    assert told[0].startswith("uv could not be installed: the Python package index"), told
    assert "cannot be reached: Connection refused" in told[0]
    assert "PIP_INDEX_URL" in told[0]
    assert ".venv/install.log" in told[1]


def test_without_an_index_the_demonstration_stops_before_it_builds(tmp_path: Path) -> None:
    """Protects from a minute's wait and "502 Bad Gateway": asked first, told once; nothing is half made."""
    away = Loop(LocalCloud(tmp_path / "home", free_port()), tmp_path, {}, "", 0.0)
    environment = {**away.environment(), "PIP_INDEX_URL": NOWHERE, "UV_INDEX_URL": NOWHERE}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "slipway_demo", "run"], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 1, done.stdout
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert f"the machine's package index cannot be reached: {NOWHERE}/pip/: [Errno 111]" in done.stderr
        assert "PIP_INDEX_URL" in done.stderr
        assert "502" not in done.stdout + done.stderr
        stacks = away.admin(TOOLING).client("cloudformation").describe_stacks()["Stacks"]
        assert stacks == []
    finally:
        down(away.cloud.home)


def test_a_build_without_an_index_ends_with_the_cause(loop: Loop) -> None:
    """Protects the Data Scientist whose network fails later: the log's last line is the cause, not a status alone."""
    before = loop.predict()
    assert _localcloud(loop, "down").returncode == 0
    kept = loop.cloud.extra
    loop.cloud.extra = {"PIP_INDEX_URL": NOWHERE, "UV_INDEX_URL": NOWHERE}
    try:
        assert _localcloud(loop, "up").returncode == 0
        clone = as_demonstrated(loop)
        (clone / "README.md").write_text("Anything.\n")
        execution = loop.execution(loop.push(clone, "Lose the network"))
        with pytest.raises(Stop) as caught:
            watching.follow(Journal(), loop.person("DataScientist"), BUILD, execution)
        told = str(caught.value)
        assert "error: the machine's package index cannot be reached" in told, told
        assert "Connection refused" in told
        assert "PIP_INDEX_URL" in told
    finally:
        loop.cloud.extra = kept
        assert _localcloud(loop, "down").returncode == 0
        assert _localcloud(loop, "up").returncode == 0
    assert loop.predict() == before


# ---------------------------------------------------------------------- the port


def test_a_port_in_use_is_told_with_another(tmp_path: Path) -> None:
    """Protects who runs something else on the port: exit 1, the port, and the command that would do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = Loop(LocalCloud(tmp_path / "home", port), tmp_path, {}, "", 0.0).demo("run")
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use by another program" in done.stderr
    assert f"LOCALCLOUD_PORT={port + 1}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()
    assert json.loads((tmp_path / "build" / "demo" / "report.json").read_text())["ok"] is False
