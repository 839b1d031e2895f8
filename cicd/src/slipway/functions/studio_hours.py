"""Stops the apps of a Studio domain when the working day is over: an idle app stops by itself, a busy one is forgotten.

Runs on a schedule. Spaces keep their volumes: who opens one again goes on where they were. A space that bears the tag
`AfterHours` with the value `true` is left alone, for work that has to run through the night.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from slipway.functions.studio_contents import BUSY, GONE

logger = Logger(service="studio-cleanup")

TAG = "AfterHours"


def stop(sagemaker: Any, domain: str) -> dict[str, list[str]]:
    """Stop every app that is in service, but those of spaces that are to go on.

    Returns {"stopped": [...], "left": [...]}, names of spaces (or of user profiles, where an app has no space).
    Raises ClientError, and Lambda tries again: what is stopped already is not in service any more.
    """
    found: dict[str, list[str]] = {"stopped": [], "left": []}
    for page in sagemaker.get_paginator("list_apps").paginate(DomainIdEquals=domain):
        for app in page["Apps"]:
            if app["Status"] != "InService":
                continue
            name = str(app.get("SpaceName") or app.get("UserProfileName"))
            if app.get("SpaceName") and _goes_on(sagemaker, domain, app["SpaceName"]):
                found["left"].append(name)
                continue
            owner = {key: app[key] for key in ("SpaceName", "UserProfileName") if app.get(key)}
            try:
                sagemaker.delete_app(DomainId=domain, AppType=app["AppType"], AppName=app["AppName"], **owner)
            except ClientError as error:
                if error.response["Error"]["Code"] not in GONE | BUSY:
                    raise
                continue  # somebody stops it, or it is gone
            found["stopped"].append(name)
    logger.info("working hours are over", **found)
    return found


def _goes_on(sagemaker: Any, domain: str, space: str) -> bool:
    try:
        arn = sagemaker.describe_space(DomainId=domain, SpaceName=space)["SpaceArn"]
        pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        return any(tag["Key"] == TAG and tag["Value"] == "true" for page in pages for tag in page["Tags"])
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE:
            return False
        raise
