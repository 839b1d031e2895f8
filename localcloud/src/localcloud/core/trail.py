"""CloudTrail: what it writes of a call, and EventBridge's "AWS API Call via CloudTrail".

On AWS such events reach EventBridge while a trail of the account logs management events of that kind; so they do here.
Read-only calls reach no rule that does not ask for them (`ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS`); rules here
do not. Calls of the services that the local cloud adds are told of; those of ministack's services are not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import Fault
from localcloud.core.ids import now, uuid

if TYPE_CHECKING:
    from localcloud.core.cloud import Cloud
    from localcloud.core.service import Call

DETAIL_TYPE = "AWS API Call via CloudTrail"
EVENT_VERSION = "1.11"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
# CloudTrail leaves out of a record what may be a secret.
_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
_SECRETS = frozenset({"authorizationtoken", "clienttoken", "password", "privatekey", "secretstring", "token"})
# Services whose calls are data events, which no rule gets.
DATA_PLANE = frozenset({"sagemaker-runtime", "sagemaker-featurestore-runtime", "sagemaker-metrics"})


class Trail:
    """Tells the rules of an account what was done in it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def tell(self, signing_name: str, call: Call, answer: Mapping[str, Any] | None, fault: Fault | None) -> None:
        """Emit the event of a call that changed something, or would have, if a trail logs such calls."""
        base = self.cloud.base
        if base is None or not call.account or not base.trails.log_writes(call.account, call.region):
            return
        self.cloud.emit(
            source=f"aws.{signing_name}",
            detail_type=DETAIL_TYPE,
            detail=self.record(signing_name, call, answer, fault),
            resources=[],
            account=call.account,
            region=call.region,
        )

    def record(
        self, signing_name: str, call: Call, answer: Mapping[str, Any] | None, fault: Fault | None
    ) -> dict[str, Any]:
        """What CloudTrail writes (User Guide, "CloudTrail record contents")."""
        assert self.cloud.base is not None
        written: dict[str, Any] = {
            "eventVersion": EVENT_VERSION,
            "userIdentity": self.cloud.base.identities.user_identity(call.access_key, call.principal),
            "eventTime": now().strftime(_TIME),
            "eventSource": f"{signing_name}.amazonaws.com",
            "eventName": call.operation,
            "awsRegion": call.region,
            "sourceIPAddress": "127.0.0.1",
            "userAgent": call.headers.get("user-agent", ""),
        }
        if fault is not None:
            written |= {"errorCode": fault.code, "errorMessage": fault.message}
        return {
            **written,
            "requestParameters": members(call.input) or None,
            "responseElements": None if fault is not None else members(answer or {}) or None,
            "requestID": call.request_id,
            "eventID": uuid(),
            "readOnly": False,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": call.account,
            "eventCategory": "Management",
        }


def members(value: Any) -> Any:
    """Members as CloudTrail writes them: `TrainingJobName` is `trainingJobName`; times are text, secrets are hidden."""
    if isinstance(value, Mapping):
        return {
            name[:1].lower() + name[1:]: _HIDDEN if name.lower() in _SECRETS and item else members(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [members(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime(_TIME)
    if isinstance(value, bytes | bytearray):
        return _HIDDEN
    return value
