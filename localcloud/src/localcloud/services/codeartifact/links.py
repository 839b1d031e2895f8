"""Package files that lie on this machine where its pip looks for them (`find-links`).

pip takes them into account beside its index: a wheel built for this machine (torch for CPUs, say) is taken from there.
"""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from localcloud.runtime import pip

_KEPT_SECONDS = 60.0


def folders(environ: Mapping[str, str] | None = None) -> list[Path]:
    """The folders that pip's configuration names; pages of links elsewhere are not read.

    Args:
        environ: the variables to look at instead of this process's own and its configuration files.
    """
    try:
        found = pip.machine() if environ is None else pip.settings(environ)
    except pip.PipRefused:
        return []
    places = [item for item in found.get("UV_FIND_LINKS", "").split(",") if item]
    paths = [Path(unquote(urlsplit(item).path)) if item.startswith("file:") else Path(item) for item in places]
    return [path for path in paths if path.is_dir()]


class Links:
    """The files of those folders, by the normalised name of their package."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._read = -_KEPT_SECONDS
        self._files: dict[str, list[Path]] = {}

    def files(self, name: str) -> list[Path]:
        """The files of a package."""
        with self._lock:
            if time.monotonic() - self._read > _KEPT_SECONDS:
                self._files = self._scan()
                self._read = time.monotonic()
            return self._files.get(name, [])

    def anchors(self, name: str, address: Callable[[str, str], str]) -> str:
        """The files as links of a simple page; empty where there is none.

        Args:
            address: makes an address of ours from (URL of the file, file name).
        """
        return "\n".join(
            f'<a href="{html.escape(address(path.as_uri(), path.name))}">{html.escape(path.name)}</a><br/>'
            for path in self.files(name)
        )

    def _scan(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for folder in folders(self._environ):
            for path in sorted(folder.iterdir()):
                try:
                    read = parse_wheel_filename if path.suffix == ".whl" else parse_sdist_filename
                    name = read(path.name)[0]
                except (InvalidWheelFilename, InvalidSdistFilename):
                    continue
                if path.is_file():
                    found.setdefault(canonicalize_name(name), []).append(path.resolve())
        return found
