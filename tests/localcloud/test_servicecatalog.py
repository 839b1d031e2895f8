"""Service Catalog as boto3 and the `aws` command see it: the catalogue, and launches that make real stacks."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

TOOLING = "111111111111"
REGION = "eu-west-1"

PARAMETER = """
Parameters:
  Value: {Type: String, Default: first, AllowedValues: [first, second], Description: What to keep}
  Secret: {Type: String, NoEcho: true, Default: x}
Resources:
  Kept:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Name: !Sub "/${AWS::StackName}/value", Value: !Ref Value}
Outputs:
  Name: {Value: !Ref Kept, Description: Where it is}
"""
# A version that fails half-way: CodeCommit refuses the name of its repository.
BROKEN = PARAMETER.replace(
    "Outputs:",
    "  Broken:\n    Type: AWS::CodeCommit::Repository\n    DependsOn: Kept\n"
    "    Properties: {RepositoryName: bad.git}\nOutputs:",
)


def fails(code: str, call: Callable[..., Any], **request: Any) -> str:
    """The call fails with AWS's error code; the message is returned."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


def trust(**principal: str) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@dataclass
class Shop:
    """A portfolio with one product, a launch role, and a person who may launch."""

    cloud: Any
    name: str
    portfolio: str
    product: str
    artifact: str
    launch_role: str
    person_role: str
    person: Any

    @property
    def admin(self) -> Any:
        return self.cloud.client("servicecatalog")

    def version(self, template: str, name: str) -> str:
        """Publish another version and return its id."""
        info = {"LoadTemplateFromURL": put_template(self.cloud, self.name, name, template)}
        made = self.admin.create_provisioning_artifact(ProductId=self.product, Parameters={"Name": name, "Info": info})
        return str(made["ProvisioningArtifactDetail"]["Id"])

    def launch(self, name: str, artifact: str = "", **request: Any) -> dict[str, Any]:
        """Launch as the person and wait for the end."""
        return self.ended(self.begin(name, artifact or self.artifact, **request))

    def begin(self, name: str, artifact: str, **request: Any) -> dict[str, Any]:
        """Launch as the person."""
        product = {"ProductId": self.product, "ProvisioningArtifactId": artifact}
        return dict(self.person.provision_product(**product, ProvisionedProductName=name, **request))

    def ended(self, begun: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = self.person.describe_record(Id=begun["RecordDetail"]["RecordId"])
            if found["RecordDetail"]["Status"] in ("SUCCEEDED", "FAILED"):
                return dict(found)
            time.sleep(0.1)
        raise AssertionError(found["RecordDetail"])

    def status(self, name: str) -> tuple[str, str]:
        found = self.person.describe_provisioned_product(Name=name)["ProvisionedProductDetail"]
        return found["Status"], found.get("StatusMessage", "")


def put_template(cloud: Any, bucket: str, key: str, template: str) -> str:
    s3 = cloud.client("s3")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key=f"templates/{key}.yaml", Body=template.encode())
    return f"https://{bucket}.s3.{REGION}.amazonaws.com/templates/{key}.yaml"


def session(cloud: Any, role: str, name: str) -> dict[str, str]:
    made = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
    return {"access_key": made["AccessKeyId"], "secret_key": made["SecretAccessKey"], "token": made["SessionToken"]}


