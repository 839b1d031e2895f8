"""SageMaker projects: launched through Service Catalog or CloudFormation, changed, and gone with what they made."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import TOOLING, LocalCloud
from tests.localcloud.test_account_types import reasons, settled
from tests.localcloud.test_servicecatalog import Shop, open_shop, put_template, session, trust


def template(description: str = "", **parameters: dict[str, Any]) -> str:
    """A template that keeps a text and says which project it is of."""
    own: dict[str, Any] = {"SageMakerProjectName": {"Type": "String"}, "SageMakerProjectId": {"Type": "String"}}
    name = {"Fn::Sub": "/projects/${SageMakerProjectId}/${SageMakerProjectName}"}
    value = {"Fn::Sub": "${Text}" + description}
    return json.dumps(
        {
            "Parameters": {**own, "Text": {"Type": "String", "AllowedPattern": "[a-z]+"}, **parameters},
            "Resources": {
                "Kept": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": name, "Type": "String", "Value": value}}
            },
        }
    )


@pytest.fixture(scope="module")
def shop(cloud: LocalCloud) -> Shop:
    return open_shop(cloud)


@pytest.fixture(scope="module")
def version(shop: Shop) -> str:
    return shop.version(template(), "project")


@pytest.fixture(scope="module")
def person(cloud: LocalCloud, shop: Shop) -> Any:
    return cloud.client("sagemaker", **session(cloud, shop.person_role, "mary"))


def named() -> str:
    return f"p-{uuid.uuid4().hex[:8]}"


def launched(shop: Shop, person: Any, version: str, name: str, text: str = "one") -> dict[str, Any]:
    person.create_project(
        ProjectName=name, Tags=[{"Key": "CostCenter", "Value": "cc-7"}],
        ServiceCatalogProvisioningDetails={
            "ProductId": shop.product, "ProvisioningArtifactId": version,
            "ProvisioningParameters": [{"Key": "Text", "Value": text}],
        },
    )  # fmt: skip
    return ended(person, name)


def ended(person: Any, name: str) -> dict[str, Any]:
    """The project, once nothing is in progress."""
    found: dict[str, Any] = {}

    def idle() -> bool:
        found.update(person.describe_project(ProjectName=name))
        return not found["ProjectStatus"].endswith("InProgress")

    until(idle)
    return found


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.1)


def gone(person: Any, name: str) -> bool:
    found = [item["ProjectName"] for item in person.list_projects(NameContains=name)["ProjectSummaryList"]]
    return name not in found


def kept(cloud: LocalCloud, project: dict[str, Any]) -> str | None:
    """What the project's stack keeps."""
    ssm = cloud.client("ssm")
    try:
        name = f"/projects/{project['ProjectId']}/{project['ProjectName']}"
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None


def test_a_project_is_launched_changed_and_gone(cloud: LocalCloud, shop: Shop, person: Any, version: str) -> None:
    """Protects Studio's way in: a product of the catalogue, launched with its launch role, under the project's name."""
    name = named()
    project = launched(shop, person, version, name)
    assert project["ProjectStatus"] == "CreateCompleted", project
    assert project["ProjectArn"].endswith(f":project/{name}")
    assert kept(cloud, project) == "one"
    product = project["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"]
    provisioned = shop.admin.describe_provisioned_product(Id=product)["ProvisionedProductDetail"]
    assert (provisioned["Name"], provisioned["LaunchRoleArn"]) == (f"{name}-{project['ProjectId']}", shop.launch_role)
    stacks = cloud.client("cloudformation").describe_stacks()["Stacks"]
    (stack,) = [found for found in stacks if product in found["StackName"]]
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    wanted = {"sagemaker:project-name": name, "sagemaker:project-id": project["ProjectId"], "CostCenter": "cc-7"}
    assert wanted.items() <= tags.items()
    assert name in {item["ProjectName"] for item in person.list_projects(NameContains=name)["ProjectSummaryList"]}
    second = shop.version(template(description=" more"), named())
    person.update_project(ProjectName=name, ServiceCatalogProvisioningUpdateDetails={"ProvisioningArtifactId": second})
    with pytest.raises(ClientError, match="UpdateInProgress"):
        person.delete_project(ProjectName=name)
    changed = ended(person, name)
    assert (changed["ProjectStatus"], kept(cloud, project)) == ("UpdateCompleted", "one more")
    parameters = [{"Key": "Text", "Value": "two"}]
    person.update_project(
        ProjectName=name, ServiceCatalogProvisioningUpdateDetails={"ProvisioningParameters": parameters}
    )
    ended(person, name)
    assert kept(cloud, project) == "two more"
    person.delete_project(ProjectName=name)
    until(lambda: gone(person, name))
    assert kept(cloud, project) is None
    assert launched(shop, person, version, name)["ProjectStatus"] == "CreateCompleted", "the name is free again"
    person.delete_project(ProjectName=name)
    until(lambda: gone(person, name))


