"""A platform with an MLflow tracking server: what a push leaves in its project's experiment, and who reads it there.

A local cloud of its own, one account, with an `mlflow server` that runs. A project is launched and pushed to: once with
the server up, once with it stopped, once more after it was started again.
"""

from __future__ import annotations

import functools
import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from slipway import experiment
from slipway_demo import steps
from slipway_demo.console import Journal
from slipway_demo.people import Person, admin, persona
from tests.localcloud.conftest import REGION, LocalCloud, free_port
from tests.loop import asked
from tests.loop import test_endpoints as network
from tests.loop.conftest import TOOLING, Loop
from tests.loop.deployed import ACCOUNTS, Deployed
from tests.loop.judging import Judge, Question
from tests.loop.projects import Project, launch

pytestmark = [pytest.mark.thorough, pytest.mark.slow, pytest.mark.xdist_group("tracking")]

REPOSITORY = Path(__file__).parents[2]
NAME, DATASET = "tracked", "flights/2013-q1"
SERVER = f"arn:aws:sagemaker:{REGION}:{TOOLING}:mlflow-tracking-server/slipway"
SAYS_SO = (
    f"experiment slipway/{NAME}: this run is missing from it (no model is lost by that): "
    "the tracking server slipway is not active, its status is Stopped: an ML Engineer starts it: "
    "aws sagemaker start-mlflow-tracking-server --tracking-server-name slipway"
)


@dataclass(frozen=True)
class Tracked:
    """The project once its first model is registered."""

    project: Project
    clone: Path
    model: dict[str, Any]

    @property
    def loop(self) -> Loop:
        return self.project.loop

    def runs(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What an ML Engineer's MLflow client finds in the project's experiment, the newest first."""
        who = self.project.person("MLEngineer")
        monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", f"{self.loop.cloud.endpoint}/_sagemaker-mlflow")
        session = boto3.Session(who.access_key, who.secret_key, who.session_token, region_name=REGION)
        with experiment._client(session, SERVER) as client:
            (found,) = client.search_experiments(filter_string=f"name = 'slipway/{NAME}'")
            return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"]))

    def server(self, verb: str, active: str) -> None:
        """The ML Engineer starts or stops the tracking server."""
        sagemaker = self.project.person("MLEngineer").client("sagemaker")
        getattr(sagemaker, f"{verb}_mlflow_tracking_server")(TrackingServerName="slipway")
        deadline = time.monotonic() + 120
        while sagemaker.describe_mlflow_tracking_server(TrackingServerName="slipway")["IsActive"] != active:
            assert time.monotonic() < deadline, f"the tracking server does not {verb}"
            time.sleep(0.3)

    def push(self, message: str, **changes: Any) -> str:
        """Change keys of project.yaml and push. Returns the build's execution."""
        path = self.clone / "project.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))
        return self.project.push(self.clone, message)


def slipway(who: Person, *arguments: str) -> None:
    """`slipway platform …`, where nobody can be asked."""
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "platform", *arguments], cwd=REPOSITORY, env=who.full_environment(),
        capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    """From an empty account to a registered model, with a tracking server."""
    folder = tmp_path_factory.mktemp("tracking")
    cloud = LocalCloud(folder / "home", free_port())
    cloud.start()
    try:
        loop = Loop(cloud, folder, {}, "", 0.0)
        slipway(admin(loop.place, TOOLING), "bootstrap")
        wanted = ("--parameter", "MlflowServer=Small", "--parameter", "EndpointSet=full")
        slipway(persona(loop.place, "FullStackDeveloper"), "deploy", *wanted)
        steps.put_dataset(steps.Demo(loop.place, Journal(), folder, shared=True), DATASET)
        project = launch(loop, NAME)
        clone = project.clone()
        with (clone / "project.yaml").open("a") as opened:
            opened.write("\nnotifications: {emails: [a.scientist@example.com], events: [model-failed]}\n")
        yield Tracked(project, clone, project.built(project.push(clone, "Say who is told")))
    finally:
        cloud.stop()


