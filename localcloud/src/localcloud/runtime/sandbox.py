"""What the commands of a RUN act on, and how they end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from localcloud.runtime.paths import PathMap
from localcloud.runtime.types import OnLine, Processes


class Refused(ValueError):
    """The command is not served; the message says why and what is."""


class Failed(Exception):
    """The command ran and failed."""

    def __init__(self, command: str, code: int, output: str) -> None:
        super().__init__(f"'{command}' returned a non-zero code: {code}")
        self.code = code
        self.output = output


@dataclass
class Sandbox:
    """What commands act on."""

    root: Path
    venv: Path
    environment: dict[str, str]
    workdir: str
    home: Path
    machine: Mapping[str, str]
    processes: Processes
    on_line: OnLine
    key: str
    secrets: Mapping[str, Path] = field(default_factory=dict)
    """Container path → file here, for this RUN only."""
    installs_only: bool = True
    """Whether nothing but the installer has written into the virtual environment."""

    @property
    def paths(self) -> PathMap:
        """Container paths → paths here."""
        return PathMap(self.root, [(path, target) for target, path in self.secrets.items()])

    def place(self, path: str) -> Path:
        """Where a path of the image is here, whether or not it exists; never outside the image's root."""
        absolute = os.path.normpath(str(PurePosixPath(self.workdir) / path))
        if absolute in self.secrets:
            return self.secrets[absolute]
        if absolute == "/":
            return self.root
        here = self.root / absolute.lstrip("/")
        parent = Path(os.path.realpath(here.parent))
        if parent != self.root and self.root not in parent.parents:
            raise Refused(f"{path} leads out of the image by a link")
        return parent / here.name
