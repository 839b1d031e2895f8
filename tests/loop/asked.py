"""What IAM would have been asked for everything that a played loop recorded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tests.loop.deployed import Deployed, Role
from tests.loop.judging import Question

# AWS authorizes these under another name than the operation's, or not at all.
ALIASES = {
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjects": "s3:ListBucket",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CopyObject": "s3:PutObject",
}
NEEDS_NONE = {"sts:GetCallerIdentity", "sts:GetSessionToken"}
# What S3 does with a bucket's key for the caller (S3 User Guide, SSE-KMS): a part of an upload is also decrypted.
_KEY_USE = {"s3:GetObject": ("kms:Decrypt",), "s3:PutObject": ("kms:GenerateDataKey",)}
_PARTS = {"s3:CreateMultipartUpload", "s3:UploadPart", "s3:CompleteMultipartUpload"}


def recorded(home: Path) -> Iterator[tuple[str, str, str, str, int, dict[str, Any]]]:
    """(principal, region, action, resource, status, context) of every call, once each."""
    database = sqlite3.connect(f"file:{home / 'localcloud.sqlite'}?mode=ro", uri=True)
    rows = database.execute(
        "SELECT DISTINCT principal, region, action, resource, status, context FROM call WHERE status NOT IN (401, 403)"
    )
    for principal, region, action, resource, status, context in rows:
        yield principal, region, action, resource, status, json.loads(context)


def made(home: Path) -> dict[str, dict[str, str]]:
    """The tags with which each resource of SageMaker was made, by ARN: it may be gone when a call on it is judged."""
    start = "aws:RequestTag/"
    return {
        resource: {
            key.removeprefix(start): value for key, value in context.get("keys", {}).items() if key.startswith(start)
        }
        for _, _, action, resource, status, context in recorded(home)
        if action.startswith("sagemaker:Create") and status < 400
    }


def questions(home: Path, deployed: Deployed) -> Iterator[Question]:
    """What IAM would have been asked, about roles and about services that take one.

    Not of roles that are gone, which a failed launch has taken with it: there is no policy to judge by.
    """
    for principal, region, action, resource, status, context in recorded(home):
        if action in NEEDS_NONE or " " in action or _gone(deployed, principal) or _gone(deployed, resource):
            continue
        if principal.endswith(".amazonaws.com"):
            yield Question(action, resource, service=principal, region=region, keys=context.get("keys", {}))
        elif ":assumed-role/" in principal:
            role = deployed.role(principal.split(":")[4], principal.split("/")[1])
            yield from _of_call(deployed, role, region, action, resource, status, context)


def _gone(deployed: Deployed, arn: str) -> bool:
    """Whether a role that an ARN names, or the ARN of a session of it, does not exist any more."""
    if not arn.startswith("arn:") or not (":assumed-role/" in arn or ":role/slipway-" in arn):
        return False
    try:
        deployed.role(arn.split(":")[4], arn.split("/")[1])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return True
    return False


def _of_call(
    deployed: Deployed, role: Role, region: str, action: str, resource: str, status: int, context: dict[str, Any]
) -> Iterator[Question]:
    keys, tags = context.get("keys", {}), context.get("session_tags", {})
    name = ALIASES.get(action, action)
    for one in context.get("resources", [resource]):
        if action.startswith("logs:") and ":log-group:" in one and ":log-stream:" not in one:
            one += ":log-stream:"  # as AWS evaluates calls on a group's streams
        yield Question(name, one, role, region=region, keys=keys, session_tags=tags)
    for item in context.get("implied", ()):
        who = deployed.role(item["role"].split(":")[4], item["role"].rsplit("/", 1)[-1]) if item["role"] else role
        yield Question(item["action"], item["resource"], who, "", region, item["keys"], tags, action)
    if name in _KEY_USE:
        bucket = resource.removeprefix("arn:aws:s3:::").split("/")[0]
        key = keys.get("s3:x-amz-server-side-encryption-aws-kms-key-id") or deployed.bucket_key(bucket)
        if key:
            via = {"kms:ViaService": f"s3.{region}.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": resource}
            for use in (*_KEY_USE[name], *(("kms:Decrypt",) if action in _PARTS else ())):
                yield Question(use, key, role, "", region, via, tags, f"{action} on {resource}")
        if name == "s3:GetObject" and status == 404:
            # Who may not list a bucket is told 403, not 404, of what is not there.
            yield Question("s3:ListBucket", f"arn:aws:s3:::{bucket}", role, "", region, {}, tags, f"404 of {resource}")