def test_a_push_is_a_run_that_an_ml_engineer_finds(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the list of runs: what was asked for, what came of it, where it comes from, as docs/studio.md says."""
    (run,) = tracked.runs(monkeypatch)
    metadata, project = tracked.model["CustomerMetadataProperties"], tracked.project
    asked_for = yaml.safe_load((tracked.clone / "project.yaml").read_text())
    assert (run.info.run_name, run.info.status) == (metadata["version"], "FINISHED")
    assert 0 < run.info.end_time - run.info.start_time < 300_000
    parameters = {
        **asked_for["training"]["hyperparameters"],
        **{f"preprocessing.{key}": value for key, value in asked_for["preprocessing"]["parameters"].items()},
        "training.instance_type": asked_for["training"]["instance_type"], "training.instance_count": 1,
        "data.dataset": DATASET, "data.version": metadata["data-version"],
    }  # fmt: skip
    assert run.data.params == {key: str(value) for key, value in parameters.items()}
    said = evaluation(tracked)["regression_metrics"]
    measured = {f"test/{metric}": figure["value"] for metric, figure in said.items()}
    deviations = {f"test/{metric}_standard_deviation": figure["standard_deviation"] for metric, figure in said.items()}
    trained = {key: value for key, value in run.data.metrics.items() if key.startswith("validation/")}
    assert run.data.metrics == {**measured, **deviations, **trained}
    assert 0 < trained["validation/rmse"] < 25
    sagemaker = project.person("MLEngineer").client("sagemaker")
    (executed,) = sagemaker.list_pipeline_executions(PipelineName=f"slipway-{NAME}")["PipelineExecutionSummaries"]
    commit = project.shell("DataScientist", tracked.clone, "git", "rev-parse", "HEAD").stdout.strip()
    told = {key: value for key, value in run.data.tags.items() if key != "mlflow.runName"}
    assert told == {
        "mlflow.source.git.commit": commit, "mlflow.source.name": NAME,
        "slipway.cause": "merge", "slipway.version": metadata["version"],
        "slipway.execution": executed["PipelineExecutionArn"],
        "slipway.model-package": tracked.model["ModelPackageArn"],
        **{f"slipway.{key}": value for key, value in metadata.items() if key.startswith("image-")},
    }  # fmt: skip
    log = project.loop.build_log(f"slipway-{NAME}-model")
    assert f"experiment slipway/{NAME}: run {run.info.run_id}" in log


def test_a_server_that_is_paused_costs_the_run_and_no_model(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects whoever saves its hours: the model is registered, the log says what is missing, and runs go on later."""
    tracked.server("stop", "Inactive")
    model = tracked.project.built(tracked.push("While the server is stopped", description="Paused"))
    tracked.server("start", "Active")
    version = model["CustomerMetadataProperties"]["version"]
    assert version != tracked.model["CustomerMetadataProperties"]["version"]
    assert SAYS_SO in tracked.loop.build_log(f"slipway-{NAME}-model")
    assert [run.info.run_name for run in tracked.runs(monkeypatch)] == ["V1.0.0"]

    refused = tracked.push("Ask for too much", quality_gate={"rmse": {"max": 0.5}})
    assert tracked.loop.wait(refused, tracked.project.build) == "Failed"
    assert tracked.project.packages()[0]["ModelPackageArn"] == model["ModelPackageArn"]
    newest, first = tracked.runs(monkeypatch)
    assert (newest.info.run_name, newest.info.status) == ("V1.2.0", "FAILED")
    # Its steps came from the cache, and it knows what they measured for the first run, and its own commit.
    assert newest.data.metrics == first.data.metrics
    assert newest.data.tags["mlflow.source.git.commit"] != first.data.tags["mlflow.source.git.commit"]
    assert "slipway.model-package" not in newest.data.tags


def test_all_of_it_is_allowed_and_reached_on_aws(tracked: Tracked) -> None:
    """Protects deployments: roles and endpoints let through what was done here, and keep out who may not look."""
    loop = tracked.loop
    people = {account: loop.admin(account) for account in ACCOUNTS}
    clients = functools.cache(lambda account, service: people[account].client(service))
    deployed = Deployed(clients, asked.made(loop.cloud.home))
    judge = Judge(deployed)
    questions = list(asked.questions(loop.cloud.home, deployed))
    refused = sorted({f"{question}: {reason}" for question in questions if (reason := judge.reason(question))})
    assert not refused, "\n".join(refused)
    seen = {(question.role.name, question.action) for question in questions if question.role}
    build = f"slipway-{NAME}-build"
    for who, action in (
        (build, "sagemaker:DescribeMlflowTrackingServer"),
        (build, "sagemaker-mlflow:LogBatch"),
        (build, "sns:Subscribe"),
        ("slipway-MLEngineer", "sagemaker-mlflow:SearchRuns"),
        ("slipway-MLEngineer", "sagemaker:StopMlflowTrackingServer"),
    ):
        assert (who, action) in seen, f"{who} {action} is not on the record"

    scientist, mine = deployed.role(TOOLING, "slipway-DataScientist"), {"Project": NAME}
    for action in ("sagemaker-mlflow:SearchRuns", "sagemaker:CreatePresignedMlflowTrackingServerUrl"):
        reason = judge.reason(Question(action, SERVER, scientist, session_tags=mine))
        assert reason is not None, f"{action}: every project's runs would be open to the people of one"

    builds, topic = deployed.role(TOOLING, build), tracked.project.parameter("topic-arn")
    for where, protocol in ((topic, "https"), (topic.replace(NAME, "another"), "email")):
        reason = judge.reason(Question("sns:Subscribe", where, builds, keys={"sns:Protocol": protocol}))
        assert reason is not None, f"builds may subscribe by {protocol} to {where}"

    calls, within = network.recorded(loop), network.within(loop, TOOLING)
    assert build in within
    places = network.placed(calls, {(TOOLING, role): TOOLING for role in within})
    fences = {**network.fences_of("endpoints.yaml"), **network.fences_of("endpoints-full.yaml")}
    doors = {TOOLING: network.doors_of(loop, TOOLING)}
    problems = network.shut(calls, places, doors, fences)
    assert not problems, "\n".join(sorted(problems))
    missing = network.shut(calls, places, {TOOLING: doors[TOOLING] - {"experiments"}}, fences)
    assert {line.partition(": ")[2].partition(":")[0] for line in missing} == {"sagemaker-mlflow"}


def evaluation(tracked: Tracked) -> dict[str, Any]:
    """evaluation.json, as the release bundle of the model keeps it."""
    s3, key = tracked.loop.admin(TOOLING).client("s3"), f"releases/{tracked.model['ModelPackageVersion']}.zip"
    content = s3.get_object(Bucket=tracked.project.parameter("bucket"), Key=key)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        return dict(json.loads(bundle.read("evaluation.json")))
