"""What goes before a Studio domain and after it: in AWS's order, again and again until it is gone, and not for ever."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.functions import studio_cleanup, studio_contents

from .fakes import Session

DOMAIN = "d-abcdefghijkl"
APP = {"DomainId": DOMAIN, "SpaceName": "lab", "AppType": "JupyterLab", "AppName": "default"}


def listed(session: Session, kind: str, member: str, *items: dict[str, Any]) -> None:
    session.stub("sagemaker", f"list_{kind}", {member: list(items)}, {"DomainIdEquals": DOMAIN})


def test_apps_go_before_spaces_and_spaces_before_profiles() -> None:
    """Protects: AWS refuses a profile with a space and a space with an app; failed apps stand in nobody's way."""
    session, waited = Session(), []
    session.stub("sagemaker", "describe_domain", {"DomainId": DOMAIN})
    failed = {**APP, "AppName": "old", "Status": "Failed"}
    listed(session, "apps", "Apps", {**APP, "Status": "InService"}, failed)
    session.stub("sagemaker", "delete_app", {}, APP)
    listed(session, "apps", "Apps", {**APP, "Status": "Deleting"}, failed)
    listed(session, "apps", "Apps", {**APP, "Status": "Deleted"}, failed)
    space = {"DomainId": DOMAIN, "SpaceName": "lab", "Status": "InService"}
    listed(session, "spaces", "Spaces", space)
    session.stub("sagemaker", "delete_space", {}, {"DomainId": DOMAIN, "SpaceName": "lab"})
    listed(session, "spaces", "Spaces", {**space, "Status": "Deleting"})
    listed(session, "spaces", "Spaces")
    users = [{"DomainId": DOMAIN, "UserProfileName": name, "Status": "InService"} for name in ("ada", "admin")]
    listed(session, "user_profiles", "UserProfiles", *users)
    session.refuse("sagemaker", "delete_user_profile", "ResourceInUse")  # its space is still going
    listed(session, "user_profiles", "UserProfiles", *users)
    listed(session, "user_profiles", "UserProfiles", *users)
    session.stub("sagemaker", "delete_user_profile", {}, {"DomainId": DOMAIN, "UserProfileName": "ada"})
    listed(session, "user_profiles", "UserProfiles", users[1])
    listed(session, "user_profiles", "UserProfiles", users[1])
    studio_contents.empty(session.client("sagemaker"), DOMAIN, {"admin"}, waited.append)
    session.assert_all_called()
    assert waited == [f"apps of {DOMAIN}"] * 2 + [f"spaces of {DOMAIN}", f"user profiles of {DOMAIN}"]


def test_a_domain_that_is_gone_is_empty() -> None:
    """Protects: a deletion that is repeated succeeds."""
    session = Session()
    session.refuse("sagemaker", "describe_domain", "ResourceNotFound")
    studio_contents.empty(session.client("sagemaker"), DOMAIN, set(), lambda what: pytest.fail(what))
    session.assert_all_called()


def test_a_person_who_leaves_takes_their_own_spaces_and_no_others() -> None:
    """Protects the other people of a domain: only what the profile owns goes, apps first."""
    session, waited = Session(), []
    session.stub("sagemaker", "describe_domain", {"DomainId": DOMAIN})

    def space(name: str, owner: str, status: str = "InService") -> dict[str, Any]:
        summary = {"OwnerUserProfileName": owner}
        return {"DomainId": DOMAIN, "SpaceName": name, "Status": status, "OwnershipSettingsSummary": summary}

    others = space("desk", "grace--churn")
    listed(session, "spaces", "Spaces", space("lab", "ada--churn"), others)
    other_app = {**APP, "SpaceName": "desk", "Status": "InService"}
    listed(session, "apps", "Apps", {**APP, "Status": "InService"}, other_app)
    session.stub("sagemaker", "delete_app", {}, APP)
    listed(session, "apps", "Apps", {**APP, "Status": "Deleted"}, other_app)
    listed(session, "spaces", "Spaces", space("lab", "ada--churn"), others)
    session.stub("sagemaker", "delete_space", {}, {"DomainId": DOMAIN, "SpaceName": "lab"})
    listed(session, "spaces", "Spaces", space("lab", "ada--churn", "Deleting"), others)
    listed(session, "spaces", "Spaces", others)
    properties = {"Part": "User", "DomainId": DOMAIN, "UserProfileName": "ada--churn"}
    studio_cleanup.act(session, "Create", properties, studio_cleanup.Deadline(0))
    deadline = studio_cleanup.Deadline(60, sleep=waited.append, clock=lambda: 0.0)
    studio_cleanup.act(session, "Delete", properties, deadline)
    session.assert_all_called()
    assert len(waited) == 2


def test_a_refusal_that_waiting_does_not_mend_is_told() -> None:
    """Protects: a missing permission fails the stack with its reason, not with a time-out."""
    session = Session()
    session.stub("sagemaker", "describe_domain", {"DomainId": DOMAIN})
    listed(session, "apps", "Apps", {**APP, "Status": "InService"})
    session.refuse("sagemaker", "delete_app", "AccessDeniedException", "no")
    with pytest.raises(Exception, match="AccessDenied"):
        studio_contents.empty(session.client("sagemaker"), DOMAIN, set(), lambda what: pytest.fail(what))


def test_waiting_ends_before_lambda_does() -> None:
    """Protects: CloudFormation is told what is still there, while there is time to tell it."""
    now = [0.0]
    deadline = studio_cleanup.Deadline(12, sleep=lambda s: now.__setitem__(0, now[0] + s), clock=lambda: now[0])
    deadline.wait("apps")
    deadline.wait("apps")
    with pytest.raises(TimeoutError, match="apps: still there; delete the stack again"):
        deadline.wait("apps")
    assert now[0] <= 12


def test_an_unknown_part_is_refused() -> None:
    """Protects: a typing error in a template is an error, not a resource that does nothing."""
    with pytest.raises(ValueError, match="Contents, Homes, User"):
        studio_cleanup.act(Session(), "Create", {"Part": "Home"}, studio_cleanup.Deadline(1))
