"""Every service that code in a private subnet called has an endpoint there, which lets the call pass.

The VPC has no way out but its endpoints. Where the local cloud lets a build call a service that has none, the same
build hangs on AWS until it times out. So the record of calls is held against the endpoints: for each role that builds,
jobs, models and functions in a VPC have, and each role that they take from there, every action needs an endpoint of the
account whose VPC it is, and a statement of that endpoint's policy that names the action.
"""

from __future__ import annotations

import fnmatch
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.loop.conftest import Loop
from tests.templates.library import REPOSITORY, Template, listed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("loop")]

ACCOUNTS = ("111111111111", "222222222222", "333333333333")
# Where an action's endpoint is not called as its prefix is: the longest pattern that fits decides.
DOORS: dict[str, tuple[str, ...]] = {
    "cloudwatch:*": ("monitoring",),
    "codeartifact:*": ("codeartifact.api",),
    "codeartifact:PublishPackageVersion": ("codeartifact.repositories",),
    "codeartifact:ReadFromRepository": ("codeartifact.repositories",),
    "codecommit:Git*": ("git-codecommit",),
    "ecr:*": ("ecr.api",),
    # The docker protocol, and the bucket in which the layers are.
    "ecr:BatchGetImage": ("ecr.api", "ecr.dkr", "s3"),
    "ecr:PutImage": ("ecr.api", "ecr.dkr", "s3"),
    "sagemaker:*": ("sagemaker.api",),
    "sagemaker-mlflow:*": ("experiments",),
    "sagemaker:*Record": ("sagemaker.featurestore-runtime",),
    "sagemaker:BatchPutMetrics": ("sagemaker.metrics",),
    "sagemaker:InvokeEndpoint*": ("sagemaker.runtime",),
}
# CodeBuild and Lambda attach the interface themselves, from outside, before any code runs in the VPC.
ATTACHING = {
    "ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface",
    "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A call that succeeded: who (account and role), what, on what."""

    account: str
    role: str
    action: str
    resource: str = "*"


def needed(action: str) -> tuple[str, ...]:
    """The endpoints that a call goes through, by what their names end with."""
    fitting = [pattern for pattern in DOORS if fnmatch.fnmatchcase(action, pattern)]
    return DOORS[max(fitting, key=len)] if fitting else (action.partition(":")[0],)


def placed(calls: Iterable[Call], roles: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], set[str]]:
    """(account, role) → the accounts in whose VPCs it acts: its own place, and those that it is taken from."""
    places = {role: {account} for role, account in roles.items()}
    taken = [call for call in calls if call.action == "sts:AssumeRole"]
    while True:
        before = sum(map(len, places.values()))
        for call in taken:
            role = call.resource.split(":")[4], call.resource.rsplit("/", 1)[-1]
            places.setdefault(role, set()).update(places.get((call.account, call.role), set()))
        if sum(map(len, places.values())) == before:
            return places


def shut(
    calls: Iterable[Call],
    places: Mapping[tuple[str, str], set[str]],
    doors: Mapping[str, set[str]],
    fences: Mapping[str, list[str]],
) -> set[str]:
    """Calls that would not have got out, as text.

    Args:
        doors: account → endings of the service names of its endpoints.
        fences: ending → actions that the endpoint's policy names.
    """
    found = set()
    for call in calls:
        if call.action in ATTACHING:
            continue
        for account in places.get((call.account, call.role), ()):
            for door in needed(call.action):
                who = f"{call.role} ({call.account}) in the VPC of {account}: {call.action}"
                if door not in doors[account]:
                    found.add(f"{who} needs an endpoint of {door}")
                elif door == needed(call.action)[0] and not any(
                    fnmatch.fnmatchcase(call.action, pattern) for pattern in fences.get(door, [])
                ):
                    found.add(f"{who} is not let through by the endpoint of {door}")
    return found


def recorded(loop: Loop) -> list[Call]:
    """Every successful call by a role, once each."""
    database = sqlite3.connect(f"file:{loop.cloud.home / 'localcloud.sqlite'}?mode=ro", uri=True)
    rows = database.execute("SELECT DISTINCT principal, action, resource FROM call WHERE status < 400").fetchall()
    return [
        Call(principal.split(":")[4], principal.split("/")[1], action, resource)
        for principal, action, resource in rows
        if ":assumed-role/" in principal and " " not in action
    ]


