"""SageMaker's records through boto3, the `aws` command and CloudFormation: Studio, models, tags, lists, lineage."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import REGION, LocalCloud

ACCOUNT = "111111111111"
# An image of an AWS account: the local cloud does not have it, and AWS does.
IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def unique(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:8]}"


def refused(call: Any, **request: Any) -> tuple[str, str]:
    """Code and message of a refusal."""
    with pytest.raises(ClientError) as error:
        call(**request)
    told = error.value.response["Error"]
    return told["Code"], told["Message"]


@pytest.fixture
def sagemaker(cloud: LocalCloud) -> Any:
    return cloud.client("sagemaker")


@pytest.fixture
def lax(cloud: LocalCloud) -> Any:
    """A client that sends what botocore would refuse to send."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "sagemaker", endpoint_url=cloud.endpoint, region_name=REGION, aws_access_key_id=ACCOUNT,
        aws_secret_access_key="test", config=Config(parameter_validation=False, retries={"max_attempts": 1}),
    )  # fmt: skip


@pytest.fixture
def role(cloud: LocalCloud) -> str:
    name = unique("model-role")
    made = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    return str(made["Role"]["Arn"])


def test_constraints_are_worded_as_aws_words_them(lax: Any) -> None:
    """Protects: who reads an error here can search for it; the request is refused as AWS refuses it."""
    code, message = refused(lax.create_model_package_group, ModelPackageGroupName="my_group")
    assert code == "ValidationException"
    assert message == (
        "1 validation error detected: Value 'my_group' at 'modelPackageGroupName' failed to satisfy constraint: Member "
        "must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    )
    code, message = refused(lax.list_models, SortBy="Size", MaxResults=1000)
    assert message.startswith("2 validation errors detected: ")
    assert "Member must satisfy enum value set: [Name, CreationTime]" in message
    assert (
        "Value '1000' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal"
        in message
    )


def test_what_does_not_exist_is_told_in_aws_words(sagemaker: Any) -> None:
    """Protects: programs that look at code and message (as AWS's own do) take the same branch here."""
    prefix = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
    expected = [
        (sagemaker.describe_training_job, {"TrainingJobName": "none"},
         ("ValidationException", "Requested resource not found.")),
        (sagemaker.describe_model, {"ModelName": "none"},
         ("ValidationException", f'Could not find model "{prefix}:model/none".')),
        (sagemaker.describe_endpoint_config, {"EndpointConfigName": "none"},
         ("ValidationException", f'Could not find endpoint configuration "{prefix}:endpoint-config/none".')),
        (sagemaker.describe_model_package_group, {"ModelPackageGroupName": "none"},
         ("ValidationException", f"ModelPackageGroup {prefix}:model-package-group/none does not exist.")),
        (sagemaker.describe_experiment, {"ExperimentName": "none"},
         ("ResourceNotFound", f"Experiment '{prefix}:experiment/none' does not exist.")),
        (sagemaker.describe_image, {"ImageName": "none"}, ("ResourceNotFound", "No Image with the name none found.")),
        (sagemaker.delete_app_image_config, {"AppImageConfigName": "none"},
         ("ResourceNotFound", "AppImageConfig with name none does not exist.")),
    ]  # fmt: skip
    for call, request, told in expected:
        assert refused(call, **request) == told


def test_what_would_have_to_be_done_is_refused_by_name(sagemaker: Any) -> None:
    """Protects: no success is pretended."""
    code, message = refused(
        sagemaker.create_presigned_domain_url, DomainId="d-abcdefghijkl", UserProfileName="somebody"
    )
    assert code == "NotImplemented"
    assert "CreatePresignedDomainUrl" in message
    code, message = refused(sagemaker.create_cluster, ClusterName="big")
    assert code == "NotImplemented"
    assert "CreateCluster" in message


def test_lists_are_filtered_sorted_and_paged(sagemaker: Any) -> None:
    """Protects: paginators see everything once; filters and order are those that the request names."""
    word = unique("listed")
    names = [f"{word}-{index:02}" for index in range(13)]
    for name in names:
        sagemaker.create_code_repository(
            CodeRepositoryName=name, GitConfig={"RepositoryUrl": "https://example.com/repo.git"}
        )
    first = sagemaker.list_code_repositories(NameContains=word)
    assert len(first["CodeRepositorySummaryList"]) == 10
    pages = sagemaker.get_paginator("list_code_repositories").paginate(
        NameContains=word, SortBy="Name", SortOrder="Descending", PaginationConfig={"PageSize": 4}
    )
    assert [item["CodeRepositoryName"] for page in pages for item in page["CodeRepositorySummaryList"]] == names[::-1]
    made = sagemaker.describe_code_repository(CodeRepositoryName=names[0])["CreationTime"]
    later = sagemaker.list_code_repositories(NameContains=word, CreationTimeAfter=made.timestamp() + 60)
    assert later["CodeRepositorySummaryList"] == []
    assert refused(sagemaker.list_code_repositories, NextToken="made-up")[0] == "ValidationException"


def test_tags_go_by_arn(sagemaker: Any) -> None:
    """Protects: tags given at creation and later are one set; unknown ARNs are refused."""
    name = unique("tagged")
    arn = sagemaker.create_app_image_config(AppImageConfigName=name, Tags=[{"Key": "a", "Value": "1"}])[
        "AppImageConfigArn"
    ]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a", "never"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "3"}]
    assert refused(sagemaker.list_tags, ResourceArn=arn + "x")[0] == "ValidationException"


def test_a_name_is_taken_once(sagemaker: Any) -> None:
    """Protects: a second create is refused with the code that AWS uses for that resource."""
    name = unique("once")
    sagemaker.create_experiment(ExperimentName=name)
    assert refused(sagemaker.create_experiment, ExperimentName=name) == (
        "ValidationException",
        "Experiment names must be unique within an AWS account and region. "
        f"Experiment with name ({name}) already exists.",
    )
    sagemaker.create_hub(HubName=name, HubDescription="x")
    assert refused(sagemaker.create_hub, HubName=name, HubDescription="x")[0] == "ResourceInUse"


def test_studio(cloud: LocalCloud, sagemaker: Any) -> None:
    """Protects: domain, user profile and space hang together, are ready, and are taken down in order; the file system
    of the homes is real, bears the domain's tag, and stays unless the deletion says otherwise."""
    subnet = cloud.client("ec2").describe_subnets()["Subnets"][0]
    settings = {"ExecutionRole": f"arn:aws:iam::{ACCOUNT}:role/studio"}
    name = unique("domain")
    domain = sagemaker.create_domain(
        DomainName=name, AuthMode="IAM", DefaultUserSettings=settings, VpcId=subnet["VpcId"],
        SubnetIds=[subnet["SubnetId"]], AppNetworkAccessType="VpcOnly",
    )  # fmt: skip
    identifier = domain["DomainId"]
    assert domain["DomainArn"] == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:domain/{identifier}"
    shown = sagemaker.describe_domain(DomainId=identifier)
    assert (shown["Status"], shown["DomainName"], shown["Url"]) == ("InService", name, domain["Url"])
    assert shown["DefaultUserSettings"] == settings
    assert shown["HomeEfsFileSystemId"].startswith("fs-")

    sagemaker.update_domain(DomainId=identifier, DefaultUserSettings={"SecurityGroups": ["sg-1"]})
    shown = sagemaker.describe_domain(DomainId=identifier)
    assert shown["DefaultUserSettings"] == {**settings, "SecurityGroups": ["sg-1"]}
    assert shown["LastModifiedTime"] >= shown["CreationTime"]

    profile = sagemaker.create_user_profile(DomainId=identifier, UserProfileName="ada", UserSettings=settings)
    assert profile["UserProfileArn"].endswith(f":user-profile/{identifier}/ada")
    owned = {"OwnerUserProfileName": "ada"}
    sagemaker.create_space(
        DomainId=identifier, SpaceName="lab", OwnershipSettings=owned, SpaceSharingSettings={"SharingType": "Private"},
        SpaceSettings={"AppType": "JupyterLab"},
    )  # fmt: skip
    space = sagemaker.list_spaces(DomainIdEquals=identifier)["Spaces"][0]
    assert space["Status"] == "InService"
    assert space["SpaceSettingsSummary"] == {"AppType": "JupyterLab"}
    assert space["OwnershipSettingsSummary"] == owned
    assert [
        user["UserProfileName"] for user in sagemaker.list_user_profiles(DomainIdEquals=identifier)["UserProfiles"]
    ] == ["ada"]

    code, message = refused(sagemaker.delete_domain, DomainId=identifier)
    assert code == "ResourceInUse"
    assert identifier in message
    sagemaker.delete_space(DomainId=identifier, SpaceName="lab")
    sagemaker.delete_user_profile(DomainId=identifier, UserProfileName="ada")
    efs, managed = cloud.client("efs"), {"Key": "ManagedByAmazonSageMakerResource", "Value": domain["DomainArn"]}
    home = next(item for item in efs.describe_file_systems()["FileSystems"] if managed in item["Tags"])
    assert (home["FileSystemId"], home["NumberOfMountTargets"]) == (shown["HomeEfsFileSystemId"], 1)
    again = sagemaker.create_domain(
        DomainName=f"{name}-2", AuthMode="IAM", DefaultUserSettings=settings, VpcId=subnet["VpcId"],
        SubnetIds=[subnet["SubnetId"]],
    )["DomainArn"].partition("/")[2]  # fmt: skip
    sagemaker.delete_domain(DomainId=again, RetentionPolicy={"HomeEfsFileSystem": "Delete"})
    left = [item["Tags"] for item in efs.describe_file_systems()["FileSystems"]]
    assert not [tags for tags in left if again in str(tags)]
    strange = refused(sagemaker.create_domain, DomainName=f"{name}-3", AuthMode="IAM", DefaultUserSettings=settings,
                      VpcId=subnet["VpcId"], SubnetIds=["subnet-0123456789abcdef0"])  # fmt: skip
    assert strange[0] == "ValidationException"
    sagemaker.delete_domain(DomainId=identifier)
    assert refused(sagemaker.describe_domain, DomainId=identifier)[0] == "ResourceNotFound"
    assert refused(sagemaker.create_user_profile, DomainId=identifier, UserProfileName="ada")[0] in (
        "ResourceNotFound", "ValidationException",
    )  # fmt: skip


def test_a_domain_that_is_only_in_a_vpc_needs_one(sagemaker: Any) -> None:
    """Protects: a template that forgets the network fails here and not first on AWS."""
    code, message = refused(
        sagemaker.create_domain, DomainName=unique("vpc"), AuthMode="IAM", AppNetworkAccessType="VpcOnly",
        DefaultUserSettings={"ExecutionRole": f"arn:aws:iam::{ACCOUNT}:role/studio"},
    )  # fmt: skip
    assert (code, message) == (
        "ValidationException",
        "A domain with AppNetworkAccessType VpcOnly needs VpcId and SubnetIds.",
    )


def test_image_versions_are_numbered(sagemaker: Any) -> None:
    """Protects: numbers are never given twice; aliases and "the latest" find the version."""
    name, role = unique("image"), f"arn:aws:iam::{ACCOUNT}:role/images"
    sagemaker.create_image(ImageName=name, RoleArn=role, Description="first")
    for tag in ("1", "2"):
        sagemaker.create_image_version(
            ImageName=name, BaseImage=f"{IMAGE}{tag}", ClientToken=unique("token"), Aliases=[f"v{tag}"]
        )
    assert sagemaker.describe_image_version(ImageName=name)["Version"] == 2
    assert sagemaker.describe_image_version(ImageName=name, Alias="v1")["Version"] == 1
    sagemaker.delete_image_version(ImageName=name, Version=2)
    sagemaker.create_image_version(ImageName=name, BaseImage=IMAGE, ClientToken=unique("token"))
    assert [v["Version"] for v in sagemaker.list_image_versions(ImageName=name)["ImageVersions"]] == [3, 1]
    assert sagemaker.list_aliases(ImageName=name)["SageMakerImageVersionAliases"] == ["v1"]
    sagemaker.update_image(ImageName=name, DeleteProperties=["Description"])
    assert "Description" not in sagemaker.describe_image(ImageName=name)
    assert refused(sagemaker.delete_image, ImageName=name)[0] == "ResourceInUse"


def test_a_model_is_checked(sagemaker: Any, role: str, cloud: LocalCloud) -> None:
    """Protects: a model that cannot be served is refused when it is made, as on AWS."""
    local = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/never-built:1"
    name = unique("model")
    code, message = refused(
        sagemaker.create_model, ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": local}
    )
    assert (code, message) == ("ValidationException", f"Requested image {local} not found.")
    code, message = refused(
        sagemaker.create_model, ModelName=name, ExecutionRoleArn=role + "x", PrimaryContainer={"Image": IMAGE}
    )
    assert code == "ValidationException"
    assert message.startswith(f"Could not assume role {role}x.")
    bucket = unique("models")
    cloud.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    data = f"s3://{bucket}/model.tar.gz"
    container = {"Image": IMAGE, "ModelDataUrl": data}
    code, message = refused(sagemaker.create_model, ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)
    assert code == "ValidationException"
    assert message.startswith(f"Could not access model data at {data}.")
    assert refused(sagemaker.create_model, ModelName=name, ExecutionRoleArn=role)[0] == "ValidationException"

    cloud.client("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=b"x")
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    made = sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container, VpcConfig=vpc)
    assert made["ModelArn"] == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/{name}"
    shown = sagemaker.describe_model(ModelName=name)
    assert shown["VpcConfig"] == vpc
    assert shown["PrimaryContainer"]["ModelDataUrl"] == data
    assert refused(sagemaker.create_model, ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container) == (
        "ValidationException", f'Cannot create already existing model "{made["ModelArn"]}".',
    )  # fmt: skip
    sagemaker.delete_model(ModelName=name)
    assert refused(sagemaker.delete_model, ModelName=name)[0] == "ValidationException"


def test_an_endpoint_configuration_is_checked(sagemaker: Any, role: str) -> None:
    """Protects: variants without model, capacity or a name of their own are refused."""
    model = unique("model")
    sagemaker.create_model(ModelName=model, ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})
    good = {"VariantName": "one", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    name = unique("config")

    def why(*variants: dict[str, Any], **more: Any) -> str:
        return refused(
            sagemaker.create_endpoint_config, EndpointConfigName=name, ProductionVariants=list(variants), **more
        )[1]

    assert "Could not find model" in why({**good, "ModelName": "none"})
    assert "unique" in why(good, good)
    assert "needs InstanceType and InitialInstanceCount" in why({"VariantName": "one", "ModelName": model})
    assert "greater than 0" in why({**good, "InitialVariantWeight": 0.0})
    shadow = {**good, "VariantName": "shadow"}
    assert "exactly one production variant" in why(
        good, {**good, "VariantName": "two"}, ShadowProductionVariants=[shadow]
    )

    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[good])
    shown = sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert shown["ProductionVariants"] == [{**good, "InitialVariantWeight": 1.0}]
    assert name in [
        c["EndpointConfigName"] for c in sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"]
    ]


