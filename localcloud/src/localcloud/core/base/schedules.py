"""EventBridge Scheduler's universal targets, which ministack lacks: a schedule that calls an API with its role.

ministack keeps schedules and says when they are due. One attempt is made; what fails goes to the schedule's queue,
where it has one (AWS would try again first, for as long as the schedule's retry policy says).
"""

from __future__ import annotations

import json
import logging
from typing import Any

from botocore import xform_name

from localcloud.core.cloud import Cloud, Credentials

logger = logging.getLogger("localcloud.base")

PRINCIPAL = "scheduler.amazonaws.com"


# Services that the SDK for Java, whose names universal targets have, names otherwise than boto3.
_BOTO = {"sfn": "stepfunctions", "cloudwatchlogs": "logs", "eventbridge": "events"}


def is_universal(arn: str) -> bool:
    """Whether a target is `arn:aws:scheduler:::aws-sdk:<service>:<action>`."""
    parts = arn.split(":")
    return len(parts) == 8 and parts[2] == "scheduler" and parts[5] == "aws-sdk"


def call(cloud: Cloud, target: dict[str, Any], schedule: dict[str, Any]) -> None:
    """Call what a universal target names, with its input, as its role. A failure is logged and goes to the queue."""
    service, action = target["Arn"].split(":")[6:8]
    account, region = schedule["Arn"].split(":")[4], schedule["Arn"].split(":")[3]
    group = f"arn:aws:scheduler:{region}:{account}:schedule-group/{schedule.get('GroupName', 'default')}"
    credentials: Credentials | None = None
    try:
        credentials = cloud.assume(
            target["RoleArn"], "EventBridgeScheduler", region=region, service_principal=PRINCIPAL, source_arn=group
        )
        client = credentials.client(_BOTO.get(service, service), region)
        operation = action[:1].upper() + action[1:]
        shape = client.meta.service_model.operation_model(operation).input_shape
        given = json.loads(target.get("Input") or "{}")
        getattr(client, xform_name(operation))(**_named(given, shape))
    except Exception as error:
        logger.exception("the schedule %s could not call %s:%s", schedule.get("Name"), service, action)
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        if queue and credentials is not None:
            _keep(credentials, queue, target, schedule, error)


def _named(value: Any, shape: Any) -> Any:
    """An input, whose members begin with a capital whatever the service calls them, as the service calls them."""
    if shape is None or shape.type_name not in {"structure", "list"}:
        return value
    if shape.type_name == "list":
        return [_named(item, shape.member) for item in value]
    names = {name[:1].upper() + name[1:]: name for name in shape.members}
    known = {names.get(name, name): item for name, item in value.items()}
    return {name: _named(item, shape.members.get(name)) for name, item in known.items()}


def _keep(
    credentials: Credentials, queue: str, target: dict[str, Any], schedule: dict[str, Any], error: Exception
) -> None:
    """Put what could not be delivered into the schedule's queue, with the attributes that AWS gives it."""
    region, account, name = queue.split(":")[3:6]
    told = {
        "ERROR_CODE": getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__),
        "ERROR_MESSAGE": str(error)[:1024],
        "SCHEDULE_ARN": schedule["Arn"],
        "TARGET_ARN": target["Arn"],
    }
    client = credentials.client("sqs", region)
    try:
        url = client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        client.send_message(
            QueueUrl=url,
            MessageBody=target.get("Input") or "{}",
            MessageAttributes={key: {"DataType": "String", "StringValue": value} for key, value in told.items()},
        )
    except Exception:
        logger.exception("what the schedule %s could not deliver could not be kept, either", schedule.get("Name"))
