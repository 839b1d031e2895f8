"""One account for all, or one each: what is made where, which mixtures are refused, and how far a role reaches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from slipway.functions import staging_hours
from slipway.platform.assets import _lambda
from slipway.release.bundle import archive
from tests.localcloud.conftest import PRODUCTION, STAGING, TOOLING
from tests.platform.stacks import ASSETS, PREFIX, Account, part, template
from tests.templates.library import REPOSITORY

SERVING = ("Release", "StagingRoles", "ProductionRoles")
TWO = "must be two accounts, or both this one"
MIXED: list[tuple[dict[str, str], str]] = [
    ({"StagingAccountId": STAGING, "ProductionAccountId": STAGING}, TWO),
    ({"StagingAccountId": STAGING}, "ProductionAccountId must be another account, too"),
    ({"StagingAccountId": STAGING, "ProductionAccountId": TOOLING}, "ProductionAccountId must be another account, too"),
    (
        {"StagingAccountId": STAGING, "ProductionAccountId": PRODUCTION, "StagingStopAt": "cron(0 19 ? * * *)"},
        "give it to workload.yaml where staging has its own",
    ),
    ({"StagingAccountId": "staging"}, "must be an account id of 12 digits, or empty"),
]


def given(account: Account, **parameters: str) -> dict[str, str]:
    return {"AssetsBucket": f"{ASSETS}-{account.number}", "AssetsPrefix": PREFIX, **parameters}


@pytest.mark.parametrize(("parameters", "expected"), MIXED, ids=lambda value: str(value))
def test_half_shared_accounts_are_refused(parameters: dict[str, str], expected: str, tooling: Account) -> None:
    """Protects from a platform whose production serves beside people's work by an oversight."""
    with pytest.raises(ClientError) as error:
        tooling.deploy("slipway-refused", part("platform", "Settings"), given(tooling, **parameters))
    assert expected in error.value.response["Error"]["Message"]
    assert not tooling.exists("slipway-refused")


@pytest.fixture
def settings(tooling: Account) -> Iterator[Account]:
    yield tooling
    for stack in ("slipway-delivery", "slipway-roles", "slipway-projects", "slipway-platform"):
        if tooling.exists(stack):
            assert tooling.delete(stack).status == "DELETE_COMPLETE"


def serving(account: Account, **accounts: str) -> set[str]:
    """What the tooling account serves with these accounts, once the platform's settings and then that are deployed."""
    ended = account.deploy("slipway-platform", part("platform", "Settings"), given(account, **accounts))
    assert ended.status.endswith("_COMPLETE"), ended.reasons
    ended = account.deploy("slipway-projects", part("projects", *SERVING), given(account))
    assert ended.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), ended.reasons
    return account.nested("slipway-projects")


def test_without_an_account_the_platform_serves_itself(settings: Account) -> None:
    """Protects the first try: staging and production are here, each with roles of its own, under one key."""
    assert serving(settings) == set(SERVING)
    for name in ("staging", "production"):
        assert settings.parameter(f"/slipway/platform/accounts/{name}") == TOOLING
    roles = {role["RoleName"] for role in settings.client("iam").list_roles()["Roles"]}
    for work in ("deployer", "cloudformation", "verifier"):
        assert {f"slipway-release-{work}-staging", f"slipway-release-{work}-production"} <= roles
    assert settings.parameter("/slipway/platform/release/key-arn").split(":")[4] == TOOLING


def test_production_alone_may_have_its_own_account(settings: Account) -> None:
    """Protects the way from one account to more: production moves out, staging stays, and nothing of it is lost."""
    assert serving(settings) == set(SERVING)
    key = settings.parameter("/slipway/platform/release/key-arn")
    assert serving(settings, ProductionAccountId=PRODUCTION) == {"Release", "StagingRoles"}
    assert settings.parameter("/slipway/platform/accounts/production") == PRODUCTION
    assert settings.parameter("/slipway/platform/release/key-arn") == key


