"""A platform with one project in a local cloud of its own, and what the cloud held before it came."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from localcloud.core.base.snapshot import join
from tests.localcloud.conftest import PRODUCTION, REGION, STAGING, TOOLING, LocalCloud, free_port
from tests.upgrade.kept import data

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = "alpha"
# What is no resource: counters, expiring tokens and sessions, histories that AWS keeps of what has been (the lineage of
# jobs and model packages among them, which outlives both), AWS's default groups, and the local cloud's own notes.
NO_RESOURCE = re.compile(
    r"^(codeartifact\.token|codebuild\.number|servicecatalog\.record|cloudformation\.made|sts/|"
    r"cloudformation/stack_events|cloudwatch/alarm_history|iam/service_linked_role_deletion_tasks|"
    r"iam/aws_managed_attachment_counts|elasticache/param_group|"
    r"sagemaker\.(Action|Artifact|Association|Context)\b|core\.sagemaker-lineage|"
    r".*(tags|port_counter|counter)\b)"
)


@dataclass
class Platform:
    """A deployed platform."""

    cloud: LocalCloud
    before: set[str] = field(default_factory=set)

    def environment(self, role: str | None = None) -> dict[str, str]:
        """The account's root, or one of the platform's roles."""
        variables = self.cloud.environment(TOOLING)
        if role:
            arn = f"arn:aws:iam::{TOOLING}:role/slipway-{role}"
            given = self.cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
            variables |= {
                "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
                "AWS_SESSION_TOKEN": given["SessionToken"],
            }
        return variables

    def slipway(self, *arguments: str, role: str | None = None) -> subprocess.CompletedProcess[str]:
        """`slipway platform …`, where nobody can be asked."""
        return subprocess.run(
            [sys.executable, "-m", "slipway", "platform", *arguments], cwd=REPOSITORY, env=self.environment(role),
            capture_output=True, text=True, check=False, timeout=600, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def deploy(self) -> subprocess.CompletedProcess[str]:
        """The Full Stack Developer deploys the platform, beside accounts for staging and production."""
        others = ["--parameter", f"StagingAccountId={STAGING}", "--parameter", f"ProductionAccountId={PRODUCTION}"]
        return self.slipway("deploy", *others, role="FullStackDeveloper")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The same as a process whose output can be followed."""
        return subprocess.Popen(
            [sys.executable, "-m", "slipway", "platform", *arguments], cwd=REPOSITORY, env=self.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
            # A shell's background job ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip

    def records(self) -> set[str]:
        """Every record of every service in the three accounts, from what the local cloud itself has on disk."""
        found = set()
        with sqlite3.connect(f"file:{self.cloud.home / 'localcloud.sqlite'}?mode=ro", uri=True) as store:
            for kind, account, key in store.execute("SELECT kind, account, key FROM record"):
                found.add(f"{kind} {account} {key}")
            rows = store.execute("SELECT module, name, key, document FROM base_entry ORDER BY module, seq").fetchall()
            for module, pieces in groupby(rows, key=lambda row: row[0]):
                found |= set(_flat(module, json.loads(join(piece[1:] for piece in pieces))))
        return {record for record in found if not NO_RESOURCE.match(record)}

    def until(self, condition: Callable[[], bool], seconds: float = 30) -> bool:
        """Whether it came true in time: the local cloud writes logs and metrics to disk a little after its answer."""
        end = time.monotonic() + seconds
        while not (met := condition()) and time.monotonic() < end:
            time.sleep(0.2)
        return met

    def data(self) -> dict[str, str]:
        """What keeps data in buckets, repositories and registries, and the keys."""
        found = data(lambda account, service: self.cloud.client(service, account))
        kinds = ("objects", "commits", "packages", "models", "images", "keys")
        return {name: content for name, content in found.items() if name.startswith(kinds)}

    def lost(self, before: dict[str, str]) -> list[str]:
        """What is gone, or holds something else: aliases are names, not data."""
        after = self.data()
        return [name for name in before if "alias/" not in name and after.get(name) != before[name]]

    def catalogue(self) -> Any:
        """Service Catalog as the Data Science Admin has it."""
        admin = self.environment("DataScienceAdmin")
        return self.cloud.client(
            "servicecatalog", access_key=admin["AWS_ACCESS_KEY_ID"], secret_key=admin["AWS_SECRET_ACCESS_KEY"],
            token=admin["AWS_SESSION_TOKEN"],
        )  # fmt: skip

    def launch(self, name: str, **parameters: str) -> str:
        """Launch a project from the catalogue. Returns how it ended."""
        catalogue = self.catalogue()
        views = catalogue.search_products()["ProductViewSummaries"]
        product = next(view["ProductId"] for view in views if "project" in view["Name"].lower())
        versions = catalogue.describe_product(Id=product)["ProvisioningArtifacts"]
        record = catalogue.provision_product(
            ProductId=product, ProvisioningArtifactId=max(versions, key=lambda item: item["CreatedTime"])["Id"],
            PathId=catalogue.list_launch_paths(ProductId=product)["LaunchPathSummaries"][0]["Id"],
            ProvisionedProductName=name, ProvisionToken=f"test-{time.time_ns()}",
            ProvisioningParameters=[
                {"Key": key, "Value": value} for key, value in {"ProjectName": name, **parameters}.items()
            ],
        )["RecordDetail"]  # fmt: skip
        while True:
            about = catalogue.describe_provisioned_product(Id=record["ProvisionedProductId"])
            if about["ProvisionedProductDetail"]["Status"] != "UNDER_CHANGE":
                return str(about["ProvisionedProductDetail"]["Status"])
            time.sleep(0.3)

    def terminate(self, name: str) -> str:
        """Terminate a launched project. Returns how it ended, with the reason if it failed."""
        catalogue = self.catalogue()
        record = catalogue.terminate_provisioned_product(
            ProvisionedProductName=name, TerminateToken=f"test-{time.time_ns()}"
        )["RecordDetail"]
        while record["Status"] in {"CREATED", "IN_PROGRESS", "IN_PROGRESS_IN_ERROR"}:
            time.sleep(0.3)
            record = catalogue.describe_record(Id=record["RecordId"])["RecordDetail"]
        return "; ".join([record["Status"], *(error["Description"] for error in record.get("RecordErrors", []))])


def _flat(module: str, document: Any, path: str = "") -> Iterator[str]:
    """`module/store account region key` of everything that a service of the base holds."""
    if not isinstance(document, dict):
        return
    if document.get("__scoped__") or document.get("__account_region_scoped__"):
        for key, value in document.get("data", {}).items():
            name = f"{module}{path} {key}".replace("\0", " ")
            if _stands(value):
                yield name
        return
    for key, value in document.items():
        yield from _flat(module, value, f"{path}/{key}")


def _stands(value: Any) -> bool:
    """A deleted stack stays listed for 90 days, and a key for its waiting time: neither is there any more."""
    if not isinstance(value, dict):
        return bool(value)
    return value.get("StackStatus") != "DELETE_COMPLETE" and value.get("KeyState") != "PendingDeletion"


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A tooling account in which an administrator has done the first part, and nobody the second."""
    cloud = LocalCloud(tmp_path_factory.mktemp("operations") / "home", free_port())
    cloud.start()
    made = Platform(cloud)
    try:
        # What an account has from the first: each service makes it when it is first asked, and keeps it at a change.
        cloud.client("cloudformation").list_stacks()
        cloud.client("scheduler").list_schedule_groups()
        ec2 = cloud.client("ec2")
        ec2.delete_vpc(VpcId=ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"])
        ssm = cloud.client("ssm")
        ssm.put_parameter(Name="probe", Value="probe", Type="String")
        ssm.delete_parameter(Name="probe")
        time.sleep(2)
        made.before = made.records()
        done = made.slipway("bootstrap")
        assert done.returncode == 0, done.stdout + done.stderr
        yield made
    finally:
        cloud.stop()


@pytest.fixture(scope="module")
def platform(bootstrapped: Platform) -> Platform:
    """The tooling account's platform with one project."""
    done = bootstrapped.deploy()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert bootstrapped.launch(PROJECT) == "AVAILABLE"
    return bootstrapped


__all__ = ["PROJECT", "REGION", "Platform"]
