"""Deploy to Amazon S3."""

from __future__ import annotations

import io
import mimetypes
import re
import zipfile
from pathlib import PurePosixPath
from typing import Any

from localcloud.core import now, uuid
from localcloud.services.codepipeline.actions.base import ActionError, Job, Outcome, reporting
from localcloud.services.codepipeline.catalogue import is_true


def object_key(template: str) -> str:
    """`{datetime}` and `{uuid}` in an object key, as the S3 deploy action replaces them."""
    text = template.replace("{uuid}", uuid())
    return re.sub(r"\{datetime\}", now().strftime("%Y-%m-%d_%H-%M-%S"), text)


class S3Deploy:
    """Uploads the artifact, or the files in it."""

    def start(self, job: Job) -> Outcome:
        """Put one object (Extract false) or one for each file in the zip."""
        given = job.configuration
        bucket, client = given["BucketName"], job.client("s3")
        extra: dict[str, Any] = {}
        if given.get("CannedACL"):
            extra["ACL"] = given["CannedACL"]
        if given.get("CacheControl"):
            extra["CacheControl"] = given["CacheControl"]
        if given.get("KMSEncryptionKeyARN"):
            extra |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": given["KMSEncryptionKeyARN"]}
        content = job.read(job.action["inputArtifacts"][0]["name"])
        where = object_key(given.get("ObjectKey", ""))
        with reporting(f"Deployment to Amazon S3 bucket {bucket}"):
            if not is_true(given["Extract"]):
                answer = client.put_object(Bucket=bucket, Key=where, Body=content, **extra)
                variables = {"BucketName": bucket, "ObjectKey": where, "ETag": str(answer["ETag"]).strip('"')}
                if answer.get("VersionId"):
                    variables["VersionId"] = answer["VersionId"]
                return Outcome(summary="Deployment Succeeded", variables=variables)
            try:
                archive = zipfile.ZipFile(io.BytesIO(content))
            except zipfile.BadZipFile as error:
                raise ActionError(
                    "ConfigurationError", "The input artifact is not a zip file; Extract needs one."
                ) from error
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                kind = mimetypes.guess_type(entry.filename)[0] or "application/octet-stream"
                key = str(PurePosixPath(where) / entry.filename) if where else entry.filename
                client.put_object(Bucket=bucket, Key=key, Body=archive.read(entry), ContentType=kind, **extra)
        return Outcome(summary="Deployment Succeeded", variables={"BucketName": bucket, "ObjectKey": where})

    def resume(self, job: Job) -> Outcome:
        """Uploading the same files again changes nothing."""
        return self.start(job)
