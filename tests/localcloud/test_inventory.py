"""`localcloud resources`: what is made is listed, what is deleted is not, and what was forgotten is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.inventory import DEFAULT, HISTORY, NotRunning, Resource, resources
from tests.localcloud.conftest import PRODUCTION, REGION, STAGING, TOOLING, LocalCloud, free_port
from tests.localcloud.test_account_types import reasons, settled

SERVICES = ("lambda.amazonaws.com", "codebuild.amazonaws.com", "scheduler.amazonaws.com", "states.amazonaws.com")
BUILDSPEC = "version: 0.2\nphases: {build: {commands: [pwd]}}\n"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A cloud of one's own: the tests look at everything that it holds."""
    running = LocalCloud(tmp_path_factory.mktemp("inventory") / "home", free_port())
    running.start()
    yield running
    running.stop()


def at(name: str, attribute: str = "Arn") -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def many() -> dict[str, tuple[str, dict[str, Any], str]]:
    """Logical id → (type, properties, "service kind" that lists it; "" where it is a part of another)."""
    vpc, role, queue = {"Ref": "Vpc"}, at("Role"), at("Queue")
    assumed = policy({"Effect": "Allow", "Principal": {"Service": list(SERVICES)}, "Action": "sts:AssumeRole"})
    root = {"AWS": f"arn:aws:iam::{TOOLING}:root"}
    everything = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    target = {"Arn": queue, "RoleArn": role}
    environment = {
        "Type": "LINUX_CONTAINER", "Image": "aws/codebuild/standard:7.0", "ComputeType": "BUILD_GENERAL1_SMALL"
    }  # fmt: skip
    alarm = {
        "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "MetricName": "a", "Namespace": "b",
        "Period": 60, "Statistic": "Sum", "Threshold": 1,
    }  # fmt: skip
    budget = {
        "BudgetName": "b", "BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": 1, "Unit": "USD"}
    }  # fmt: skip
    return {
        "Vpc": ("AWS::EC2::VPC", {"CidrBlock": "10.0.0.0/16"}, "ec2 vpcs"),
        "Subnet": ("AWS::EC2::Subnet", {"VpcId": vpc, "CidrBlock": "10.0.0.0/24"}, "ec2 subnets"),
        "Routes": ("AWS::EC2::RouteTable", {"VpcId": vpc}, "ec2 route_tables"),
        "Group": ("AWS::EC2::SecurityGroup", {"VpcId": vpc, "GroupDescription": "x"}, "ec2 security_groups"),
        "Gateway": (
            "AWS::EC2::VPCEndpoint",
            {"VpcId": vpc, "ServiceName": f"com.amazonaws.{REGION}.s3", "RouteTableIds": [{"Ref": "Routes"}]},
            "ec2 vpc_endpoints",
        ),
        "Acl": ("AWS::EC2::NetworkAcl", {"VpcId": vpc}, "ec2 network_acls"),
        "Role": ("AWS::IAM::Role", {"AssumeRolePolicyDocument": assumed}, "iam roles"),
        "Policy": (
            "AWS::IAM::ManagedPolicy",
            {
                "Roles": [{"Ref": "Role"}],
                "PolicyDocument": policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}),
            },
            "iam policies",
        ),
        "Key": ("AWS::KMS::Key", {"KeyPolicy": policy(everything)}, "kms keys"),
        "Alias": ("AWS::KMS::Alias", {"AliasName": "alias/x", "TargetKeyId": {"Ref": "Key"}}, "kms aliases"),
        "Bucket": ("AWS::S3::Bucket", {"VersioningConfiguration": {"Status": "Enabled"}}, "s3 buckets"),
        "Function": (
            "AWS::Lambda::Function",
            {"Handler": "index.h", "Runtime": "python3.12", "Role": role, "Code": {"ZipFile": "def h(e, c): ..."}},
            "lambda functions",
        ),
        "Queue": ("AWS::SQS::Queue", {}, "sqs queues"),
        "Mapping": (
            "AWS::Lambda::EventSourceMapping", {"FunctionName": {"Ref": "Function"}, "EventSourceArn": queue},
            "lambda esms",
        ),
        "Topic": ("AWS::SNS::Topic", {}, "sns topics"),
        "Rule": (
            "AWS::Events::Rule", {"EventPattern": {"source": ["x"]}, "Targets": [{"Id": "a", "Arn": queue}]},
            "events rules",
        ),
        "Parameter": ("AWS::SSM::Parameter", {"Type": "String", "Value": "x"}, "ssm parameters"),
        "Secret": ("AWS::SecretsManager::Secret", {"SecretString": "x"}, "secretsmanager secrets"),
        "Logs": ("AWS::Logs::LogGroup", {}, "logs log_groups"),
        "Alarm": ("AWS::CloudWatch::Alarm", alarm, "cloudwatch alarms"),
        "Machine": (
            "AWS::StepFunctions::StateMachine",
            {"RoleArn": role, "DefinitionString": json.dumps({"StartAt": "a", "States": {"a": {"Type": "Succeed"}}})},
            "states state_machines",
        ),
        "Schedule": (
            "AWS::Scheduler::Schedule",
            {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target},
            "scheduler schedules",
        ),
        "Database": (
            "AWS::Glue::Database", {"CatalogId": TOOLING, "DatabaseInput": {"Name": "lake"}}, "glue databases",
        ),
        "Workgroup": ("AWS::Athena::WorkGroup", {"Name": "queries"}, "athena workgroups"),
        "Budget": ("AWS::Budgets::Budget", {"Budget": budget}, "budgets budgets"),
        "Repository": ("AWS::CodeCommit::Repository", {"RepositoryName": "code"}, "codecommit repository"),
        "Images": ("AWS::ECR::Repository", {"RepositoryName": "images"}, "ecr repository"),
        "Build": (
            "AWS::CodeBuild::Project",
            {
                "Name": "build", "ServiceRole": role, "Source": {"Type": "NO_SOURCE", "BuildSpec": BUILDSPEC},
                "Artifacts": {"Type": "NO_ARTIFACTS"}, "Environment": environment,
            },
            "codebuild project",
        ),
        "Packages": ("AWS::CodeArtifact::Domain", {"DomainName": "packages"}, "codeartifact domain"),
        "Portfolio": (
            "AWS::ServiceCatalog::Portfolio", {"DisplayName": "p", "ProviderName": "p"}, "servicecatalog portfolio",
        ),
        "Models": (
            "AWS::SageMaker::ModelPackageGroup", {"ModelPackageGroupName": "models"}, "sagemaker ModelPackageGroup",
        ),
        "Detector": ("AWS::GuardDuty::Detector", {"Enable": True}, "guardduty AWS::GuardDuty::Detector"),
    }  # fmt: skip


