"""The demonstration, played once on a local cloud of its own; the tests look at what it left and push on from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slipway_demo import commands
from slipway_demo.people import Person, Place, admin, persona
from tests.localcloud.conftest import REGION, LocalCloud, free_port

PROJECT = "flight-delays"
TOOLING, STAGING, PRODUCTION = "111111111111", "222222222222", "333333333333"
BUILD, DEPLOY, GROUP = f"slipway-{PROJECT}-build", f"slipway-{PROJECT}-deploy", f"slipway-{PROJECT}"
# Account → the endpoint that serves the project's model there.
ENDPOINTS = {STAGING: f"slipway-{PROJECT}-staging", PRODUCTION: f"slipway-{PROJECT}-production"}
ENDED = {"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"}


@dataclass
class Loop:
    """A local cloud in which the loop has run."""

    cloud: LocalCloud
    folder: Path
    report: dict[str, Any]
    output: str
    seconds: float

    @property
    def place(self) -> Place:
        return Place(self.cloud.endpoint, REGION)

    def person(self, name: str) -> Person:
        return persona(self.place, name, PROJECT)

    def admin(self, account: str) -> Person:
        return admin(self.place, account)

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "GIT_CONFIG"))}
        return {
            **kept,
            **self.cloud.extra,
            "LOCALCLOUD_HOME": str(self.cloud.home),
            "LOCALCLOUD_PORT": str(self.cloud.port),
            "GIT_AUTHOR_NAME": "A Tester",
            "GIT_AUTHOR_EMAIL": "tester@example.com",
            "GIT_COMMITTER_NAME": "A Tester",
            "GIT_COMMITTER_EMAIL": "tester@example.com",
        }

    def demo(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "slipway_demo", *arguments],
            cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip

    def clone(self) -> Path:
        """A fresh clone of the project's repository."""
        target = self.folder / f"clone-{time.time_ns()}"
        self.git(self.folder, "clone", "--quiet", self.report["project"]["clone_url"], str(target))
        return target

    def git(self, where: Path, *arguments: str, check: bool = True) -> str:
        environment = {**self.environment(), **self.person("DataScientist").full_environment()}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            ["git", *arguments], cwd=where, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(self, clone: Path, message: str) -> str:
        """Commit everything and push to main. Returns the commit id."""
        self.git(clone, "add", "--all")
        self.git(clone, "commit", "--quiet", "--message", message)
        self.git(clone, "push", "--quiet", "origin", "main")
        return self.git(clone, "rev-parse", "HEAD")

    def execution(self, commit: str, timeout: float = 60) -> str:
        from slipway_demo import watching

        return watching.execution_of(self.admin("111111111111").client("codepipeline"), BUILD, commit, timeout)

    def wait(self, execution: str, pipeline: str = BUILD, timeout: float = 600) -> str:
        """Until the execution ends. Returns its status."""
        client = self.admin("111111111111").client("codepipeline")
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = client.get_pipeline_execution(pipelineName=pipeline, pipelineExecutionId=execution)
            status = str(found["pipelineExecution"]["status"])
            if status in ENDED:
                return status
            time.sleep(0.3)
        raise AssertionError(f"{pipeline} {execution} does not end")

    def causes(self, execution: str, pipeline: str = BUILD) -> str:
        """What the failed actions say."""
        client = self.admin("111111111111").client("codepipeline")
        details = client.list_action_executions(pipelineName=pipeline, filter={"pipelineExecutionId": execution})[
            "actionExecutionDetails"
        ]
        texts = []
        for action in details:
            if action["status"] == "Failed":
                result = action.get("output", {}).get("executionResult", {})
                texts.append(f"{action['actionName']}: {result.get('errorDetails', {}).get('message', '')}")
        return "\n".join(texts)

    def build_log(self, project: str) -> str:
        """The newest log of a CodeBuild project."""
        codebuild, logs = self.admin("111111111111").client("codebuild"), self.admin("111111111111").client("logs")
        newest = codebuild.list_builds_for_project(projectName=project)["ids"][:1]
        place = codebuild.batch_get_builds(ids=newest)["builds"][0]["logs"]
        events = logs.get_log_events(
            logGroupName=place["groupName"], logStreamName=place["streamName"], startFromHead=True
        )
        return "\n".join(event["message"] for event in events["events"])

    def packages(self) -> list[dict[str, Any]]:
        answer = (
            self.admin("111111111111")
            .client("sagemaker")
            .list_model_packages(ModelPackageGroupName=GROUP, SortBy="CreationTime", SortOrder="Ascending")
        )
        return list(answer["ModelPackageSummaryList"])

    def predict(self, account: str = "333333333333") -> list[float]:
        """What the endpoint answers on the demonstration's first rows."""
        body = (self.folder / "rows.csv").read_bytes()
        answer = (
            self.admin(account)
            .client("sagemaker-runtime")
            .invoke_endpoint(
                EndpointName=ENDPOINTS[account],
                ContentType="text/csv; header=present",
                Accept="application/json",
                Body=body,
            )
        )
        return [float(value) for value in json.loads(answer["Body"].read())["predictions"]]


