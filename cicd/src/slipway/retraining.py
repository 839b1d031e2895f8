"""The schedule by which a project's model is trained again: kept as project.yaml on main says.

The project product makes it, switched off, so that it goes with the project; here it is switched on, changed and
switched off. UpdateSchedule takes all of a schedule, so that what is not changed is given back as it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from botocore.exceptions import ConnectionError as NotReached

from slipway.errors import SlipwayError

# What UpdateSchedule takes of what GetSchedule answers.
_KEPT = ("Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn", "ScheduleExpressionTimezone",
         "StartDate", "Target", "ActionAfterCompletion")  # fmt: skip


@dataclass(frozen=True)
class Note:
    """What the schedule was made to be last, kept in the project's bucket."""

    s3: Any
    bucket: str
    key_arn: str
    key: str = "retraining/schedule.json"

    def read(self) -> str | None:
        """The expression; None if there is none."""
        try:
            body = self.s3.get_object(Bucket=self.bucket, Key=self.key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        return json.loads(body).get("schedule") or None

    def write(self, expression: str | None) -> None:
        """Note the expression."""
        self.s3.put_object(
            Bucket=self.bucket,
            Key=self.key,
            Body=json.dumps({"schedule": expression}).encode(),
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=self.key_arn,
        )


def refuse_without_schedule(wanted: str | None, name: str) -> None:
    """Raises SlipwayError if project.yaml asks for a schedule and the project was launched without one."""
    if wanted is not None and not name:
        raise SlipwayError(
            f"project.yaml: retraining.schedule: given {wanted!r}, but this project was launched before its product "
            "had a schedule: ask the Data Science Admin to update the provisioned product to the newest version, or "
            "take the key away"
        )


def apply(scheduler: Any, name: str, wanted: str | None) -> str:
    """Make the schedule as wanted, None for none. Returns what was done, in words; nothing to do is said, too.

    Raises SlipwayError if EventBridge Scheduler cannot be reached or the schedule is gone.
    """
    try:
        current = scheduler.get_schedule(Name=name)
        state, expression = current["State"], current["ScheduleExpression"]
        if wanted is None and state == "DISABLED":
            return "no schedule"
        if wanted == expression and state == "ENABLED":
            return f"schedule {name} stays {expression}"
        scheduler.update_schedule(
            **{key: current[key] for key in _KEPT if current.get(key)},
            Name=name,
            ScheduleExpression=wanted or expression,
            State="DISABLED" if wanted is None else "ENABLED",
        )
    except NotReached as error:
        raise SlipwayError(
            f"EventBridge Scheduler cannot be reached ({error}): projects with `retraining.schedule` need the "
            "platform's endpoint for it: EndpointSet=full"
        ) from None
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise SlipwayError(
            f"the schedule {name} is gone: ask the Data Science Admin to update the provisioned product, which makes it"
        ) from None
    return f"schedule {name} is off" if wanted is None else f"schedule {name} is {wanted} (UTC)"
