"""The local cloud as a whole: identities, errors on the wire, restarts, CloudFormation, records of calls."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import REGION, LocalCloud

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRole"}],
}


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def stack_status(cloudformation: Any, name: str) -> str:
    for _ in range(400):
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return str(stack["StackStatus"])
        time.sleep(0.05)
    raise AssertionError(f"{name} does not end")


def test_an_unknown_access_key_is_refused_by_every_service(cloud: LocalCloud) -> None:
    """Protects against code that works here with any key and fails on AWS."""
    for service, call in (
        ("s3", "list_buckets"),
        ("sts", "get_caller_identity"),
        ("codepipeline", "list_pipelines"),
        ("ssm", "describe_parameters"),
    ):
        with pytest.raises(ClientError) as error:
            getattr(cloud.client(service, access_key="AKIAIOSFODNN7EXAMPLE"), call)()
        assert code(error) in {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}


def test_an_unsigned_request_is_refused(cloud: LocalCloud) -> None:
    """Protects the wire: no identity, no answer."""
    out = subprocess.run(
        ["curl", "-s", "-X", "POST", "-H", "X-Amz-Target: CodePipeline_20150709.ListPipelines", cloud.endpoint],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "pipelines" not in out.stdout


def test_accounts_do_not_see_each_other(cloud: LocalCloud) -> None:
    """Protects tenants: the same name in two accounts is two things."""
    for account in ("111111111111", "222222222222"):
        cloud.client("codecommit", account).create_repository(repositoryName="tenants", repositoryDescription=account)
    for account in ("111111111111", "222222222222"):
        found = cloud.client("codecommit", account).get_repository(repositoryName="tenants")["repositoryMetadata"]
        assert found["accountId"] == account
        assert found["Arn"] == f"arn:aws:codecommit:{REGION}:{account}:tenants"


def test_an_assumed_role_acts_in_its_own_account(cloud: LocalCloud) -> None:
    """Protects cross-account releases: STS credentials decide account and principal."""
    cloud.client("iam", "222222222222").create_role(RoleName="visitor", AssumeRolePolicyDocument=json.dumps(TRUST))
    session = cloud.client("sts").assume_role(RoleArn="arn:aws:iam::222222222222:role/visitor", RoleSessionName="me")[
        "Credentials"
    ]
    keys = {
        "access_key": session["AccessKeyId"],
        "secret_key": session["SecretAccessKey"],
        "token": session["SessionToken"],
    }
    identity = cloud.client("sts", **keys).get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::222222222222:assumed-role/visitor/me"
    made = cloud.client("codecommit", **keys).create_repository(repositoryName="by-visitor")["repositoryMetadata"]
    assert made["accountId"] == "222222222222"


def test_bad_input_gets_the_services_own_error(cloud: LocalCloud) -> None:
    """Protects error handling: codes are AWS's, and the message names member and constraint."""
    with pytest.raises(ClientError) as error:
        cloud.client("codecommit").get_repository(repositoryName="nowhere")
    assert code(error) == "RepositoryDoesNotExistException"
    out = subprocess.run(
        [sys.executable, "-m", "awscli", "codepipeline", "get-pipeline", "--name", "nowhere"],
        env=cloud.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode != 0
    assert "PipelineNotFoundException" in out.stderr


def test_what_is_not_served_is_refused_by_name(cloud: LocalCloud) -> None:
    """Protects against pretended success."""
    with pytest.raises(ClientError) as error:
        cloud.client("codecommit").put_comment_reaction(commentId="x", reactionValue=":thumbsup:")
    assert code(error) == "NotImplemented"
    assert "PutCommentReaction is not served by the local cloud" in str(error.value)


def test_a_template_with_a_type_that_is_not_served_makes_nothing(cloud: LocalCloud) -> None:
    """Protects against half-made stacks."""
    body = {"Resources": {"A": {"Type": "AWS::S3::Bucket"}, "B": {"Type": "AWS::GameLift::Fleet"}}}
    with pytest.raises(ClientError) as error:
        cloud.client("cloudformation").create_stack(StackName="unserved", TemplateBody=json.dumps(body))
    assert "AWS::GameLift::Fleet" in str(error.value)
    with pytest.raises(ClientError):
        cloud.client("cloudformation").describe_stacks(StackName="unserved")


def test_a_failed_resource_rolls_the_stack_back_with_the_services_reason(cloud: LocalCloud) -> None:
    """Protects launches: the reason is the API's own message, and nothing is left."""
    cloud.client("codecommit").create_repository(repositoryName="taken")
    body = {
        "Resources": {
            "First": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": "made-first"}},
            "Second": {
                "Type": "AWS::CodeCommit::Repository",
                "Properties": {"RepositoryName": "taken"},
                "DependsOn": "First",
            },
        }
    }
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName="rolls-back", TemplateBody=json.dumps(body))
    assert stack_status(cloudformation, "rolls-back") == "ROLLBACK_COMPLETE"
    reasons = [
        event.get("ResourceStatusReason", "")
        for event in cloudformation.describe_stack_events(StackName="rolls-back")["StackEvents"]
    ]
    assert any("RepositoryNameExistsException" in reason for reason in reasons)
    names = [item["repositoryName"] for item in cloud.client("codecommit").list_repositories()["repositories"]]
    assert "made-first" not in names
    assert "taken" in names


