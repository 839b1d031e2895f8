"""Who is told of what happens to a project: the e-mail addresses of project.yaml, subscribed to the project's topic.

A message is a JSON document whose `event` says what happened; a subscription's filter lets through what project.yaml
names. Everybody is asked by SNS once whether they agree, and leaves by the link in every message: IAM knows the actions
that change or end a subscription for all of an account's subscriptions only, and no project's build may do that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from botocore.exceptions import ClientError
from botocore.exceptions import ConnectionError as NotReached

from slipway.configuration.operation import Event, Notifications
from slipway.errors import SlipwayError

_OTHER = {"InvalidParameter", "InvalidParameterException"}


def apply(sns: Any, topic: str, wanted: Notifications) -> Iterator[str]:
    """Subscribe the addresses that are not yet. Yields what there is to say of each. Raises SlipwayError.

    Args:
        topic: its ARN; "" for a project of before there were topics.
    """
    if not topic:
        yield "notifications: this project has no topic yet: update the provisioned product; nobody is told"
        return
    try:
        yield from _apply(sns, topic, wanted)
    except NotReached as error:
        raise SlipwayError(
            f"SNS cannot be reached ({error}): projects with `notifications` need the platform's endpoint for it: "
            "EndpointSet=full"
        ) from None


def attributes(wanted: Notifications) -> dict[str, str]:
    """The filter of a subscription."""
    events = sorted(wanted.events or get_args(Event))
    return {"FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps({"event": events})}


def _apply(sns: Any, topic: str, wanted: Notifications) -> Iterator[str]:
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    found = [item for page in pages for item in page["Subscriptions"] if item["Protocol"] == "email"]
    there = {item["Endpoint"]: item["SubscriptionArn"] for item in found}
    for address in dict.fromkeys(wanted.emails):
        if there.get(address) == "PendingConfirmation":
            yield f"{address} has not yet agreed to be told: the link is in the e-mail from AWS Notifications"
            continue
        try:
            sns.subscribe(
                TopicArn=topic,
                Protocol="email",
                Endpoint=address,
                Attributes=attributes(wanted),
                ReturnSubscriptionArn=True,
            )
        except ClientError as error:
            # The same subscription again is no change; another one is refused.
            if error.response["Error"]["Code"] not in _OTHER or address not in there:
                raise
            yield f"{address} is told of other events than project.yaml names: the link in every message ends that"
            continue
        if address not in there:
            yield f"{address} is asked whether to be told"
    for address in sorted(set(there) - set(wanted.emails)):
        yield f"{address} is still told, though project.yaml does not name it: it ends by the link in every message"
