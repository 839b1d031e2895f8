"""What people made in a Studio domain: apps, spaces, user profiles. They go in this order, or AWS refuses."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from botocore.exceptions import ClientError

GONE = {"ResourceNotFound", "ResourceNotFoundException"}
# Something else is changing it right now, e.g. an app of it is still going; it is asked again.
BUSY = {"ConflictException", "ResourceInUse", "ResourceInUseException"}
ENDED = {"Deleted", "Failed"}


def empty(sagemaker: Any, domain: str, keep: Collection[str], wait: Callable[[str], None]) -> None:
    """Delete apps, spaces and user profiles (but those in `keep`) of a domain, and wait until they are gone.

    A domain that does not exist is empty. `wait` pauses, and raises when there is no time left.
    """
    if not _exists(sagemaker, domain):
        return
    while apps := _apps(sagemaker, domain):
        _delete_apps(sagemaker, domain, apps)
        wait(f"apps of {domain}")
    for plural, name, delete in (
        ("spaces", "SpaceName", sagemaker.delete_space),
        ("user_profiles", "UserProfileName", sagemaker.delete_user_profile),
    ):
        while found := [item for item in _listed(sagemaker, plural, domain) if item[name] not in _kept(name, keep)]:
            for item in found:
                if item["Status"] != "Deleting":
                    _try(delete, DomainId=domain, **{name: item[name]})
            if [item for item in _listed(sagemaker, plural, domain) if item[name] not in _kept(name, keep)]:
                wait(f"{plural.replace('_', ' ')} of {domain}")


def empty_profile(sagemaker: Any, domain: str, profile: str, wait: Callable[[str], None]) -> None:
    """Delete the apps and the spaces of one user profile, shared ones that it owns included; wait until they are gone.

    `wait` pauses, and raises when there is no time left. What the profile kept on the domain's file system stays.
    """
    if not _exists(sagemaker, domain):
        return

    def spaces() -> list[dict[str, Any]]:
        found = _listed(sagemaker, "spaces", domain)
        return [
            item for item in found if item.get("OwnershipSettingsSummary", {}).get("OwnerUserProfileName") == profile
        ]

    own = {item["SpaceName"] for item in spaces()}
    while apps := [
        app for app in _apps(sagemaker, domain) if app.get("UserProfileName") == profile or app.get("SpaceName") in own
    ]:
        _delete_apps(sagemaker, domain, apps)
        wait(f"apps of {profile}")
    while found := spaces():
        for item in found:
            if item["Status"] != "Deleting":
                _try(sagemaker.delete_space, DomainId=domain, SpaceName=item["SpaceName"])
        if spaces():
            wait(f"spaces of {profile}")


def _delete_apps(sagemaker: Any, domain: str, apps: list[dict[str, Any]]) -> None:
    for app in apps:
        if app["Status"] != "Deleting":
            owner = {name: app[name] for name in ("UserProfileName", "SpaceName") if app.get(name)}
            _try(sagemaker.delete_app, DomainId=domain, AppType=app["AppType"], AppName=app["AppName"], **owner)


def _kept(name: str, keep: Collection[str]) -> Collection[str]:
    return keep if name == "UserProfileName" else ()


def _exists(sagemaker: Any, domain: str) -> bool:
    try:
        sagemaker.describe_domain(DomainId=domain)
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE:
            return False
        raise
    return True


def _apps(sagemaker: Any, domain: str) -> list[dict[str, Any]]:
    return [app for app in _listed(sagemaker, "apps", domain) if app["Status"] not in ENDED]


def _listed(sagemaker: Any, plural: str, domain: str) -> list[dict[str, Any]]:
    member = "".join(word.capitalize() for word in plural.split("_"))
    pages = sagemaker.get_paginator(f"list_{plural}").paginate(DomainIdEquals=domain)
    return [item for page in pages for item in page[member]]


def _try(delete: Callable[..., Any], **names: str) -> None:
    try:
        delete(**names)
    except ClientError as error:
        if error.response["Error"]["Code"] not in GONE | BUSY:
            raise
