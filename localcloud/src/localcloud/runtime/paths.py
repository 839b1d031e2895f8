"""Paths of a container without a container: what begins with a known container path becomes the path here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

_IN_TEXT = re.compile(r"(?<![\w./~$}-])/[\w.@%+,/-]*[\w@%+/-]")


class PathMap:
    """Container paths → paths here, by mounts (the longest wins) and then by what the image's root holds."""

    def __init__(self, root: Path, mounts: Sequence[tuple[Path, str]] = ()) -> None:
        self.root = root
        self.mounts = sorted(
            ((PurePosixPath(target), Path(source)) for source, target in mounts), key=lambda pair: -len(pair[0].parts)
        )

    def find(self, path: str) -> Path | None:
        """Where an absolute container path is here; None when the image and the mounts know nothing of it."""
        if not path.startswith("/"):
            return None
        wanted = PurePosixPath(os.path.normpath(path))
        for target, source in self.mounts:
            if wanted == target or target in wanted.parents:
                return source / wanted.relative_to(target)
        return self.in_root(wanted)

    def in_root(self, path: PurePosixPath) -> Path | None:
        """A path in the image's root: it exists there, or a directory of the image above it does, beyond the first
        level (which every machine has: /opt, /usr)."""
        relative = path.relative_to("/")
        here = self.root / relative
        if os.path.lexists(here):
            return here
        for parent in relative.parents:
            if len(parent.parts) >= 2 and (self.root / parent).is_dir():
                return here
        first = relative.parts[:1]
        if first and (self.root / first[0]).is_dir() and not Path(path).exists():
            return here
        return None

    def text(self, value: str) -> str:
        """An argument or the value of a variable: a path, `--flag=path`, `file://path`, a list of paths parted by
        colons, or a JSON document with such texts in it."""
        if "/" not in value:
            return value
        if value[:1] in "{[":
            return self._json(value)
        flag, equals, rest = value.partition("=")
        if equals and flag.startswith("-") and rest.startswith("/"):
            return f"{flag}={self.text(rest)}"
        if value.startswith("file:///"):
            return "file://" + self._one(value.removeprefix("file://"))
        if ":" in value and "://" not in value:
            return ":".join(self._one(part) for part in value.split(":"))
        return self._one(value)

    def command(self, line: str) -> str:
        """A shell command line: every absolute path in it that is known."""
        return _IN_TEXT.sub(lambda match: self._one(match[0]), line)

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Every value rewritten."""
        return {name: self.text(value) for name, value in variables.items()}

    def _one(self, path: str) -> str:
        found = self.find(path)
        if found is None:
            return path
        return f"{found}/" if path.endswith("/") and len(path) > 1 else str(found)

    def _json(self, value: str) -> str:
        try:
            document = json.loads(value)
        except ValueError:
            return value
        changed = self._rewritten(document)
        return value if changed == document else json.dumps(changed)

    def _rewritten(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._rewritten(item) for item in value]
        if isinstance(value, dict):
            return {key: self._rewritten(item) for key, item in value.items()}
        return value