def test_staging_cannot_touch_production_in_the_same_account(settings: Account) -> None:
    """Protects production from a bundle that nobody approved, where no wall of accounts stands between."""
    serving(settings)
    iam = settings.client("iam")

    def allowed(role: str, action: str, resource: str, **tags: str) -> bool:
        context = [
            {"ContextKeyName": f"aws:ResourceTag/{key}", "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in tags.items()
        ]
        answer: dict[str, Any] = iam.simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{TOOLING}:role/slipway-release-{role}", ActionNames=[action],
            ResourceArns=[f"arn:aws:sagemaker:eu-west-1:{TOOLING}:{resource}"], ContextEntries=context,
        )  # fmt: skip
        return bool(answer["EvaluationResults"][0]["EvalDecision"] == "allowed")

    staging, production = "endpoint/slipway-flights-staging", "endpoint/slipway-flights-production"
    for action in ("sagemaker:DeleteEndpoint", "sagemaker:UpdateEndpoint"):
        assert allowed("cloudformation-staging", action, staging)
        assert not allowed("cloudformation-staging", action, production)
        assert allowed("cloudformation-production", action, production)
    assert allowed("verifier-staging", "sagemaker:InvokeEndpoint", staging)
    assert not allowed("verifier-staging", "sagemaker:InvokeEndpoint", production)
    mine = {"Namespace": "slipway", "Environment": "staging"}
    assert allowed("cloudformation-staging", "sagemaker:DeleteModel", "model/a", **mine)
    assert not allowed(
        "cloudformation-staging", "sagemaker:DeleteModel", "model/a", **{**mine, "Environment": "production"}
    )
    assert not allowed("cloudformation-staging", "sagemaker:DeleteModel", "model/a", Namespace="slipway")


def test_an_endpoint_of_release_0_1_0_can_be_removed_where_it_is(production: Account) -> None:
    """Protects the upgrade: the role that made its stack is gone, and this one removes what names no environment."""
    parameters = given(production, ToolingAccountId=TOOLING, Environment="production")
    ended = production.deploy("slipway-workload", part("workload", "Release", "ReleaseRoles"), parameters)
    assert ended.status == "CREATE_COMPLETE", ended.reasons

    def may_delete(**tags: str) -> bool:
        context = [
            {"ContextKeyName": f"aws:ResourceTag/{key}", "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in tags.items()
        ]
        answer = production.client("iam").simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{PRODUCTION}:role/slipway-release-cloudformation-production",
            ActionNames=["sagemaker:DeleteEndpoint"],
            ResourceArns=[f"arn:aws:sagemaker:eu-west-1:{PRODUCTION}:endpoint/slipway-flights"], ContextEntries=context,
        )  # fmt: skip
        return bool(answer["EvaluationResults"][0]["EvalDecision"] == "allowed")

    try:
        assert may_delete(Namespace="slipway")
        assert not may_delete(Namespace="slipway", Environment="staging")
        assert not may_delete(Namespace="another")
    finally:
        assert production.delete("slipway-workload").status == "DELETE_COMPLETE"


_ENDPOINT = """
Resources:
  Endpoint:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Name: !Sub "/${AWS::StackName}/endpoint", Value: here}
Outputs:
  EndpointName: {Value: !Ref Endpoint}
"""


