"""What a rule between the keys of project.yaml says when it is broken."""

from __future__ import annotations

from dataclasses import dataclass

Path = tuple[str, ...]


@dataclass(frozen=True)
class Broken:
    """A rule that a file breaks: at which key, why, what is allowed, and how to mend it (near names are proposed)."""

    path: Path
    problem: str
    given: object
    allowed: tuple[str, ...]
    mend: str