def as_demonstrated(loop: Loop) -> Path:
    """A clone whose files are those of the demonstration's commit, whatever was pushed since."""
    clone = loop.clone()
    loop.git(clone, "read-tree", "-u", "--reset", loop.report["build"]["commit_id"])
    return clone


def copy_of_the_platform(folder: Path) -> Path:
    """The platform's repository, to break."""
    repository = folder / "repository"
    for name in ("cfn", "service-catalog", "buildspecs", "seedcode", "cicd"):
        shutil.copytree(commands.ROOT / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(commands.ROOT / "requirements.lock", repository)
    return repository


def deploy_platform(loop: Loop, repository: Path) -> subprocess.CompletedProcess[str]:
    """`slipway platform deploy` as the Full Stack Developer."""
    parameters = {"StagingAccountId": STAGING, "ProductionAccountId": PRODUCTION}
    arguments = [part for name, value in parameters.items() for part in ("--parameter", f"{name}={value}")]
    developer = persona(loop.place, "FullStackDeveloper")
    return subprocess.run(
        [sys.executable, "-m", "slipway", "platform", "deploy", "--repository", str(repository), *arguments],
        env=developer.full_environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def down(home: Path) -> None:
    """Stop the local cloud of a home, if it runs."""
    command = [sys.executable, "-m", "localcloud", "--home", str(home), "down"]
    subprocess.run(command, check=False, capture_output=True)


@pytest.fixture(scope="session")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """The demonstration has run; what it said and left."""
    folder = tmp_path_factory.mktemp("loop")
    cloud = LocalCloud(folder / "home", free_port())
    played = Loop(cloud, folder, {}, "", 0.0)
    started = time.monotonic()
    done = played.demo("run")
    played.seconds = time.monotonic() - started
    played.output = done.stdout + done.stderr
    report = folder / "build" / "demo" / "report.json"
    try:
        assert done.returncode == 0, played.output[-6000:] + (cloud.home / "log").read_text()[-3000:]
        played.report = json.loads(report.read_text())
        _keep_rows(played)
        yield played
    finally:
        down(cloud.home)
        shutil.rmtree(cloud.home, ignore_errors=True)


def _keep_rows(played: Loop) -> None:
    import io
    import zipfile

    tooling = played.admin("111111111111")
    bucket = tooling.client("ssm").get_parameter(Name=f"/slipway/projects/{PROJECT}/bucket")["Parameter"]["Value"]
    content = tooling.client("s3").get_object(Bucket=bucket, Key="releases/1.zip")["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        samples = json.loads(bundle.read("samples.json"))
    rows = [",".join("" if value is None else str(value) for value in row) for row in samples["rows"][:10]]
    (played.folder / "rows.csv").write_text("\n".join([",".join(samples["columns"]), *rows]))