def test_lineage_and_search(sagemaker: Any) -> None:
    """Protects: what comes from what can be asked for, and records are found by their properties and tags."""
    experiment, trial, component = unique("experiment"), unique("trial"), unique("component")
    sagemaker.create_experiment(ExperimentName=experiment)
    assert refused(sagemaker.create_trial, TrialName=trial, ExperimentName="none")[0] == "ResourceNotFound"
    sagemaker.create_trial(TrialName=trial, ExperimentName=experiment)
    sagemaker.create_trial_component(TrialComponentName=component, Tags=[{"Key": "team", "Value": component}])
    sagemaker.update_trial_component(
        TrialComponentName=component, Parameters={"rate": {"NumberValue": 0.1}, "k": {"StringValue": "x"}}
    )
    sagemaker.update_trial_component(TrialComponentName=component, ParametersToRemove=["k"])
    assert sagemaker.describe_trial_component(TrialComponentName=component)["Parameters"] == {
        "rate": {"NumberValue": 0.1}
    }
    sagemaker.associate_trial_component(TrialName=trial, TrialComponentName=component)
    found = sagemaker.list_trial_components(ExperimentName=experiment)["TrialComponentSummaries"]
    assert [item["TrialComponentName"] for item in found] == [component]

    artifact = sagemaker.create_artifact(Source={"SourceUri": f"s3://b/{component}"}, ArtifactType="DataSet")[
        "ArtifactArn"
    ]
    action = sagemaker.create_action(ActionName=unique("action"), Source={"SourceUri": "x"}, ActionType="Training")[
        "ActionArn"
    ]
    sagemaker.add_association(SourceArn=artifact, DestinationArn=action, AssociationType="ContributedTo")
    summary = sagemaker.list_associations(DestinationArn=action)["AssociationSummaries"][0]
    assert (summary["SourceArn"], summary["SourceType"], summary["DestinationType"]) == (
        artifact,
        "DataSet",
        "Training",
    )
    sagemaker.delete_association(SourceArn=artifact, DestinationArn=action)
    assert refused(sagemaker.delete_association, SourceArn=artifact, DestinationArn=action)[0] == "ResourceNotFound"

    expression = {"Filters": [{"Name": "Tags.team", "Operator": "Equals", "Value": component}]}
    results = sagemaker.search(Resource="ExperimentTrialComponent", SearchExpression=expression)["Results"]
    assert [result["TrialComponent"]["TrialComponentName"] for result in results] == [component]