def test_a_launch_that_fails_says_why_and_can_be_deleted(shop: Shop, person: Any, version: str) -> None:
    """Protects those who look for the cause: the project says what Service Catalog said, and stands in nobody's way."""
    name = named()
    project = launched(shop, person, version, name, text="Upper Case")
    assert project["ProjectStatus"] == "CreateFailed"
    assert "Text" in project["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductStatusMessage"]
    person.delete_project(ProjectName=name)
    until(lambda: gone(person, name))


def test_a_template_has_to_declare_which_project_it_is(shop: Shop, person: Any) -> None:
    """Protects AWS's contract: without SageMakerProjectName and SageMakerProjectId it is no project's template."""
    name = named()
    project = launched(shop, person, shop.artifact, name)
    assert project["ProjectStatus"] == "CreateFailed"
    message = project["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductStatusMessage"]
    assert "SageMakerProjectName" in message, message
    person.delete_project(ProjectName=name)
    until(lambda: gone(person, name))


def test_a_project_of_a_template_in_s3(cloud: LocalCloud, shop: Shop, person: Any) -> None:
    """Protects the way without a catalogue: CloudFormation makes the stack with the role that the request names."""
    name, iam = named(), cloud.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(Service="cloudformation.amazonaws.com"))
    url = put_template(cloud, shop.name, name, template())
    provider = {
        "TemplateName": "project", "TemplateURL": url, "RoleARN": role["Role"]["Arn"],
        "Parameters": [{"Key": "Text", "Value": "one"}],
    }  # fmt: skip
    person.create_project(ProjectName=name, TemplateProviders=[{"CfnTemplateProvider": provider}])
    project = ended(person, name)
    assert project["ProjectStatus"] == "CreateCompleted", project
    detail = project["TemplateProviderDetails"][0]["CfnTemplateProviderDetail"]
    stack = cloud.client("cloudformation").describe_stacks(StackName=detail["StackDetail"]["Id"])["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert kept(cloud, project) == "one"
    update = {"TemplateName": "project", "TemplateURL": url, "Parameters": [{"Key": "Text", "Value": "two"}]}
    person.update_project(ProjectName=name, TemplateProvidersToUpdate=[{"CfnTemplateProvider": update}])
    assert ended(person, name)["ProjectStatus"] == "UpdateCompleted"
    assert kept(cloud, project) == "two"
    person.delete_project(ProjectName=name)
    until(lambda: gone(person, name))
    assert kept(cloud, project) is None


def test_bad_input_is_refused_before_anything_is_launched(shop: Shop, person: Any, version: str) -> None:
    """Protects: a project is launched from one thing, once, and only templates that it has are updated."""
    name = named()
    with pytest.raises(ClientError, match="either ServiceCatalogProvisioningDetails or TemplateProviders"):
        person.create_project(ProjectName=name)
    provider = {"CfnTemplateProvider": {"TemplateName": "a", "TemplateURL": "https://b.s3.amazonaws.com/t.yaml"}}
    assert launched(shop, person, version, name)["ProjectStatus"] == "CreateCompleted"
    with pytest.raises(ClientError, match="already existing project"):
        launched(shop, person, version, name)
    with pytest.raises(ClientError, match="has no template a"):
        person.update_project(ProjectName=name, TemplateProvidersToUpdate=[provider])
    person.delete_project(ProjectName=name)
    until(lambda: gone(person, name))


def test_a_stack_makes_a_project(cloud: LocalCloud, shop: Shop, version: str) -> None:
    """Protects templates: AWS::SageMaker::Project waits for the launch, and takes what was launched with it."""
    name, cloudformation = named(), cloud.client("cloudformation")
    principal = {"PortfolioId": shop.portfolio, "PrincipalType": "IAM"}
    shop.admin.associate_principal_with_portfolio(**principal, PrincipalARN=f"arn:aws:iam::{TOOLING}:root")
    details = {
        "ProductId": shop.product, "ProvisioningArtifactId": version,
        "ProvisioningParameters": [{"Key": "Text", "Value": "one"}],
    }  # fmt: skip
    properties = {"ProjectName": name, "ServiceCatalogProvisioningDetails": details}
    body = {
        "Resources": {"Project": {"Type": "AWS::SageMaker::Project", "Properties": properties}},
        "Outputs": {"Id": {"Value": {"Fn::GetAtt": ["Project", "ProjectId"]}}, "Arn": {"Value": {"Ref": "Project"}}},
    }
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body))
    stack = settled(cloudformation, name)
    assert stack["StackStatus"] == "CREATE_COMPLETE", reasons(cloudformation, name)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs["Arn"].endswith(f":project/{name}")
    project = {"ProjectName": name, "ProjectId": outputs["Id"]}
    assert kept(cloud, project) == "one"
    cloudformation.delete_stack(StackName=name)
    until(lambda: kept(cloud, project) is None)