def open_shop(cloud: Any) -> Shop:
    name = f"shop-{uuid.uuid4().hex[:8]}"
    iam, admin = cloud.client("iam"), cloud.client("servicecatalog")
    service = trust(Service="servicecatalog.amazonaws.com")
    launch = iam.create_role(RoleName=f"{name}-launch", AssumeRolePolicyDocument=service)["Role"]["Arn"]
    person = iam.create_role(RoleName=f"{name}-person", AssumeRolePolicyDocument=trust(AWS=TOOLING))["Role"]["Arn"]
    tags = [{"Key": "Team", "Value": "ml"}]
    portfolio = admin.create_portfolio(DisplayName=name, ProviderName="us", Tags=tags)["PortfolioDetail"]["Id"]
    made = admin.create_product(
        Name=name, Owner="us", ProductType="CLOUD_FORMATION_TEMPLATE", Description="keeps a value",
        ProvisioningArtifactParameters={
            "Name": "v1", "Info": {"LoadTemplateFromURL": put_template(cloud, name, "v1", PARAMETER)},
        },
    )  # fmt: skip
    product = made["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    admin.associate_product_with_portfolio(ProductId=product, PortfolioId=portfolio)
    admin.associate_principal_with_portfolio(PortfolioId=portfolio, PrincipalARN=person, PrincipalType="IAM")
    admin.create_constraint(
        PortfolioId=portfolio, ProductId=product, Type="LAUNCH", Parameters=json.dumps({"RoleArn": launch})
    )
    client = cloud.client("servicecatalog", **session(cloud, person, "mary"))
    return Shop(cloud, name, portfolio, product, made["ProvisioningArtifactDetail"]["Id"], launch, person, client)


@pytest.fixture(scope="module")
def shop(cloud: Any) -> Shop:
    return open_shop(cloud)


def test_ids_and_arns_have_awss_form(shop: Shop) -> None:
    """Policies and scripts match on the forms of ids and ARNs."""
    portfolio = shop.admin.describe_portfolio(Id=shop.portfolio)["PortfolioDetail"]
    assert portfolio["ARN"] == f"arn:aws:catalog:{REGION}:{TOOLING}:portfolio/{shop.portfolio}"
    product = shop.admin.describe_product_as_admin(Id=shop.product)
    assert product["ProductViewDetail"]["ProductARN"] == f"arn:aws:catalog:{REGION}:{TOOLING}:product/{shop.product}"
    for value, prefix in ((shop.portfolio, "port-"), (shop.product, "prod-"), (shop.artifact, "pa-")):
        assert value.startswith(prefix)
        assert len(value) == len(prefix) + 13
    assert product["ProvisioningArtifactSummaries"][0]["Name"] == "v1"


def test_end_users_see_what_their_portfolios_hold(shop: Shop) -> None:
    """A person sees the product, its path and what a launch asks; someone without access sees none of it."""
    found = shop.person.search_products(Filters={"FullTextSearch": [shop.name]})["ProductViewSummaries"]
    assert [product["ProductId"] for product in found] == [shop.product]
    described = shop.person.describe_product(Id=shop.product)
    assert described["ProvisioningArtifacts"][0]["Id"] == shop.artifact
    paths = shop.person.list_launch_paths(ProductId=shop.product)["LaunchPathSummaries"]
    assert [(path["Name"], path["ConstraintSummaries"][0]["Type"]) for path in paths] == [(shop.name, "LAUNCH")]
    asked = shop.person.describe_provisioning_parameters(
        ProductId=shop.product, ProvisioningArtifactId=shop.artifact, PathId=paths[0]["Id"]
    )
    parameters = {p["ParameterKey"]: p for p in asked["ProvisioningArtifactParameters"]}
    assert parameters["Value"]["DefaultValue"] == "first"
    assert parameters["Value"]["ParameterConstraints"]["AllowedValues"] == ["first", "second"]
    assert parameters["Secret"]["IsNoEcho"] is True
    assert {"Type": "launchAsRole", "Value": shop.launch_role} in asked["UsageInstructions"]
    assert asked["ProvisioningArtifactOutputKeys"] == [{"Key": "Name", "Description": "Where it is"}]
    assert shop.admin.search_products(Filters={"FullTextSearch": [shop.name]})["ProductViewSummaries"] == []
    message = fails("ResourceNotFoundException", shop.admin.list_launch_paths, ProductId=shop.product)
    assert "No launch paths found" in message


def test_launch_makes_the_stack_as_the_launch_role(shop: Shop) -> None:
    """A launch's stack has AWS's name and tags, its outputs are the record's, and the role's session made it."""
    ended = shop.launch(
        "one", ProvisioningParameters=[{"Key": "Value", "Value": "second"}], Tags=[{"Key": "Cost", "Value": "7"}],
        ProvisionToken="launch-one",
    )  # fmt: skip
    record = ended["RecordDetail"]
    assert (record["Status"], record["RecordType"], record["ProvisionedProductType"]) == (
        "SUCCEEDED", "PROVISION_PRODUCT", "CFN_STACK",
    )  # fmt: skip
    assert record["LaunchRoleArn"] == shop.launch_role
    product_id = record["ProvisionedProductId"]
    stack_name = f"SC-{TOOLING}-{product_id}"
    stack = shop.cloud.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in ended["RecordOutputs"]}
    assert outputs == {"CloudformationStackARN": stack["StackId"], "Name": f"/{stack_name}/value"}
    assert shop.cloud.client("ssm").get_parameter(Name=outputs["Name"])["Parameter"]["Value"] == "second"
    detail = shop.person.describe_provisioned_product(Id=product_id)["ProvisionedProductDetail"]
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert tags == {
        "Team": "ml",
        "Cost": "7",
        "aws:servicecatalog:portfolioArn": f"arn:aws:catalog:{REGION}:{TOOLING}:portfolio/{shop.portfolio}",
        "aws:servicecatalog:productArn": f"arn:aws:catalog:{REGION}:{TOOLING}:product/{shop.product}",
        "aws:servicecatalog:provisioningPrincipalArn": f"arn:aws:sts::{TOOLING}:assumed-role/{shop.name}-person/mary",
        "aws:servicecatalog:provisioningArtifactIdentifier": shop.artifact,
        "aws:servicecatalog:provisionedProductArn": detail["Arn"],
    }
    assert detail["Arn"] == f"arn:aws:servicecatalog:{REGION}:{TOOLING}:stack/one/{product_id}"
    assert (detail["Status"], detail["LastSuccessfulProvisioningRecordId"]) == ("AVAILABLE", record["RecordId"])
    again = shop.person.provision_product(
        ProductId=shop.product, ProvisioningArtifactId=shop.artifact, ProvisionedProductName="one",
        ProvisionToken="launch-one",
    )  # fmt: skip
    assert again["RecordDetail"]["RecordId"] == record["RecordId"]
    listed = shop.person.get_provisioned_product_outputs(ProvisionedProductName="one", OutputKeys=["Name"])["Outputs"]
    assert [output["OutputValue"] for output in listed] == [outputs["Name"]]
    found = shop.person.search_provisioned_products(Filters={"SearchQuery": ["name:one", f"productId:{shop.product}"]})
    assert [p["PhysicalId"] for p in found["ProvisionedProducts"]] == [stack["StackId"]]
    assert shop.admin.scan_provisioned_products()["ProvisionedProducts"] == []
    everyone = {"Key": "Account", "Value": "self"}
    names = [p["Name"] for p in shop.admin.scan_provisioned_products(AccessLevelFilter=everyone)["ProvisionedProducts"]]
    assert "one" in names


