"""The build context: which files a COPY takes, and the hash of what it takes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from localcloud.runtime import trees
from localcloud.runtime.types import BuildError

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Taken:
    """One file, link or empty directory that a COPY takes, and where it goes below the destination."""

    source: Path
    relative: str


class Context:
    """A directory to copy from: the build context, or the root of an earlier stage (which has no .dockerignore)."""

    def __init__(self, root: Path, dockerfile: Path | None = None) -> None:
        if not root.is_dir():
            raise BuildError(f"{root}: no such build context; the last argument of docker build is a directory")
        self.root = root.resolve()
        self._dockerfile = dockerfile

    @cached_property
    def _kept(self) -> frozenset[str] | None:
        """Relative paths that .dockerignore leaves, or None when there is none."""
        if self._dockerfile is None:
            return None
        own = self._dockerfile.with_name(f"{self._dockerfile.name}.dockerignore")
        file = own if own.is_file() else self.root / ".dockerignore"
        if not file.is_file():
            return None
        from docker.utils.build import PatternMatcher

        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
        patterns = [line for line in lines if line and not line.startswith("#")]
        return frozenset(PatternMatcher(patterns).walk(str(self.root)))

    def take(self, pattern: str) -> list[Taken] | None:
        """What a source of a COPY stands for: files by the name they get at the destination, sorted.

        Returns:
            None if there is no such source.

        Raises:
            ValueError: the source is outside of the context.
        """
        relative = os.path.normpath(pattern.lstrip("/") or ".")
        if relative.startswith(".."):
            raise ValueError("it is outside of the build context")
        if _WILD.search(relative):
            matches = sorted(path for path in self.root.glob(relative) if self._is_kept(path))
        else:
            path = self.root / relative
            matches = [path] if os.path.lexists(path) and (path == self.root or self._is_kept(path)) else []
        if not matches:
            return None
        found: list[Taken] = []
        for match in matches:
            if match.is_dir():
                found += self._below(match)
            else:
                found.append(Taken(match, match.name))
        return found

    def is_directory(self, pattern: str) -> bool:
        """Whether a source is one directory."""
        return (self.root / pattern.lstrip("/")).is_dir()

    def _below(self, top: Path) -> list[Taken]:
        found = []
        for folder, folders, files in os.walk(top):
            folders.sort()
            here = Path(folder)
            for name in sorted(files + [name for name in folders if (here / name).is_symlink()]):
                path = here / name
                if self._is_kept(path):
                    found.append(Taken(path, path.relative_to(top).as_posix()))
            if not files and not folders and here != top and self._is_kept(here):
                found.append(Taken(here, here.relative_to(top).as_posix()))
        return found

    def _is_kept(self, path: Path) -> bool:
        return self._kept is None or path.relative_to(self.root).as_posix() in self._kept


def inputs_hash(taken: list[Taken]) -> str:
    """A hash of names, executable bits and contents."""
    hashed = hashlib.sha256()
    for item in taken:
        if item.source.is_symlink():
            what = f"l{item.source.readlink()}"
        elif item.source.is_dir():
            what = "d"
        else:
            what = f"f{item.source.stat().st_mode & 0o100}{trees.file_digest(item.source)}"
        hashed.update(f"{item.relative}\0{what}\n".encode("utf-8", "surrogateescape"))
    return hashed.hexdigest()


def place(taken: list[Taken], destination: Path, *, as_directory: bool) -> list[Path]:
    """Copy to the destination; files are replaced, never written into. Returns what was written.

    Args:
        as_directory: the destination is a directory; else it is the name of the one file.
    """
    written = []
    for item in taken:
        target = destination / item.relative if as_directory else destination
        if item.source.is_dir() and not item.source.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or target.is_file():
            target.unlink()
        elif target.is_dir():
            raise BuildError(f"cannot copy the file {item.source.name} onto the directory {target.name}")
        shutil.copy2(item.source, target, follow_symlinks=not item.source.is_symlink())
        written.append(target)
    return written


def absolute(workdir: str, path: str) -> str:
    """A container path against the working directory; a slash at the end is kept."""
    joined = os.path.normpath(str(PurePosixPath(workdir) / path))
    return joined + "/" if path.endswith(("/", "/.")) or path == "." else joined