def test_stagings_endpoints_go_in_the_evening(staging: Account) -> None:
    """Protects the bill, and what must stay: the function that the root deploys runs with its own role, leaves what is
    new or is production's, and what it removed is made again by the next release."""
    archived = archive(_lambda(REPOSITORY / "cicd"))
    staging.client("s3").put_object(Bucket=f"{ASSETS}-{STAGING}", Key=f"{PREFIX}/lambda.zip", Body=archived)
    name = "/slipway/platform/assets/bucket"
    staging.client("ssm").put_parameter(Name=name, Value=f"{ASSETS}-{STAGING}", Type="String", Overwrite=True)
    root = part("workload", "StagingHours")
    parameters = given(staging, ToolingAccountId=TOOLING, StagingStopAt="cron(0 19 ? * MON-FRI *)")
    with pytest.raises(ClientError, match="leave it empty where production serves"):
        staging.deploy("slipway-workload", root, {**parameters, "Environment": "production"})
    ended = staging.deploy("slipway-workload", root, {**parameters, "Environment": "staging"})
    assert ended.status == "CREATE_COMPLETE", ended.reasons
    names = ("slipway-flights-staging", "slipway-flights-production")
    for stack in names:
        assert staging.deploy(stack, _ENDPOINT).status == "CREATE_COMPLETE"
    rule = staging.client("events").describe_rule(Name="slipway-staging-hours")
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(0 19 ? * MON-FRI *)", "ENABLED")
    answer = staging.client("lambda").invoke(FunctionName="slipway-staging-hours", Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()
    assert all(staging.exists(stack) for stack in names), "a release of this hour is being verified"
    later = datetime.now(UTC) + timedelta(hours=3)
    found = staging_hours.remove(staging.client("cloudformation"), "slipway", later)
    assert found == {"removed": ["slipway-flights-staging"], "left": []}
    deadline = time.monotonic() + 30
    while staging.exists(names[0]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [staging.exists(stack) for stack in names] == [False, True]
    assert staging.deploy(names[0], _ENDPOINT).status == "CREATE_COMPLETE", "the next release"
    ended = staging.deploy("slipway-workload", root, {**parameters, "Environment": "staging", "StagingStopAt": ""})
    for stack in (*names, "slipway-workload"):
        assert staging.delete(stack).status == "DELETE_COMPLETE"


def delivered(account: Account) -> tuple[list[str], set[str]]:
    """The stages of the delivery pipeline behind Publish, and the roles of accounts that its own role may take."""
    account.client("ssm").put_parameter(
        Name="/slipway/platform/builds/publish-project", Value="slipway-publish", Type="String", Overwrite=True
    )
    key = f"arn:aws:kms:eu-west-1:{TOOLING}:key/0d9d6f2e-0000-4000-8000-000000000000"
    store = {"KeyArn": key, "Bucket": f"{ASSETS}-{TOOLING}"}
    ended = account.deploy("slipway-roles", template("delivery-roles"), store)
    assert ended.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), ended.reasons
    builds = {f"{name}Project": f"slipway-delivery-{name.lower()}" for name in ("Validate", "Package", "Changes")}
    role = f"arn:aws:iam::{TOOLING}:role/slipway-delivery"
    ended = account.deploy(
        "slipway-delivery", template("delivery-pipeline"), {**store, **builds, "PipelineRoleArn": role}
    )
    assert ended.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), ended.reasons
    pipeline = account.client("codepipeline").get_pipeline(name="slipway-delivery")["pipeline"]
    stages = [stage["name"] for stage in pipeline["stages"]]
    policy = account.client("iam").get_role_policy(RoleName="slipway-delivery", PolicyName="deliver")["PolicyDocument"]
    taken = [one["Resource"] for one in policy["Statement"] if one["Action"] == "sts:AssumeRole"]
    return stages[stages.index("Publish") + 1 :], {arn.split(":")[4] for resource in taken for arn in resource}


def test_an_account_of_its_own_is_a_stage_of_the_delivery(settings: Account) -> None:
    """Protects the delivery in one account: it asks no role that nobody made; what is apart is delivered by a stage."""
    account = settings
    for accounts, expected in (
        ({}, ([], set())),
        ({"ProductionAccountId": PRODUCTION}, (["Production"], {PRODUCTION})),
        (
            {"StagingAccountId": STAGING, "ProductionAccountId": PRODUCTION},
            (["Staging", "Production"], {STAGING, PRODUCTION}),
        ),
    ):
        ended = account.deploy("slipway-platform", part("platform", "Settings"), given(account, **accounts))
        assert ended.status.endswith("_COMPLETE"), ended.reasons
        assert delivered(account) == expected
