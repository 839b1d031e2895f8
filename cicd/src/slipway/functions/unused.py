"""Empties the bucket of a project that was never used, so that a launch that failed can be undone whole.

A launch lays an empty release in the project's bucket, and its pipelines put their artefacts beside it; CloudFormation
deletes no bucket that holds anything. A bucket that holds anything else is a project's life's work: it is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

EMPTY_RELEASE = "releases/none.zip"
KEYS_AT_ONCE = 1000


def empty_if_unused(s3: Any, bucket: str, namespace: str) -> int:
    """Delete all object versions of a bucket that was never used. Returns how many; 0 also if it is in use or gone.

    CodePipeline puts its artefacts under the first 20 characters of the pipeline's name, which begins with the
    namespace.
    """
    try:
        entries = list(_versions(s3, bucket))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return 0
        raise
    if any(entry["Key"] != EMPTY_RELEASE and not entry["Key"].startswith(f"{namespace}-") for entry in entries):
        return 0
    for start in range(0, len(entries), KEYS_AT_ONCE):
        keys = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries[start:][:KEYS_AT_ONCE]]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        if errors := answer.get("Errors"):
            raise RuntimeError(f"{bucket}/{errors[0].get('Key')}: {errors[0].get('Code')}: {errors[0].get('Message')}")
    return len(entries)


def _versions(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        yield from page.get("Versions", [])
        yield from page.get("DeleteMarkers", [])
