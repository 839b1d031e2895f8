"""Release 0.1.0, deployed and used as its own demonstration does it, on a local cloud of today."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slipway.platform import parameters
from slipway_demo import steps, watching
from slipway_demo.console import Journal
from slipway_demo.people import PRODUCTION, STAGING, TOOLING, Person, persona
from tests.localcloud.conftest import LocalCloud, free_port
from tests.loop.conftest import DEPLOY, PROJECT, Loop, down
from tests.upgrade.kept import data

ROOT = Path(__file__).resolve().parents[2]
FIRST = Path(__file__).parent / "0.1.0.tar.xz"
# What 0.1.0 calls the endpoint of the project, in staging and in production.
FIRST_ENDPOINT = f"slipway-{PROJECT}"


@dataclass
class Upgrade(Loop):
    """A local cloud in which a release was deployed, and then the present tree."""

    before: dict[str, str] = field(default_factory=dict)

    def client(self, account: str, service: str) -> Any:
        """As the account's administrator."""
        return self.admin(account).client(service)

    def data(self) -> dict[str, str]:
        return data(self.client)

    def demonstrate(self, release: Path) -> None:
        """Play the demonstration of a release with that release's own commands and package."""
        paths = os.pathsep.join(str(release / name / "src") for name in ("cicd", "demo"))
        environment = {**self.environment(), "PYTHONPATH": paths}
        done = subprocess.run(
            [sys.executable, "-m", "slipway_demo", "run"], cwd=self.folder, env=environment, capture_output=True,
            text=True, check=False, timeout=1800,
        )  # fmt: skip
        self.output = done.stdout + done.stderr
        assert done.returncode == 0, self.output[-6000:]

    def slipway(self, person: Person, *arguments: str) -> str:
        """The present `slipway platform …`. Returns what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "slipway", "platform", *arguments], cwd=ROOT, env=person.full_environment(),
            capture_output=True, text=True, check=False, timeout=900, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout

    def deploy_the_present(self) -> None:
        """As docs/upgrade.md says: the administrators first, then the Full Stack Developer, account by account."""
        for account in (TOOLING, STAGING, PRODUCTION):
            self.slipway(self.admin(account), "bootstrap")
        known = parameters.of_template((ROOT / "cfn" / "workload.yaml").read_text(encoding="utf-8"))
        for account, root, environment in (
            (TOOLING, "deploy", ""), (STAGING, "workload", "staging"), (PRODUCTION, "workload", "production"),
        ):  # fmt: skip
            given = ["--parameter", f"Environment={environment}"] if environment and "Environment" in known else []
            self.slipway(persona(self.place, "FullStackDeveloper", account=account), root, *given)

    def update_project(self) -> str:
        """The Data Science Admin takes the newest version for the launched project. Returns how that ended."""
        catalogue = persona(self.place, "DataScienceAdmin").client("servicecatalog")
        found = catalogue.describe_provisioned_product(Name=PROJECT)["ProvisionedProductDetail"]
        versions = catalogue.describe_product(Id=found["ProductId"])["ProvisioningArtifacts"]
        offered = [version for version in versions if version.get("Guidance") != "DEPRECATED"]
        newest = max(offered, key=lambda version: version["CreatedTime"])["Id"]
        assert newest != found["ProvisioningArtifactId"], "the product has no other version than the first"
        asked = catalogue.describe_provisioning_parameters(
            ProductId=found["ProductId"], ProvisioningArtifactId=newest,
            PathId=catalogue.list_launch_paths(ProductId=found["ProductId"])["LaunchPathSummaries"][0]["Id"],
        )["ProvisioningArtifactParameters"]  # fmt: skip
        stack = self.client(TOOLING, "cloudformation").describe_stacks(StackName=f"SC-{TOOLING}-{found['Id']}")
        known = {item["ParameterKey"] for item in stack["Stacks"][0]["Parameters"]}
        # What it was launched with stays; AssetsPrefix is the version's own.
        same = [item["ParameterKey"] for item in asked if item["ParameterKey"] in known - {"AssetsPrefix"}]
        record = catalogue.update_provisioned_product(
            ProvisionedProductId=found["Id"], ProductId=found["ProductId"], ProvisioningArtifactId=newest,
            ProvisioningParameters=[{"Key": key, "UsePreviousValue": True} for key in same],
            UpdateToken=f"test-{time.time_ns()}",
        )["RecordDetail"]  # fmt: skip
        while record["Status"] in ("CREATED", "IN_PROGRESS", "IN_PROGRESS_IN_ERROR"):
            time.sleep(0.5)
            record = catalogue.describe_record(Id=record["RecordId"])["RecordDetail"]
        return f"{record['Status']} {record.get('RecordErrors') or ''}".strip()

    def release(self, arn: str) -> str:
        """Approve a model version and its release. Returns how the deploy pipeline ended."""
        approver = self.person("ReleaseApprover")
        pipelines, journal = approver.client("codepipeline"), Journal()
        known = set(watching.executions(pipelines, DEPLOY))
        approver.client("sagemaker").update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        execution = watching.newest_execution(pipelines, DEPLOY, known)
        watching.follow(journal, approver, DEPLOY, execution, until_action="Approve")
        steps._approve(journal, pipelines, DEPLOY)
        return watching.follow(journal, approver, DEPLOY, execution)

    def terminate_project(self) -> str:
        """The Data Science Admin terminates the project. Returns how that ended."""
        catalogue = persona(self.place, "DataScienceAdmin").client("servicecatalog")
        record = catalogue.terminate_provisioned_product(
            ProvisionedProductName=PROJECT, TerminateToken=f"test-{time.time_ns()}"
        )["RecordDetail"]
        while record["Status"] in ("CREATED", "IN_PROGRESS", "IN_PROGRESS_IN_ERROR"):
            time.sleep(0.5)
            record = catalogue.describe_record(Id=record["RecordId"])["RecordDetail"]
        return str(record["Status"])

    def serving(self, account: str) -> dict[str, str]:
        """Endpoint that is in service → the model version that it serves."""
        sagemaker = self.client(account, "sagemaker")
        found = sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]
        tags = {one["EndpointName"]: sagemaker.list_tags(ResourceArn=one["EndpointArn"])["Tags"] for one in found}
        return {
            name: next(tag["Value"] for tag in pairs if tag["Key"] == "ModelVersion") for name, pairs in tags.items()
        }


class Asking:
    """Asks an endpoint all the while, as those who depend on it do."""

    def __init__(self, upgrade: Upgrade, endpoint: str) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._runtime = upgrade.client(PRODUCTION, "sagemaker-runtime")
        self._endpoint, self._body = endpoint, (upgrade.folder / "rows.csv").read_bytes()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        while not self._ending.wait(0.5):
            try:
                self._runtime.invoke_endpoint(
                    EndpointName=self._endpoint, ContentType="text/csv; header=present", Body=self._body
                )
                self.answers += 1
            except Exception as error:
                self.failures.append(str(error))

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(60)


def unpacked(folder: Path) -> Path:
    """The files of release 0.1.0."""
    with tarfile.open(FIRST) as archive:
        archive.extractall(folder, filter="data")
    return folder


def keep_rows(upgrade: Upgrade) -> None:
    """The sample rows of the first model version, to ask endpoints with."""
    import json
    import zipfile

    bucket = upgrade.client(TOOLING, "ssm").get_parameter(Name=f"/slipway/projects/{PROJECT}/bucket")["Parameter"]
    content = upgrade.client(TOOLING, "s3").get_object(Bucket=bucket["Value"], Key="releases/1.zip")["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        samples = json.loads(bundle.read("samples.json"))
    rows = [",".join("" if value is None else str(value) for value in row) for row in samples["rows"][:10]]
    (upgrade.folder / "rows.csv").write_text("\n".join([",".join(samples["columns"]), *rows]))


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    """Release 0.1.0 is deployed; a model of it serves; the present tree is not there yet."""
    import json

    folder = tmp_path_factory.mktemp("upgrade")
    made = Upgrade(LocalCloud(folder / "home", free_port()), folder, {}, "", 0.0)
    try:
        command = [sys.executable, "-m", "localcloud", "--home", str(made.cloud.home), "--port", str(made.cloud.port)]
        subprocess.run([*command, "up"], check=True, capture_output=True)
        made.demonstrate(unpacked(folder / "release"))
        made.report = json.loads((folder / "build" / "demo" / "report.json").read_text())
        keep_rows(made)
        yield made
    finally:
        down(made.cloud.home)
