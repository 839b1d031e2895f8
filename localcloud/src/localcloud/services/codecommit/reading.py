"""What a repository holds: commits, files, folders, differences."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Fault, operation, paginate
from localcloud.services.codecommit.base import Base
from localcloud.services.codecommit.git import COMMIT_ID, EMPTY_TREE, MODES, Commit, Entry, GitRepository

LARGEST_FILE = 6 * 1024 * 1024


class ReadOperations(Base):
    """GetCommit … GetDifferences."""

    @operation("GetCommit")
    def get_commit(self, call: Call) -> dict[str, Any]:
        """One commit by its full id."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        commit_id = call.input["commitId"]
        if not COMMIT_ID.fullmatch(commit_id):
            raise Fault("InvalidCommitIdException", f"The commit ID '{commit_id}' is not a valid full commit ID")
        if git.kind(commit_id) != "commit":
            raise Fault("CommitIdDoesNotExistException", f"The commit {commit_id} does not exist")
        return {"commit": describe(git.commit(commit_id))}

    @operation("BatchGetCommits")
    def batch_get_commits(self, call: Call) -> dict[str, Any]:
        """Up to 100 commits; what is not there is told beside them."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        asked = call.input["commitIds"]
        if len(asked) > 100:
            raise Fault("CommitIdsLimitExceededException", f"At most 100 commit IDs are allowed; {len(asked)} given")
        found, errors = [], []
        for commit_id in asked:
            code = "InvalidCommitIdException"
            if COMMIT_ID.fullmatch(commit_id):
                code = "CommitIdDoesNotExistException"
                if git.kind(commit_id) == "commit":
                    found.append(describe(git.commit(commit_id)))
                    continue
            message = f"The commit {commit_id} does not exist or is no full commit ID"
            errors.append({"commitId": commit_id, "errorCode": code, "errorMessage": message})
        return {"commits": found, "errors": errors}

    @operation("GetFile")
    def get_file(self, call: Call) -> dict[str, Any]:
        """A file's content at a commit."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        commit_id = self.commit_of(git, call.input.get("commitSpecifier"))
        path = call.input["filePath"].strip("/")
        entry = find(git, commit_id, path)
        if entry is None or entry.kind != "blob":
            raise Fault("FileDoesNotExistException", f"The file {path} does not exist at {commit_id}")
        return {
            "commitId": commit_id,
            "blobId": entry.oid,
            "filePath": path,
            "fileMode": MODES.get(entry.mode, "NORMAL"),
            "fileSize": git.size(entry.oid),
            "fileContent": _content(git, entry.oid, path),
        }

    @operation("GetBlob")
    def get_blob(self, call: Call) -> dict[str, Any]:
        """A file's content by its id."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        blob_id = call.input["blobId"]
        if not COMMIT_ID.fullmatch(blob_id):
            raise Fault("InvalidBlobIdException", f"The blob ID '{blob_id}' is not a valid full blob ID")
        if git.kind(blob_id) != "blob":
            raise Fault("BlobIdDoesNotExistException", f"The blob {blob_id} does not exist")
        return {"content": _content(git, blob_id, blob_id)}

    @operation("GetFolder")
    def get_folder(self, call: Call) -> dict[str, Any]:
        """What a folder holds at a commit; "/" is the top."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        commit_id = self.commit_of(git, call.input.get("commitSpecifier"))
        path = call.input["folderPath"].strip("/")
        tree_id = git.commit(commit_id).tree_id
        if path:
            entry = find(git, commit_id, path)
            if entry is None or entry.kind != "tree":
                raise Fault("FolderDoesNotExistException", f"The folder {path} does not exist at {commit_id}")
            tree_id = entry.oid
        answer: dict[str, Any] = {"commitId": commit_id, "folderPath": path, "treeId": tree_id}
        answer |= {"subFolders": [], "files": [], "symbolicLinks": [], "subModules": []}
        for entry in git.folder(tree_id):
            where = {"absolutePath": f"{path}/{entry.path}" if path else entry.path, "relativePath": entry.path}
            if entry.kind == "tree":
                answer["subFolders"].append({"treeId": entry.oid, **where})
            elif entry.kind == "commit":
                answer["subModules"].append({"commitId": entry.oid, **where})
            else:
                mode = MODES.get(entry.mode, "NORMAL")
                group = "symbolicLinks" if mode == "SYMLINK" else "files"
                answer[group].append({"blobId": entry.oid, **where, "fileMode": mode})
        return answer

    @operation("GetDifferences")
    def get_differences(self, call: Call) -> dict[str, Any]:
        """Which files differ between two commits, or all of one commit's when there is none to compare with."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        after = self.commit_of(git, call.input["afterCommitSpecifier"])
        before = call.input.get("beforeCommitSpecifier")
        before_tree = self._tree_at(git, self.commit_of(git, before), call.input.get("beforePath")) if before else None
        after_tree = self._tree_at(git, after, call.input.get("afterPath"))
        listed = []
        for kind, old, new in git.differences(before_tree or EMPTY_TREE, after_tree):
            difference: dict[str, Any] = {"changeType": kind}
            if old:
                difference["beforeBlob"] = _blob(old, call.input.get("beforePath"))
            if new:
                difference["afterBlob"] = _blob(new, call.input.get("afterPath"))
            listed.append(difference)
        names = {"token": "NextToken", "limit": "MaxResults", "error": "InvalidContinuationTokenException"}
        page, token = paginate(listed, call.input, default=400, **names)
        return {"differences": page, "NextToken": token}

    def _tree_at(self, git: GitRepository, commit_id: str, path: str | None) -> str:
        if not path or not path.strip("/"):
            return git.commit(commit_id).tree_id
        entry = find(git, commit_id, path.strip("/"))
        if entry is None:
            raise Fault("PathDoesNotExistException", f"The path {path} does not exist at {commit_id}")
        if entry.kind == "tree":
            return entry.oid
        return git.write_tree({entry.path: (entry.mode, entry.oid)}, None)


def describe(commit: Commit) -> dict[str, Any]:
    """A commit as the API shows it."""
    return {
        "commitId": commit.commit_id,
        "treeId": commit.tree_id,
        "parents": commit.parents,
        "message": commit.message,
        "author": vars(commit.author).copy(),
        "committer": vars(commit.committer).copy(),
        "additionalData": "",
    }


def find(git: GitRepository, commit_id: str, path: str) -> Entry | None:
    """What is at a path; InvalidPathException for a path that can be none."""
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
        raise Fault("InvalidPathException", f"The path '{path}' is not valid: give it from the top, without . and ..")
    return git.entry(commit_id, path)


def _content(git: GitRepository, oid: str, what: str) -> bytes:
    size = git.size(oid)
    if size > LARGEST_FILE:
        raise Fault("FileTooLargeException", f"{what} has {size} bytes; the API gives files up to {LARGEST_FILE} bytes")
    return git.blob(oid)


def _blob(entry: Entry, folder: str | None) -> dict[str, str]:
    top = (folder or "").strip("/")
    inside = top and entry.path != top and not entry.path.startswith(f"{top}/")
    return {"blobId": entry.oid, "path": f"{top}/{entry.path}" if inside else entry.path, "mode": entry.mode}