def test_model_cards_have_versions(sagemaker: Any) -> None:
    """Protects: a changed card is a new version, and the old one can still be read."""
    name = unique("card")
    first, second = (json.dumps({"model_overview": {"model_name": text}}) for text in "ab")
    sagemaker.create_model_card(ModelCardName=name, Content=first, ModelCardStatus="Draft")
    sagemaker.update_model_card(ModelCardName=name, Content=second)
    sagemaker.update_model_card(ModelCardName=name, ModelCardStatus="Approved")
    shown = sagemaker.describe_model_card(ModelCardName=name)
    assert (shown["ModelCardVersion"], shown["Content"], shown["ModelCardStatus"]) == (2, second, "Approved")
    assert sagemaker.describe_model_card(ModelCardName=name, ModelCardVersion=1)["Content"] == first
    assert len(sagemaker.list_model_card_versions(ModelCardName=name)["ModelCardVersionSummaryList"]) == 2


def test_the_aws_command(cloud: LocalCloud) -> None:
    """Protects: the command line, with its own marshalling, reads what it is answered."""

    def aws(*arguments: str) -> Any:
        done = subprocess.run(
            ["aws", "sagemaker", *arguments],
            env=cloud.environment(ACCOUNT),
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else done.stderr

    name = unique("script")
    made = aws(
        "create-studio-lifecycle-config", "--studio-lifecycle-config-name", name, "--studio-lifecycle-config-content",
        "ZWNobyBoZWxsbw==", "--studio-lifecycle-config-app-type", "JupyterLab",
    )  # fmt: skip
    assert made["StudioLifecycleConfigArn"].endswith(f":studio-lifecycle-config/{name}")
    shown = aws("describe-studio-lifecycle-config", "--studio-lifecycle-config-name", name)
    assert shown["StudioLifecycleConfigContent"] == "ZWNobyBoZWxsbw=="
    assert "ResourceNotFound" in aws("describe-studio-lifecycle-config", "--studio-lifecycle-config-name", "none")
