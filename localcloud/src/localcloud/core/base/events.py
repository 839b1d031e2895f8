"""EventBridge: events of AWS services, and the targets that ministack lacks."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from localcloud.core.base import schedules
from localcloud.core.base.scope import scope
from localcloud.core.cloud import Cloud
from localcloud.core.ids import now, uuid
from localcloud.core.recorder import Recorded

logger = logging.getLogger("localcloud.base")

_PRINCIPAL = "events.amazonaws.com"
# What EventBridge calls on a target, with the target's role.
_ACTIONS = {
    "codebuild": "codebuild:StartBuild",
    "codepipeline": "codepipeline:StartPipelineExecution",
    "sagemaker": "sagemaker:StartPipelineExecution",
}

Target = Callable[[str, str, str, dict[str, Any] | None, dict[str, Any], str], None]


class Events:
    """Publishing and delivery."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._targets: dict[str, Target] = {}
        self._install_targets()

    def emit(
        self, source: str, detail_type: str, detail: dict[str, Any], resources: list[str], account: str, region: str
    ) -> None:
        """Dispatch an AWS service's event to the rules of the account's default bus, in the background.

        ministack refuses PutEvents with an aws.* source, as AWS does; services publish from inside.
        """
        event = {
            "EventId": uuid(),
            "Source": source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail, default=str),
            "EventBusName": "default",
            "Time": int(now().timestamp()),
            "Resources": resources,
            "Account": account,
            "Region": region,
        }
        self.cloud.task(f"event {detail_type}", self._dispatch, event)

    def _dispatch(self, event: dict[str, Any]) -> None:
        from ministack.services import eventbridge

        with scope(event["Account"], event["Region"]):
            eventbridge._dispatch_event(event)

    def add_target(self, service: str, target: Target) -> None:
        """Deliver events to targets whose ARN names `service`: called with (account, region, arn, input, event, rule).

        `input` is the target's Input or transformed input as an object, None where the rule passes the event itself.
        """
        self._targets[service] = target

    def _install_targets(self) -> None:
        from ministack.services import eventbridge

        original = eventbridge._invoke_target

        def invoke(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
            arn = str(target.get("Arn", ""))
            if schedules.is_universal(arn):
                schedules.call(self.cloud, target, rule)
                return
            parts = arn.split(":")
            ours = self._targets.get(parts[2]) if len(parts) > 5 else None
            if ours is None:
                original(target, event, rule, view)
                return
            view = view or eventbridge._pattern_event_view(event)
            text: str | None = None
            if target.get("InputTransformer"):
                text = eventbridge._apply_input_transformer(target["InputTransformer"], rule, view)
            elif target.get("Input"):
                text = target["Input"]
            try:
                payload = json.loads(text) if text else None
                rule_arn = str(rule.get("Arn", rule.get("Name", "")))
                self._act(str(target.get("RoleArn") or ""), arn, rule_arn)
                ours(parts[4], parts[3], arn, payload, view.event_with_detail(), rule_arn)
            except Exception:
                logger.exception("event %s could not be delivered to %s", event.get("DetailType"), arn)

        eventbridge._invoke_target = invoke

    def _act(self, role: str, target: str, rule: str) -> None:
        """Take the target's role, as EventBridge does, and keep what is done with it.

        Raises:
            Fault: AccessDenied, when the role does not trust EventBridge.
        """
        service, region, account = target.split(":")[2:5]
        if not role or self.cloud.recorder is None or service not in _ACTIONS:
            return
        # In-process: events are also delivered on the server's own loop, which must not wait for an answer of itself.
        if self.cloud.base is not None:
            self.cloud.base.identities.check_trust(role, principal=None, service=_PRINCIPAL)
        self.cloud.recorder.assumed(role, _PRINCIPAL, rule, region)
        owner, name = role.split(":")[4], role.rsplit("/", 1)[-1]
        principal = f"arn:aws:sts::{owner}:assumed-role/{name}/events"
        self.cloud.recorder.add(Recorded(account, region, principal, _ACTIONS[service], target, 200))
