"""What becomes of Studio's apps when the working day is over."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from slipway.functions import studio_hours

from .fakes import Session

DOMAIN = "d-abcdefghijkl"


def app(space: str, status: str = "InService", **more: str) -> dict[str, str]:
    return {"DomainId": DOMAIN, "SpaceName": space, "AppType": "JupyterLab", "AppName": "default",
            "Status": status, **more}  # fmt: skip


def tagged(session: Session, space: str, **tags: str) -> None:
    arn = f"arn:aws:sagemaker:eu-west-1:111111111111:space/{DOMAIN}/{space}"
    session.stub("sagemaker", "describe_space", {"SpaceArn": arn}, {"DomainId": DOMAIN, "SpaceName": space})
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    session.stub("sagemaker", "list_tags", {"Tags": listed}, {"ResourceArn": arn})


def listed(session: Session, *apps: dict[str, str]) -> None:
    session.stub("sagemaker", "list_apps", {"Apps": list(apps)}, {"DomainIdEquals": DOMAIN})


def deleted(session: Session, space: str) -> None:
    wanted: dict[str, Any] = {"DomainId": DOMAIN, "SpaceName": space, "AppType": "JupyterLab", "AppName": "default"}
    session.stub("sagemaker", "delete_app", {}, wanted)


def test_what_runs_is_stopped_but_what_has_to_go_on() -> None:
    """Protects the bill and the work of a night: apps in service go, but those of a tagged space, and no others."""
    session = Session()
    listed(session, app("lab"), app("night"), app("old", "Deleted"), app("new", "Pending"))
    tagged(session, "lab", Project="churn")
    deleted(session, "lab")
    tagged(session, "night", AfterHours="true")
    assert studio_hours.stop(session.client("sagemaker"), DOMAIN) == {"stopped": ["lab"], "left": ["night"]}
    session.assert_all_called()


def test_twice_is_once() -> None:
    """Protects a repeated run: an app that somebody stops just now is no error."""
    session = Session()
    listed(session, app("lab"))
    tagged(session, "lab")
    session.refuse("sagemaker", "delete_app", "ResourceInUse")
    assert studio_hours.stop(session.client("sagemaker"), DOMAIN) == {"stopped": [], "left": []}
    listed(session)
    assert studio_hours.stop(session.client("sagemaker"), DOMAIN) == {"stopped": [], "left": []}


def test_a_missing_permission_is_told() -> None:
    """Protects: a role that may not stop apps fails loudly, and Lambda's retries and queue see it."""
    session = Session()
    listed(session, app("lab"))
    tagged(session, "lab")
    session.refuse("sagemaker", "delete_app", "AccessDeniedException", "no")
    with pytest.raises(ClientError, match="AccessDenied"):
        studio_hours.stop(session.client("sagemaker"), DOMAIN)
