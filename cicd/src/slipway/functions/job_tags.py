"""Whose is this job? Gives jobs, models and endpoints of SageMaker the tags that bills go by, where they lack them.

Runs on EventBridge's "AWS API Call via CloudTrail" for the operations that create something. Jobs started in Studio
have their tags already (the domain propagates them), and so have those of a project's pipelines; this one looks after
the rest. A tag that is there is never changed. Where the tags come from, the first that knows:

* the user profile whose name is the session's source identity (the domain sets it for every notebook),
* the role that the job runs with,
* the role that made the call.

CloudTrail does not show a session's tags after the session has begun, so they cannot be a source.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

logger = Logger(service="job-tags")

TAGS = ("Namespace", "Project", "CostCenter")
USER = "User"
# Names that services give their sessions: they say nothing about a person.
_SERVICE_SESSIONS = ("SageMaker", "AWSCodeBuild-", "AWSCodePipeline", "botocore-session-", "aws-")


@logger.inject_lambda_context(log_event=False)  # type: ignore[untyped-decorator] # mypy skips Powertools
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Entry point of the Lambda function; returns the tags that it gave."""
    return tag(boto3.Session(), os.environ["NAMESPACE"], event["detail"])


def tag(session: Any, namespace: str, call: Mapping[str, Any]) -> dict[str, str]:
    """Give what a call created the tags that it lacks. Returns them; empty where there is nothing to do.

    `call` is CloudTrail's record. Raises ClientError, and Lambda tries again.
    """
    arn = created(call)
    if arn is None:
        return {}
    sagemaker = session.client("sagemaker")
    present = _tags(sagemaker, arn)
    if present is None:
        logger.info("gone already", arn=arn)
        return {}
    missing = [name for name in (*TAGS, USER) if name not in present]
    if not missing:
        return {}
    found: dict[str, str] = {USER: user(call)} if user(call) else {}
    for source in _sources(session, namespace, call, arn):
        for name in TAGS:
            if source.get(name):
                found.setdefault(name, source[name])
    given = {name: found[name] for name in missing if name in found}
    if given:
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": name, "Value": value} for name, value in given.items()])
    unknown = [name for name in missing if name not in found]
    (logger.warning if unknown else logger.info)("tagged", arn=arn, given=given, unknown=unknown)
    return given


def created(call: Mapping[str, Any]) -> str | None:
    """The ARN of what a call created; None where it failed."""
    if call.get("errorCode"):
        return None
    answer = call.get("responseElements") or {}
    return next((str(value) for name, value in answer.items() if name.endswith("Arn")), None)


def user(call: Mapping[str, Any]) -> str:
    """Who made a call: the user of a notebook, the name of a person's session, else the name of the role."""
    identity = call.get("userIdentity") or {}
    context = identity.get("sessionContext") or {}
    name = str(context.get("sourceIdentity") or "")
    if not name:
        role, _, session = str(identity.get("arn", "")).rpartition(":")[2].removeprefix("assumed-role/").partition("/")
        name = role if not session or session.startswith(_SERVICE_SESSIONS) else session
    return name.replace(",", "-")  # a session's name may have a comma, a tag may not


def _sources(session: Any, namespace: str, call: Mapping[str, Any], arn: str) -> Iterator[Mapping[str, str]]:
    """Tags of whoever may know, the closest first."""
    identity = call.get("userIdentity") or {}
    context = identity.get("sessionContext") or {}
    name = context.get("sourceIdentity")
    if name and (domain := _domain(session.client("ssm"), namespace)):
        place = arn.split(":")
        profile = ":".join([*place[:5], f"user-profile/{domain}/{name}"])
        yield _tags(session.client("sagemaker"), profile) or {}
    request = call.get("requestParameters") or {}
    for role in (request.get("roleArn"), (context.get("sessionIssuer") or {}).get("arn")):
        # Roles that are not the platform's are nobody's business here.
        role_name = str(role or "").rpartition("/")[2]
        if role_name.startswith(f"{namespace}-"):
            yield _role_tags(session.client("iam"), role_name)


def _domain(ssm: Any, namespace: str) -> str:
    """The platform's Studio domain; empty where there is none."""
    try:
        return str(ssm.get_parameter(Name=f"/{namespace}/platform/studio/domain-id")["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return ""


def _tags(sagemaker: Any, arn: str) -> dict[str, str] | None:
    """The tags of a resource; None where it does not exist."""
    try:
        pages = list(sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn))
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ResourceNotFound", "ResourceNotFoundException", "ValidationException"}:
            return None
        raise
    return {item["Key"]: item["Value"] for page in pages for item in page["Tags"]}


def _role_tags(iam: Any, name: str) -> dict[str, str]:
    try:
        pages = list(iam.get_paginator("list_role_tags").paginate(RoleName=name))
    except iam.exceptions.NoSuchEntityException:
        return {}
    return {item["Key"]: item["Value"] for page in pages for item in page["Tags"]}