def test_everything_acknowledged_survives_kill_minus_nine(own_cloud: LocalCloud) -> None:
    """Protects users' work: ministack's services and ours come back as they were."""
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="survivor", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="survivor", Key="object", Body=b"content")
    own_cloud.client("ssm").put_parameter(Name="/survivor", Value="yes", Type="String")
    own_cloud.client("codecommit").create_repository(repositoryName="survivor")
    own_cloud.client("iam").create_role(RoleName="survivor", AssumeRolePolicyDocument=json.dumps(TRUST))
    session = own_cloud.client("sts").assume_role(
        RoleArn="arn:aws:iam::111111111111:role/survivor", RoleSessionName="me"
    )["Credentials"]
    body = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "survivor"}}}}
    own_cloud.client("cloudformation").create_stack(StackName="survivor", TemplateBody=json.dumps(body))
    assert stack_status(own_cloud.client("cloudformation"), "survivor") == "CREATE_COMPLETE"
    own_cloud.kill()
    own_cloud.start()
    assert s3.get_object(Bucket="survivor", Key="object")["Body"].read() == b"content"
    assert own_cloud.client("ssm").get_parameter(Name="/survivor")["Parameter"]["Value"] == "yes"
    own_cloud.client("codecommit").get_repository(repositoryName="survivor")
    assert stack_status(own_cloud.client("cloudformation"), "survivor") == "CREATE_COMPLETE"
    identity = own_cloud.client(
        "sts", access_key=session["AccessKeyId"], secret_key=session["SecretAccessKey"], token=session["SessionToken"]
    ).get_caller_identity()
    assert identity["Arn"].endswith("assumed-role/survivor/me")


def test_every_call_is_recorded_with_principal_action_and_outcome(own_cloud: LocalCloud) -> None:
    """Protects the replay against policies, which is only as complete as the record."""
    own_cloud.client("codecommit").create_repository(repositoryName="recorded")
    own_cloud.client("ssm").put_parameter(Name="/recorded", Value="x", Type="String")
    with pytest.raises(ClientError):
        own_cloud.client("codecommit").get_repository(repositoryName="missing")
    own_cloud.stop()
    database = sqlite3.connect(own_cloud.home / "localcloud.sqlite")
    rows = database.execute("SELECT principal, action, status, error FROM call").fetchall()
    own_cloud.start()
    root = "arn:aws:iam::111111111111:root"
    assert (root, "codecommit:CreateRepository", 200, "") in rows
    assert (root, "ssm:PutParameter", 200, "") in rows
    assert (root, "codecommit:GetRepository", 400, "RepositoryDoesNotExistException") in rows


def test_a_taken_port_is_said_before_anything_is_touched(cloud: LocalCloud, tmp_path: Any) -> None:
    """Protects a second start: cause and mend, not a traceback."""
    out = subprocess.run(
        [sys.executable, "-m", "localcloud", "--home", str(tmp_path / "home"), "--port", str(cloud.port), "up"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode == 1
    assert f"port {cloud.port} on 127.0.0.1 is in use" in out.stderr
    assert "LOCALCLOUD_PORT" in out.stderr
    assert not (tmp_path / "home").exists()
