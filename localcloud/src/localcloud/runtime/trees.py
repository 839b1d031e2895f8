"""Directory trees named by what is in them.

A tree's digest covers names, kinds, the executable bit and contents; not times, owners, or what differs between two
installations of the same packages (compiled bytecode, where a wheel came from, which interpreter a link points to).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

_SKIPPED_NAMES = {"__pycache__", "uv_cache.json", "direct_url.json", "REQUESTED"}
_VENV_BIN = {"python", "python3", "activate", "activate.bat", "activate.csh", "activate.fish", "activate.nu"}


def digest(
    root: Path, *, environment: bool = False, known: Mapping[str, tuple[int, str]] | None = None
) -> tuple[str, int]:
    """(hexadecimal SHA-256, bytes) of a tree.

    Args:
        environment: it is a Python virtual environment: its links to the interpreter do not count.
        known: what `recorded` found: a file's hash is taken from there while its size agrees. Only where nothing but
            the installer has written.
    """
    hashed = hashlib.sha256()
    total = 0
    known = known or {}
    if environment:
        hashed.update(f"python {python_of(root)}\n".encode())
    for relative, entry in _walk(root):
        if environment and _is_machinery(relative):
            continue
        if entry.is_symlink():
            line = f"l {relative}\0{os.readlink(entry)}\n"  # noqa: PTH115 - a Path for each of 30,000 takes seconds
        elif entry.is_dir(follow_symlinks=False):
            line = f"d {relative}\n"
        else:
            state = entry.stat(follow_symlinks=False)
            total += state.st_size
            size, sha = known.get(relative, (-1, ""))
            if size != state.st_size:
                path = Path(entry.path)
                sha = _normal_record(path) if entry.name == "RECORD" else file_digest(path)
            line = f"f {relative}\0{'x' if state.st_mode & 0o100 else '-'}{sha}\n"
        hashed.update(line.encode("utf-8", "surrogateescape"))
    return hashed.hexdigest(), total


def python_of(environment: Path) -> str:
    """Which Python a virtual environment is for, e.g. "CPython 3.11.7": part of it, though its files are elsewhere."""
    lines = (environment / "pyvenv.cfg").read_text().splitlines()
    fields = dict(line.partition(" = ")[::2] for line in lines)
    version = fields.get("version_info") or fields.get("version", "")
    return f"{fields.get('implementation', 'CPython')} {version}".strip()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def link_copy(source: Path, target: Path) -> None:
    """Copy a tree by hard links: fast, and its files must be replaced, not written into. Links stay links."""
    _copy(source, target, link=True)


def real_copy(source: Path, target: Path) -> None:
    """Copy a tree with its bytes."""
    _copy(source, target, link=False)


def remove(path: Path) -> None:
    """Delete a tree, whatever it holds; a missing one is none to delete."""
    shutil.rmtree(path, ignore_errors=True)


def _copy(source: Path, target: Path, *, link: bool) -> None:
    target.mkdir(parents=True, exist_ok=True)
    _copy_into(str(source), str(target), link=link)


def _copy_into(source: str, target: str, *, link: bool) -> None:
    # Names, not Paths: an environment has tens of thousands of files.
    with os.scandir(source) as entries:
        for entry in entries:
            to = f"{target}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry), to)  # noqa: PTH115, PTH211
            elif entry.is_dir(follow_symlinks=False):
                os.mkdir(to)  # noqa: PTH102
                _copy_into(entry.path, to, link=link)
            elif link:
                try:
                    os.link(entry.path, to)
                except OSError:  # another file system, or too many links
                    shutil.copy2(entry.path, to)
            else:
                shutil.copy2(entry.path, to)
    shutil.copymode(source, target)


def _walk(root: str | Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    for entry in sorted(os.scandir(root), key=lambda item: item.name):
        if entry.name in _SKIPPED_NAMES or entry.name.endswith(".pyc"):
            continue
        relative = prefix + entry.name
        yield relative, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, relative + "/")


def _is_machinery(relative: str) -> bool:
    head, _, name = relative.rpartition("/")
    if head == "bin":
        return name in _VENV_BIN or name.startswith(("python3", "activate", "deactivate", "pydoc"))
    return relative in ("pyvenv.cfg", "lib64", ".gitignore", ".lock", "CACHEDIR.TAG")


def _normal_record(path: Path) -> str:
    """A RECORD's digest without the lines of what is skipped: their presence differs with the way of installation."""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    kept = sorted(line for line in lines if not any(name in line.split(",")[0] for name in _SKIPPED_NAMES))
    return hashlib.sha256("\n".join(kept).encode("utf-8", "surrogateescape")).hexdigest()


def recorded(root: Path) -> dict[str, tuple[int, str]]:
    """Relative path → (size, hexadecimal hash) of what is installed in an environment, by its RECORD files."""
    found: dict[str, tuple[int, str]] = {}
    for record in root.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        packages = record.parent.parent.relative_to(root).as_posix()
        with record.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
            for row in csv.reader(stream):
                if len(row) == 3 and row[1].startswith("sha256=") and row[2].isdigit():
                    encoded = row[1].removeprefix("sha256=")
                    sha = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()
                    name = os.path.normpath(f"{packages}/{row[0]}")
                    found[name] = (int(row[2]), sha)
    return found
