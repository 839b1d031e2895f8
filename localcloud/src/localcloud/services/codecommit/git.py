"""One bare git repository, operated with the `git` command.

Everything that the service reads or writes goes through `GitRepository`; nothing else starts git but the smart HTTP
endpoint, which runs `git http-backend` on the same directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ZERO = "0" * 40
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MODES = {"100644": "NORMAL", "100755": "EXECUTABLE", "120000": "SYMLINK"}
GIT_MODES = {name: mode for mode, name in MODES.items()}
COMMIT_ID = re.compile(r"[0-9a-f]{40}")
PUSHED_REFS = "LOCALCLOUD_PUSHED_REFS"

# The hook only notes what changed: the service reads the note when the push has ended, so that nothing is announced
# before the references are on disk, and a push that the server does not outlive is found again by its references.
_POST_RECEIVE = f'#!/bin/sh\n[ -z "${PUSHED_REFS}" ] || cat >> "${PUSHED_REFS}"\n'
_CONFIGURATION = {
    "http.receivepack": "true",
    "http.uploadpack": "true",
    "receive.autogc": "false",
    "gc.auto": "0",
    "core.logAllRefUpdates": "false",
}


class GitError(Exception):
    """git ended with an error; the message is what it said."""


@dataclass(frozen=True)
class Entry:
    """A file or folder in a tree. `kind` is "blob", "tree" or "commit" (a submodule)."""

    mode: str
    kind: str
    oid: str
    path: str


@dataclass(frozen=True)
class Signature:
    """Who wrote or committed, and when: seconds since the epoch and the offset, as git stores them."""

    name: str
    email: str
    date: str


@dataclass(frozen=True)
class Commit:
    """A commit as it is stored."""

    commit_id: str
    tree_id: str
    parents: list[str]
    author: Signature
    committer: Signature
    message: str


def environment() -> dict[str, str]:
    """The environment of every git child: nothing of the person's own git configuration takes part."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        # The state directory may belong to another user (a container's volume): git would refuse to read it.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }


class GitRepository:
    """A bare repository in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> GitRepository:
        """Make an empty repository; it appears at `path` complete or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as scratch:
            made = cls(Path(scratch) / "repository")
            made.run(
                "init", "--quiet", "--bare", "--initial-branch=main", "--template=", str(made.path), cwd=path.parent
            )
            with (made.path / "config").open("a", encoding="utf-8") as config:
                for key, value in _CONFIGURATION.items():
                    section, name = key.split(".")
                    config.write(f"[{section}]\n\t{name} = {value}\n")
            hook = made.path / "hooks" / "post-receive"
            hook.parent.mkdir(exist_ok=True)
            hook.write_text(_POST_RECEIVE, encoding="utf-8")
            hook.chmod(0o755)
            made.path.rename(path)
        return cls(path)

    def delete(self) -> None:
        """Remove the repository; a half-removed one is never seen under its name."""
        if not self.path.exists():
            return
        grave = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=".old-"))
        self.path.rename(grave / "repository")
        shutil.rmtree(grave, ignore_errors=True)

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        allowed: Sequence[int] = (0,),
    ) -> bytes:
        """git's standard output.

        Raises:
            GitError: git ended with a code that is not `allowed`.
        """
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.path,
            env={**environment(), **(env or {})},
            input=stdin if stdin is not None else b"",
            capture_output=True,
            check=False,
        )
        if done.returncode not in allowed:
            said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
            raise GitError(f"git {arguments[0]}: {said}")
        return done.stdout

    def text(self, *arguments: str, env: Mapping[str, str] | None = None, allowed: Sequence[int] = (0,)) -> str:
        """Standard output as text without its last line end."""
        return self.run(*arguments, env=env, allowed=allowed).decode(errors="replace").rstrip("\n")

    # -- references ---------------------------------------------------------------------------------------------

    def references(self) -> dict[str, str]:
        """Full name → commit id of all branches and tags (an annotated tag by the commit it is about)."""
        lines = self.text("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)").splitlines()
        found = {}
        for line in lines:
            name, direct, *peeled = line.split()
            found[name] = peeled[0] if peeled else direct
        return found

    def branches(self) -> dict[str, str]:
        """Branch name → commit id."""
        return {k.removeprefix("refs/heads/"): v for k, v in self.references().items() if k.startswith("refs/heads/")}

    def branch(self, name: str) -> str | None:
        """The commit id of a branch, or None."""
        return self.object_id(f"refs/heads/{name}^{{commit}}")

    def object_id(self, revision: str) -> str | None:
        """What a revision in git's own notation stands for, or None."""
        return self.text("rev-parse", "--verify", "--quiet", "--end-of-options", revision, allowed=(0, 1, 128)) or None

    def resolve(self, specifier: str) -> str | None:
        """The commit id of a full commit id, a branch, a tag, a full reference name or HEAD; else None."""
        if COMMIT_ID.fullmatch(specifier):
            return self.object_id(f"{specifier}^{{commit}}")
        names = ["HEAD"] if specifier == "HEAD" else [f"refs/heads/{specifier}", f"refs/tags/{specifier}"]
        if specifier.startswith("refs/"):
            names = [specifier]
        if specifier != "HEAD" and not valid_reference(specifier):
            return None
        return next((found for name in names if (found := self.object_id(f"{name}^{{commit}}"))), None)

    def update_reference(self, name: str, new: str, old: str) -> bool:
        """Move a reference from `old` to `new` if it still is at `old` (ZERO: does not exist). Whether it was."""
        try:
            if new == ZERO:
                self.run("update-ref", "-d", name, old)
            else:
                self.run("update-ref", name, new, old)
        except GitError:
            return False
        return True

    def set_head(self, branch: str) -> None:
        """What a clone checks out."""
        self.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")

    def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor, or None for unrelated histories."""
        return self.text("merge-base", one, other, allowed=(0, 1)) or None

    # -- objects ------------------------------------------------------------------------------------------------

    def kind(self, oid: str) -> str | None:
        """ "blob", "tree", "commit", "tag", or None when there is no such object."""
        return self.text("cat-file", "-t", oid, allowed=(0, 128)) or None

    def size(self, oid: str) -> int:
        """Bytes of an object."""
        return int(self.text("cat-file", "-s", oid))

    def blob(self, oid: str) -> bytes:
        """The content of a file."""
        return self.run("cat-file", "blob", oid)

    def add_blob(self, content: bytes) -> str:
        """Store a file's content and return its id."""
        return self.run("hash-object", "-w", "--stdin", stdin=content).decode().strip()

    def commit(self, commit_id: str) -> Commit:
        """Read a commit."""
        head, _, message = self.run("cat-file", "commit", commit_id).decode(errors="replace").partition("\n\n")
        fields: dict[str, list[str]] = {}
        for line in head.split("\n"):
            key, _, value = line.partition(" ")
            if key:  # the lines of a signature begin with a space
                fields.setdefault(key, []).append(value)
        return Commit(
            commit_id=commit_id,
            tree_id=fields["tree"][0],
            parents=fields.get("parent", []),
            author=_signature(fields["author"][0]),
            committer=_signature(fields["committer"][0]),
            message=message,
        )

    def entry(self, tree: str, path: str) -> Entry | None:
        """The file or folder at a path of a tree (or commit)."""
        return next((e for e in self._listing("ls-tree", "-z", tree, "--", path) if e.path == path), None)

    def folder(self, tree: str) -> list[Entry]:
        """What a tree holds, not going deeper; paths are relative to it."""
        return self._listing("ls-tree", "-z", tree)

    def files(self, tree: str) -> dict[str, Entry]:
        """Path → every file of a tree."""
        return {e.path: e for e in self._listing("ls-tree", "-r", "-z", "--full-tree", tree)}

    def _listing(self, *arguments: str) -> list[Entry]:
        found = []
        for line in self.run(*arguments).decode(errors="surrogateescape").split("\0"):
            if line:
                what, _, path = line.partition("\t")
                mode, kind, oid = what.split()
                found.append(Entry(mode, kind, oid, path))
        return found

    def differences(self, before: str, after: str) -> list[tuple[str, Entry | None, Entry | None]]:
        """(A, M or D, before, after) for each file that differs between two trees or commits."""
        raw = self.run("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", before, after)
        parts = raw.decode(errors="surrogateescape").split("\0")
        found = []
        for what, path in zip(parts[0::2], parts[1::2], strict=False):
            old_mode, new_mode, old, new, status = what.lstrip(":").split()
            found.append(
                (
                    "M" if status[0] == "T" else status[0],
                    Entry(old_mode, "blob", old, path) if status[0] != "A" else None,
                    Entry(new_mode, "blob", new, path) if status[0] != "D" else None,
                )
            )
        return found

    def write_tree(self, changes: Mapping[str, tuple[str, str] | None], base: str | None) -> str:
        """The tree that `base` becomes with files set to (mode, blob id) or removed (None)."""
        lines = [
            f"{change[0]} {change[1]}\t{path}" if change else f"0 {ZERO}\t{path}" for path, change in changes.items()
        ]
        with self._index() as index:
            if base:
                self.run("read-tree", base, env=index)
            self.run("update-index", "-z", "--index-info", stdin="\0".join([*lines, ""]).encode(), env=index)
            return self.text("write-tree", env=index)

    @contextmanager
    def _index(self) -> Iterator[dict[str, str]]:
        with tempfile.TemporaryDirectory(dir=self.path, prefix="index-") as scratch:
            yield {"GIT_INDEX_FILE": str(Path(scratch) / "index")}

    def add_commit(self, tree: str, parents: Sequence[str], name: str, email: str, message: str) -> str:
        """Store a commit and return its id."""
        who = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email}
        who |= {"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email}
        arguments = [argument for parent in parents for argument in ("-p", parent)]
        return self.run("commit-tree", tree, *arguments, stdin=message.encode(), env=who).decode().strip()

    def merge_tree(self, destination: str, source: str) -> tuple[str | None, list[str]]:
        """The tree of a clean three-way merge, or None and the files in conflict."""
        said = self.text("merge-tree", "--write-tree", "--name-only", "-z", destination, source, allowed=(0, 1))
        tree, *rest = said.split("\0")
        conflicts = []
        for part in rest:
            if not part:
                break
            conflicts.append(part)
        return (None, conflicts) if conflicts else (tree.strip(), [])

    def merge_file(self, ours: bytes, base: bytes, theirs: bytes) -> bytes:
        """Three versions of a file merged by lines; conflicts stand between markers in the style diff3."""
        with tempfile.TemporaryDirectory() as scratch:
            names = []
            for number, content in enumerate((ours, base, theirs)):
                path = Path(scratch) / str(number)
                path.write_bytes(content)
                names.append(str(path))
            # It ends with the number of conflicts, up to 127.
            return self.run("merge-file", "-p", "--diff3", *names, allowed=range(128))

    def archive(self, commit_id: str, destination: Path) -> None:
        """Write the files of a commit as a zip, without git's own data; it appears complete or not at all."""
        part = destination.with_name(destination.name + ".part")
        self.run("archive", "--format=zip", f"--output={part}", commit_id)
        part.replace(destination)


def valid_reference(name: str) -> bool:
    """Whether git allows the name for a branch or tag (git-check-ref-format's rules)."""
    parts = name.split("/")
    return (
        bool(name)
        and not re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//", name)
        and all(part and not part.startswith(".") and not part.endswith(".lock") for part in parts)
        and not name.startswith("-")
        and not name.endswith(".")
        and name != "@"
    )


def _signature(line: str) -> Signature:
    found = re.fullmatch(r"(.*?) ?<([^>]*)> ?(.*)", line)
    return Signature(*found.groups()) if found else Signature(line, "", "")