def test_launch_is_refused_at_once_with_the_reason(shop: Shop) -> None:
    """What cannot be launched is refused before anything is made, with AWS's codes."""
    request = {"ProductId": shop.product, "ProvisioningArtifactId": shop.artifact}
    message = fails("ResourceNotFoundException", shop.admin.provision_product, ProvisionedProductName="none", **request)
    assert message.endswith(f"No launch paths found for resource: {shop.product}")
    shop.launch("taken")
    message = fails(
        "InvalidParametersException", shop.person.provision_product, ProvisionedProductName="taken", **request
    )
    assert message == "A stack named taken already exists."
    fails(
        "ResourceNotFoundException", shop.person.provision_product, ProvisionedProductName="none",
        ProductId=shop.product, ProvisioningArtifactId="pa-none",
    )  # fmt: skip
    fails(
        "InvalidParametersException",
        shop.person.provision_product,
        ProvisionedProductName="none",
        ProductId=shop.product,
    )
    hidden = shop.version(PARAMETER, "hidden")
    shop.admin.update_provisioning_artifact(ProductId=shop.product, ProvisioningArtifactId=hidden, Active=False)
    fails(
        "ResourceNotFoundException", shop.person.provision_product, ProvisionedProductName="none",
        ProductId=shop.product, ProvisioningArtifactId=hidden,
    )  # fmt: skip


