"""Clients of a session share their class: botocore would make it anew, with a function for every operation."""

from __future__ import annotations

from typing import Any

from localcloud.core import service_models


def client(session: Any, service: str) -> Any:
    return session.client(service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")


def test_a_session_makes_a_service_s_class_once() -> None:
    """Protects the speed of everything that makes a client; botocore may move what this hangs on, silently."""
    session, other = service_models.session(), service_models.session()
    first, second = client(session, "sqs"), client(session, "sqs")
    assert first is not second
    assert type(first) is type(second)
    assert type(client(other, "sqs")) is not type(first)
    assert type(client(session, "sns")) is not type(first)
