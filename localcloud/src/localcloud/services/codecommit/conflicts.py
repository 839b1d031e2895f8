"""What stands between two branches: AWS's conflicts by file and by line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from localcloud.services.codecommit.git import MODES, Entry, GitRepository

_SIDES = ("source", "destination", "base")
_KINDS = {"SYMLINK": "SYMBOLIC_LINK"}


@dataclass(frozen=True)
class Conflict:
    """A file that both sides changed. `hunks` are MergeHunk structures, filled where lines were compared."""

    path: str
    entries: dict[str, Entry | None]
    content: bool
    mode: bool
    kind: bool
    hunks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def by_line(self) -> bool:
        """Whether it is one where lines are compared; a binary file, which has none, is."""
        clash = any(hunk["isConflict"] for hunk in self.hunks) if self.hunks else self.content
        return self.mode or self.kind or clash

    def metadata(self, git: GitRepository) -> dict[str, Any]:
        """As ConflictMetadata has it."""
        there = {side: entry for side, entry in self.entries.items() if entry is not None}
        modes = {side: MODES.get(entry.mode, "NORMAL") for side, entry in there.items()}
        files = {side: entry for side, entry in there.items() if entry.kind == "blob"}
        return {
            "filePath": self.path,
            "fileSizes": {side: git.size(entry.oid) for side, entry in files.items()},
            "fileModes": modes,
            "objectTypes": {
                side: "GIT_LINK" if entry.kind == "commit" else _KINDS.get(modes[side], "FILE")
                for side, entry in there.items()
            },
            "numberOfConflicts": max(1, sum(hunk["isConflict"] for hunk in self.hunks)),
            "isBinaryFile": {side: b"\0" in git.blob(entry.oid)[:8000] for side, entry in files.items()},
            "contentConflict": self.content,
            "fileModeConflict": self.mode,
            "objectTypeConflict": self.kind,
            "mergeOperations": {side: self._operation(side) for side in ("source", "destination")},
        }

    def _operation(self, side: str) -> str:
        if self.entries[side] is None:
            return "D"
        return "A" if self.entries["base"] is None else "M"


def between(git: GitRepository, source: str, destination: str, base: str | None, level: str) -> list[Conflict]:
    """The files that cannot be merged by themselves, by path.

    Args:
        source, destination, base: commits; no base for unrelated histories.
        level: FILE_LEVEL, where a file that both sides changed is one, or LINE_LEVEL, where it must be the same lines.
    """
    trees = {
        "source": git.files(source),
        "destination": git.files(destination),
        "base": git.files(base) if base else {},
    }
    found = []
    for path in sorted(set().union(*trees.values())):
        entries = {side: trees[side].get(path) for side in _SIDES}
        ours, theirs, before = (_identity(entries[side]) for side in _SIDES)
        if ours in (theirs, before) or theirs == before:
            continue
        conflict = _compare(git, path, entries)
        if level == "FILE_LEVEL" or conflict.by_line:
            found.append(conflict)
    return found


def _identity(entry: Entry | None) -> tuple[str, str] | None:
    return (entry.mode, entry.oid) if entry else None


def _compare(git: GitRepository, path: str, entries: dict[str, Entry | None]) -> Conflict:
    source, destination, base = (entries[side] for side in _SIDES)
    if source is None or destination is None:  # one side removed what the other changed
        return Conflict(path, entries, content=True, mode=False, kind=False)
    kind = source.kind != destination.kind or (source.mode == "120000") != (destination.mode == "120000")
    before = base.mode if base else None
    mode = not kind and source.mode != destination.mode and before not in (source.mode, destination.mode)
    content = source.oid != destination.oid
    hunks = [] if kind or not content or source.kind != "blob" else hunks_of(git, source, destination, base)
    return Conflict(path, entries, content=content, mode=mode, kind=kind, hunks=hunks)


def hunks_of(git: GitRepository, source: Entry, destination: Entry, base: Entry | None) -> list[dict[str, Any]]:
    """The lines of a file in pieces, those in conflict among them; none for a binary file."""
    blobs = [git.blob(destination.oid), git.blob(base.oid) if base else b"", git.blob(source.oid)]
    if any(b"\0" in blob[:8000] for blob in blobs):
        return []
    merged = git.merge_file(*blobs).decode(errors="replace")
    made: list[dict[str, Any]] = []
    at = dict.fromkeys(_SIDES, 1)
    for conflict, parts in _pieces(merged):
        hunk: dict[str, Any] = {"isConflict": conflict}
        for side, lines in parts.items():
            text = "".join(lines)
            hunk[side] = {"startLine": at[side], "endLine": at[side] + max(len(lines), 1) - 1, "hunkContent": text}
            at[side] += len(lines)
        made.append(hunk)
    return made


def _pieces(merged: str) -> list[tuple[bool, dict[str, list[str]]]]:
    """Read git's merge with markers of seven characters in the style diff3."""
    pieces: list[tuple[bool, dict[str, list[str]]]] = []
    side: str | None = None
    for line in merged.splitlines(keepends=True):
        if re.match(r"<{7}( |$)", line) and side is None:
            pieces.append((True, {name: [] for name in _SIDES}))
            side = "destination"
        elif side and re.match(r"\|{7}( |$)", line):
            side = "base"
        elif side == "base" and re.match(r"={7}$", line):
            side = "source"
        elif side == "source" and re.match(r">{7}( |$)", line):
            side = None
        elif side:
            pieces[-1][1][side].append(line)
        else:
            if not pieces or pieces[-1][0]:
                pieces.append((False, {name: [] for name in _SIDES}))
            for lines in pieces[-1][1].values():
                lines.append(line)
    return pieces