def within(loop: Loop, account: str) -> set[str]:
    """Roles of the builds, jobs, models and functions that are in the account's VPC."""
    admin = loop.admin(account)
    codebuild, functions, sagemaker = (admin.client(name) for name in ("codebuild", "lambda", "sagemaker"))
    arns = set()
    if names := codebuild.list_projects()["projects"]:
        projects = codebuild.batch_get_projects(names=names)["projects"]
        arns |= {one["serviceRole"] for one in projects if one.get("vpcConfig", {}).get("vpcId")}
    arns |= {
        one["Role"] for one in functions.list_functions()["Functions"] if one.get("VpcConfig", {}).get("SubnetIds")
    }
    for kind, plural in (("TrainingJob", "training_jobs"), ("ProcessingJob", "processing_jobs"), ("Model", "models")):
        listing = getattr(sagemaker, f"list_{plural}")()
        for summary in next(value for value in listing.values() if isinstance(value, list)):
            name = f"{kind}Name"
            one = getattr(sagemaker, f"describe_{plural[:-1]}")(**{name: summary[name]})
            network: dict[str, Any] = one.get("NetworkConfig", {})
            if one.get("VpcConfig") or network.get("VpcConfig"):
                arns.add(one.get("RoleArn") or one["ExecutionRoleArn"])
    return {arn.rsplit("/", 1)[-1] for arn in arns}


def doors_of(loop: Loop, account: str) -> set[str]:
    """What the names of the account's endpoints end with, e.g. ecr.api."""
    endpoints = loop.admin(account).client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    return {one["ServiceName"].split(".", 3)[3] for one in endpoints}


def fences_of(template: str) -> dict[str, list[str]]:
    """Ending of an endpoint's name → the actions that its policy names, as its template says."""
    found = {}
    text = (REPOSITORY / "cfn" / template).read_text(encoding="utf-8")
    for _, properties in Template(template, text).of("AWS::EC2::VPCEndpoint"):
        name = properties["ServiceName"]
        ending = name["Fn::Join"][1][2] if "Fn::Join" in name else name["Fn::Sub"].split("}.")[1]
        found[ending] = [
            action for statement in properties["PolicyDocument"]["Statement"] for action in listed(statement["Action"])
        ]
    return found


def test_what_was_called_from_a_private_subnet_has_an_endpoint(loop: Loop) -> None:
    """Protects builds and jobs on AWS from hanging on a service that they cannot reach."""
    calls = recorded(loop)
    roles = {(account, role): account for account in ACCOUNTS for role in within(loop, account)}
    places = placed(calls, roles)
    doors = {account: doors_of(loop, account) for account in ACCOUNTS}
    judged = [call for call in calls if (call.account, call.role) in places]
    assert len(judged) > 50, "too few calls from within were recorded to say anything"
    assert {account for account, _ in roles} == set(ACCOUNTS), "an account has nothing in its VPC"
    assert ("222222222222", "slipway-release-verifier-staging") in places, "the roles that builds take are not followed"
    problems = shut(calls, places, doors, fences_of("endpoints.yaml"))
    assert not problems, "\n".join(sorted(problems))


def test_a_missing_endpoint_is_found() -> None:
    """Shows that the judgement above can fail: no endpoint, one that is fenced, and from a role that is taken."""
    one, two = ACCOUNTS[:2]
    calls = [
        Call(one, "build", "ssm:GetParameter"),
        Call(one, "build", "sts:AssumeRole", f"arn:aws:iam::{two}:role/verifier"),
        Call(two, "verifier", "sagemaker:InvokeEndpoint"),
        Call(one, "build", "ec2:CreateNetworkInterface"),
        Call(one, "person", "athena:StartQueryExecution"),
    ]
    places = placed(calls, {(one, "build"): one})
    assert places[two, "verifier"] == {one}
    open_all = {"ssm": ["ssm:*"], "sts": ["sts:*"], "sagemaker.runtime": ["sagemaker:*"]}
    assert not shut(calls, places, {one: set(open_all)}, open_all)
    (missing,) = shut(calls, places, {one: {"ssm", "sts", "sagemaker.api"}}, open_all)
    assert missing.endswith("needs an endpoint of sagemaker.runtime")
    assert f"in the VPC of {one}" in missing
    (fenced,) = shut(calls, places, {one: set(open_all)}, {**open_all, "ssm": ["ssm:PutParameter"]})
    assert fenced.endswith("is not let through by the endpoint of ssm")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("kms:Decrypt", ("kms",)),
        ("codecommit:GitPull", ("git-codecommit",)),
        ("codecommit:GetBranch", ("codecommit",)),
        ("codecommit:CreateCommit", ("codecommit",)),
        ("codeartifact:GetAuthorizationToken", ("codeartifact.api",)),
        ("ecr:PutImage", ("ecr.api", "ecr.dkr", "s3")),
        ("sagemaker:PutRecord", ("sagemaker.featurestore-runtime",)),
        ("glue:GetTable", ("glue",)),
    ],
)
def test_an_action_goes_through_its_endpoint(action: str, expected: tuple[str, ...]) -> None:
    """Protects the table that the judgement reads."""
    assert needed(action) == expected
