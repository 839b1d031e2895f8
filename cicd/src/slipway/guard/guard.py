"""From an event to a report: what was made is judged, ended if it is not as it must be, and reported.

The same event may come twice, and late. What is ended already is not ended again; a resource that was reported bears
the event's id as its tag, and is not reported for that event again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from slipway.guard.faults import code_of, is_gone, is_passing
from slipway.guard.keys import Keys
from slipway.guard.kinds import BY_TITLE, CALLS, REPORTED_ONLY, STATE_CHANGES, Kind

# Tags of what was reported: the event's id; and of an endpoint that is to be deleted as soon as it can be.
MARK, DUE = "GuardEvent", "GuardDue"
_API_CALL = "AWS API Call via CloudTrail"
_SUBJECT_LENGTH = 100  # of an SNS message


@dataclass(frozen=True)
class Settings:
    """`ends`: whether what is found is ended, or reported only."""

    namespace: str
    topic_arn: str
    ends: bool = True


@dataclass(frozen=True)
class Report:
    """What a person is told: why it was found, and what was done."""

    resource: str
    why: list[str]
    done: str
    event: Mapping[str, Any]

    @property
    def subject(self) -> str:
        """At most 100 ASCII characters, which is what SNS takes."""
        kind, _, name = self.resource.rpartition(":")[2].partition("/")
        return f"SageMaker {kind} {name}: {self.done}".encode("ascii", "replace").decode()[:_SUBJECT_LENGTH]

    @property
    def message(self) -> str:
        """JSON: who, what, where, when, why, done."""
        detail = self.event["detail"]
        identity = detail.get("userIdentity", {})
        issuer = identity.get("sessionContext", {}).get("sessionIssuer", {})
        return json.dumps(
            {
                "who": {
                    "principal": identity.get("arn") or identity.get("invokedBy") or "see the report of its creation",
                    "role": issuer.get("userName"),
                    "by": identity.get("invokedBy"),
                    "address": detail.get("sourceIPAddress"),
                    "client": detail.get("userAgent"),
                },
                "what": {"call": detail.get("eventName") or self.event["detail-type"], "resource": self.resource},
                "where": {"account": self.event["account"], "region": self.event["region"]},
                "when": detail.get("eventTime") or self.event.get("time"),
                "why": self.why,
                "done": self.done,
                "event": event_id(self.event),
            },
            indent=2,
        )


def event_id(event: Mapping[str, Any]) -> str:
    """CloudTrail's id of the call, which stays the same however often EventBridge delivers it."""
    return str(event["detail"].get("eventID") or event.get("id"))