def command(cloud: LocalCloud, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localcloud", "--home", str(cloud.home), "resources", *arguments],
        capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip


def test_what_an_untouched_account_holds_is_left_out(alone: LocalCloud) -> None:
    """Nothing is listed at first; default networks, in any region, only when everything is asked for."""
    import boto3

    boto3.client(
        "ec2", endpoint_url=alone.endpoint, region_name="us-east-1", aws_access_key_id=STAGING,
        aws_secret_access_key="test",
    ).describe_vpcs()  # fmt: skip
    alone.client("athena").list_work_groups()
    alone.client("events").list_event_buses()
    assert resources(alone.home) == []
    everything = resources(alone.endpoint, everything=True)
    networks = {(one.account, one.region) for one in everything if one.kind == "vpcs"}
    assert (STAGING, "us-east-1") in networks
    assert {one.state for one in everything} <= {DEFAULT, HISTORY}


def test_all_that_is_made_is_listed_until_it_is_deleted(alone: LocalCloud) -> None:
    """Each resource of a stack of thirty kinds is listed under its account and region, and none after its deletion."""
    cloudformation = alone.client("cloudformation")
    body = {"Resources": {name: {"Type": kind, "Properties": given} for name, (kind, given, _) in many().items()}}
    stack = cloudformation.create_stack(
        StackName="many", TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_IAM"]
    )["StackId"]
    assert settled(cloudformation, stack)["StackStatus"] == "CREATE_COMPLETE", reasons(cloudformation, stack)
    found = resources(alone.home)
    assert {(one.account, one.region) for one in found} == {(TOOLING, REGION), (TOOLING, "aws-global")}
    listed = {f"{one.service} {one.kind}" for one in found}
    assert {kind for _, _, kind in many().values()} - listed == set()
    assert "cloudformation stacks" in listed
    cloudformation.delete_stack(StackName=stack)
    assert settled(cloudformation, stack)["StackStatus"] == "DELETE_COMPLETE", reasons(cloudformation, stack)
    assert resources(alone.home) == []
    past = {(one.kind, one.state) for one in resources(alone.home, everything=True) if one.state != DEFAULT}
    assert {("stacks", HISTORY), ("keys", HISTORY)} <= past


def test_what_was_forgotten_is_found(alone: LocalCloud) -> None:
    """A leftover of any account, outside of stacks: an object, its old versions, a parameter, a group of logs."""
    assert resources(alone.home) == []
    s3 = alone.client("s3", STAGING)
    s3.create_bucket(Bucket="forgotten", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket="forgotten", VersioningConfiguration={"Status": "Enabled"})
    written = s3.put_object(Bucket="forgotten", Key="a", Body=b"x")["VersionId"]
    marker = s3.delete_object(Bucket="forgotten", Key="a")["VersionId"]
    logs, ssm, codecommit = (
        alone.client("logs", PRODUCTION),
        alone.client("ssm", PRODUCTION),
        alone.client("codecommit"),
    )
    logs.create_log_group(logGroupName="/forgotten")
    ssm.put_parameter(Name="/forgotten", Type="String", Value="x")
    codecommit.create_repository(repositoryName="forgotten")
    found = resources(alone.home)
    assert found == [
        Resource(TOOLING, REGION, "codecommit", "repository", "forgotten"),
        Resource(STAGING, REGION, "s3", "buckets", "forgotten"),
        Resource(STAGING, REGION, "s3", "object-versions", "forgotten (2)"),
        Resource(PRODUCTION, REGION, "logs", "log_groups", "/forgotten"),
        Resource(PRODUCTION, REGION, "ssm", "parameters", "/forgotten"),
    ]
    told = command(alone, "--json")
    assert told.returncode == 0, told.stderr
    assert [Resource(**one) for one in json.loads(told.stdout)] == found
    lines = command(alone).stdout.splitlines()
    assert lines[0].split() == ["ACCOUNT", "REGION", "SERVICE", "KIND", "ID", "STATE"]
    assert len(lines) == 1 + len(found)
    for version in (written, marker):
        s3.delete_object(Bucket="forgotten", Key="a", VersionId=version)
    s3.delete_bucket(Bucket="forgotten")
    logs.delete_log_group(logGroupName="/forgotten")
    ssm.delete_parameter(Name="/forgotten")
    codecommit.delete_repository(repositoryName="forgotten")
    assert resources(alone.home) == []


def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    """An inventory of nothing must not look like an empty one."""
    with pytest.raises(NotRunning, match="no local cloud runs in"):
        resources(tmp_path)
    with pytest.raises(NotRunning, match="no local cloud answers on"):
        resources(f"http://127.0.0.1:{free_port()}")
    told = subprocess.run(
        [sys.executable, "-m", "localcloud", "--home", str(tmp_path), "resources"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (1, "")
    assert "start it with make up" in told.stderr


def test_the_endpoint_is_unsigned_and_plain(alone: LocalCloud) -> None:
    """Other tools read GET /_localcloud/resources: its members are an interface."""
    with urllib.request.urlopen(f"{alone.endpoint}/_localcloud/resources") as answer:
        rows = json.load(answer)["resources"]
    assert rows
    assert set(rows[0]) == {"account", "region", "service", "kind", "id", "state"}
