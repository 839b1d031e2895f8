"""Stand-ins for Docker's official python:3.x-slim, made of Debian's own packages by debootstrap.

Used where no registry of images is reached. Made once and kept as an archive in the user's cache directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from localcloud.runtime.stored import tool
from localcloud.runtime.types import OnLine, RuntimeFault

# Python 3.x → the Debian whose python3 it is.
SUITES: Mapping[int, str] = {11: "bookworm", 13: "trixie"}
ALLOWED = (
    "public.ecr.aws/docker/library/python:3.11-slim[-bookworm] and 3.13-slim[-trixie], an image of this machine or of "
    "ECR"
)
_RECIPE = 1  # raise it when what is made here changes
_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_NEEDLESS = ("usr/share/doc", "usr/share/man", "usr/share/info", "var/lib/apt/lists", "var/cache/apt/archives",
             "usr/share/locale", "debootstrap")  # fmt: skip
_PROGRESS_SECONDS = 5.0


def cache() -> Path:
    """Where archives are kept."""
    top = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(top) / "localcloud" / "bases"


def archive(minor: int, on_line: OnLine) -> Path:
    """The root file system of the stand-in for python:3.`minor`-slim as a tar archive; made if it is not there.

    Raises:
        RuntimeFault: no Debian has that Python, a tool is missing, or Debian's mirror is not reached.
    """
    suite = SUITES.get(minor)
    if suite is None:
        served = ", ".join(f"3.{known} ({name})" for known, name in SUITES.items())
        raise RuntimeFault(f"there is no stand-in for python:3.{minor}-slim; Debian has {served}")
    path = cache() / f"python3.{minor}-{suite}-{_RECIPE}.tar"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    on_line(f"making python:3.{minor}-slim-{suite} of Debian packages; once, a minute or two")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as work:
        root = Path(work) / "root"
        _bootstrap(suite, root, on_line)
        _dress(root, minor)
        made = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            subprocess.run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(made), "."], check=True)
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)
    on_line(f"made {path} ({path.stat().st_size >> 20} MB) in {time.monotonic() - began:.0f}s")
    return path


def _bootstrap(suite: str, root: Path, on_line: OnLine) -> None:
    command = [
        tool("debootstrap", "install it: apt-get install --no-install-recommends debootstrap"),
        "--variant=minbase", f"--include={_PACKAGES}", suite, str(root), *_mirror(),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        tail: list[str] = []
        told = 0.0
        for line in process.stdout:
            tail = [*tail[-9:], line.rstrip()]
            if time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                on_line(line.rstrip())
    if process.returncode:
        raise RuntimeFault(
            f"debootstrap {suite} failed ({process.returncode}); it needs root and Debian's mirror:\n" + "\n".join(tail)
        )


def _mirror() -> list[str]:
    """The mirror that this machine's apt uses; debootstrap's own default where apt has none."""
    apt = shutil.which("apt-get")
    if apt is None:
        return []
    listed = subprocess.run(
        [apt, "indextargets", "--format", "$(ORIGIN) $(SITE)"], capture_output=True, text=True, check=False
    ).stdout
    sites = [line.split()[1] for line in listed.splitlines() if line.startswith("Debian ") and len(line.split()) == 2]
    return [sites[0].rstrip("/")] if sites else []


def _dress(root: Path, minor: int) -> None:
    """What makes Debian's Python look as the official image's: `python`, a pip that installs, nothing needless."""
    local = root / "usr" / "local" / "bin"
    local.mkdir(parents=True, exist_ok=True)
    for name, target in (("python", "python3"), ("python3", f"python3.{minor}"), ("pip", "pip3")):
        (local / name).symlink_to(f"/usr/bin/{target}")
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for name in _NEEDLESS:
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "var" / "lib" / "apt" / "lists").mkdir(parents=True, exist_ok=True)
    (root / "var" / "cache" / "apt" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
