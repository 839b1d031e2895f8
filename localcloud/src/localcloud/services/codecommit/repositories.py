"""Repositories, their tags and their branches."""

from __future__ import annotations

import threading
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Call, Cloud, Fault, now, operation, paginate, uuid
from localcloud.core.tags import is_reserved
from localcloud.services.codecommit.base import Base, Change, check_branch_name, check_repository_name
from localcloud.services.codecommit.git import COMMIT_ID, ZERO, GitRepository

_HIDDEN = ("tags",)


class RepositoryOperations(Base):
    """CreateRepository … DeleteBranch."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        # A record and its directory change together: one at a time.
        self.directories = threading.Lock()

    @operation("CreateRepository")
    def create_repository(self, call: Call) -> dict[str, Any]:
        """Make an empty repository."""
        name = call.input["repositoryName"]
        check_repository_name(name)
        tags = dict(call.input.get("tags") or {})
        _check_tags(tags)
        moment = now()
        record: dict[str, Any] = {
            "accountId": call.account,
            "repositoryId": uuid(),
            "repositoryName": name,
            "lastModifiedDate": moment,
            "creationDate": moment,
            **self._addresses(call.account, call.region, name),
            "tags": tags,
        }
        if call.input.get("repositoryDescription"):
            record["repositoryDescription"] = call.input["repositoryDescription"]
        if call.input.get("kmsKeyId"):
            record["kmsKeyId"] = self._key_arn(call, call.input["kmsKeyId"])
        with self.directories:
            if self.repositories.get(call.account, call.region, name):
                raise Fault("RepositoryNameExistsException", f"Repository named {name} already exists")
            git = self.git(call.account, call.region, name)
            git.delete()  # what a creation that was interrupted may have left
            GitRepository.create(git.path)
            self.repositories.insert(call.account, call.region, name, record)
        return {"repositoryMetadata": _public(record)}

    def _addresses(self, account: str, region: str, name: str) -> dict[str, str]:
        return {
            "Arn": f"arn:aws:codecommit:{region}:{account}:{name}",
            "cloneUrlHttp": f"{self.cloud.endpoint}/v1/repos/{name}",
            "cloneUrlSsh": f"ssh://git-codecommit.{region}.amazonaws.com/v1/repos/{name}",
        }

    def _key_arn(self, call: Call, key: str) -> str:
        try:
            found = self.cloud.client("kms", account=call.account, region=call.region).describe_key(KeyId=key)
        except ClientError as error:
            raise Fault("EncryptionKeyNotFoundException", f"The KMS key {key} was not found: {error}") from error
        metadata = found["KeyMetadata"]
        if not metadata.get("Enabled", True):
            raise Fault("EncryptionKeyDisabledException", f"The KMS key {metadata['Arn']} is disabled")
        if metadata.get("KeyUsage", "ENCRYPT_DECRYPT") != "ENCRYPT_DECRYPT":
            raise Fault("EncryptionKeyInvalidUsageException", f"The KMS key {metadata['Arn']} does not encrypt")
        return str(metadata["Arn"])

    @operation("GetRepository")
    def get_repository(self, call: Call) -> dict[str, Any]:
        """Metadata of one repository."""
        record = self.metadata(call.account, call.region, call.input["repositoryName"])
        # The address follows the endpoint, which may be another after a restart.
        record |= self._addresses(call.account, call.region, record["repositoryName"])
        return {"repositoryMetadata": _public(record)}

    @operation("BatchGetRepositories")
    def batch_get_repositories(self, call: Call) -> dict[str, Any]:
        """Metadata of up to 100 repositories."""
        found: list[dict[str, Any]] = []
        missing: list[str] = []
        for name in call.input["repositoryNames"]:
            check_repository_name(name)
            record = self.repositories.get(call.account, call.region, name)
            if record:
                found.append(_public(record | self._addresses(call.account, call.region, name)))
            else:
                missing.append(name)
        return {"repositories": found, "repositoriesNotFound": missing}

    @operation("ListRepositories")
    def list_repositories(self, call: Call) -> dict[str, Any]:
        """Names and ids."""
        key = call.input.get("sortBy", "repositoryName")
        records = sorted(self.repositories.list(call.account, call.region), key=lambda record: record[key])
        if call.input.get("order") == "descending":
            records.reverse()
        page, token = paginate(records, call.input, default=1000, error="InvalidContinuationTokenException")
        listed = [{"repositoryName": r["repositoryName"], "repositoryId": r["repositoryId"]} for r in page]
        return {"repositories": listed, "nextToken": token}

    @operation("DeleteRepository")
    def delete_repository(self, call: Call) -> dict[str, Any]:
        """Remove a repository with all that is in it; as on AWS, no error when there is none."""
        name = call.input["repositoryName"]
        check_repository_name(name)
        with self.directories:
            record = self.repositories.get(call.account, call.region, name)
            if record is None:
                return {}
            self.repositories.delete(call.account, call.region, name)
            self.announced.delete(call.account, call.region, name)
            self.repository_deleted(call.account, call.region, record)
            self.git(call.account, call.region, name).delete()
        return {"repositoryId": record["repositoryId"]}

    @operation("UpdateRepositoryDescription")
    def update_repository_description(self, call: Call) -> None:
        """Set or, with no text, remove the description."""
        self._change(call, {"repositoryDescription": call.input.get("repositoryDescription") or None})

    @operation("UpdateRepositoryEncryptionKey")
    def update_repository_encryption_key(self, call: Call) -> dict[str, Any]:
        """Name another KMS key."""
        record = self.metadata(call.account, call.region, call.input["repositoryName"])
        key = self._key_arn(call, call.input["kmsKeyId"])
        self._change(call, {"kmsKeyId": key})
        answer = {"repositoryId": record["repositoryId"], "kmsKeyId": key}
        return answer | ({"originalKmsKeyId": record["kmsKeyId"]} if record.get("kmsKeyId") else {})

    @operation("UpdateRepositoryName")
    def update_repository_name(self, call: Call) -> None:
        """Rename; the clone URL and the ARN change with the name."""
        old, new = call.input["oldName"], call.input["newName"]
        check_repository_name(new)
        with self.directories:
            record = self.metadata(call.account, call.region, old)
            if self.repositories.get(call.account, call.region, new):
                raise Fault("RepositoryNameExistsException", f"Repository named {new} already exists")
            record |= {"repositoryName": new, "lastModifiedDate": now()}
            record |= self._addresses(call.account, call.region, new)
            with self.cloud.store.transaction():
                told = self.announced.get(call.account, call.region, old)
                self.repositories.delete(call.account, call.region, old)
                self.announced.delete(call.account, call.region, old)
                self.repositories.insert(call.account, call.region, new, record)
                if told is not None:
                    self.announced.put(call.account, call.region, new, told)
                self.repository_renamed(call.account, call.region, old, new)
                self.directory(call.account, call.region, old).rename(self.directory(call.account, call.region, new))

    def _change(self, call: Call, members: dict[str, Any]) -> None:
        name = call.input["repositoryName"]
        self.metadata(call.account, call.region, name)

        def change(record: dict[str, Any]) -> dict[str, Any]:
            record |= members | {"lastModifiedDate": now()}
            return {key: value for key, value in record.items() if value is not None}

        self.repositories.update(call.account, call.region, name, change)

    # -- tags ---------------------------------------------------------------------------------------------------

    def _tagged(self, call: Call) -> tuple[str, str, str]:
        parts = call.input["resourceArn"].split(":")
        if len(parts) != 6 or parts[0] != "arn" or parts[2] != "codecommit" or not parts[5]:
            raise Fault("InvalidResourceArnException", f"The resource ARN '{call.input['resourceArn']}' is not valid")
        if parts[4] != call.account:
            raise Fault("RepositoryDoesNotExistException", f"{parts[5]} does not exist")
        self.metadata(parts[4], parts[3], parts[5])
        return parts[4], parts[3], parts[5]

    @operation("TagResource")
    def tag_resource(self, call: Call) -> None:
        """Add or replace tags."""
        key = self._tagged(call)
        _check_tags(call.input["tags"])

        def change(record: dict[str, Any]) -> None:
            record["tags"] = record.get("tags", {}) | call.input["tags"]
            if len(record["tags"]) > 50:
                raise Fault("TooManyTagsException", f"A repository can have 50 tags; this makes {len(record['tags'])}")

        self.repositories.update(*key, change)

    @operation("UntagResource")
    def untag_resource(self, call: Call) -> None:
        """Remove tags; keys that are not there are ignored."""
        key = self._tagged(call)

        def change(record: dict[str, Any]) -> None:
            record["tags"] = {k: v for k, v in record.get("tags", {}).items() if k not in call.input["tagKeys"]}

        self.repositories.update(*key, change)

    @operation("ListTagsForResource")
    def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        """All tags."""
        return {"tags": self.metadata(*self._tagged(call)).get("tags", {})}

    # -- branches -----------------------------------------------------------------------------------------------

    @operation("CreateBranch")
    def create_branch(self, call: Call) -> None:
        """A branch at a commit."""
        name, branch, commit_id = (call.input[key] for key in ("repositoryName", "branchName", "commitId"))
        git = self.open(call.account, call.region, name)
        check_branch_name(branch)
        if not COMMIT_ID.fullmatch(commit_id):
            raise Fault("InvalidCommitIdException", f"The commit ID '{commit_id}' is not a valid full commit ID")
        if git.kind(commit_id) != "commit":
            raise Fault("CommitDoesNotExistException", f"The commit {commit_id} does not exist in {name}")
        if not git.update_reference(f"refs/heads/{branch}", commit_id, ZERO):
            raise Fault("BranchNameExistsException", f"Branch {branch} already exists or its name is part of another's")
        change = Change(f"refs/heads/{branch}", ZERO, commit_id)
        self.announce(call.account, call.region, name, [change], call.principal)

    @operation("GetBranch")
    def get_branch(self, call: Call) -> dict[str, Any]:
        """Where a branch is."""
        for member, noun in (("repositoryName", "RepositoryName"), ("branchName", "BranchName")):
            if not call.input.get(member):
                raise Fault(f"{noun}RequiredException", f"{member} is required")
        git = self.open(call.account, call.region, call.input["repositoryName"])
        branch = call.input["branchName"].removeprefix("refs/heads/")
        check_branch_name(branch)
        commit_id = git.branch(branch)
        if commit_id is None:
            raise Fault("BranchDoesNotExistException", f"Branch {branch} does not exist")
        return {"branch": {"branchName": branch, "commitId": commit_id}}

    @operation("ListBranches")
    def list_branches(self, call: Call) -> dict[str, Any]:
        """Names of all branches."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        names = sorted(git.branches())
        page, token = paginate(names, call.input, default=1000, error="InvalidContinuationTokenException")
        return {"branches": page, "nextToken": token}

    @operation("UpdateDefaultBranch")
    def update_default_branch(self, call: Call) -> None:
        """What a clone checks out, and what "HEAD" means to the API."""
        git = self.open(call.account, call.region, call.input["repositoryName"])
        branch = call.input["defaultBranchName"]
        check_branch_name(branch)
        if git.branch(branch) is None:
            raise Fault("BranchDoesNotExistException", f"Branch {branch} does not exist")
        git.set_head(branch)
        self._change(call, {"defaultBranch": branch})

    @operation("DeleteBranch")
    def delete_branch(self, call: Call) -> dict[str, Any]:
        """Remove a branch; as on AWS, no error when there is none."""
        name, branch = call.input["repositoryName"], call.input["branchName"]
        git = self.open(call.account, call.region, name)
        check_branch_name(branch)
        if self.metadata(call.account, call.region, name).get("defaultBranch") == branch:
            raise Fault("DefaultBranchCannotBeDeletedException", f"{branch} is the default branch of {name}")
        commit_id = git.branch(branch)
        if commit_id is None or not git.update_reference(f"refs/heads/{branch}", ZERO, commit_id):
            return {}
        change = Change(f"refs/heads/{branch}", commit_id, ZERO)
        self.announce(call.account, call.region, name, [change], call.principal)
        return {"deletedBranch": {"branchName": branch, "commitId": commit_id}}


def _public(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _HIDDEN}


def _check_tags(tags: dict[str, str]) -> None:
    if len(tags) > 50:
        raise Fault("TooManyTagsException", f"A repository can have 50 tags; {len(tags)} given")
    for key in tags:
        if is_reserved(key):
            raise Fault("InvalidSystemTagUsageException", f"The tag key '{key}' begins with aws:, which is AWS's own")
