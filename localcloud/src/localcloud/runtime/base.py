"""The base images that are built in: Docker's official python:3.x-slim, made of a Python of this machine."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from localcloud.runtime import trees
from localcloud.runtime.pip import find_uv
from localcloud.runtime.references import parse
from localcloud.runtime.store import ImageStore, Trees
from localcloud.runtime.types import Image, ImageConfig, OnLine, RuntimeFault

ALLOWED = "public.ecr.aws/docker/library/python:3.x-slim[-bookworm|-trixie] (x ≥ 9), an image of this machine or of ECR"
_NAMES = {"python", "public.ecr.aws/docker/library/python", "docker.io/library/python", "docker.io/python"}
_TAG = re.compile(r"3\.(?P<minor>\d+)(?:\.\d+)?-slim(?:-(?P<debian>bookworm|trixie|bullseye))?")
_RECIPE = "1"  # raise it when what a base holds changes


def minor_version(name: str) -> int | None:
    """The x of python:3.x-slim if the name is a built-in base, else None."""
    try:
        reference = parse(name)
    except ValueError:
        return None
    match = _TAG.fullmatch(reference.tag)
    return int(match["minor"]) if reference.name in _NAMES and match else None


def python_for(minor: int) -> tuple[Path, int]:
    """A Python of this machine for an image of Python 3.`minor`: that version, or the nearest later one.

    Raises:
        RuntimeFault: there is only an older one.
    """
    own = Path(getattr(sys, "_base_executable", "") or sys.executable)
    if sys.version_info.minor == minor:
        return own, minor
    found = subprocess.run(
        [find_uv(), "python", "find", "--no-config", "--no-project", "--system", "--no-python-downloads", f"3.{minor}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode == 0 and found.stdout.strip():
        return Path(found.stdout.strip()), minor
    if sys.version_info.minor > minor:
        return own, sys.version_info.minor
    raise RuntimeFault(
        f"python:3.{minor} needs a Python 3.{minor} or later on this machine, and this one has "
        f"3.{sys.version_info.minor}: install Python 3.{minor}, or set LOCALCLOUD_RUNTIME=buildah"
    )


def ensure(store: ImageStore, name: str, minor: int, on_line: OnLine) -> Image:
    """The built-in base image under its name, made at the first call (well under a second)."""
    python, actual = python_for(minor)
    identity = f"{_RECIPE} {minor} {python} {python.stat().st_mtime_ns}"
    key = "base-" + hashlib.sha256(identity.encode()).hexdigest()
    with store.locked(key):
        made = store.layer(key)
        if made is None:
            made = _make(store, python)
            store.keep_layer(key, made)
    if actual != minor:
        on_line(f"note: {name} stands on this machine's Python 3.{actual}; there is no Python 3.{minor} here")
    version = trees.python_of(store.tree(made.venv)).split()[-1]
    config = ImageConfig(
        environment={
            "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "PYTHON_VERSION": version,
        },
        command=("python3",),
    )
    digest = store.keep_image(config, made)
    store.tag(name, digest)
    reference = parse(name)
    store.keep_repository_digest(reference.name, digest)
    return store.image(digest, name)


def _make(store: ImageStore, python: Path) -> Trees:
    with store.scratch() as work:
        venv, root = work / "venv", work / "root"
        root.mkdir()
        _uv(["venv", "--quiet", "--no-config", "--no-project", "--relocatable", "--python", str(python), str(venv)])
        bundled = subprocess.run(
            [str(python), "-c", "import ensurepip, pathlib; print(pathlib.Path(ensurepip.__file__).parent)"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        wheels = sorted(Path(bundled.stdout.strip()).glob("_bundled/pip-*.whl")) if bundled.returncode == 0 else []
        if wheels:  # python:slim has pip; Debian's own python3 may lack the wheel, and builds do not need it
            command = ["pip", "install", "--quiet", "--no-config", "--no-index", "--no-deps", "--python", str(venv)]
            _uv([*command, str(wheels[-1])])
        return Trees(root=store.keep_tree(root), venv=store.keep_tree(venv, environment=True))


def _uv(arguments: list[str]) -> None:
    done = subprocess.run([find_uv(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeFault(f"uv {arguments[0]} failed while making the base image: {done.stderr.strip()}")
