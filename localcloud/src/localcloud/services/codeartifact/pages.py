"""Pages of a public index, kept in the user's cache for a while: a local cloud made anew need not fetch them again.

An installation asks for some hundred pages, 50 MB of links, to read a few lines of each.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# CodeArtifact, too, shows what is new in a public repository after up to half an hour.
KEPT_SECONDS = 1800.0
_TAG_LENGTH = 100  # what is longer is no tag, and fits none


@dataclass(frozen=True)
class Kept:
    """A page that is known: its entity tag, the seconds for which it is good, and where it lies.

    Its tag alone answers a client that has the page: the links, up to a megabyte of them, are read when they are asked.
    """

    tag: str
    left: float
    place: Path

    def body(self) -> str | None:
        """Its text; None where it has been taken away meanwhile."""
        try:
            return self.place.read_text(encoding="utf-8").partition("\n")[2]
        except (OSError, ValueError):
            return None


class PageCache:
    """Bodies by address. It may be emptied at any time, and several local clouds may use it at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = Path(environ.get("HOME") or Path.home())
        caches = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
        self._folder = caches / "localcloud" / "index"

    def read(self, url: str) -> Kept | None:
        """A page, if it is known and not too old."""
        path = self._path(url)
        try:
            left = KEPT_SECONDS - (time.time() - path.stat().st_mtime)
            with path.open(encoding="utf-8") as lines:
                tag = lines.readline(_TAG_LENGTH).rstrip("\n")
        except (OSError, ValueError):
            return None
        return Kept(tag, left, path) if 0 < left <= KEPT_SECONDS else None

    def write(self, url: str, body: str, tag: str) -> None:
        """Keep a page under its tag. What cannot be kept (a full disk, say) is fetched again."""
        path = self._path(url)
        temporary = path.with_name(f".{uuid.uuid4().hex}")
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_text(f"{tag}\n{body}", encoding="utf-8")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.page"
