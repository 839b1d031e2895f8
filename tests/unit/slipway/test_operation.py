"""What builds keep of project.yaml besides the model: the schedule and who is told."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody

from slipway import notifications, retraining
from slipway.cli import common, main
from slipway.configuration.operation import Notifications
from slipway.errors import SlipwayError

from .fakes import Session

TOPIC = "arn:aws:sns:eu-west-1:111111111111:slipway-flight-delays"
VALID = """
project: flight-delays
tag: 1
description: Arrival delay
problem: regression
data: {dataset: flights/2013-q1, target: arr_delay}
quality_gate: {rmse: {max: 25.0}}
"""
EVERYTHING = ["approval-needed", "build-failed", "model-failed", "model-registered", "release-failed", "released"]


def subscription(address: str, arn: str = f"{TOPIC}:1") -> dict[str, str]:
    return {"Protocol": "email", "Endpoint": address, "SubscriptionArn": arn, "TopicArn": TOPIC, "Owner": "1"}


def subscribes(session: Session, address: str, events: list[str]) -> None:
    attributes = {"FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps({"event": sorted(events)})}
    wanted = {"TopicArn": TOPIC, "Protocol": "email", "Endpoint": address, "Attributes": attributes}
    session.stub("sns", "subscribe", {"SubscriptionArn": f"{TOPIC}:1"}, {**wanted, "ReturnSubscriptionArn": True})


def said(session: Session, wanted: Notifications) -> list[str]:
    found = list(notifications.apply(session.client("sns"), TOPIC, wanted))
    session.assert_all_called()
    return [line.split(" ")[0] + " " + line.split(" ", 1)[1][:14] for line in found]


def test_who_is_new_is_asked_who_has_not_agreed_is_let_be_and_who_is_gone_is_named() -> None:
    session = Session()
    there = [subscription("old@a.b"), subscription("waits@a.b", "PendingConfirmation"), subscription("gone@a.b")]
    other = {**subscription("x"), "Protocol": "https"}
    session.stub("sns", "list_subscriptions_by_topic", {"Subscriptions": [*there, other]}, {"TopicArn": TOPIC})
    subscribes(session, "old@a.b", EVERYTHING)
    subscribes(session, "new@a.b", EVERYTHING)
    wanted = Notifications(emails=["old@a.b", "waits@a.b", "new@a.b", "new@a.b"])
    assert said(session, wanted) == ["waits@a.b has not yet ag", "new@a.b is asked wheth", "gone@a.b is still told,"]


def test_other_events_than_before_are_told_and_break_nothing() -> None:
    session = Session()
    session.stub("sns", "list_subscriptions_by_topic", {"Subscriptions": [subscription("old@a.b")]})
    session.refuse("sns", "subscribe", "InvalidParameter", "Subscription already exists with different attributes")
    wanted = Notifications(emails=["old@a.b"], events=["released"])
    assert said(session, wanted) == ["old@a.b is told of oth"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder whose project.yaml names nobody."""
    (tmp_path / "project.yaml").write_text(VALID)
    return tmp_path


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """What the commands of a build get."""
    made = Session()
    monkeypatch.setattr(common, "session", lambda: made)
    monkeypatch.setenv("SLIPWAY_PROJECT", "flight-delays")
    return made


def test_the_test_stage_asks_whom_project_yaml_names(
    root: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects whoever waits for the first build: it asks before anything of the project runs, on its own topic."""
    with (root / "project.yaml").open("a") as opened:
        opened.write("\nnotifications: {emails: [new@a.b], events: [build-failed]}\n")
    session.parameters("/slipway/projects/flight-delays/", {"topic-arn": TOPIC})
    session.stub("sns", "list_subscriptions_by_topic", {"Subscriptions": []}, {"TopicArn": TOPIC})
    subscribes(session, "new@a.b", ["build-failed"])
    assert main(["project", "validate", "--subscribe", "--root", str(root)]) == 0
    session.assert_all_called()
    assert "new@a.b is asked whether to be told" in capsys.readouterr().out
    buildspec = yaml.safe_load((Path(__file__).parents[3] / "buildspecs" / "test.yaml").read_text())
    assert buildspec["phases"]["install"]["commands"][0] == "slipway project validate --subscribe"


def test_who_names_nobody_needs_no_topic_and_no_endpoint(root: Path, session: Session) -> None:
    """Protects projects without notifications, and whoever validates at home: AWS is asked nothing."""
    assert main(["project", "validate", "--subscribe", "--root", str(root)]) == 0
    with (root / "project.yaml").open("a") as opened:
        opened.write("\nnotifications: {emails: [new@a.b]}\n")
    assert main(["project", "validate", "--root", str(root)]) == 0
    assert not session._clients


def test_a_wrong_file_subscribes_nobody(root: Path, session: Session) -> None:
    """Protects from half of what a file says: an address beside a mistake is asked once the file is good."""
    with (root / "project.yaml").open("a") as opened:
        opened.write("\nnotifications: {emails: [new@a.b]}\nunknown: 1\n")
    assert main(["project", "validate", "--subscribe", "--root", str(root)]) == 2
    assert not session._clients


def test_a_project_of_before_there_were_topics_is_told_so(
    root: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    with (root / "project.yaml").open("a") as opened:
        opened.write("\nnotifications: {emails: [new@a.b]}\n")
    session.parameters("/slipway/projects/flight-delays/", {"bucket": "b"})
    assert main(["project", "validate", "--subscribe", "--root", str(root)]) == 0
    assert "no topic yet: update the provisioned product; nobody is told" in capsys.readouterr().out


class Unreachable:
    """A client whose endpoint the network lacks."""

    def get_schedule(self, **_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://scheduler")

    def get_paginator(self, _: str) -> Any:
        raise EndpointConnectionError(endpoint_url="https://sns")


def test_an_endpoint_that_is_not_there_is_told_with_the_mend() -> None:
    with pytest.raises(SlipwayError, match="EndpointSet=full"):
        retraining.apply(Unreachable(), "s", "rate(7 days)")
    with pytest.raises(SlipwayError, match="EndpointSet=full"):
        list(notifications.apply(Unreachable(), TOPIC, Notifications(emails=["a@b.c"])))


def test_a_project_without_a_schedule_is_told_before_anything_is_trained() -> None:
    retraining.refuse_without_schedule(None, "")
    retraining.refuse_without_schedule("rate(7 days)", "slipway-p-retrain")
    with pytest.raises(
        SlipwayError, match=r"retraining\.schedule: given 'rate\(7 days\)', but this project was launched"
    ):
        retraining.refuse_without_schedule("rate(7 days)", "")


def test_what_the_schedule_was_is_noted_beside_the_project() -> None:
    session = Session()
    session.refuse("s3", "get_object", "NoSuchKey")
    session.stub("s3", "put_object", {})
    text = b'{"schedule": "rate(7 days)"}'
    session.stub("s3", "get_object", {"Body": StreamingBody(io.BytesIO(text), len(text))})
    note = retraining.Note(session.client("s3"), "bucket", "key")
    assert note.read() is None
    note.write("rate(7 days)")
    assert note.read() == "rate(7 days)"
    session.assert_all_called()
