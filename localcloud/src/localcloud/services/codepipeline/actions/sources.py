"""Source actions: CodeCommit, S3 and ECR."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Fault
from localcloud.services.codepipeline.actions.base import ActionError, Job, Outcome, archive, reporting
from localcloud.services.codepipeline.catalogue import is_true

REVISION_TYPES = {
    "CodeCommit": ("COMMIT_ID",),
    "CodeStarSourceConnection": ("COMMIT_ID",),
    "S3": ("S3_OBJECT_VERSION_ID", "S3_OBJECT_KEY"),
    "ECR": ("IMAGE_DIGEST",),
}


def overrides_of(job: Job) -> dict[str, str]:
    """Revision type → value that the execution was started with for this action."""
    return {
        str(override["revisionType"]): str(override["revisionValue"])
        for override in job.execution.get("overrides") or []
        if override["actionName"] == job.action["action"]
    }


class Source:
    """What fetches a revision."""

    def start(self, job: Job) -> Outcome:
        """Fetch the revision and write it as the output artifact."""
        raise NotImplementedError

    def resume(self, job: Job) -> Outcome:
        """Fetching again gives the same: the artifact's key is the same, and so is an overridden revision."""
        return self.start(job)


class CodeCommitSource(Source):
    """The tree of a commit, as a zip or as a reference that CodeBuild clones."""

    def start(self, job: Job) -> Outcome:
        """Write the zip (or the reference) of the overridden commit or of the branch's head."""
        given = job.configuration
        repository, branch = given["RepositoryName"], given["BranchName"]
        client = job.client("codecommit")
        commit_id = overrides_of(job).get("COMMIT_ID")
        if commit_id is None:
            with reporting(f"Branch {branch} of CodeCommit repository {repository}"):
                answer = client.get_branch(repositoryName=repository, branchName=branch)
                commit_id = answer["branch"]["commitId"]
        with reporting(f"Commit {commit_id} of CodeCommit repository {repository}", "RevisionUnavailable"):
            commit = client.get_commit(repositoryName=repository, commitId=commit_id)["commit"]
        clone: dict[str, str] | None = None
        if given.get("OutputArtifactFormat") == "CODEBUILD_CLONE_REF":
            with reporting(f"CodeCommit repository {repository}"):
                found = client.get_repository(repositoryName=repository)["repositoryMetadata"]
            clone = {
                "repositoryArn": found["Arn"],
                "repositoryName": repository,
                "cloneUrl": found["cloneUrlHttp"],
                "branch": branch,
                "commitId": commit_id,
            }
            job.write(json.dumps(clone).encode())
        else:
            job.write(self._tree(job, repository, commit_id))
        message = str(commit.get("message", "")).rstrip("\n")
        url = (
            f"https://{job.region}.console.aws.amazon.com/codesuite/codecommit/repositories/{repository}/commit/"
            f"{commit_id}?region={job.region}"
        )
        return Outcome(
            summary=message[:2048],
            external_id=commit_id,
            external_url=url,
            variables={
                "AuthorDate": iso_date((commit.get("author") or {}).get("date", "")),
                "BranchName": branch,
                "CommitId": commit_id,
                "CommitMessage": message,
                "CommitterDate": iso_date((commit.get("committer") or {}).get("date", "")),
                "RepositoryName": repository,
            },
            revision={"revisionId": commit_id, "revisionSummary": message[:2048], "revisionUrl": url},
            clone=clone,
        )

    def _tree(self, job: Job, repository: str, commit_id: str) -> bytes:
        """AWS fetches the zip with codecommit:UploadArchive, which no SDK has; so it is asked in-process."""
        from localcloud.services.codecommit.git import GitError

        try:
            git = job.cloud.service("codecommit").open(job.account, job.region, repository)
            content = bytes(git.run("archive", "--format=zip", commit_id))
            arn = f"arn:aws:codecommit:{job.region}:{job.account}:{repository}"
            job.record("codecommit:UploadArchive", arn)
            job.record("codecommit:GetUploadArchiveStatus", arn)
            return content
        except (Fault, GitError) as error:
            raise ActionError("RevisionUnavailable", f"Commit {commit_id} of {repository}: {error}") from error


