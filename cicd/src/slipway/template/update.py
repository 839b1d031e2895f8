"""Brings the template's later versions to a stamped project: a commit on a branch of its own, never on main.

cruft makes the change: the difference of two renderings, applied to main as a three-way merge. What both sides changed
stays as both sides' lines between conflict markers, so that no edit of the project is lost; files that the project
removed stay removed. The commit lies on top of main. It is made anew, in the same place, when main or the template has
moved; a branch on which somebody else has worked is left alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.template import source
from slipway.template.git import EMAIL, Git
from slipway.template.source import STATE, VERSION, Version

MAIN, BRANCH = "main", "slipway/template-update"
MESSAGE = "Update to the template of {place}"


@dataclass(frozen=True)
class Update:
    """What became of a project's branch.

    Args:
        outcome: "updated" or "unchanged" (the branch holds the update), else why there is none: "current", "foreign"
            (somebody works on the branch), "unknown" (stamped before projects knew their template).
        commit: tip of the branch.
        changed: paths that the update changes.
        conflicts: paths among them that a person has to resolve.
    """

    outcome: str
    commit: str = ""
    changed: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = field(default=())


def update(url: str, new: Version, fetch: Callable[[str], Mapping[str, bytes]]) -> Update:
    """Put the update to a version on the project's branch.

    Args:
        url: the project's repository; git knows how to sign in.
        new: the version to bring.
        fetch: place of a version → its files.

    Raises:
        SlipwayError: the project cannot be read or written, or its template is not what it says.
    """
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / "project"
        Git(Path(scratch))("clone", "--quiet", "--branch", MAIN, url, str(work))
        known = _state(work)
        if known is None:
            return Update("unknown")
        old_place = known["template"]
        old_files = new.files if old_place == new.place else fetch(old_place)
        if old_files == new.files:  # another release with the same seed code is no other version
            return Update("current")
        old = Version(old_place, old_files, str(known["context"]["cookiecutter"].get(VERSION, "")))
        return _bring(work, Path(scratch), known, old, new)


def _state(work: Path) -> dict[str, Any] | None:
    try:
        text = (work / STATE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
        if isinstance(found["template"], str) and isinstance(found["context"]["cookiecutter"], dict):
            return dict(found)
    except (ValueError, KeyError, TypeError):
        pass
    raise SlipwayError(
        f"{STATE}: no state of cruft: given {text[:80]!r}, allowed what stamping wrote; restore it from git"
    )


def _bring(work: Path, scratch: Path, known: dict[str, Any], old: Version, new: Version) -> Update:
    git = Git(work)
    templates = scratch / "templates"
    before, after = source.commit(templates, old, "old"), source.commit(templates, new, "new")
    if before != known["commit"]:
        raise SlipwayError(
            f"{STATE}: commit: given {known['commit']}, but {old.place} is {before}: restore it from git"
        )
    _lend_blobs(work, scratch / "old", old, known["context"]["cookiecutter"])
    _cruft(work, templates)
    conflicts = set(git("diff", "--name-only", "--diff-filter=U").splitlines())
    left = git("ls-files", "--others", "--", "*.rej").splitlines()
    context = json.loads((work / STATE).read_text(encoding="utf-8"))["context"]["cookiecutter"]
    (work / STATE).write_text(source.state(new, after, context), encoding="utf-8")
    git("add", "--all")
    if left:
        git("add", "--force", "--", *left)
    changed = git("diff", "--cached", "--name-only", "HEAD").splitlines()
    if set(changed) <= {STATE}:
        return Update("current")
    conflicts |= {path.removesuffix(".rej") for path in left}
    tree, parent = git("write-tree"), git("rev-parse", "HEAD")
    return _put(git, tree, parent, new, Update("updated", "", tuple(changed), tuple(sorted(conflicts))))


def _lend_blobs(work: Path, scratch: Path, old: Version, context: Mapping[str, Any]) -> None:
    """Give the project's clone the files as they were rendered: a three-way merge looks for them there."""
    from slipway.stamp import render

    folder = scratch / "template"
    for name, content in old.committed().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    given = {name: str(value) for name, value in context.items() if not name.startswith("_")}
    root = render(folder, given, scratch / "rendered", slipway=old.slipway)
    files = [str(path) for path in root.rglob("*") if path.is_file()]
    Git(work)("hash-object", "-w", "--no-filters", "--stdin-paths", text="\n".join(files) + "\n")


def _cruft(work: Path, templates: Path) -> None:
    """Apply the difference of the two versions to the clone, conflicts and all."""
    import cruft
    from cookiecutter.exceptions import CookiecutterException

    Git(templates)("symbolic-ref", "HEAD", "refs/heads/new")
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            done = cruft.update(project_dir=work, template_path=templates, skip_apply_ask=True)
    except CookiecutterException as error:
        raise SlipwayError(f"the new version cannot be rendered with the project's answers: {error}") from None
    if not done:
        raise SlipwayError(f"cruft could not update the project: {said.getvalue().strip()}")


def _put(git: Git, tree: str, parent: str, new: Version, wanted: Update) -> Update:
    """Push the commit, unless the branch holds it already or is somebody else's."""
    reference = f"refs/heads/{BRANCH}"
    there = git("ls-remote", "origin", reference).split("\t")[0]
    if there:
        git("fetch", "--quiet", "origin", reference)
        if any(email != EMAIL for email in git("log", "--format=%ce", f"{parent}..{there}").splitlines()):
            return Update("foreign", there, wanted.changed, wanted.conflicts)
        if (git("rev-parse", f"{there}^{{tree}}"), git("rev-parse", f"{there}^")) == (tree, parent):
            return Update("unchanged", there, wanted.changed, wanted.conflicts)
    made = git("commit-tree", tree, "-p", parent, text=MESSAGE.format(place=new.place) + "\n")
    # Only if it still is where it was looked at: what a person pushed meanwhile stays.
    git("push", "--quiet", f"--force-with-lease={reference}:{there}", "origin", f"{made}:{reference}")
    return Update("updated", made, wanted.changed, wanted.conflicts)
