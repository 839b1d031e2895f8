"""Where people sign in: the user pool, which outlives its stack with everybody who is in it."""

from __future__ import annotations

from functools import partial
from typing import Any

from slipway.platform.destroy.items import Item, Place, gone, many, pages


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
