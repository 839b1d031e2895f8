"""The Studio domain: deployed as told, changed in place, and gone without a trace in the VPC."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
import yaml

from tests.studio.conftest import NAMESPACE, Account
from tests.templates.library import REPOSITORY, Loader

LAYERS = ("packages", "studio-roles", "studio-cleanup", "studio")
MANAGED = "ManagedByAmazonSageMakerResource"


@pytest.fixture(scope="module")
def studio(account: Account) -> Account:
    for layer in LAYERS:
        account.deploy(layer)
    return account


def homes(account: Account) -> list[dict[str, Any]]:
    """The file systems of domains."""
    found = account.client("efs").describe_file_systems()["FileSystems"]
    return [item for item in found if any(tag["Key"] == MANAGED for tag in item["Tags"])]


def groups(account: Account) -> list[str]:
    found = account.client("ec2").describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [account.vpc]}])
    return sorted(group["GroupName"] for group in found["SecurityGroups"])


def test_the_name_of_the_lifecycle_configuration_is_the_digest_of_its_script() -> None:
    """Protects: a changed script is rolled out; CloudFormation cannot replace a configuration under its old name."""
    template = yaml.load((REPOSITORY / "cfn" / "studio.yaml").read_text(encoding="utf-8"), Loader)
    properties = template["Resources"]["Fn::ForEach::Starts"][2]["${App}Start"]["Properties"]
    script = properties["StudioLifecycleConfigContent"]["Fn::Base64"]["Fn::Sub"]
    digest = hashlib.sha256(script.encode()).hexdigest()[:8]
    assert properties["StudioLifecycleConfigName"]["Fn::Sub"] == f"${{Namespace}}-${{App}}-{digest}"
    assert len(script.encode()) * 4 / 3 < 16384, "SageMaker takes 16 KB of base64"


def test_the_domain_is_as_told(studio: Account) -> None:
    """Protects: people work in the VPC alone, encrypted, named in every call, and what stands idle is stopped."""
    sagemaker = studio.client("sagemaker")
    domain = sagemaker.describe_domain(DomainId=studio.contract("studio/domain-id"))
    assert (domain["AppNetworkAccessType"], domain["VpcId"], domain["AuthMode"]) == ("VpcOnly", studio.vpc, "IAM")
    assert domain["KmsKeyId"] == studio.contract("guardrails/key-arn")
    assert domain["TagPropagation"] == "ENABLED"
    assert domain["DomainSettings"]["DockerSettings"] == {"EnableDockerAccess": "DISABLED"}
    assert domain["DomainSettings"]["ExecutionRoleIdentityConfig"] == "USER_PROFILE_NAME"
    for app in ("JupyterLab", "CodeEditor"):
        settings = domain["DefaultUserSettings"][f"{app}AppSettings"]
        idle = settings["AppLifecycleManagement"]["IdleSettings"]
        assert (idle["LifecycleManagement"], idle["IdleTimeoutInMinutes"], idle["MaxIdleTimeoutInMinutes"]) == (
            "ENABLED", 120, 120,
        )  # fmt: skip
        name = settings["BuiltInLifecycleConfigArn"].rpartition("/")[2]
        start = sagemaker.describe_studio_lifecycle_config(StudioLifecycleConfigName=name)
        assert start["StudioLifecycleConfigAppType"] == app
    role = studio.client("iam").get_role(RoleName=f"{NAMESPACE}-studio")["Role"]
    assert "sts:SetSourceIdentity" in role["AssumeRolePolicyDocument"]["Statement"][0]["Action"]
    admin = sagemaker.describe_user_profile(DomainId=domain["DomainId"], UserProfileName="admin")
    assert admin["UserSettings"]["ExecutionRole"].endswith(f":role/{NAMESPACE}-studio-admin")


def test_the_homes_bear_the_platforms_tags(studio: Account) -> None:
    """Protects: what SageMaker makes is charged to somebody, and is known to be ours when it has to go."""
    (home,) = homes(studio)
    tags = {tag["Key"]: tag["Value"] for tag in home["Tags"]}
    assert (tags["Namespace"], tags["Project"], tags["CostCenter"]) == (NAMESPACE, "platform", "ml-platform")


def test_an_update_keeps_the_domain_and_what_is_in_it(studio: Account) -> None:
    """Protects: changing a setting costs nobody their space."""
    sagemaker, before = studio.client("sagemaker"), studio.contract("studio/domain-id")
    sagemaker.create_user_profile(DomainId=before, UserProfileName="ada")
    sagemaker.create_space(
        DomainId=before, SpaceName="lab", OwnershipSettings={"OwnerUserProfileName": "ada"},
        SpaceSharingSettings={"SharingType": "Private"}, SpaceSettings={"AppType": "JupyterLab"},
    )  # fmt: skip
    studio.deploy("studio", IdleMinutes="60")
    domain = sagemaker.describe_domain(DomainId=before)
    idle = domain["DefaultUserSettings"]["CodeEditorAppSettings"]["AppLifecycleManagement"]["IdleSettings"]
    assert idle["IdleTimeoutInMinutes"] == 60
    assert studio.contract("studio/domain-id") == before
    assert len(sagemaker.list_spaces(DomainIdEquals=before)["Spaces"]) == 1
    assert len(homes(studio)) == 1


def test_the_working_day_ends_by_a_schedule_and_only_where_one_is_given(studio: Account) -> None:
    """Protects: off by default; the rule calls the clean-up, which takes that for no request of a stack."""
    events, name = studio.client("events"), f"{NAMESPACE}-studio-hours"
    assert events.list_rules(NamePrefix=name)["Rules"] == []
    studio.deploy("studio", IdleMinutes="60", StopAt="cron(0 19 ? * MON-FRI *)")
    assert events.describe_rule(Name=name)["ScheduleExpression"] == "cron(0 19 ? * MON-FRI *)"
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    assert json.loads(target["Input"]) == {"Part": "Hours", "DomainId": studio.contract("studio/domain-id")}
    answer = studio.client("lambda").invoke(FunctionName=target["Arn"], Payload=target["Input"].encode())
    assert "FunctionError" not in answer, answer["Payload"].read()
    studio.deploy("studio", IdleMinutes="60", StopAt="")
    assert events.list_rules(NamePrefix=name)["Rules"] == []


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"StopAt": "19:00"}, "StopAt"),
        ({"IdleMinutes": "59"}, "IdleMinutes"),
        ({"AuthMode": "LDAP"}, "AuthMode"),
        ({"AdminUser": "a b"}, "AdminUser"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(account: Account, parameters: dict[str, str], words: str) -> None:
    """Protects: a parameter that AWS would refuse half-way is refused at once."""
    refused = account.client("cloudformation").exceptions.ClientError
    with pytest.raises(refused, match=words):
        account.deploy("studio", **parameters)


def test_the_domain_goes_without_a_trace(studio: Account) -> None:
    """Protects: the stack can be deleted although people made spaces, and leaves nothing that would hold the VPC."""
    sagemaker, domain = studio.client("sagemaker"), studio.contract("studio/domain-id")
    assert len(groups(studio)) == 4, "the VPC's default group, ours, and SageMaker's two"
    studio.delete("studio")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_domain(DomainId=domain)
    assert homes(studio) == []
    assert groups(studio) == ["compute", "default"]
    assert sagemaker.list_studio_lifecycle_configs()["StudioLifecycleConfigs"] == []
    studio.delete("studio-cleanup")
    studio.delete("studio-roles")


def test_homes_can_be_kept_and_still_leave_the_vpc(account: Account) -> None:
    """Protects: whoever asks for it keeps the files; the mount targets go either way."""
    for layer in LAYERS[1:3]:
        account.deploy(layer)
    account.deploy("studio", HomesAtDeletion="Retain")
    account.delete("studio")
    (home,) = homes(account)
    assert home["NumberOfMountTargets"] == 0
    assert groups(account) == ["compute", "default"]
    account.client("efs").delete_file_system(FileSystemId=home["FileSystemId"])


def test_a_domain_without_homes(account: Account) -> None:
    """Protects: spaces have volumes of their own; a platform without the shared file system works as well."""
    account.deploy("studio", HomeFileSystem="Disabled")
    assert homes(account) == []
    account.delete("studio")
    assert re.fullmatch(r"[a-z-]+", "-".join(groups(account)))
