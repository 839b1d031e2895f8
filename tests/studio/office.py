"""Two projects, a Studio domain and the catalogue's studio-user, in a local cloud with the real guardrails."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipway.platform import catalogue
from slipway.progress import Progress
from tests.localcloud.conftest import PRODUCTION, REGION, STAGING, TOOLING
from tests.loop.deployed import Deployed, Role
from tests.studio.conftest import BUCKET, NAMESPACE, PREFIX, Account
from tests.templates.library import REPOSITORY

# The second begins as the first does: what names the first by a pattern would reach the second, too.
PROJECTS = ("flight", "flight-delays")
LAYERS = (
    "lake", "packages", "studio-roles", "studio-cleanup", "studio", "personas", "project-personas",
    "launch-role-studio-user",
)  # fmt: skip
ENDED = ("SUCCEEDED", "FAILED")
_NESTED = re.compile(r"Embedded stack (arn:\S+) was")


class Session:
    """As boto3's: clients of the tooling account's administrator."""

    region_name = REGION

    def __init__(self, account: Account) -> None:
        self.client = account.client


@dataclass
class Office:
    """The Data Science Admin's place: launches Studio users, and looks at what came of it."""

    account: Account
    admin: Any
    product: str
    deployed: Deployed

    @property
    def domain(self) -> str:
        return self.account.contract("studio/domain-id")

    @property
    def artifact(self) -> str:
        found = self.admin.describe_product(Id=self.product)["ProvisioningArtifacts"]
        return str(max(found, key=lambda item: item["CreatedTime"])["Id"])

    def begin(self, name: str, **parameters: str) -> dict[str, Any]:
        """The record of a launch that has begun."""
        path = self.admin.list_launch_paths(ProductId=self.product)["LaunchPathSummaries"][0]["Id"]
        answer = self.admin.provision_product(
            ProductId=self.product, ProvisioningArtifactId=self.artifact, PathId=path, ProvisionedProductName=name,
            ProvisionToken=f"{threading.get_ident()}-{time.time_ns()}", ProvisioningParameters=_pairs(parameters),
        )  # fmt: skip
        return dict(answer["RecordDetail"])

    def ended(self, record: dict[str, Any], seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while record["Status"] not in ENDED:
            assert time.monotonic() < deadline, f"{record['ProvisionedProductName']} does not end"
            time.sleep(0.1)
            record = self.admin.describe_record(Id=record["RecordId"])["RecordDetail"]
        return record

    def launch(self, name: str, **parameters: str) -> dict[str, Any]:
        """The record of a launch that has ended."""
        return self.ended(self.begin(name, **parameters))

    def causes(self, record: dict[str, Any]) -> str:
        """Why a launch failed: its own words, and those of the nested stack that they name."""
        text = str(record["RecordErrors"][0]["Description"])
        for stack in _NESTED.findall(text):
            events = self.account.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
            text += "\n" + "\n".join(event.get("ResourceStatusReason", "") for event in events)
        return text

    def update(self, name: str, **parameters: str) -> dict[str, Any]:
        """Change parameters of what was launched; the others stay."""
        kept = [
            {"Key": key, "UsePreviousValue": True}
            for key in ("UserName", "ProjectName", "InstanceTypes", "VolumeGb", "LargestVolumeGb", "CostCenter")
            if key not in parameters
        ]
        answer = self.admin.update_provisioned_product(
            ProvisionedProductName=name, ProductId=self.product, ProvisioningArtifactId=self.artifact,
            ProvisioningParameters=kept + _pairs(parameters), UpdateToken=f"u-{time.time_ns()}",
        )  # fmt: skip
        return self.ended(dict(answer["RecordDetail"]))

    def terminate(self, name: str) -> dict[str, Any]:
        answer = self.admin.terminate_provisioned_product(
            ProvisionedProductName=name, TerminateToken=f"t-{time.time_ns()}"
        )
        return self.ended(dict(answer["RecordDetail"]))

    def profile(self, name: str) -> dict[str, Any]:
        sagemaker = self.account.client("sagemaker")
        return dict(sagemaker.describe_user_profile(DomainId=self.domain, UserProfileName=name))

    def role(self, name: str) -> Role:
        return self.deployed.role(TOOLING, name)

    def space(self, name: str, owner: str) -> None:
        self.account.client("sagemaker").create_space(
            DomainId=self.domain, SpaceName=name, OwnershipSettings={"OwnerUserProfileName": owner},
            SpaceSharingSettings={"SharingType": "Private"}, SpaceSettings={"AppType": "JupyterLab"},
        )  # fmt: skip

    def contract(self, project: str, name: str) -> str:
        found = self.account.client("ssm").get_parameter(Name=f"/{NAMESPACE}/projects/{project}/{name}")
        return str(found["Parameter"]["Value"])

    def there_is(self) -> dict[str, list[str]]:
        """Everything that a launch makes, by kind."""
        client = self.account.client
        parameters = client("ssm").get_paginator("get_parameters_by_path")
        domain = {"DomainIdEquals": self.domain}
        return {
            "roles": sorted(role["RoleName"] for role in client("iam").list_roles()["Roles"]),
            "profiles": [
                p["UserProfileName"] for p in client("sagemaker").list_user_profiles(**domain)["UserProfiles"]
            ],
            "spaces": [space["SpaceName"] for space in client("sagemaker").list_spaces(**domain)["Spaces"]],
            "contracts": sorted(
                item["Name"]
                for page in parameters.paginate(Path=f"/{NAMESPACE}/projects", Recursive=True)
                for item in page["Parameters"]
            ),
            "stacks": sorted(
                stack["StackName"]
                for stack in client("cloudformation").describe_stacks()["Stacks"]
                if stack["StackStatus"] != "DELETE_COMPLETE"
            ),
        }


def changed(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """What is there no more (-) and what is new (+), by kind."""
    found = {
        kind: [f"-{name}" for name in before[kind] if name not in after[kind]]
        + [f"+{name}" for name in after[kind] if name not in before[kind]]
        for kind in before
    }
    return {kind: names for kind, names in found.items() if names}


def _pairs(parameters: dict[str, str]) -> list[dict[str, Any]]:
    return [{"Key": key, "Value": value} for key, value in parameters.items()]


def opened(account: Account) -> Office:
    """Deploy the layers and two projects, and publish the product. The account has the real guardrails."""
    for name, value in {"accounts/staging": STAGING, "accounts/production": PRODUCTION}.items():
        account.publish(name, value)
    assets = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    account.publish("assets/key-arn", assets)
    for layer in LAYERS:
        account.deploy(layer)
    for project in PROJECTS:
        _make(account, project)
    s3 = account.client("s3")
    for path in sorted((REPOSITORY / "service-catalog" / "studio-user").iterdir()):
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/service-catalog/studio-user/{path.name}", Body=path.read_bytes())
    admin_role = f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}-DataScienceAdmin"
    shop = account.client("servicecatalog")
    portfolio = shop.create_portfolio(DisplayName="people", ProviderName="us")["PortfolioDetail"]["Id"]
    shop.associate_principal_with_portfolio(PortfolioId=portfolio, PrincipalARN=admin_role, PrincipalType="IAM")
    account.publish("catalogue/portfolio-id", portfolio)
    shelf = catalogue.Shelf(Session(account), NAMESPACE, "ml-platform", BUCKET, PREFIX)
    assert list(catalogue.publish(shelf, Progress())) == ["studio-user"]
    client = person(account, admin_role, "joan")
    product = account.contract("catalogue/products/studio-user")
    return Office(account, client("servicecatalog"), product, Deployed(functools.cache(_anywhere(account))))


def _anywhere(account: Account) -> Callable[[str, str], Any]:
    return lambda number, service: account.cloud.client(service, number)


def person(account: Account, role: str, name: str) -> Callable[[str], Any]:
    """Clients of somebody who has taken a role."""
    made = account.client("sts").assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
    keys = {"access_key": made["AccessKeyId"], "secret_key": made["SecretAccessKey"], "token": made["SessionToken"]}
    return lambda service: account.cloud.client(service, **keys)


def at_rest(sagemaker: Any, name: str, seconds: float = 60) -> dict[str, Any]:
    """A SageMaker project once nothing is in progress; empty when it is gone."""
    deadline = time.monotonic() + seconds
    while True:
        listed = {item["ProjectName"]: item for item in sagemaker.list_projects()["ProjectSummaryList"]}
        if name not in listed:
            return {}
        if not listed[name]["ProjectStatus"].endswith("InProgress"):
            return dict(sagemaker.describe_project(ProjectName=name))
        assert time.monotonic() < deadline, listed[name]
        time.sleep(0.1)


def _make(account: Account, project: str) -> None:
    """What of a project people reach: key, bucket, repository, images and models."""
    common = {"ProjectName": project, "CostCenter": "cc-7"}

    def stack(part: str, **parameters: str) -> None:
        account.deploy(f"{project}-{part}", template=f"service-catalog/project/{part}.yaml", **common, **parameters)

    stack("encryption")
    key = account.client("ssm").get_parameter(Name=f"/{NAMESPACE}/projects/{project}/key-arn")["Parameter"]["Value"]
    stack("storage", ProjectKeyArn=key)
    stack("registry", ProjectKeyArn=key)
    stack("repository")
