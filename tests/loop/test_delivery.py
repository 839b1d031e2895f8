"""GitOps: a push to the platform's repository changes the running platform, its products and the workload accounts.

On a local cloud of its own, in which the platform is deployed and a project launched: other tests of the loop must not
find another release under their feet.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slipway_demo import steps
from slipway_demo.console import Journal
from slipway_demo.people import PRODUCTION, STAGING, TOOLING, Person, persona
from tests.localcloud.conftest import LocalCloud, free_port
from tests.loop import asked
from tests.loop.conftest import PROJECT, Loop
from tests.loop.deployed import ACCOUNTS, Deployed
from tests.loop.judging import Judge

pytestmark = [pytest.mark.delivery, pytest.mark.slow, pytest.mark.xdist_group("loop")]

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = "slipway-delivery"
PRODUCT = "/slipway/platform/catalogue/products/project"
# Whose doings are judged.
ROLES = ("slipway-delivery", "slipway-publish", "slipway-platform-deployer", "slipway-MLEngineer")
FLOW_LOGS = "/slipway/network/flow"


@dataclass
class Delivery(Loop):
    """A local cloud whose platform is delivered from `clone`, and what the two pushes of the story did."""

    clone_of_platform: Path = Path()
    good: str = ""
    broken: str = ""

    def as_engineer(self, *arguments: str) -> str:
        """git, as the ML Engineer, in the platform's repository."""
        return self._git(persona(self.place, "MLEngineer"), *arguments)

    def _git(self, person: Person, *arguments: str) -> str:
        environment = {**self.environment(), **person.full_environment()}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.clone_of_platform, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Commit everything and push. Returns the commit."""
        self.as_engineer("add", "--all")
        self.as_engineer("commit", "--quiet", "--message", message)
        self.as_engineer("push", "--quiet", "origin", "main")
        return self.as_engineer("rev-parse", "HEAD")

    def actions(self, execution: str) -> dict[str, dict[str, Any]]:
        """The actions of an execution, as stage/action."""
        pages = self.pipelines.get_paginator("list_action_executions").paginate(
            pipelineName=PIPELINE, filter={"pipelineExecutionId": execution}
        )
        found = [action for page in pages for action in page["actionExecutionDetails"]]
        return {f"{action['stageName']}/{action['actionName']}": action for action in found}

    @property
    def pipelines(self) -> Any:
        return self.admin(TOOLING).client("codepipeline")

    def log(self, execution: str, action: str) -> str:
        """The log of a build of an execution."""
        build = self.actions(execution)[action]["output"]["executionResult"]["externalExecutionId"]
        tooling = self.admin(TOOLING)
        place = tooling.client("codebuild").batch_get_builds(ids=[build])["builds"][0]["logs"]
        pages = tooling.client("logs").get_paginator("filter_log_events")
        events = pages.paginate(logGroupName=place["groupName"], logStreamNames=[place["streamName"]])
        return "\n".join(event["message"].rstrip("\n") for page in events for event in page["events"])

    def releases(self) -> dict[str, str]:
        """Account → the release that is deployed in it."""
        found = {}
        for account, stack in ((TOOLING, "platform"), (STAGING, "workload"), (PRODUCTION, "workload")):
            cloudformation = self.admin(account).client("cloudformation")
            described = cloudformation.describe_stacks(StackName=f"slipway-{stack}")["Stacks"][0]
            assert described["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
            given = {item["ParameterKey"]: item["ParameterValue"] for item in described["Parameters"]}
            found[account] = given["AssetsPrefix"]
        return found

    def retention(self) -> dict[str, int]:
        """Account → days that its flow logs are kept."""
        found = {}
        for account in (TOOLING, STAGING, PRODUCTION):
            groups = self.admin(account).client("logs").describe_log_groups(logGroupNamePrefix=FLOW_LOGS)["logGroups"]
            found[account] = groups[0]["retentionInDays"]
        return found

    def versions(self) -> list[tuple[str, str]]:
        """(version, guidance) of the project product, oldest first."""
        tooling = self.admin(TOOLING)
        listed = tooling.client("servicecatalog").list_provisioning_artifacts(ProductId=self.parameter(PRODUCT))
        ordered = sorted(listed["ProvisioningArtifactDetails"], key=lambda item: item["CreatedTime"])
        return [(item["Name"], item["Guidance"]) for item in ordered]

    def parameter(self, name: str) -> str:
        """An SSM parameter of the tooling account."""
        return str(self.admin(TOOLING).client("ssm").get_parameter(Name=name)["Parameter"]["Value"])

    def status(self, execution: str) -> str:
        """How an execution stands."""
        found = self.pipelines.get_pipeline_execution(pipelineName=PIPELINE, pipelineExecutionId=execution)
        return str(found["pipelineExecution"]["status"])

    def run_of(self, commit: str) -> str:
        """The execution of a commit."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for found in self.pipelines.list_pipeline_executions(pipelineName=PIPELINE)["pipelineExecutionSummaries"]:
                if any(revision.get("revisionId") == commit for revision in found.get("sourceRevisions", [])):
                    return str(found["pipelineExecutionId"])
            time.sleep(0.3)
        raise AssertionError(f"no execution of {commit}")


