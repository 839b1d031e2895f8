"""Who becomes whom: the six roles of people have one door, by parameter, and take only session tags that are used."""

from __future__ import annotations

from typing import Any

import pytest

from tests.templates.library import Template, templates

PEOPLE = {
    "DataEngineer", "DataScienceAdmin", "DataScientist", "FullStackDeveloper", "MLEngineer", "ReleaseApprover",
}  # fmt: skip
OF_A_PROJECT = {"DataScientist", "ReleaseApprover"}
ACCOUNT = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
# The tag User opens a place in Studio, which Data Scientists alone have.
KEYS = {"DataScientist": ["CostCenter", "Project", "User"]}
ALL = templates()


def roles() -> list[tuple[Template, str, dict[str, Any]]]:
    return [
        (template, name, role) for template in ALL for name, role in template.of("AWS::IAM::Role") if name in PEOPLE
    ]


def door(role: dict[str, Any], **holds: bool) -> dict[str, Any]:
    """The statement of the trust policy, given which conditions hold."""
    (found,) = role["AssumeRolePolicyDocument"]["Statement"]
    while "Fn::If" in found:
        condition, yes, no = found["Fn::If"]
        found = yes if holds.get(condition) else no
    return dict(found)


def test_there_are_six_roles() -> None:
    assert sorted(name for _, name, _ in roles()) == sorted(PEOPLE)


@pytest.mark.parametrize(
    ("template", "name", "role"), roles(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_door_is_narrow(template: Template, name: str, role: dict[str, Any]) -> None:
    """Protects the roles: the audience of SAML, the permission set of Identity Center, the second factor."""
    saml = door(role, FromSaml=True)
    assert saml["Principal"] == {"Federated": {"Ref": "SamlProviderArn"}}
    assert saml["Action"] == ["sts:AssumeRoleWithSAML", "sts:TagSession"]
    assert saml["Condition"]["StringEquals"] == {"SAML:aud": "https://signin.aws.amazon.com/saml"}
    center = door(role, FromIdentityCenter=True)
    (pattern,) = center["Condition"]["ArnLike"].values()
    assert pattern["Fn::Sub"].endswith(f"AWSReservedSSO_${{Namespace}}-{name}_*")
    mfa = door(role, WithMfa=True)
    assert mfa["Condition"]["Bool"] == {"aws:MultiFactorAuthPresent": "true"}
    for statement in (center, mfa, door(role)):
        assert statement["Principal"] == ACCOUNT
        assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    for statement in (saml, center, mfa, door(role)):
        keys = KEYS.get(name, ["CostCenter", "Project"])
        assert statement["Condition"]["ForAllValues:StringEquals"] == {"aws:TagKeys": keys}
    assert {"FromSaml", "FromIdentityCenter", "WithMfa"} <= set(template.body["Conditions"])
    assert "SamlHasAProvider" in template.body["Rules"]


@pytest.mark.parametrize(
    ("name", "role"), [(name, role) for _, name, role in roles() if name in OF_A_PROJECT], ids=lambda v: str(v)[:20]
)
def test_a_role_of_one_project_has_no_session_without_it(name: str, role: dict[str, Any]) -> None:
    """Protects projects from one another; with Identity Center the project is the person's, not what it asks for."""
    for holds in ({"FromSaml": True}, {"WithMfa": True}, {}):
        assert door(role, **holds)["Condition"]["StringLike"] == {"aws:RequestTag/Project": "?*"}
    center = door(role, FromIdentityCenter=True)["Condition"]["StringEquals"]
    assert center == {"aws:RequestTag/Project": "${aws:PrincipalTag/Project}"}


def test_nobody_says_to_be_somebody_else() -> None:
    """Protects people from one another: the tag User is what the way in knows of its user, not what they ask for."""
    (role,) = [role for _, name, role in roles() if name == "DataScientist"]
    own = "${aws:PrincipalTag/User}"
    center = door(role, FromIdentityCenter=True)["Condition"]
    assert center["StringEqualsIfExists"] == {"aws:RequestTag/User": own}
    for holds in ({"WithMfa": True}, {}):
        condition = door(role, **holds)["Condition"]
        assert condition["StringEqualsIfExists"] == {"aws:RequestTag/User": ["${aws:username}", own]}
