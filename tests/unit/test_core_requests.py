"""What is noted of requests to ministack's services."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ministack.core import iam_actions

from localcloud.core.base import requests

TAGGED: list[tuple[str, str, bytes, dict[str, Any]]] = [
    ("ssm", "ssm:PutParameter", json.dumps({"Name": "a", "Tags": [{"Key": "Team", "Value": "b"}]}).encode(), {}),
    ("ssm", "ssm:RemoveTagsFromResource", json.dumps({"TagKeys": ["Team"]}).encode(), {}),
    ("sns", "sns:CreateTopic", b"", {"Tags.member.1.Key": ["Team"], "Tags.member.1.Value": ["b"]}),
    ("iam", "iam:UntagRole", b"", {"TagKeys.member.1": ["Team"]}),
    ("kms", "kms:CreateKey", json.dumps({"T\u0061gs": [{"TagKey": "Team", "TagValue": "b"}]}).encode(), {}),
]


@pytest.mark.parametrize(("service", "action", "body", "parameters"), TAGGED, ids=[action for _, action, *_ in TAGGED])
def test_tags_of_a_request_are_noted(service: str, action: str, body: bytes, parameters: dict[str, Any]) -> None:
    """Protects the replay of calls against policies, many of which ask for aws:RequestTag and aws:TagKeys."""
    expected = iam_actions.request_tag_context(service, action, body, parameters)
    assert expected["aws:TagKeys"] == ["Team"]
    assert requests._told(service, action, "/", {}, body, {}, parameters)["keys"] == expected


def test_a_request_without_tags_reads_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects speed: the models of some services are megabytes, read while the server waits."""

    def never(*_: Any) -> dict[str, Any]:
        raise AssertionError("a model is read")

    monkeypatch.setattr(iam_actions, "request_tag_context", never)
    assert requests._told("ssm", "ssm:GetParameter", "/", {}, b'{"Name": "/slipway/x"}', {}, {}) == {}


@pytest.mark.parametrize(
    ("body", "parameters"),
    [(b'{"Namespace": "/aws/sagemaker/TrainingJobs"}', {}), (b"", {"Namespace": ["/aws/sagemaker/TrainingJobs"]})],
)
def test_the_namespace_of_metrics_is_noted(body: bytes, parameters: dict[str, Any]) -> None:
    """Protects the replay: roles may write metrics to some namespaces alone, and clients speak two protocols."""
    told = requests._told("monitoring", "cloudwatch:PutMetricData", "/", {}, body, {}, parameters)
    assert told["keys"] == {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}


def test_how_somebody_is_subscribed_is_noted() -> None:
    """Protects the replay: a project's builds may subscribe by e-mail alone."""
    form = {"TopicArn": ["arn:aws:sns:eu-west-1:1:t"], "Protocol": ["email"], "Endpoint": ["a@b.c"]}
    told = requests._told("sns", "sns:Subscribe", "/", {}, b"", {}, form)
    assert told["keys"] == {"sns:Protocol": "email", "sns:Endpoint": "a@b.c"}
