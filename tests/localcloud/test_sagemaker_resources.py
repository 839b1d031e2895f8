"""SageMaker's CloudFormation types: made, changed, replaced and deleted through stacks."""

from __future__ import annotations

import json
import time
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
def role(cloud: LocalCloud) -> str:
    name = unique("model-role")
    made = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    return str(made["Role"]["Arn"])


def stack_of(cloudformation: Any, name: str) -> dict[str, Any]:
    for _ in range(400):
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        time.sleep(0.05)
    raise AssertionError(f"{name} does not end")


def test_cloudformation_makes_changes_and_deletes_records(cloud: LocalCloud, sagemaker: Any, role: str) -> None:
    """Protects: templates get AWS's Ref and attributes; updates change in place or replace as the schemas say."""
    cloudformation, name = cloud.client("cloudformation"), unique("records")
    subnet = cloud.client("ec2").describe_subnets()["Subnets"][0]
    template: dict[str, Any] = {
        "Resources": {
            "Domain": {
                "Type": "AWS::SageMaker::Domain",
                "Properties": {
                    "DomainName": name, "AuthMode": "IAM", "VpcId": subnet["VpcId"],
                    "SubnetIds": [subnet["SubnetId"]],
                    "DefaultUserSettings": {"ExecutionRole": role},
                },
            },
            "User": {
                "Type": "AWS::SageMaker::UserProfile",
                "Properties": {"DomainId": {"Ref": "Domain"}, "UserProfileName": "ada"},
            },
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {
                    "ExecutionRoleArn": role, "PrimaryContainer": {"Image": IMAGE},
                    "Tags": [{"Key": "a", "Value": "1"}],
                },
            },
            "Config": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {
                    "ProductionVariants": [
                        {
                            "VariantName": "one", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                            "InstanceType": "ml.m5.large", "InitialInstanceCount": "1", "InitialVariantWeight": 1,
                        }
                    ]
                },
            },
            "Group": {
                "Type": "AWS::SageMaker::ModelPackageGroup",
                "Properties": {
                    "ModelPackageGroupName": name,
                    "ModelPackageGroupPolicy": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
                                "Action": "sagemaker:DescribeModelPackageGroup", "Resource": "*",
                            }
                        ],
                    },
                },
            },
        },
        "Outputs": {
            "Domain": {"Value": {"Ref": "Domain"}},
            "DomainArn": {"Value": {"Fn::GetAtt": ["Domain", "DomainArn"]}},
            "UserArn": {"Value": {"Fn::GetAtt": ["User", "UserProfileArn"]}},
            "Model": {"Value": {"Ref": "Model"}},
            "ModelName": {"Value": {"Fn::GetAtt": ["Model", "ModelName"]}},
            "ConfigName": {"Value": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
            "Group": {"Value": {"Ref": "Group"}},
        },
    }  # fmt: skip

    def outputs() -> dict[str, str]:
        stack = stack_of(cloudformation, name)
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), reasons
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    made = outputs()
    assert made["Domain"].startswith("d-")
    assert made["DomainArn"] == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:domain/{made['Domain']}"
    assert made["UserArn"].endswith(f"/{made['Domain']}/ada")
    assert made["Model"] == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/{made['ModelName']}"
    assert made["Group"].endswith(f":model-package-group/{name}")
    assert "222222222222" in sagemaker.get_model_package_group_policy(ModelPackageGroupName=name)["ResourcePolicy"]

    resources = template["Resources"]
    resources["Model"]["Properties"]["Tags"] = [{"Key": "b", "Value": "2"}]
    resources["Domain"]["Properties"]["DefaultUserSettings"]["SecurityGroups"] = ["sg-9"]
    resources["Config"]["Properties"]["ProductionVariants"][0]["InitialInstanceCount"] = 2
    cloudformation.update_stack(StackName=name, TemplateBody=json.dumps(template))
    changed = outputs()
    assert changed["Model"] == made["Model"]
    tags = sagemaker.list_tags(ResourceArn=made["Model"])["Tags"]
    assert [tag for tag in tags if not tag["Key"].startswith("aws:")] == [{"Key": "b", "Value": "2"}]
    assert changed["Domain"] == made["Domain"]
    assert sagemaker.describe_domain(DomainId=made["Domain"])["DefaultUserSettings"]["SecurityGroups"] == ["sg-9"]
    assert changed["ConfigName"] != made["ConfigName"]
    configs = sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"]
    assert [config["EndpointConfigName"] for config in configs] == [changed["ConfigName"]]

    cloudformation.delete_stack(StackName=name)
    for _ in range(200):
        if not [d for d in sagemaker.list_domains(MaxResults=100)["Domains"] if d["DomainId"] == made["Domain"]]:
            break
        time.sleep(0.05)
    assert refused(sagemaker.describe_domain, DomainId=made["Domain"])[0] == "ResourceNotFound"
    assert refused(sagemaker.describe_model, ModelName=made["ModelName"])[0] == "ValidationException"


ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
OUTPUT = {"MonitoringOutputs": [{"S3Output": {"S3Uri": "s3://b/o", "LocalPath": "/opt/ml/processing/output"}}]}
RESOURCES = {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}}


def definition(analysis: str, **application: str) -> dict[str, Any]:
    """A monitoring job definition in its template form."""
    truth = {"GroundTruthS3Input": {"S3Uri": "s3://b/t"}} if analysis in ("ModelBias", "ModelQuality") else {}
    source = {"EndpointName": "e", "LocalPath": "/opt/ml/processing/input"}
    return {
        f"{analysis}AppSpecification": {"ImageUri": IMAGE, **application},
        f"{analysis}JobInput": {"EndpointInput": source, **truth},
        f"{analysis}JobOutputConfig": OUTPUT,
        "JobResources": RESOURCES,
        "RoleArn": ROLE,
    }