def copy_of_the_repository(target: Path) -> None:
    """The files that git would commit, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} holds no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivery]:
    """The platform is deployed, a project launched, the platform's repository pushed: once well, and at once badly."""
    folder = tmp_path_factory.mktemp("delivery")
    cloud = LocalCloud(folder / "home", free_port())
    made = Delivery(cloud, folder, {}, "", 0.0, folder / "platform")
    demo = steps.Demo(made.place, Journal(), folder)
    try:
        steps.start_cloud(demo, cloud.home, cloud.port)
        steps.deploy_platform(demo)
        steps.launch_project(demo)
        made.report = {"before": (made.releases(), made.retention(), made.versions())}
        done = subprocess.run(
            [sys.executable, "-m", "slipway", "platform", "delivery"], cwd=ROOT, capture_output=True, text=True,
            env={**made.environment(), **persona(made.place, "FullStackDeveloper").full_environment()}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        _push_twice(made)
        yield made
    finally:
        subprocess.run(
            [sys.executable, "-m", "localcloud", "--home", str(cloud.home), "down"], check=False, capture_output=True
        )
        shutil.rmtree(cloud.home, ignore_errors=True)


def _push_twice(made: Delivery) -> None:
    clone = made.clone_of_platform
    copy_of_the_repository(clone)
    edit(clone / "cfn" / "flow-logs.yaml", "Default: 365", "Default: 400")
    edit(clone / "service-catalog" / "project" / "product.json", '"version": "1.0.0"', '"version": "1.1.0"')
    edit(clone / "service-catalog" / "project" / "product.yaml", "A machine learning project: git", "A project: git")
    codecommit = made.admin(TOOLING).client("codecommit")
    url = codecommit.get_repository(repositoryName="slipway-platform")["repositoryMetadata"]["cloneUrlHttp"]
    made.as_engineer("init", "--quiet", "--initial-branch", "main")
    made.as_engineer("remote", "add", "origin", url)
    good = made.commit("Keep flow logs longer, and say it shorter")
    with (clone / "cfn" / "lake.yaml").open("a", encoding="utf-8") as template:
        template.write("  Broken: {Type: [AWS::S3::Bucket\n")
    broken = made.commit("Break a template")
    made.good, made.broken = made.run_of(good), made.run_of(broken)
    made.report["live"] = [
        made.pipelines.get_pipeline_execution(pipelineName=PIPELINE, pipelineExecutionId=execution)["pipelineExecution"]
        for execution in (made.good, made.broken)
    ]
    for execution in (made.good, made.broken):
        made.wait(execution, PIPELINE, timeout=1800)


def test_a_push_is_validated_packed_shown_and_deployed_everywhere(delivery: Delivery) -> None:
    """Protects GitOps itself: every stage runs, in this order, and all of them succeed."""
    done = delivery.actions(delivery.good)
    said = {name: action["status"] for name, action in done.items()}
    assert set(said.values()) == {"Succeeded"}, delivery.causes(delivery.good, PIPELINE) + str(said)
    order = [name for name, _ in sorted(done.items(), key=lambda item: item[1]["startTime"])]
    assert order == [
        "Source/Source", "Validate/Validate", "Package/Package", "Delivery/UpdateItself", "Platform/ChangeSet",
        "Platform/Show", "Platform/Deploy", "Publish/Publish", "Staging/Deploy", "Production/Deploy",
    ]  # fmt: skip


def test_a_push_changes_the_running_platform_in_every_account(delivery: Delivery) -> None:
    """Protects what a push is for: the change in the template is a change of the resources, in three accounts."""
    releases, retention, _ = delivery.report["before"]
    assert set(retention.values()) == {365}
    assert set(delivery.retention().values()) == {400}
    now = delivery.releases()
    assert len(set(now.values())) == 1
    assert now != releases
    assert delivery.parameter("/slipway/platform/assets/prefix") == now[TOOLING]


def test_the_change_is_shown_before_it_is_deployed(delivery: Delivery) -> None:
    """Protects who approves: the change set, and the lines that differ below it."""
    log = delivery.log(delivery.good, "Platform/Show")
    assert re.search(r"Modify +FlowLogs +CloudFormation::Stack", log)
    assert "-    Default: 365" in log
    assert "+    Default: 400" in log


def test_a_push_adds_a_product_version_and_keeps_the_old_one(delivery: Delivery) -> None:
    """Protects what was launched: its version is deprecated for others, neither replaced nor deleted."""
    (before,) = delivery.report["before"][2]
    old, new = delivery.versions()
    assert before[0] == old[0]
    assert (old[0][:6], old[1]) == ("1.0.0-", "DEPRECATED")
    assert (new[0][:6], new[1]) == ("1.1.0-", "DEFAULT")
    catalogue = persona(delivery.place, "DataScienceAdmin").client("servicecatalog")
    launched = catalogue.describe_provisioned_product(Name=PROJECT)["ProvisionedProductDetail"]
    assert launched["Status"] == "AVAILABLE"
    version = catalogue.describe_provisioning_artifact(
        ProductId=launched["ProductId"], ProvisioningArtifactId=launched["ProvisioningArtifactId"]
    )
    assert version["ProvisioningArtifactDetail"]["Name"] == old[0]


def test_the_pipeline_keeps_itself_up_to_date(delivery: Delivery) -> None:
    """Protects the next delivery: the pipeline's own stack is of the release that it delivered, and it went on."""
    stack = delivery.admin(TOOLING).client("cloudformation").describe_stacks(StackName="slipway-delivery")["Stacks"][0]
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}
    assert outputs["Release"] == delivery.releases()[TOOLING]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"


