"""The source action of a connection: GitHub, GitLab, Bitbucket.

What it takes and hands on is as in the "Action structure reference" of the CodePipeline User Guide; summary, addresses
and error texts are those that pipelines on AWS show.
"""

from __future__ import annotations

import json
from typing import Any

from localcloud.core import Fault
from localcloud.services.codecommit.git import COMMIT_ID, GitError, GitRepository
from localcloud.services.codepipeline.actions.base import ActionError, Job, Outcome
from localcloud.services.codepipeline.actions.sources import Source, iso_date, overrides_of

# CodeConnections reads a commit and puts it into the artifact store in one, and is asked whether it has.
_FETCHES = ("StartUploadArchiveToS3", "GetUploadArchiveToS3Status")


class ConnectionSource(Source):
    """The tree of a commit at a provider, as a zip or as a reference that CodeBuild clones."""

    def start(self, job: Job) -> Outcome:
        """Write the zip (or the reference) of the commit that started the execution, or of the branch's head."""
        given = job.configuration
        arn, full_name = given["ConnectionArn"], given["FullRepositoryId"]
        branch = _branch(job) or given["BranchName"]
        clones = given.get("OutputArtifactFormat") == "CODEBUILD_CLONE_REF"
        record, git = _reach(job, arn, full_name, branch, clones)
        kind = record["ProviderType"]
        commit_id = overrides_of(job).get("COMMIT_ID") or git.branch(branch)
        if commit_id is None:
            raise _no_branch(kind, branch, full_name)
        if not COMMIT_ID.fullmatch(commit_id) or git.kind(commit_id) != "commit":
            raise ActionError("RevisionUnavailable", f"[{kind}] No Commit [{commit_id}] found for {full_name}")
        commit = git.commit(commit_id)
        # GitHub tells a message without its last line end, the others as it is stored.
        message = commit.message.rstrip("\n") if kind.startswith("GitHub") else commit.message
        clone = None
        if clones:
            clone = {
                "connectionArn": arn,
                "repositoryName": full_name,
                "cloneUrl": address(arn, full_name),
                "branch": branch,
                "commitId": commit_id,
            }
            job.write(json.dumps(clone).encode())
        else:
            job.write(_tree(git, commit_id, full_name))
        url = (
            f"https://{job.region}.console.aws.amazon.com/codesuite/settings/connections/redirect?connectionArn={arn}"
            f"&referenceType=COMMIT&FullRepositoryId={full_name}&Commit={commit_id}"
        )
        summary = json.dumps({"ProviderType": kind, "CommitMessage": message[:1900]}, separators=(",", ":"))
        return Outcome(
            summary=summary,
            external_id=commit_id,
            external_url=url,
            variables={
                "AuthorDate": iso_date(commit.author.date),
                "BranchName": branch,
                "CommitId": commit_id,
                "CommitMessage": message,
                "ConnectionArn": arn,
                "FullRepositoryName": full_name,
                "ProviderType": kind,
            },
            revision={"revisionId": commit_id, "revisionSummary": summary, "revisionUrl": url},
            clone=clone,
        )


def address(arn: str, full_name: str) -> str:
    """Where git reaches a repository through a connection."""
    service, region, account, rest = arn.split(":", 5)[2:6]
    identifier = rest.partition("/")[2]
    return f"https://{service}.{region}.amazonaws.com/git-http/{account}/{region}/{identifier}/{full_name}.git"


def _reach(job: Job, arn: str, full_name: str, branch: str, clones: bool) -> tuple[dict[str, Any], GitRepository]:
    """The connection and the repository.

    Raises:
        ActionError: the connection may not be used, is not available, or has no such repository.
    """
    service = job.cloud.service("codeconnections")
    record = service.find(arn)
    if record is None:
        raise ActionError("ConfigurationError", f"Connection {arn} does not exist.")
    identity = job.cloud.base.identity(job.credentials.access_key) if job.cloud.base else None
    principal = identity[1] if identity else ""
    for action in ("GetBranch",) if clones else _FETCHES:
        if not service.may_use(record, principal, action, full_name, branch):
            raise ActionError(
                "PermissionError",
                f"Unable to use Connection: {arn}. The provided role does not have sufficient permissions.",
            )
    try:
        git = service.repository(record, full_name)
    except Fault as fault:
        raise ActionError("ConfigurationError", f"[{record['ProviderType']}] {fault.message}") from fault
    if git is None:  # AWS says the same of a repository that the app was not given
        raise _no_branch(record["ProviderType"], branch, full_name)
    return record, git


def _branch(job: Job) -> str:
    """The branch whose push started the execution, where a trigger did."""
    for override in job.execution.get("overrides") or []:
        if override["actionName"] == job.action["action"] and override.get("branch"):
            return str(override["branch"])
    return ""


def _no_branch(kind: str, branch: str, full_name: str) -> ActionError:
    return ActionError(
        "RevisionUnavailable", f"[{kind}] No Branch [{branch}] found for FullRepositoryName [{full_name}]"
    )


def _tree(git: GitRepository, commit_id: str, full_name: str) -> bytes:
    try:
        return git.run("archive", "--format=zip", commit_id)
    except GitError as error:
        raise ActionError("RevisionUnavailable", f"Commit {commit_id} of {full_name}: {error}") from error