def test_failed_launch_tells_why_and_can_be_terminated(shop: Shop) -> None:
    """A launch that fails is in ERROR with the resource's own reason; to terminate it removes what is left."""
    broken = shop.version(BROKEN, "broken")
    ended = shop.launch("failing", broken)
    assert ended["RecordDetail"]["Status"] == "FAILED"
    why = ended["RecordDetail"]["RecordErrors"][0]["Description"]
    assert "Broken (AWS::CodeCommit::Repository)" in why
    assert "must not end in .git" in why
    assert shop.status("failing") == ("ERROR", why)
    wrong = shop.launch("wrong-value", ProvisioningParameters=[{"Key": "Value", "Value": "third"}])
    assert wrong["RecordDetail"]["Status"] == "FAILED"
    assert shop.status("wrong-value")[0] == "ERROR"
    for name in ("failing", "wrong-value"):
        begun = shop.person.terminate_provisioned_product(ProvisionedProductName=name)
        assert shop.ended(begun)["RecordDetail"]["Status"] == "SUCCEEDED"
        fails("ResourceNotFoundException", shop.person.describe_provisioned_product, Name=name)


def test_launch_role_must_trust_service_catalog(shop: Shop) -> None:
    """The launch role is really assumed as servicecatalog.amazonaws.com: one that trusts another service is refused."""
    iam = shop.cloud.client("iam")
    other = trust(Service="ec2.amazonaws.com")
    role = iam.create_role(RoleName=f"{shop.name}-other", AssumeRolePolicyDocument=other)["Role"]["Arn"]
    constraint = shop.admin.list_constraints_for_portfolio(PortfolioId=shop.portfolio)["ConstraintDetails"][0]
    try:
        shop.admin.update_constraint(Id=constraint["ConstraintId"], Parameters=json.dumps({"RoleArn": role}))
        ended = shop.launch("distrusted")
    finally:
        shop.admin.update_constraint(
            Id=constraint["ConstraintId"], Parameters=json.dumps({"RoleArn": shop.launch_role})
        )
    assert ended["RecordDetail"]["RecordErrors"][0]["Code"] == "AccessDenied"
    assert role in shop.status("distrusted")[1]