def test_two_pushes_queue(delivery: Delivery) -> None:
    """Protects against two deployments at once: both executions live, and the second waits in front of the stage."""
    assert {execution["status"] for execution in delivery.report["live"]} == {"InProgress"}
    assert {execution["executionMode"] for execution in delivery.report["live"]} == {"QUEUED"}
    first, second = delivery.actions(delivery.good), delivery.actions(delivery.broken)
    assert second["Source/Source"]["startTime"] < first["Validate/Validate"]["lastUpdateTime"]
    assert second["Validate/Validate"]["startTime"] >= first["Validate/Validate"]["lastUpdateTime"]


def test_a_broken_template_is_stopped_by_validation_with_its_file_and_line(delivery: Delivery) -> None:
    """Protects the platform: nothing behind validation runs, and the log says where to look."""
    assert delivery.status(delivery.broken) == "Failed"
    assert set(delivery.actions(delivery.broken)) == {"Source/Source", "Validate/Validate"}
    lines = (delivery.clone_of_platform / "cfn" / "lake.yaml").read_text(encoding="utf-8").count("\n")
    found = re.search(r"cfn/lake\.yaml:(\d+): not YAML", delivery.log(delivery.broken, "Validate/Validate"))
    assert found is not None
    assert abs(int(found[1]) - lines) <= 1


def test_the_delivery_did_only_what_it_is_allowed_to(delivery: Delivery) -> None:
    """Protects a deployment to AWS: everything its roles did is allowed by the policies as they are deployed."""
    people = {account: delivery.admin(account) for account in ACCOUNTS}
    deployed = Deployed(functools.cache(lambda account, service: people[account].client(service)))
    judge, missing, acted = Judge(deployed), set(), set()
    for question in asked.questions(delivery.cloud.home, deployed):
        if question.role and question.role.name.startswith(ROLES):
            acted.add((question.role.account, question.role.name))
            if reason := judge.reason(question):
                missing.add(f"{question}: {reason}")
    assert not missing, "\n".join(sorted(missing))
    assert {(account, "slipway-delivery-deployer") for account in (STAGING, PRODUCTION)} <= acted
    assert {(account, "slipway-delivery-uploader") for account in (STAGING, PRODUCTION)} <= acted
    assert {
        (TOOLING, f"slipway-{role}") for role in ("delivery", "delivery-events", "delivery-package", "publish")
    } <= acted
