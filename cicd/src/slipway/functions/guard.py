"""The detective control: what is made in SageMaker outside the VPC or without its project's key is ended and reported.

EventBridge calls it for CloudTrail's events of SageMaker's Create operations, and for changes of state of endpoints and
notebook instances. Environment: NAMESPACE, TOPIC_ARN, RESPONSE (stop or report).
"""

from __future__ import annotations

from typing import Any

import boto3
from aws_lambda_powertools import Logger

from slipway.guard.guard import Guard, Settings, event_id
from slipway.settings import environment

logger = Logger(service="guard")


@logger.inject_lambda_context(log_event=False)  # type: ignore[untyped-decorator] # mypy skips Powertools
def handler(event: dict[str, Any], context: Any) -> None:
    """Entry point of the Lambda function. Lambda tries again what it raises; then the event is in the queue."""
    settings = Settings(environment("NAMESPACE"), environment("TOPIC_ARN"), environment("RESPONSE", "stop") == "stop")
    report = Guard(boto3.Session(), settings).handle(event)
    if report is None:
        logger.info("nothing to report", event=event_id(event))
    else:
        logger.warning("reported", resource=report.resource, why=report.why, done=report.done, event=event_id(event))