class Guard:
    """Handles events with the clients of a session."""

    def __init__(self, session: Any, settings: Settings) -> None:
        self._sagemaker, self._sns = session.client("sagemaker"), session.client("sns")
        self._keys = Keys(session.client("kms"), session.client("ssm"), settings.namespace)
        self._settings = settings

    def handle(self, event: Mapping[str, Any]) -> Report | None:
        """Judge what the event tells of. Returns the report that was sent, None if there was nothing to say.

        Raises:
            ClientError: something that goes away by itself; the event is to be tried again.
        """
        detail = event["detail"]
        is_call = event["detail-type"] == _API_CALL
        kind = CALLS.get(detail.get("eventName", "")) if is_call else STATE_CHANGES.get(event["detail-type"])
        if kind is None or detail.get("errorCode"):
            return None
        request = _members(detail.get("requestParameters") or {}) if is_call else detail
        name = str(request[kind.name])
        found = self._read(kind.title, name)
        if found is None and not is_call:
            return None
        arn = str((found or {}).get(kind.arn) or _arn(kind, name, event))
        tags = self._tags(arn) if found else {}
        # After a change of state: a notebook that was started again, or an endpoint that waits for its end.
        if tags.get(MARK) == event_id(event) or (not is_call and kind.title == "endpoint" and DUE not in tags):
            return None
        why = self._why(kind, found or request, tags.get("Project") or _project(request))
        if not why:
            return None
        if not is_call and (found or {}).get(kind.status) not in kind.active:
            return None
        done = "had gone already" if found is None else self._end(kind, name, found, detail.get("eventName", ""))
        report = Report(arn, why, done, event)
        self._sns.publish(
            TopicArn=self._settings.topic_arn,
            Subject=report.subject,
            Message=report.message,
            MessageAttributes={"eventID": {"DataType": "String", "StringValue": event_id(event)}},
        )
        if found is not None:
            self._mark(arn, event, due=done.startswith("is "))
        return report

    def _why(self, kind: Kind, found: Mapping[str, Any], project: str | None) -> list[str]:
        facts = kind.facts(found, self._read)
        problems = list(facts.outside)
        for where, key in facts.keys.items():
            problem = self._keys.problem(key, project) if key else "it has none"
            if problem:
                problems.append(f"{where}: {problem}")
        return problems

    def _read(self, title: str, name: str) -> Mapping[str, Any] | None:
        kind = BY_TITLE[title]
        try:
            found: Mapping[str, Any] = getattr(self._sagemaker, kind.describe)(**{kind.name: name})
        except ClientError as error:
            if not is_passing(error) and is_gone(error):
                return None
            raise
        return found

    def _tags(self, arn: str) -> dict[str, str]:
        try:
            pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
            return {tag["Key"]: tag["Value"] for page in pages for tag in page.get("Tags", [])}
        except ClientError as error:
            if is_passing(error) or not is_gone(error):
                raise
            return {}

    def _end(self, kind: Kind, name: str, found: Mapping[str, Any], call: str) -> str:
        """End it. Returns what was done, in words; what cannot be ended is said, so that a person does it."""
        if call in REPORTED_ONLY or not self._settings.ends:
            return "reported, left as it is"
        state = found.get(kind.status) if kind.status else None
        if kind.status and state in kind.busy:
            return f"is {state}: it will be {kind.ended} when that is over"
        if kind.status and state not in kind.active:
            return f"was {state} already"
        try:
            getattr(self._sagemaker, kind.end)(**{kind.name: name})
        except ClientError as error:
            if is_passing(error):
                raise
            # It may have ended by itself since it was described.
            now = self._read(kind.title, name)
            if now is None:
                return "had gone already"
            if kind.status and now.get(kind.status) != state:
                return f"was {now.get(kind.status)} already"
            return f"could not be {kind.ended}, do it by hand: {code_of(error)}"
        return kind.ended

    def _mark(self, arn: str, event: Mapping[str, Any], *, due: bool) -> None:
        marks = [{"Key": MARK, "Value": event_id(event)}, *([{"Key": DUE, "Value": "deletion"}] if due else [])]
        try:
            self._sagemaker.add_tags(ResourceArn=arn, Tags=marks)
        except ClientError as error:
            if is_passing(error):
                raise
            # It was deleted just now, or has as many tags as it may have: the worst is a second report.


def _members(value: Any) -> Any:
    """CloudTrail writes members as `trainingJobName`; the API, and this package, as `TrainingJobName`."""
    if isinstance(value, Mapping):
        return {key[:1].upper() + key[1:]: _members(item) for key, item in value.items()}
    return [_members(item) for item in value] if isinstance(value, list) else value


def _project(request: Mapping[str, Any]) -> str | None:
    tags = request.get("Tags")
    return next((tag.get("Value") for tag in tags or [] if tag.get("Key") == "Project"), None)


def _arn(kind: Kind, name: str, event: Mapping[str, Any]) -> str:
    """The ARN of what is gone: from the call's answer, else put together."""
    member = kind.arn[:1].lower() + kind.arn[1:]
    given = (event["detail"].get("responseElements") or {}).get(member)
    return str(given or f"{event['region']}:{event['account']}:{kind.title.replace(' ', '-')}/{name}")
