"""A project beside the demonstration's: launched, cloned, pushed to, approved and released by its people."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_demo import watching
from slipway_demo.people import Person, persona
from tests.loop.conftest import ENDED, TOOLING, Loop


@dataclass(frozen=True)
class Project:
    """A launched project, and what its people do."""

    loop: Loop
    name: str

    @property
    def build(self) -> str:
        return f"slipway-{self.name}-build"

    @property
    def deploy(self) -> str:
        return f"slipway-{self.name}-deploy"

    def person(self, name: str) -> Person:
        return persona(self.loop.place, name, self.name)

    def parameter(self, name: str) -> str:
        """What the project publishes."""
        ssm = self.loop.admin(TOOLING).client("ssm")
        return str(ssm.get_parameter(Name=f"/slipway/projects/{self.name}/{name}")["Parameter"]["Value"])

    def shell(self, who: str, where: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command as that person types it."""
        environment = {**self.loop.environment(), **self.person(who).full_environment()}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            command, cwd=where, env=environment, capture_output=True, text=True, check=False, timeout=180
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def clone(self) -> Path:
        """A fresh clone of the Data Scientist's."""
        codecommit = self.person("DataScientist").client("codecommit")
        url = codecommit.get_repository(repositoryName=self.name)["repositoryMetadata"]["cloneUrlHttp"]
        target = self.loop.folder / f"{self.name}-{time.time_ns()}"
        self.shell("DataScientist", self.loop.folder, "git", "clone", "--quiet", url, str(target))
        return target

    def push(self, clone: Path, message: str) -> str:
        """Commit everything and push to main. Returns the build's execution."""
        for command in (("add", "--all"), ("commit", "--quiet", "-m", message), ("push", "--quiet", "origin", "main")):
            self.shell("DataScientist", clone, "git", *command)
        commit = self.shell("DataScientist", clone, "git", "rev-parse", "HEAD").stdout.strip()
        return watching.execution_of(self.person("DataScientist").client("codepipeline"), self.build, commit)

    def built(self, execution: str) -> dict[str, Any]:
        """Wait for a build that makes a model. Returns the newest package."""
        assert self.loop.wait(execution, self.build) == "Succeeded", self.loop.causes(execution, self.build)
        return self.packages()[0]

    def packages(self) -> list[dict[str, Any]]:
        """The registered models, newest first."""
        sagemaker = self.person("DataScientist").client("sagemaker")
        group = f"slipway-{self.name}"
        listed = sagemaker.list_model_packages(
            ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending"
        )
        arns = [item["ModelPackageArn"] for item in listed["ModelPackageSummaryList"]]
        return [sagemaker.describe_model_package(ModelPackageName=arn) for arn in arns]

    def release(self, arn: str) -> str:
        """Approve a model in the registry, and the release that comes of it. Returns its execution."""
        execution = self.decide(arn, "Approved", "It answers as evaluated.")
        assert self.loop.wait(execution, self.deploy, timeout=180) == "Succeeded", self.told(execution)
        return execution

    def decide(self, arn: str, status: str, because: str) -> str:
        """Approve a model in the registry, and approve or reject its release once it asks. Returns its execution."""
        approver = self.person("ReleaseApprover")
        pipelines = approver.client("codepipeline")
        known = set(watching.executions(pipelines, self.deploy))
        sagemaker = approver.client("sagemaker")
        if sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved":
            sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        execution = watching.newest_execution(pipelines, self.deploy, known)
        pipelines.put_approval_result(
            pipelineName=self.deploy, stageName="Approval", actionName="Approve", token=self._token(execution),
            result={"summary": because, "status": status},
        )  # fmt: skip
        return execution

    def told(self, execution: str) -> str:
        """Why a release failed."""
        return self.loop.causes(execution, self.deploy) + self.loop.build_log(f"slipway-{self.name}-verify")[-3000:]

    def _token(self, execution: str) -> str:
        """With which the release's approval is answered, as soon as it asks."""
        pipelines, deadline = self.person("ReleaseApprover").client("codepipeline"), time.monotonic() + 180
        while time.monotonic() < deadline:
            found = pipelines.get_pipeline_execution(pipelineName=self.deploy, pipelineExecutionId=execution)
            assert found["pipelineExecution"]["status"] not in ENDED, self.told(execution)
            for stage in pipelines.get_pipeline_state(name=self.deploy)["stageStates"]:
                latest = stage["actionStates"][0].get("latestExecution", {})
                ours = stage.get("latestExecution", {}).get("pipelineExecutionId") == execution
                if stage["stageName"] == "Approval" and ours and latest.get("token"):
                    return str(latest["token"])
            time.sleep(0.3)
        raise AssertionError(f"{execution} does not ask for an approval")


def launching(loop: Loop, name: str, **parameters: str) -> Callable[[], dict[str, Any]]:
    """What launches a product of that name as the Data Science Admin, and answers with its record's end."""
    catalogue = persona(loop.place, "DataScienceAdmin").client("servicecatalog")
    product = catalogue.search_products(Filters={"FullTextSearch": ["project"]})["ProductViewSummaries"][0]["ProductId"]
    artifacts = catalogue.describe_product(Id=product)["ProvisioningArtifacts"]

    def launched() -> dict[str, Any]:
        record: dict[str, Any] = catalogue.provision_product(
            ProductId=product,
            ProvisioningArtifactId=max(artifacts, key=lambda item: item["CreatedTime"])["Id"],
            PathId=catalogue.list_launch_paths(ProductId=product)["LaunchPathSummaries"][0]["Id"],
            ProvisionedProductName=name,
            ProvisioningParameters=[{"Key": key, "Value": value} for key, value in parameters.items()],
            ProvisionToken=f"{threading.get_ident()}-{time.time_ns()}",
        )["RecordDetail"]
        deadline = time.monotonic() + 300
        while record["Status"] not in ("SUCCEEDED", "FAILED"):
            assert time.monotonic() < deadline, f"the launch of {name} does not end"
            time.sleep(0.3)
            record = catalogue.describe_record(Id=record["RecordId"])["RecordDetail"]
        return record

    return launched


def launch(loop: Loop, name: str, **parameters: str) -> Project:
    """Launch a project to whose main its people may push."""
    record = launching(loop, name, ProjectName=name, MergePolicy="direct", **parameters)()
    assert record["Status"] == "SUCCEEDED", record["RecordErrors"]
    return Project(loop, name)
