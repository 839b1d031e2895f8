"""Model versions: V<tag>.<manual>.<auto>.

The tag comes from project.yaml. The first model of a tag is V<tag>.0.0; a later merge that yields a model raises
`manual` and begins `auto` again at 0; an automatic retraining (schedule, new data, drift) raises `auto`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Cause = Literal["merge", "schedule", "data", "drift"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
PATTERN = re.compile(r"V(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


@dataclass(frozen=True, order=True)
class Version:
    """A model version; versions compare as people read them."""

    tag: int
    manual: int
    auto: int

    def __str__(self) -> str:
        return f"V{self.tag}.{self.manual}.{self.auto}"

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `V1.0.0`. Raises ValueError for anything else."""
        match = PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"not a model version: given {text!r}, allowed V<tag>.<manual>.<auto>, for example V1.0.0")
        return cls(*(int(part) for part in match.groups()))


def following(tag: int, existing: Iterable[Version], cause: Cause) -> Version:
    """The version of the next model of `tag`, made for `cause`, when `existing` are there already."""
    newest = max((version for version in existing if version.tag == tag), default=None)
    if newest is None:
        return Version(tag, 0, 0)
    if cause == "merge":
        return Version(tag, newest.manual + 1, 0)
    return Version(tag, newest.manual, newest.auto + 1)


def cause(text: str) -> Cause | None:
    """A cause by its name; `manual` is what pipelines of release 0.1.0 call a merge. None if there is no such cause."""
    name = "merge" if text == "manual" else text
    return next((known for known in CAUSES if known == name), None)