def iso_date(date: str) -> str:
    """Git stores "seconds offset"; CodePipeline's variables show an ISO time stamp."""
    seconds = str(date).split(" ")[0]
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return seconds


class S3Source(Source):
    """An object of a versioned bucket."""

    def start(self, job: Job) -> Outcome:
        """Copy the object (the overridden key and version, where there are any) into the artifact store."""
        given, overrides = job.configuration, overrides_of(job)
        bucket, key = given["S3Bucket"], overrides.get("S3_OBJECT_KEY", given["S3ObjectKey"])
        request = {"Bucket": bucket, "Key": key}
        if overrides.get("S3_OBJECT_VERSION_ID"):
            request["VersionId"] = overrides["S3_OBJECT_VERSION_ID"]
        client = job.client("s3")
        with reporting(f"Amazon S3 bucket {bucket}"):
            versioning = client.get_bucket_versioning(Bucket=bucket).get("Status")
        if versioning != "Enabled":
            raise ActionError(
                "ConfigurationError",
                f"The Amazon S3 bucket {bucket} is not versioned: a source bucket must have versioning enabled.",
            )
        try:
            found = client.get_object(**request)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            denied = "AccessDenied" in code
            raise ActionError(
                "PermissionError" if denied else "RevisionUnavailable",
                f"The object with key '{key}' in Amazon S3 bucket {bucket} could not be read: "
                f"{error.response['Error'].get('Message', '')} ({code})",
            ) from error
        content = found["Body"].read()
        version, etag = str(found.get("VersionId", "null")), str(found["ETag"]).strip('"')
        job.write(content)
        summary = str(found.get("Metadata", {}).get("codepipeline-artifact-revision-summary", ""))
        summary = summary or f"Amazon S3 version id: {version}"
        url = f"https://{job.region}.console.aws.amazon.com/s3/object/{bucket}?prefix={key}&versionId={version}"
        return Outcome(
            summary=summary,
            external_id=version,
            external_url=url,
            variables={"BucketName": bucket, "ETag": etag, "ObjectKey": key, "VersionId": version},
            revision={
                "revisionId": version,
                "revisionChangeIdentifier": etag,
                "revisionSummary": summary,
                "created": found["LastModified"],
                "revisionUrl": url,
            },
        )


class ECRSource(Source):
    """The digest behind a tag, as imageDetail.json."""

    def start(self, job: Job) -> Outcome:
        """Look the image up by the overridden digest or by its tag."""
        given = job.configuration
        repository, tag = given["RepositoryName"], given.get("ImageTag", "latest")
        digest = overrides_of(job).get("IMAGE_DIGEST")
        wanted = {"imageDigest": digest} if digest else {"imageTag": tag}
        with reporting(f"Image {digest or tag} of ECR repository {repository}", "RevisionUnavailable"):
            answer = job.client("ecr").describe_images(repositoryName=repository, imageIds=[wanted])
        image = answer["imageDetails"][0]
        registry = image["registryId"]
        uri = f"{registry}.dkr.ecr.{job.region}.amazonaws.com/{repository}@{image['imageDigest']}"
        detail = {
            "ImageSizeInBytes": str(image.get("imageSizeInBytes", 0)),
            "ImageDigest": image["imageDigest"],
            "Version": "1.0",
            "ImagePushedAt": str(image.get("imagePushedAt", "")),
            "RegistryId": registry,
            "RepositoryName": repository,
            "ImageURI": uri,
            "ImageTags": image.get("imageTags", []),
        }
        job.write(archive({"imageDetail.json": json.dumps(detail).encode()}))
        return Outcome(
            summary=f"Image {image['imageDigest']}",
            external_id=image["imageDigest"],
            variables={
                "ImageDigest": image["imageDigest"],
                "ImageTag": tag,
                "ImageURI": uri,
                "RegistryId": registry,
                "RepositoryName": repository,
            },
            revision={"revisionId": image["imageDigest"], "revisionSummary": f"Image tag {tag}"},
        )


def allows_other_key(action: dict[str, Any]) -> bool:
    """Whether a source override may name another object key."""
    return is_true((action.get("configuration") or {}).get("AllowOverrideForS3ObjectKey"))
