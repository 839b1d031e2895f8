"""The record of calls: who did what on which resources, under which conditions, and what services did as a role."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.calls import awaited, record
from tests.localcloud.conftest import REGION, LocalCloud
from tests.localcloud.test_core import stack_status

ACCOUNT = "111111111111"


def trust(who: dict[str, str]) -> str:
    statement = {"Effect": "Allow", "Principal": who, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def session(cloud: LocalCloud, name: str, tags: dict[str, str]) -> dict[str, str]:
    """The keys of a session with tags."""
    cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))
    answer = cloud.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", RoleSessionName="me",
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )["Credentials"]  # fmt: skip
    return {
        "access_key": answer["AccessKeyId"], "secret_key": answer["SecretAccessKey"], "token": answer["SessionToken"],
    }  # fmt: skip


def test_resources_tags_and_session_tags_are_recorded(cloud: LocalCloud) -> None:
    """Protects conditions: policies go by the tags of the request and of the principal."""
    keys = session(cloud, "tagger", {"Project": "p"})
    client = cloud.client("codecommit", **keys)
    client.create_repository(repositoryName="tagged", tags={"Project": "p"})
    found = awaited(lambda: record(cloud, action="codecommit:CreateRepository", principal=principal("tagger")))[0]
    assert found["resource"] == f"arn:aws:codecommit:{REGION}:{ACCOUNT}:tagged"
    assert found["context"]["keys"] == {"aws:RequestTag/Project": "p", "aws:TagKeys": ["Project"]}
    assert found["context"]["session_tags"] == {"Project": "p"}


def principal(role: str, session_name: str = "me") -> str:
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session_name}"


def test_what_s3_and_ssm_are_told_is_recorded(cloud: LocalCloud) -> None:
    """Protects bucket policies on encryption, listings by prefix, and parameters by path."""
    s3, ssm = cloud.client("s3"), cloud.client("ssm")
    s3.create_bucket(Bucket="told", CreateBucketConfiguration={"LocationConstraint": REGION})
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket="told", Key="a", Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    s3.list_objects_v2(Bucket="told", Prefix="curated/")
    ssm.get_parameters_by_path(Path="/a/b/")
    put = awaited(lambda: record(cloud, action="s3:PutObject", resource="arn:aws:s3:::told/a"))[0]["context"]["keys"]
    assert put["s3:x-amz-server-side-encryption"] == "aws:kms"
    assert put["s3:x-amz-server-side-encryption-aws-kms-key-id"] == key
    listed = awaited(lambda: record(cloud, action="s3:ListBucket", resource="arn:aws:s3:::told"))[0]
    assert listed["context"]["keys"] == {"s3:prefix": "curated/"}
    path = awaited(lambda: record(cloud, action="ssm:GetParametersByPath"))[-1]
    place = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/a/b"
    assert path["context"]["resources"] == [f"{place}/", place]


def test_a_stack_makes_its_resources_as_its_role(cloud: LocalCloud) -> None:
    """Protects the judgement of roles of stacks: with RoleARN that role calls, without it who asked for the stack."""
    iam = cloud.client("iam")
    role = iam.create_role(
        RoleName="stacks", AssumeRolePolicyDocument=trust({"Service": "cloudformation.amazonaws.com"})
    )["Role"]["Arn"]
    keys = session(cloud, "asker", {})
    for number, given in enumerate(({"RoleARN": role}, {})):
        body = {"Resources": {"Code": {
            "Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": f"stacked-{number}"},
        }}}  # fmt: skip
        client = cloud.client("cloudformation", **keys)
        client.create_stack(StackName=f"acting-{number}", TemplateBody=json.dumps(body), **given)
        assert stack_status(client, f"acting-{number}") == "CREATE_COMPLETE"
    for number, who in enumerate((principal("stacks", "AWSCloudFormation"), principal("asker"))):
        resource = f"arn:aws:codecommit:{REGION}:{ACCOUNT}:stacked-{number}"
        calls = awaited(lambda at=resource: record(cloud, action="codecommit:CreateRepository", resource=at))  # type: ignore[misc]
        assert [call["principal"] for call in calls] == [who]
    service = "cloudformation.amazonaws.com"
    taken = awaited(lambda: record(cloud, action="sts:AssumeRole", principal=service, resource=role))[0]
    assert taken["context"]["keys"]["aws:SourceAccount"] == ACCOUNT
    assert ":stack/acting-0/" in taken["context"]["keys"]["aws:SourceArn"]
    asked = awaited(lambda: record(cloud, action="cloudformation:CreateStack", principal=principal("asker")))[0]
    assert asked["context"]["keys"]["cloudformation:RoleArn"] == role
    assert [item["action"] for item in asked["context"]["implied"]] == ["iam:PassRole"]


def test_a_role_that_does_not_trust_cloudformation_makes_nothing(cloud: LocalCloud) -> None:
    """Protects against roles that AWS would refuse: the stack fails with STS's reason."""
    role = cloud.client("iam").create_role(RoleName="shy", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))["Role"]
    body = {"Resources": {"Code": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": "never"}}}}
    client = cloud.client("cloudformation")
    client.create_stack(StackName="shy", TemplateBody=json.dumps(body), RoleARN=role["Arn"])
    assert stack_status(client, "shy") == "ROLLBACK_COMPLETE"
    reasons = [
        event.get("ResourceStatusReason", "") for event in client.describe_stack_events(StackName="shy")["StackEvents"]
    ]
    assert any("not authorized to perform: sts:AssumeRole" in reason for reason in reasons)


def test_a_stack_whose_role_is_gone_is_deleted_with_another_alone(cloud: LocalCloud) -> None:
    """Protects removals on AWS, where CloudFormation refuses a role that is no more: another one has to be named."""
    iam, client = cloud.client("iam"), cloud.client("cloudformation")
    document = trust({"Service": "cloudformation.amazonaws.com"})
    first, second = (
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"] for name in ("gone", "stands")
    )
    body = {"Resources": {"Code": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": "orphan"}}}}
    client.create_stack(StackName="orphan", TemplateBody=json.dumps(body), RoleARN=first)
    assert stack_status(client, "orphan") == "CREATE_COMPLETE"
    iam.delete_role(RoleName="gone")
    stack = client.describe_stacks(StackName="orphan")["Stacks"][0]["StackId"]
    for name in ("orphan", stack):
        with pytest.raises(ClientError, match=rf"Role {first} is invalid or cannot be assumed"):
            client.delete_stack(StackName=name)
    assert stack_status(client, "orphan") == "CREATE_COMPLETE"
    client.delete_stack(StackName="orphan", RoleARN=second)
    assert stack_status(client, stack) == "DELETE_COMPLETE"


def test_a_function_works_as_its_role(cloud: LocalCloud) -> None:
    """Protects the judgement of functions: what their code calls is called by their role."""
    role = cloud.client("iam").create_role(
        RoleName="function", AssumeRolePolicyDocument=trust({"Service": "lambda.amazonaws.com"})
    )["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as bundle:
        bundle.writestr("code.py", (
            "import boto3\ndef handler(event, context):\n"
            "    return boto3.client('sts').get_caller_identity()['Arn']\n"
        ))  # fmt: skip
    client = cloud.client("lambda")
    client.create_function(
        FunctionName="who", Runtime="python3.12", Handler="code.handler", Role=role, Code={"ZipFile": code.getvalue()}
    )
    answer = client.invoke(FunctionName="who")
    assert json.loads(answer["Payload"].read()) == principal("function", "who")
    taken = awaited(lambda: record(cloud, principal="lambda.amazonaws.com", resource=role))[0]
    assert taken["context"]["keys"]["aws:SourceArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:who"


def test_what_fails_is_recorded_with_its_resource(cloud: LocalCloud) -> None:
    """Protects the judgement of failed calls: IAM is asked before the service finds that something is missing."""
    client = cloud.client("sagemaker")
    with pytest.raises(client.exceptions.ClientError):
        client.describe_endpoint(EndpointName="not-there")
    resource = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/not-there"
    assert awaited(lambda: record(cloud, resource=resource))[0]["status"] == 400


def test_a_stack_keeps_boundaries_and_encryption(cloud: LocalCloud) -> None:
    """Protects the judgement: without a role's boundary and a bucket's key, half of the policies are never asked."""
    iam, s3 = cloud.client("iam"), cloud.client("s3")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    boundary = iam.create_policy(PolicyName="edge", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    rule = {
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
        "BucketKeyEnabled": True,
    }
    role: dict[str, Any] = {
        "RoleName": "edged", "PermissionsBoundary": boundary,
        "AssumeRolePolicyDocument": json.loads(trust({"AWS": ACCOUNT})),
    }  # fmt: skip
    bucket = {"BucketName": "edged", "BucketEncryption": {"ServerSideEncryptionConfiguration": [rule]}}
    body = {"Resources": {
        "Role": {"Type": "AWS::IAM::Role", "Properties": role},
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": bucket},
    }}  # fmt: skip
    client = cloud.client("cloudformation")
    client.create_stack(StackName="edged", TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_NAMED_IAM"])
    assert stack_status(client, "edged") == "CREATE_COMPLETE"
    assert iam.get_role(RoleName="edged")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    kept = s3.get_bucket_encryption(Bucket="edged")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert kept["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    del role["PermissionsBoundary"]
    client.update_stack(StackName="edged", TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_NAMED_IAM"])
    assert stack_status(client, "edged") == "UPDATE_COMPLETE"
    assert "PermissionsBoundary" not in iam.get_role(RoleName="edged")["Role"]