def test_every_record_type_in_one_stack(cloud: LocalCloud) -> None:
    """Protects: each type's properties reach its API, its attributes can be read, and its deletion finds it again."""
    name = unique("types")
    source = {"SourceUri": "s3://b/k"}
    config = {"ConfigUri": "s3://b/c"}
    types: dict[str, dict[str, Any]] = {
        "AIWorkloadConfig": {"AIWorkloadConfigName": name},
        "Action": {"ActionName": name, "ActionType": "T", "Source": source, "Properties": {"a": "b"}},
        "Algorithm": {
            "AlgorithmName": name,
            "TrainingSpecification": {
                "TrainingImage": IMAGE, "SupportedTrainingInstanceTypes": ["ml.m5.large"],
                "TrainingChannels": [
                    {"Name": "train", "SupportedContentTypes": ["text/csv"], "SupportedInputModes": ["File"]}
                ],
            },
        },
        "AppImageConfig": {"AppImageConfigName": name, "JupyterLabAppImageConfig": {}},
        "Artifact": {"ArtifactName": name, "ArtifactType": "T", "Source": source},
        "CodeRepository": {"GitConfig": {"RepositoryUrl": "https://example.com/r.git"}},
        "Context": {"ContextName": name, "ContextType": "T", "Source": source},
        "DataQualityJobDefinition": definition("DataQuality"),
        "DeviceFleet": {"DeviceFleetName": name, "OutputConfig": {"S3OutputLocation": "s3://b/d"}, "RoleArn": ROLE},
        "Experiment": {"ExperimentName": name, "Description": "d"},
        "FeatureGroup": {
            "FeatureGroupName": name, "RecordIdentifierFeatureName": "id", "EventTimeFeatureName": "at",
            "FeatureDefinitions": [
                {"FeatureName": "id", "FeatureType": "String"}, {"FeatureName": "at", "FeatureType": "Fractional"},
            ],
        },
        "Hub": {"HubName": name, "HubDescription": "d"},
        "HumanTaskUi": {"HumanTaskUiName": name, "UiTemplate": {"Content": "<p/>"}},
        "Image": {"ImageName": name, "ImageRoleArn": ROLE, "ImageDisplayName": "shown"},
        "ImageVersion": {"ImageName": name, "BaseImage": IMAGE, "Aliases": ["latest"]},
        "ModelBiasJobDefinition": definition("ModelBias", **config),
        "ModelCard": {"ModelCardName": name, "Content": {"model_overview": {}}, "ModelCardStatus": "Draft"},
        "ModelExplainabilityJobDefinition": definition("ModelExplainability", **config),
        "ModelPackageGroup": {"ModelPackageGroupName": name},
        "ModelPackage": {
            "ModelPackageGroupName": {"Fn::Select": [1, {"Fn::Split": ["/", {"Ref": "ModelPackageGroup"}]}]},
            "InferenceSpecification": {
                "Containers": [{"Image": IMAGE}], "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        },
        "ModelQualityJobDefinition": definition("ModelQuality", ProblemType="Regression"),
        "NotebookInstanceLifecycleConfig": {"OnStart": [{"Content": "ZWNobw=="}]},
        "StudioLifecycleConfig": {
            "StudioLifecycleConfigName": name, "StudioLifecycleConfigContent": "ZWNobw==",
            "StudioLifecycleConfigAppType": "JupyterLab",
        },
        "TrialComponent": {"TrialComponentName": name},
        "Workforce": {"WorkforceName": name, "CognitoConfig": {"ClientId": "c", "UserPool": "eu-west-1_a"}},
        "Workteam": {
            "WorkteamName": name, "Description": "d",
            "MemberDefinitions": [
                {
                    "CognitoMemberDefinition": {
                        "CognitoUserPool": "eu-west-1_a", "CognitoUserGroup": "g", "CognitoClientId": "c",
                    }
                }
            ],
        },
    }  # fmt: skip
    resources: dict[str, Any] = {
        kind: {"Type": f"AWS::SageMaker::{kind}", "Properties": properties} for kind, properties in types.items()
    }
    resources["ImageVersion"]["DependsOn"] = "Image"
    arns = {
        "Action": "Arn", "CodeRepository": "CodeRepositoryArn", "Image": "ImageArn", "ImageVersion": "ImageVersionArn",
        "ModelCard": "ModelCardArn", "ModelPackage": "ModelPackageArn", "Hub": "HubArn",
        "Workforce": "WorkforceArn", "Workteam": "WorkteamArn", "DataQualityJobDefinition": "JobDefinitionArn",
    }  # fmt: skip
    outputs = {kind: {"Value": {"Fn::GetAtt": [kind, arn]}} for kind, arn in arns.items()}
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources, "Outputs": outputs}))
    stack = stack_of(cloudformation, name)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", [
        event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED")
    ]
    for output in stack["Outputs"]:
        assert output["OutputValue"].startswith(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:"), output

    cloudformation.delete_stack(StackName=stack["StackId"])
    assert stack_of(cloudformation, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    sagemaker = cloud.client("sagemaker")
    assert refused(sagemaker.describe_model_package_group, ModelPackageGroupName=name)[0] == "ValidationException"
    assert refused(sagemaker.describe_image, ImageName=name)[0] == "ResourceNotFound"
    assert sagemaker.list_code_repositories(NameContains=name)["CodeRepositorySummaryList"] == []
