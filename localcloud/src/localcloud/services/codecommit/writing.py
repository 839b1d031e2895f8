"""Commits made through the API: CreateCommit, PutFile, DeleteFile."""

from __future__ import annotations

import re
from typing import Any

from localcloud.core import Call, Fault, operation
from localcloud.services.codecommit.base import Base, Change, check_branch_name
from localcloud.services.codecommit.git import COMMIT_ID, EMPTY_TREE, GIT_MODES, MODES, ZERO, Entry, GitRepository
from localcloud.services.codecommit.reading import LARGEST_FILE, find

_MOST_ENTRIES = 100
Changes = dict[str, tuple[str, str] | None]


class WriteOperations(Base):
    """CreateCommit, PutFile, DeleteFile."""

    @operation("CreateCommit")
    def create_commit(self, call: Call) -> dict[str, Any]:
        """Several changes to files as one commit."""
        given = call.input
        puts, deletes = given.get("putFiles", []), given.get("deleteFiles", [])
        modes = given.get("setFileModes", [])
        if not puts and not deletes and not modes:
            raise Fault("FileEntryRequiredException", "At least one of putFiles, deleteFiles, setFileModes is required")
        if len(puts) + len(deletes) + len(modes) > _MOST_ENTRIES:
            raise Fault("MaximumFileEntriesExceededException", f"A commit can change at most {_MOST_ENTRIES} files")
        git, branch, tip = self._start(call)
        files = git.files(tip) if tip else {}
        changes: Changes = {}
        for put in puts:
            path = _path(put["filePath"])
            if path in changes:
                raise Fault("PutFileEntryConflictException", f"{path} is put twice, or put and moved, in one commit")
            mode = GIT_MODES[put.get("fileMode") or "NORMAL"]
            changes[path] = (mode, self._content(git, put, files, changes))
        for entry, what in [(d, None) for d in deletes] + [(m, m["fileMode"]) for m in modes]:
            path = _path(entry["filePath"])
            if path in changes:
                raise Fault("SamePathRequestException", f"{path} is changed twice in one commit")
            if path not in files:
                raise Fault("FileDoesNotExistException", f"The file {path} does not exist on {branch}")
            changes[path] = (GIT_MODES[what], files[path].oid) if what else None
        if given.get("keepEmptyFolders"):
            _keep_folders(git, files, changes)
        message = given.get("commitMessage") or "Changed files"
        commit_id = self._finish(call, git, branch, tip, changes, message, given.get("authorName"))
        touched: dict[str, Any] = {"filesAdded": [], "filesUpdated": [], "filesDeleted": []}
        for kind, old, new in git.differences(tip or EMPTY_TREE, commit_id):
            group = {"A": "filesAdded", "M": "filesUpdated", "D": "filesDeleted"}[kind]
            touched[group].append(_file(new or old))
        return {"commitId": commit_id, "treeId": git.commit(commit_id).tree_id, **touched}

    @operation("PutFile")
    def put_file(self, call: Call) -> dict[str, Any]:
        """Add or replace one file."""
        git, branch, tip = self._start(call)
        path = _path(call.input["filePath"])
        content = call.input["fileContent"]
        blob_id = git.add_blob(_limited(content, path))
        mode = GIT_MODES[call.input.get("fileMode") or "NORMAL"]
        entry = git.entry(tip, path) if tip else None
        if entry and (entry.oid, entry.mode) == (blob_id, mode):
            raise Fault("SameFileContentException", f"{path} on {branch} has this content and mode already")
        message = call.input.get("commitMessage") or f"{'Edited' if entry else 'Added'} {path}"
        commit_id = self._finish(call, git, branch, tip, {path: (mode, blob_id)}, message, call.input.get("name"))
        return {"commitId": commit_id, "blobId": blob_id, "treeId": git.commit(commit_id).tree_id}

    @operation("DeleteFile")
    def delete_file(self, call: Call) -> dict[str, Any]:
        """Remove one file."""
        git, branch, tip = self._start(call)
        path = _path(call.input["filePath"])
        files = git.files(tip) if tip else {}
        if path not in files:
            raise Fault("FileDoesNotExistException", f"The file {path} does not exist on {branch}")
        changes: Changes = {path: None}
        if call.input.get("keepEmptyFolders"):
            _keep_folders(git, files, changes)
        message = call.input.get("commitMessage") or f"Deleted {path}"
        commit_id = self._finish(call, git, branch, tip, changes, message, call.input.get("name"))
        tree_id = git.commit(commit_id).tree_id
        return {"commitId": commit_id, "blobId": files[path].oid, "treeId": tree_id, "filePath": path}

    def _start(self, call: Call) -> tuple[GitRepository, str, str | None]:
        """The repository, the branch, and its tip, which must be the parent that the caller named."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        branch = call.input["branchName"].removeprefix("refs/heads/")
        check_branch_name(branch)
        parent = call.input.get("parentCommitId")
        if parent and not COMMIT_ID.fullmatch(parent):
            raise Fault("InvalidParentCommitIdException", f"The parent commit ID '{parent}' is not a full commit ID")
        references = git.references()
        tip = references.get(f"refs/heads/{branch}")
        if tip is None:
            if f"refs/tags/{branch}" in references:
                raise Fault("BranchNameIsTagNameException", f"{branch} is a tag; commits are made on branches")
            if references:
                raise Fault("BranchDoesNotExistException", f"Branch {branch} does not exist")
            if parent:
                raise Fault(
                    "ParentCommitDoesNotExistException", f"The parent {parent} does not exist: nothing is committed"
                )
            return git, branch, None
        if not parent:
            raise Fault("ParentCommitIdRequiredException", f"parentCommitId is required: {branch} is at {tip}")
        if git.kind(parent) != "commit":
            raise Fault("ParentCommitDoesNotExistException", f"The parent commit {parent} does not exist")
        if parent != tip:
            raise _outdated(branch, tip)
        return git, branch, tip

    def _content(self, git: GitRepository, put: dict[str, Any], files: dict[str, Entry], changes: Changes) -> str:
        path, source = put["filePath"], put.get("sourceFile")
        if source is not None and put.get("fileContent") is not None:
            raise Fault("FileContentAndSourceFileSpecifiedException", f"{path} has both fileContent and sourceFile")
        if source is None:
            if put.get("fileContent") is None:
                raise Fault("SourceFileOrContentRequiredException", f"{path} has neither fileContent nor sourceFile")
            return git.add_blob(_limited(put["fileContent"], path))
        origin = _path(source["filePath"])
        if origin not in files:
            raise Fault("FileDoesNotExistException", f"The source file {origin} does not exist")
        if source.get("isMove"):
            if origin in changes:
                raise Fault("RestrictedSourceFileException", f"{origin} is moved, and changed otherwise, in one commit")
            changes[origin] = None
        return files[origin].oid

    def _finish(
        self,
        call: Call,
        git: GitRepository,
        branch: str,
        tip: str | None,
        changes: Changes,
        message: str,
        author: str | None,
    ) -> str:
        """Write tree and commit, move the branch if nobody else did, and tell of it."""
        email = call.input.get("email") or ""
        if email and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", email):
            raise Fault("InvalidEmailException", f"The email address '{email}' is not valid")
        _check_shape(git, tip, changes)
        tree = git.write_tree(changes, tip)
        if tip and tree == git.commit(tip).tree_id:
            raise Fault("NoChangeException", f"The commit would change nothing on {branch}")
        name = author or call.principal.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        commit_id = git.add_commit(tree, [tip] if tip else [], name, email, message)
        if not git.update_reference(f"refs/heads/{branch}", commit_id, tip or ZERO):
            raise _outdated(branch, git.branch(branch))
        change = Change(f"refs/heads/{branch}", tip or ZERO, commit_id)
        self.announce(call.account, call.region, call.input["repositoryName"], [change], call.principal)
        return commit_id


def _outdated(branch: str, tip: str | None) -> Fault:
    return Fault("ParentCommitIdOutdatedException", f"The parent commit is not the tip of {branch}, which is {tip}")


def _path(path: str) -> str:
    if path.startswith("/") or any(part in ("", ".", "..") or part.lower() == ".git" for part in path.split("/")):
        raise Fault("InvalidPathException", f"The path '{path}' is not valid: no leading slash, no ., .. or .git in it")
    return path


def _limited(content: bytes, path: str) -> bytes:
    if len(content) > LARGEST_FILE:
        problem = f"{path} has {len(content)} bytes; the API takes up to {LARGEST_FILE} bytes. Push it with git instead"
        raise Fault("FileContentSizeLimitExceededException", problem)
    return content


def _check_shape(git: GitRepository, tip: str | None, changes: Changes) -> None:
    """A file may not take a folder's place, nor a folder a file's (git would silently drop the other)."""
    puts = {path for path, change in changes.items() if change}
    for path in puts:
        here = find(git, tip, path) if tip else None
        if here is not None and here.kind == "commit":
            raise Fault("FilePathConflictsWithSubmodulePathException", f"{path} is a submodule")
        if (here is not None and here.kind == "tree") or any(other.startswith(f"{path}/") for other in puts):
            raise Fault("FileNameConflictsWithDirectoryNameException", f"{path} is a folder: no file can have its name")
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            entry = find(git, tip, above) if tip else None
            if entry is not None and entry.kind != "tree" and changes.get(above, True) is not None:
                problem = f"{above} is a file: {path} cannot be below it"
                raise Fault("DirectoryNameConflictsWithFileNameException", problem)


def _keep_folders(git: GitRepository, files: dict[str, Entry], changes: Changes) -> None:
    left = (set(files) | {p for p, change in changes.items() if change}) - {p for p, c in changes.items() if not c}
    for path in [path for path, change in changes.items() if change is None]:
        folder = path.rpartition("/")[0]
        if folder and not any(other.startswith(f"{folder}/") for other in left):
            changes[f"{folder}/.gitkeep"] = (GIT_MODES["NORMAL"], git.add_blob(b""))


def _file(entry: Entry | None) -> dict[str, str]:
    assert entry is not None
    return {"absolutePath": entry.path, "blobId": entry.oid, "fileMode": MODES.get(entry.mode, "NORMAL")}