def test_update_changes_the_stack_and_a_failed_one_taints(shop: Shop) -> None:
    """A new version or value changes the stack; one that rolls back leaves TAINTED, the old version and the reason."""
    shop.launch("changing")
    begun = shop.person.update_provisioned_product(
        ProvisionedProductName="changing", ProvisioningArtifactId=shop.artifact, ProductId=shop.product,
        ProvisioningParameters=[{"Key": "Value", "Value": "second"}, {"Key": "Secret", "UsePreviousValue": True}],
    )  # fmt: skip
    ended = shop.ended(begun)
    assert ended["RecordDetail"]["Status"] == "SUCCEEDED"
    name = next(o["OutputValue"] for o in ended["RecordOutputs"] if o["OutputKey"] == "Name")
    assert shop.cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"] == "second"
    same = shop.person.update_provisioned_product(
        ProvisionedProductName="changing", ProvisioningParameters=[{"Key": "Value", "UsePreviousValue": True}]
    )
    assert shop.ended(same)["RecordDetail"]["Status"] == "SUCCEEDED"
    broken = shop.version(BROKEN, "broken-update")
    begun = shop.person.update_provisioned_product(
        ProvisionedProductName="changing", ProductId=shop.product, ProvisioningArtifactId=broken
    )
    assert shop.ended(begun)["RecordDetail"]["Status"] == "FAILED"
    status, message = shop.status("changing")
    assert status == "TAINTED"
    assert "Broken" in message
    detail = shop.person.describe_provisioned_product(Name="changing")["ProvisionedProductDetail"]
    assert detail["ProvisioningArtifactId"] == shop.artifact
    fails(
        "InvalidParametersException", shop.person.update_provisioned_product, ProvisionedProductName="changing",
        Tags=[{"Key": "a", "Value": "b"}],
    )  # fmt: skip
    history = shop.person.list_record_history(SearchFilter={"Key": "provisionedproduct", "Value": detail["Id"]})
    assert [r["Status"] for r in history["RecordDetails"]] == ["FAILED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]


def test_terminate_deletes_or_retains_the_stack(shop: Shop) -> None:
    """Terminate takes the stack along, unless its resources are to stay."""
    stacks = shop.cloud.client("cloudformation")
    for retain in (False, True):
        name = f"ending-{retain}"
        made = shop.launch(name)["RecordDetail"]["ProvisionedProductId"]
        begun = shop.person.terminate_provisioned_product(ProvisionedProductId=made, RetainPhysicalResources=retain)
        assert shop.ended(begun)["RecordDetail"]["RecordType"] == "TERMINATE_PROVISIONED_PRODUCT"
        fails("ResourceNotFoundException", shop.person.describe_provisioned_product, Id=made)
        stack = f"SC-{TOOLING}-{made}"
        if retain:
            assert stacks.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
        else:
            fails("ValidationError", stacks.describe_stacks, StackName=stack)


def test_access_by_pattern(shop: Shop) -> None:
    """IAM_PATTERN gives access to every role whose ARN fits, in whatever account."""
    portfolio = shop.admin.create_portfolio(DisplayName=f"{shop.name}-p", ProviderName="us")["PortfolioDetail"]["Id"]
    shop.admin.associate_product_with_portfolio(ProductId=shop.product, PortfolioId=portfolio)
    shop.admin.associate_principal_with_portfolio(
        PortfolioId=portfolio, PrincipalARN=f"arn:aws:iam:::role/{shop.name}-per*", PrincipalType="IAM_PATTERN"
    )
    assert len(shop.person.list_launch_paths(ProductId=shop.product)["LaunchPathSummaries"]) == 2
    request = {"ProductId": shop.product, "ProvisioningArtifactId": shop.artifact}
    message = fails("InvalidParametersException", shop.person.provision_product, ProvisionedProductName="x", **request)
    assert "PathId" in message
    fails("ResourceInUseException", shop.admin.delete_portfolio, Id=portfolio)
    shop.admin.disassociate_product_from_portfolio(ProductId=shop.product, PortfolioId=portfolio)
    shop.admin.disassociate_principal_from_portfolio(
        PortfolioId=portfolio, PrincipalARN=f"arn:aws:iam:::role/{shop.name}-per*", PrincipalType="IAM_PATTERN"
    )
    shop.admin.delete_portfolio(Id=portfolio)
    fails("ResourceNotFoundException", shop.admin.describe_portfolio, Id=portfolio)


def test_catalogue_faults(shop: Shop) -> None:
    """Mistakes of the administrator get AWS's codes, and what is not served is refused by name."""
    admin = shop.admin
    fails("ResourceInUseException", admin.delete_product, Id=shop.product)
    fails(
        "ResourceInUseException",
        admin.disassociate_product_from_portfolio,
        ProductId=shop.product,
        PortfolioId=shop.portfolio,
    )
    where = {"PortfolioId": shop.portfolio, "ProductId": shop.product}
    role = json.dumps({"LocalRoleName": "x"})
    fails("DuplicateResourceException", admin.create_constraint, Type="LAUNCH", Parameters=role, **where)
    for kind in ("TEMPLATE", "NOTIFICATION", "STACKSET"):
        assert kind in fails("NotImplemented", admin.create_constraint, Type=kind, Parameters="{}", **where)
    fails("InvalidParametersException", admin.create_constraint, Type="LAUNCH", Parameters="no", **where)
    fails(
        "InvalidParametersException", admin.associate_principal_with_portfolio, PortfolioId=shop.portfolio,
        PrincipalARN="mary", PrincipalType="IAM",
    )  # fmt: skip
    new = {"Name": "x", "Owner": "us", "ProductType": "CLOUD_FORMATION_TEMPLATE"}
    for url in (f"https://{shop.name}.s3.amazonaws.com/none.yaml", "https://example.com/x.yaml"):
        parameters = {"Info": {"LoadTemplateFromURL": url}}
        message = fails(
            "InvalidParametersException", admin.create_product, ProvisioningArtifactParameters=parameters, **new
        )
        assert url in message
    bad = put_template(shop.cloud, shop.name, "bad", "just: text")
    parameters = {"Info": {"LoadTemplateFromURL": bad}}
    fails("InvalidParametersException", admin.create_product, ProvisioningArtifactParameters=parameters, **new)
    fails("NotImplemented", admin.create_portfolio_share, PortfolioId=shop.portfolio, AccountId="222222222222")


def test_tag_options_and_no_launch_role(shop: Shop) -> None:
    """A tag option with one value is set, with several chosen; without a launch role the person's own rights count."""
    admin, name = shop.admin, f"{shop.name}-more"
    portfolio = admin.create_portfolio(DisplayName=name, ProviderName="us")["PortfolioDetail"]["Id"]
    where = {"PortfolioId": portfolio, "ProductId": shop.product}
    admin.associate_product_with_portfolio(**where)
    admin.associate_principal_with_portfolio(PortfolioId=portfolio, PrincipalARN=shop.person_role, PrincipalType="IAM")
    options = [
        admin.create_tag_option(Key=f"{name}-{key}", Value=value)["TagOptionDetail"]["Id"]
        for key, value in (("one", "1"), ("two", "a"), ("two", "b"))
    ]
    for option in options:
        admin.associate_tag_option_with_resource(ResourceId=portfolio, TagOptionId=option)
    message = fails(
        "InvalidParametersException", shop.person.provision_product, ProductId=shop.product,
        ProvisioningArtifactId=shop.artifact, ProvisionedProductName=name, PathName=name,
    )  # fmt: skip
    assert "must be one of a, b" in message
    record = shop.launch(name, PathName=name, Tags=[{"Key": f"{name}-two", "Value": "b"}])["RecordDetail"]
    assert "LaunchRoleArn" not in record
    stack = shop.cloud.client("cloudformation").describe_stacks(
        StackName=f"SC-{TOOLING}-{record['ProvisionedProductId']}"
    )["Stacks"][0]
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert (tags[f"{name}-one"], tags[f"{name}-two"]) == ("1", "b")
    for option in options:
        admin.disassociate_tag_option_from_resource(ResourceId=portfolio, TagOptionId=option)
    admin.disassociate_product_from_portfolio(**where)
    admin.disassociate_principal_from_portfolio(PortfolioId=portfolio, PrincipalARN=shop.person_role)


def test_versions_and_tag_options(shop: Shop) -> None:
    """The last version stays, tag options choose tags, and what is in use is not deleted."""
    admin = shop.admin
    url = put_template(shop.cloud, shop.name, "single", PARAMETER)
    made = admin.create_product(
        Name=f"{shop.name}-single", Owner="us", ProductType="CLOUD_FORMATION_TEMPLATE",
        ProvisioningArtifactParameters={"Info": {"LoadTemplateFromURL": url}}, IdempotencyToken=shop.name,
    )  # fmt: skip
    product = made["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    version = made["ProvisioningArtifactDetail"]["Id"]
    fails(
        "ResourceInUseException", admin.delete_provisioning_artifact, ProductId=product, ProvisioningArtifactId=version
    )
    option = admin.create_tag_option(Key=shop.name, Value="1")["TagOptionDetail"]["Id"]
    fails("DuplicateResourceException", admin.create_tag_option, Key=shop.name, Value="1")
    admin.associate_tag_option_with_resource(ResourceId=product, TagOptionId=option)
    fails(
        "DuplicateResourceException", admin.associate_tag_option_with_resource, ResourceId=product, TagOptionId=option
    )
    fails("ResourceInUseException", admin.delete_tag_option, Id=option)
    fails("ResourceInUseException", admin.delete_product, Id=product)
    admin.disassociate_tag_option_from_resource(ResourceId=product, TagOptionId=option)
    admin.delete_tag_option(Id=option)
    admin.delete_product(Id=product)
    fails("ResourceNotFoundException", admin.describe_product_as_admin, Id=product)


def test_cloudformation_types(cloud: Any) -> None:
    """A catalogue written as a template: made, changed without new version ids, launched from, and deleted."""
    name = f"cat-{uuid.uuid4().hex[:8]}"
    urls = {key: put_template(cloud, name, key, PARAMETER) for key in ("a", "b")}
    stacks, admin = cloud.client("cloudformation"), cloud.client("servicecatalog")
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust(AWS=TOOLING))["Role"]["Arn"]

    def template(*versions: str) -> str:
        def resource(kind: str, depends: str = "", **properties: Any) -> dict[str, Any]:
            found: dict[str, Any] = {"Type": f"AWS::ServiceCatalog::{kind}", "Properties": properties}
            return found | ({"DependsOn": depends} if depends else {})

        both = {"PortfolioId": {"Ref": "Portfolio"}, "ProductId": {"Ref": "Product"}}
        artifacts = [{"Name": v, "Info": {"LoadTemplateFromURL": urls[v]}} for v in versions]
        principal = {"PortfolioId": {"Ref": "Portfolio"}, "PrincipalARN": role, "PrincipalType": "IAM"}
        use = {"TagOptionId": {"Ref": "Option"}, "ResourceId": {"Ref": "Portfolio"}}
        resources = {
            "Portfolio": resource("Portfolio", DisplayName=name, ProviderName="us"),
            "Product": resource(
                "CloudFormationProduct", Name=name, Owner="us", ProvisioningArtifactParameters=artifacts
            ),
            "Member": resource("PortfolioProductAssociation", **both),
            "Person": resource("PortfolioPrincipalAssociation", **principal),
            "Launch": resource("LaunchRoleConstraint", "Member", LocalRoleName=name, **both),
            "Option": resource("TagOption", Key=name, Value="1"),
            "Use": resource("TagOptionAssociation", **use),
        }
        outputs = {
            "Portfolio": {"Value": {"Ref": "Portfolio"}},
            "Product": {"Value": {"Ref": "Product"}},
            "Versions": {"Value": {"Fn::GetAtt": ["Product", "ProvisioningArtifactIds"]}},
        }
        return json.dumps({"Resources": resources, "Outputs": outputs})

    def outputs() -> dict[str, str]:
        stack = stacks.describe_stacks(StackName=name)["Stacks"][0]
        assert stack["StackStatus"].endswith("COMPLETE"), stack
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    stacks.create_stack(StackName=name, TemplateBody=template("a"))
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    made = outputs()
    constraints = admin.list_constraints_for_portfolio(PortfolioId=made["Portfolio"])["ConstraintDetails"]
    assert [c["Type"] for c in constraints] == ["LAUNCH"]
    person = cloud.client("servicecatalog", **session(cloud, role, "mary"))
    assert len(person.list_launch_paths(ProductId=made["Product"])["LaunchPathSummaries"]) == 1
    stacks.update_stack(StackName=name, TemplateBody=template("a", "b"))
    stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert outputs()["Product"] == made["Product"]
    versions = [
        v["Id"] for v in admin.list_provisioning_artifacts(ProductId=made["Product"])["ProvisioningArtifactDetails"]
    ]
    assert (versions[0], len(versions)) == (made["Versions"], 2)
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    fails("ResourceNotFoundException", admin.describe_portfolio, Id=made["Portfolio"])


def test_aws_command_launches(shop: Shop) -> None:
    """The `aws` command launches by names, as a person would."""
    made = session(shop.cloud, shop.person_role, "cli")
    env = shop.cloud.environment() | {
        "AWS_ACCESS_KEY_ID": made["access_key"],
        "AWS_SECRET_ACCESS_KEY": made["secret_key"],
        "AWS_SESSION_TOKEN": made["token"],
    }
    command = ["aws", "servicecatalog", "provision-product", "--product-name", shop.name]
    command += ["--provisioning-artifact-name", "v1", "--provisioned-product-name", "by-command"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert shop.ended(json.loads(done.stdout))["RecordDetail"]["Status"] == "SUCCEEDED"


SLOW = PARAMETER.replace(
    "Outputs:",
    "  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}\n"
    "  Wait:\n    Type: AWS::CloudFormation::WaitCondition\n"
    "    Properties: {Handle: !Ref Handle, Timeout: '600'}\nOutputs:",
)


def until(what: Callable[[], bool]) -> None:
    """Wait for something that takes a moment."""
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_interrupted_launches_are_resolved_after_the_start(own_cloud: Any) -> None:
    """kill -9 at any moment of a launch: it ends in ERROR with a reason and can be terminated, never UNDER_CHANGE."""
    shop = open_shop(own_cloud)
    slow = shop.version(SLOW, "slow")
    done = shop.launch("done")["RecordDetail"]
    begun = {"waiting": shop.begin("waiting", slow)}
    stack = f"SC-{TOOLING}-{begun['waiting']['RecordDetail']['ProvisionedProductId']}"
    until(lambda: stack_exists(own_cloud, stack))
    begun["just-begun"] = shop.begin("just-begun", shop.artifact)
    own_cloud.kill()
    own_cloud.start()
    assert shop.ended(begun["waiting"])["RecordDetail"]["Status"] == "FAILED"
    status, message = shop.status("waiting")
    assert status == "ERROR"
    assert "stopped while the stack was in progress" in message
    record = shop.ended(begun["just-begun"])["RecordDetail"]
    assert shop.status("just-begun")[0] == ("AVAILABLE" if record["Status"] == "SUCCEEDED" else "ERROR")
    assert shop.status("done") == ("AVAILABLE", "")
    assert shop.person.describe_record(Id=done["RecordId"])["RecordOutputs"]
    for name in begun:
        ended = shop.ended(shop.person.terminate_provisioned_product(ProvisionedProductName=name))
        assert ended["RecordDetail"]["Status"] == "SUCCEEDED"


def stack_exists(cloud: Any, name: str) -> bool:
    try:
        return bool(cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"])
    except ClientError:
        return False


def test_a_deprecated_version_launches_nothing_but_keeps_what_was_launched(shop: Shop) -> None:
    """AWS refuses launches from a deprecated version, and goes on changing what was launched from it."""
    old = shop.version(PARAMETER, "soon-old")
    name = f"kept-{uuid.uuid4().hex[:6]}"
    assert shop.launch(name, old)["RecordDetail"]["Status"] == "SUCCEEDED"
    shop.admin.update_provisioning_artifact(ProductId=shop.product, ProvisioningArtifactId=old, Guidance="DEPRECATED")
    message = fails(
        "InvalidParametersException", shop.person.provision_product, ProductId=shop.product,
        ProvisioningArtifactId=old, ProvisionedProductName=f"{name}-2",
    )  # fmt: skip
    assert "deprecated" in message
    begun = shop.person.update_provisioned_product(
        ProvisionedProductName=name, ProductId=shop.product, ProvisioningArtifactId=old,
        ProvisioningParameters=[{"Key": "Value", "Value": "second"}],
    )  # fmt: skip
    assert shop.ended(begun)["RecordDetail"]["Status"] == "SUCCEEDED"
    shown = shop.person.describe_product(Id=shop.product)["ProvisioningArtifacts"]
    assert {item["Name"]: item["Guidance"] for item in shown}["soon-old"] == "DEPRECATED"
