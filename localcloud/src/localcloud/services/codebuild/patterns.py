"""Which files a buildspec's locations name: `a.txt`, `dir/*`, `**/*`, `dir/**/*.xml`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    text = ""
    rest = pattern
    while rest:
        if rest.startswith("**/"):
            text, rest = text + "(?:.*/)?", rest[3:]
        elif rest.startswith("**"):
            text, rest = text + ".*", rest[2:]
        elif rest[0] == "*":
            text, rest = text + "[^/]*", rest[1:]
        elif rest[0] == "?":
            text, rest = text + "[^/]", rest[1:]
        else:
            text, rest = text + re.escape(rest[0]), rest[1:]
    return re.compile(text, re.DOTALL)


def matches(pattern: str, path: str) -> bool:
    """Whether a path, relative and with slashes, is named by the pattern."""
    return _expression(_normal(pattern)).fullmatch(path) is not None


def _normal(pattern: str) -> str:
    while pattern.startswith("./"):
        pattern = pattern[2:]
    return pattern


def files_below(base: Path) -> list[str]:
    """Every file below a directory, as sorted relative paths with slashes."""
    found = []
    for folder, _, names in os.walk(base):
        prefix = Path(folder).relative_to(base)
        found += [(prefix / name).as_posix() for name in names]
    return sorted(found)


def select(base: Path, patterns: Sequence[str], exclude: Sequence[str] = ()) -> list[str]:
    """The files below `base` that a pattern names and none of `exclude` does, each once, in the order of the paths."""
    return [
        path
        for path in files_below(base)
        if any(matches(pattern, path) for pattern in patterns) and not any(matches(item, path) for item in exclude)
    ]


def directories(base: Path, pattern: str) -> list[Path]:
    """The directories that `base-directory` names; it may hold wildcards."""
    if pattern.startswith("/") and not any(character in pattern for character in "*?"):
        return [Path(pattern)] if Path(pattern).is_dir() else []
    plain = _normal(pattern).strip("/")
    if not plain or plain == ".":
        return [base]
    if not any(character in plain for character in "*?"):
        return [base / plain] if (base / plain).is_dir() else []
    found = []
    for folder, names, _ in os.walk(base):
        prefix = Path(folder).relative_to(base)
        found += [base / prefix / name for name in names if matches(plain, (prefix / name).as_posix())]
    return sorted(found)
