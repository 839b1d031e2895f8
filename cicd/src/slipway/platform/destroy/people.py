"""Where people sign in and what they keep at home: user pools, and file systems that outlived their Studio domain."""

from __future__ import annotations

from functools import partial
from typing import Any

from slipway.platform.destroy.items import Item, Place, gone, many, pages, tags_of
from slipway.platform.destroy.machine_learning import MANAGED, unmount


def user_pools(place: Place) -> list[Item]:
    """User pools with their people."""
    cognito = place.client("cognito-idp")
    found = []
    for entry in pages(cognito, "list_user_pools", "UserPools", MaxResults=60):
        pool = gone(partial(cognito.describe_user_pool, UserPoolId=entry["Id"]))
        if pool is None or not place.owns(entry["Name"], pool["UserPool"].get("UserPoolTags")):
            continue
        people = int(pool["UserPool"].get("EstimatedNumberOfUsers", 0))
        remove = partial(_remove, cognito, entry["Id"])
        found.append(Item("user pool", f"{entry['Name']} ({entry['Id']})", remove, many(people, "user"), data=True))
    return found


def _remove(cognito: Any, pool_id: str) -> None:
    """A pool goes when it is not protected and has no domain."""
    pool = gone(partial(cognito.describe_user_pool, UserPoolId=pool_id))
    if pool is None:
        return
    if domain := pool["UserPool"].get("Domain"):
        gone(partial(cognito.delete_user_pool_domain, Domain=domain, UserPoolId=pool_id))
    if pool["UserPool"].get("DeletionProtection") == "ACTIVE":
        gone(partial(cognito.update_user_pool, UserPoolId=pool_id, DeletionProtection="INACTIVE"))
    gone(partial(cognito.delete_user_pool, UserPoolId=pool_id))


def homes(place: Place) -> list[Item]:
    """File systems of homes whose domain is gone; that of a domain goes with it."""
    domains = {domain["DomainArn"] for domain in pages(place.client("sagemaker"), "list_domains", "Domains")}
    found = []
    for one in pages(place.client("efs"), "describe_file_systems", "FileSystems"):
        tags, name = tags_of(one.get("Tags")), one["FileSystemId"]
        if tags.get("Namespace") == place.namespace and tags.get(MANAGED) not in domains:
            found.append(Item("homes", name, partial(_remove_homes, place, name), _size(one), data=True))
    return found


def _size(file_system: dict[str, Any]) -> str:
    return f"{file_system.get('SizeInBytes', {}).get('Value', 0) / 1e6:.1f} MB"


def _remove_homes(place: Place, file_system: str) -> None:
    efs = place.client("efs")
    unmount(place, file_system)
    for point in list(pages(efs, "describe_access_points", "AccessPoints", FileSystemId=file_system)):
        gone(partial(efs.delete_access_point, AccessPointId=point["AccessPointId"]))
    gone(partial(efs.delete_file_system, FileSystemId=file_system))
