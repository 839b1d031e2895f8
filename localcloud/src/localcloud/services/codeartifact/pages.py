"""Pages of a public index, kept in the user's cache for a while: a local cloud made anew need not fetch them again.

An installation asks for some hundred pages, 50 MB of links, to read a few lines of each.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

# CodeArtifact, too, shows what is new in a public repository after up to half an hour.
KEPT_SECONDS = 1800.0


class PageCache:
    """Bodies by address. It may be emptied at any time, and several local clouds may use it at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = Path(environ.get("HOME") or Path.home())
        caches = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
        self._folder = caches / "localcloud" / "index"

    def read(self, url: str) -> tuple[str, float] | None:
        """(body, seconds for which it is good) of a page, if it is known and not too old."""
        path = self._path(url)
        try:
            left = KEPT_SECONDS - (time.time() - path.stat().st_mtime)
            return (path.read_text(encoding="utf-8"), left) if 0 < left <= KEPT_SECONDS else None
        except (OSError, ValueError):
            return None

    def write(self, url: str, body: str) -> None:
        """Keep a page. What cannot be kept (a full disk, say) is fetched again."""
        path = self._path(url)
        temporary = path.with_name(f".{uuid.uuid4().hex}")
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_text(body, encoding="utf-8")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.html"
