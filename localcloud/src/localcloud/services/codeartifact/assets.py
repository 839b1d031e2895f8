"""The files of package versions: kept once each, under their digest, below the state directory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def digests(content: bytes) -> dict[str, str]:
    """The four hashes that CodeArtifact tells of an asset."""
    return {
        "MD5": hashlib.md5(content).hexdigest(),  # noqa: S324 - part of the API's answer
        "SHA-1": hashlib.sha1(content).hexdigest(),  # noqa: S324
        "SHA-256": hashlib.sha256(content).hexdigest(),
        "SHA-512": hashlib.sha512(content).hexdigest(),
    }


class Assets:
    """A directory of files by digest."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, sha256: str) -> Path:
        """Where a file lies."""
        return self._root / sha256[:2] / sha256

    def keep(self, content: bytes, sha256: str) -> None:
        """Write a file, whole or not at all."""
        target = self.path(sha256)
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(target)
