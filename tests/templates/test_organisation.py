"""The organisation's policies are what AWS takes, refuse what they are for, and let the platform work."""

from __future__ import annotations

import json
from typing import Any

import parliament
import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from tests.templates.library import REPOSITORY, listed

FOLDER = REPOSITORY / "cfn" / "organisation"
POLICIES = sorted(FOLDER.glob("*.json"))
MAXIMUM_SIZE = 5120  # characters of a service control policy, blanks included
MAXIMUM_ATTACHED = 5  # to a unit, FullAWSAccess included

ACCOUNT = "123456789012"
PERSON = f"arn:aws:iam::{ACCOUNT}:role/slipway-FullStackDeveloper"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:role/slipway-platform-deployer"
ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:role/OrganizationAccountAccessRole"
SOUND = {
    "sagemaker:VpcSubnets": ["subnet-1"],
    "sagemaker:VolumeKmsKey": "arn:aws:kms:eu-west-1:123456789012:key/1",
    "sagemaker:InstanceTypes": ["ml.m5.large"],
}


def test_there_are_as_many_as_can_be_attached() -> None:
    assert 0 < len(POLICIES) < MAXIMUM_ATTACHED


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_it_is_a_policy_that_an_organisation_takes(path: Any) -> None:
    """Size, elements and effect: Organizations refuses any other."""
    text = path.read_text(encoding="utf-8")
    assert len(text) <= MAXIMUM_SIZE
    policy = json.loads(text)
    assert policy["Version"] == "2012-10-17"
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(sids) == len(set(sids))
    for statement in policy["Statement"]:
        assert set(statement) <= {"Sid", "Effect", "Action", "NotAction", "Resource", "Condition"}
        assert (statement["Effect"], statement["Resource"]) == ("Deny", "*")
        for action in listed(statement.get("Action", statement.get("NotAction"))):
            assert action == "*" or "*" not in action.rstrip("*"), action


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_its_actions_and_keys_exist(path: Any) -> None:
    """A misspelt action refuses nothing, and nobody notices."""
    found = parliament.analyze_policy_string(path.read_text(encoding="utf-8"), filepath=path.name).findings
    known = {"RESOURCE_STAR", "DUPLICATE_ACTION"}
    assert not [f"{item.issue} {item.detail} {item.location}" for item in found if item.issue not in known]


def test_parliament_would_find_something() -> None:
    text = (
        (FOLDER / "audit.json").read_text(encoding="utf-8").replace("cloudtrail:StopLogging", "cloudtrail:StopLoging")
    )
    assert "UNKNOWN_ACTION" in {item.issue for item in parliament.analyze_policy_string(text).findings}


def refused(
    action: str, principal: str = PERSON, region: str = "eu-west-1", context: dict[str, Any] | None = None
) -> bool:
    """Whether one of the policies refuses what the account itself allows."""
    keys = {key.lower(): value for key, value in (context or {}).items()}
    asked = EvalContext(principal, "AssumedRole", ACCOUNT, action, "*", region, service_context=keys)
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    documents = [allow, *(json.loads(path.read_text(encoding="utf-8")) for path in POLICIES)]
    return bool(evaluate(asked, [parse_policy_document(document) for document in documents]).decision != "Allow")


@pytest.mark.parametrize(
    "action",
    [
        "organizations:LeaveOrganization", "cloudtrail:StopLogging", "cloudtrail:DeleteTrail",
        "config:StopConfigurationRecorder", "guardduty:DeleteDetector", "access-analyzer:DeleteAnalyzer",
        "ec2:CreateInternetGateway", "ec2:AttachInternetGateway", "ec2:CreateNatGateway",
        "ec2:CreateVpcPeeringConnection",
    ],
)  # fmt: skip
def test_nobody_in_the_account_does_this(action: str) -> None:
    assert refused(action)
    assert refused(action, DEPLOYER)


def test_who_deploys_the_audit_can_change_it_and_never_leave() -> None:
    assert not refused("cloudtrail:UpdateTrail", ADMINISTRATOR)
    person = (
        f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_AuditAdministrator_0a"
    )
    assert not refused("config:PutConfigurationRecorder", person)
    assert refused("organizations:LeaveOrganization", ADMINISTRATOR)


def test_root_does_nothing() -> None:
    assert refused("s3:ListAllMyBuckets", f"arn:aws:iam::{ACCOUNT}:root")


def test_only_named_regions_are_used() -> None:
    assert refused("s3:CreateBucket", region="us-east-2")
    assert not refused("iam:CreateRole", region="us-east-1")  # services that answer from one region for all
    assert not refused("s3:CreateBucket")


@pytest.mark.parametrize("missing", ["sagemaker:VpcSubnets", "sagemaker:VolumeKmsKey"])
@pytest.mark.parametrize("action", ["CreateTrainingJob", "CreateProcessingJob", "CreateHyperParameterTuningJob"])
def test_jobs_are_in_a_vpc_and_under_a_key(action: str, missing: str) -> None:
    assert not refused(f"sagemaker:{action}", context=SOUND)
    assert refused(f"sagemaker:{action}", context={key: value for key, value in SOUND.items() if key != missing})


def test_a_type_with_local_storage_needs_no_key_and_hides_no_other() -> None:
    """SageMaker refuses a key for these types; a policy that wants one would forbid them."""
    local = {"sagemaker:VpcSubnets": ["subnet-1"], "sagemaker:InstanceTypes": ["ml.g5.xlarge"]}
    assert not refused("sagemaker:CreateTrainingJob", context=local)
    local["sagemaker:InstanceTypes"].append("ml.m5.large")
    assert refused("sagemaker:CreateTrainingJob", context=local)


def test_notebooks_and_studio_stay_off_the_internet() -> None:
    sound = {**SOUND, "sagemaker:DirectInternetAccess": "Disabled", "sagemaker:RootAccess": "Disabled"}
    assert not refused("sagemaker:CreateNotebookInstance", context=sound)
    assert refused("sagemaker:CreateNotebookInstance", context={**sound, "sagemaker:DirectInternetAccess": "Enabled"})
    assert refused("sagemaker:CreateNotebookInstance", context={**sound, "sagemaker:RootAccess": "Enabled"})
    assert refused("sagemaker:CreateDomain", context={"sagemaker:AppNetworkAccessType": "PublicInternetOnly"})
    assert not refused("sagemaker:CreateDomain", context={"sagemaker:AppNetworkAccessType": "VpcOnly"})
