"""The provider behind a connection: a directory of this machine in which `owner/name.git` are bare git repositories.

Nothing is ever written there but by git itself, when somebody pushes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from localcloud.services.codecommit.git import GitRepository

_PART = re.compile(r"[A-Za-z0-9._-]+")

Fingerprint = tuple[tuple[str, int], ...]


def repository(directory: Path, full_name: str) -> GitRepository | None:
    """The repository `owner/name` (or `group/subgroup/name`) that the provider has, or None."""
    parts = full_name.split("/")
    if len(parts) < 2 or not all(_PART.fullmatch(part) and set(part) != {"."} for part in parts):
        return None
    path = directory.joinpath(*parts[:-1], f"{parts[-1]}.git")
    if not (path / "HEAD").is_file() or not path.resolve().is_relative_to(directory.resolve()):
        return None
    return GitRepository(path)


def fingerprint(git: GitRepository) -> Fingerprint:
    """What changes whenever a reference does: git replaces files, which changes the time of their folder.

    Reading it costs no process, so that it can be read every second.
    """
    places = [str(git.path / "packed-refs"), str(git.path / "reftable")]
    places += [folder for folder, _, _ in os.walk(git.path / "refs")]
    found = []
    for place in places:
        try:
            found.append((place, Path(place).stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return tuple(found)
