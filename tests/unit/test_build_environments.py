"""The bytecode that a build's virtual environments are given: known by content, made once for all builds."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.services.codebuild.tools import Environments

MODULE = b"VALUE = 42\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "localcloud" / "bytecode"


def made(source: Path) -> Path:
    """An environment with one package, as an installer leaves it. Returns the folder of packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(source / ".venv")], check=True)
    (packages,) = (source / ".venv").glob("lib/python*/site-packages")
    install(packages, MODULE)
    return packages


def install(packages: Path, text: bytes) -> None:
    (packages / "answer.py").write_bytes(text)
    sha = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
    record = packages / "answer-1.dist-info" / "RECORD"
    record.parent.mkdir(exist_ok=True)
    record.write_text(f"answer.py,sha256={sha},{len(text)}\nanswer-1.dist-info/RECORD,,\n")


def test_a_second_environment_gets_what_the_first_compiled(tmp_path: Path, cache: Path) -> None:
    """Protects the time of a project's tests: each build makes its environment anew, and compiles nothing again."""
    first, second = made(tmp_path / "one"), made(tmp_path / "two")
    Environments(tmp_path / "one").provide()
    Environments(tmp_path / "two").provide()
    compiled = [next((packages / "__pycache__").glob("answer.*.pyc")) for packages in (first, second)]
    (kept,) = cache.rglob("*.pyc")
    assert {path.stat().st_ino for path in compiled} == {kept.stat().st_ino}
    told = subprocess.run(
        [tmp_path / "two" / ".venv" / "bin" / "python", "-c", "import answer; print(answer.VALUE, answer.__cached__)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["42", str(compiled[1])]


def test_what_is_installed_later_is_seen(tmp_path: Path, cache: Path) -> None:
    """Protects from looking at every file after every command, and from missing what a later command installs."""
    environments = Environments(tmp_path / "one")
    environments.provide()  # nothing is there yet
    packages = made(tmp_path / "one")
    environments.provide()
    looked = next((packages / "__pycache__").glob("answer.*.pyc"))
    looked.unlink()
    environments.provide()
    assert not looked.exists()  # nothing was installed: not looked at again
    os.utime(packages)
    environments.provide()
    assert looked.exists()


def test_a_broken_environment_does_no_harm(tmp_path: Path, cache: Path) -> None:
    """Protects the build: bytecode only saves time."""
    for name, text in (("empty", ""), ("odd", "version = x\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyvenv.cfg").write_text(text)
    (tmp_path / "odd" / "lib" / "python3" / "site-packages").mkdir(parents=True)
    Environments(tmp_path).provide()
    assert not cache.exists()
