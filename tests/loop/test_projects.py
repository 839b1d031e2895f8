"""A project beside the demonstration's, whose model answers files and whose people are told by e-mail.

Launched from Service Catalog with Serving=batch, it is pushed to, registered, approved, verified and released by its
people; then its training fails, and a schedule trains it again on new data.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway_demo import watching
from slipway_demo.console import Journal, Stop
from tests.localcloud import inbox
from tests.loop.conftest import PRODUCTION, STAGING, TOOLING, Loop
from tests.loop.projects import Project, launch

pytestmark = [pytest.mark.thorough, pytest.mark.slow, pytest.mark.xdist_group("loop")]

NAME, WHO = "flight-files", "a.scientist@example.com"
# Not build-failed: a filter that lets everything through would show.
TOLD = f"\nnotifications:\n  emails: [{WHO}]\n  events: [model-failed, approval-needed, released]\n"
CALLED = {STAGING: f"slipway-{NAME}-staging", PRODUCTION: f"slipway-{NAME}-production"}


@dataclass(frozen=True)
class Released:
    """The project once its first model is in production. `asked`: the mails before anybody followed a link."""

    project: Project
    clone: Path
    model: dict[str, Any]
    asked: list[Message]

    @property
    def version(self) -> str:
        return str(self.model["CustomerMetadataProperties"]["version"])

    @property
    def samples(self) -> dict[str, Any]:
        """Rows with what the model said of them when it was evaluated, as its bundle keeps them."""
        s3, key = self.project.loop.admin(TOOLING).client("s3"), f"releases/{self.model['ModelPackageVersion']}.zip"
        content = s3.get_object(Bucket=self.project.parameter("bucket"), Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            return dict(json.loads(bundle.read("samples.json")))


@pytest.fixture(scope="module")
def released(loop: Loop) -> Released:
    """From the launch into production; who is to be told agrees in between."""
    project = launch(loop, NAME, Serving="batch")
    clone = project.clone()
    with (clone / "project.yaml").open("a") as opened:
        opened.write(TOLD)
    model = project.built(project.push(clone, "Say who is told"))
    asked = inbox.mails(loop.cloud.home, WHO)
    assert len(asked) == 1, loop.build_log(f"slipway-{NAME}-model")[-3000:]
    inbox.follow(asked[0])
    project.release(model["ModelPackageArn"])
    return Released(project, clone, model, asked)


def told(loop: Loop, event: str, timeout: float = 30) -> list[dict[str, Any]]:
    """What the address was told of an event, once it was told anything of it."""
    deadline = time.monotonic() + timeout
    while True:
        found = [message for message in messages(loop) if message["event"] == event]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def messages(loop: Loop) -> list[dict[str, Any]]:
    """The JSON documents in the address's mails, above the link to leave."""
    texts = [inbox.text(mail) for mail in inbox.mails(loop.cloud.home, WHO)]
    return [json.loads(text.split("\n\n--\n")[0]) for text in texts if text.startswith("{")]


def test_a_project_for_files_comes_into_production_without_an_endpoint(released: Released) -> None:
    """Protects who launches with Serving=batch: a transform job verifies, and nothing that costs while idle is made."""
    loop, project = released.project.loop, released.project
    assert yaml.safe_load((released.clone / "project.yaml").read_text())["serving"]["mode"] == "batch"
    assert project.packages()[0]["ModelApprovalStatus"] == "Approved"
    log = loop.build_log(f"slipway-{NAME}-verify")
    assert "is Completed after" in log, log[-2000:]
    assert "staging (batch) answers as the model did when it was evaluated" in log
    assert "text/csv: " not in log, "an endpoint was tried"
    for account, name in CALLED.items():
        stack = loop.admin(account).client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        assert outputs["ModelVersion"] == released.version
        sagemaker = loop.admin(account).client("sagemaker")
        assert sagemaker.list_models(NameContains=NAME)["Models"][0]["ModelName"] == outputs["BatchModelName"]
        assert sagemaker.list_endpoints(NameContains=NAME)["Endpoints"] == []
        assert sagemaker.list_endpoint_configs(NameContains=NAME)["EndpointConfigs"] == []
    jobs = loop.admin(STAGING).client("sagemaker").list_transform_jobs(NameContains=NAME)["TransformJobSummaries"]
    assert [job["TransformJobStatus"] for job in jobs] == ["Completed"]


def test_its_model_answers_a_file_as_it_was_evaluated(released: Released) -> None:
    """Protects the ML Engineer: one command, and production says what the evaluation said."""
    folder, samples = released.project.loop.folder, released.samples
    rows = [dict(zip(samples["columns"], row, strict=True)) for row in samples["rows"]]
    (folder / "flights.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["slipway", "batch", "run", "--project", NAME, "--input", "flights.jsonl", "--output", "delays"]
    released.project.shell("MLEngineer", folder, *command)
    lines = (folder / "delays" / "flights.jsonl.out").read_text().splitlines()
    answers = [json.loads(line)["prediction"] for line in lines]
    assert len(answers) > 10
    assert answers == pytest.approx(samples["predicted"], rel=1e-6)


def test_who_is_named_is_asked_first_and_told_of_the_release(released: Released) -> None:
    """Protects people from unasked mails, and the project from news that nobody gets."""
    project = released.project
    topic, asked = project.parameter("topic-arn"), released.asked[0]
    assert asked["Subject"] == "AWS Notification - Subscription Confirmation"
    assert topic in inbox.text(asked)
    for event in ("approval-needed", "released"):
        (message,) = told(project.loop, event)
        assert (message["project"], message["detail"]["pipeline"]) == (NAME, project.deploy)
    (subscribed,) = (
        project.loop.admin(TOOLING).client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    )
    assert subscribed["Endpoint"] == WHO
    assert subscribed["SubscriptionArn"].startswith(f"{topic}:")


def test_a_training_that_exits_is_told_with_what_it_said_last(released: Released) -> None:
    """Protects the Data Scientist: the terminal and the mail name the step and the script's words; nothing is made."""
    project, training = released.project, released.clone / "training" / "train.py"
    script = training.read_text()
    end = "    container.run(train)\n"
    assert script.endswith(end)
    said = '    print("there are no flights in March", flush=True)\n    raise SystemExit(1)\n'
    training.write_text(script.removesuffix(end) + said)
    execution = project.push(released.clone, "Give up")
    with pytest.raises(Stop) as caught:
        watching.follow(Journal(), project.person("DataScientist"), project.build, execution)
    terminal = str(caught.value)
    assert "Model ▸ Model" in terminal, terminal
    assert "Train: " in terminal, terminal
    assert "last lines of the log of Train:" in terminal, terminal
    assert "there are no flights in March" in terminal, terminal
    (message,) = told(project.loop, "model-failed")
    assert (message["project"], message["detail"]["stepName"]) == (NAME, "Train")
    assert "exit code: 1" in message["detail"]["failureReason"], message
    assert {item["event"] for item in messages(project.loop)} == {"approval-needed", "released", "model-failed"}
    assert [model["ModelPackageArn"] for model in project.packages()] == [released.model["ModelPackageArn"]]


@pytest.fixture
def changed(released: Released) -> Iterator[dict[str, Any]]:
    """The model of a main that is trained again each minute; data have come since. Both are as before afterwards."""
    project, clone = released.project, released.clone
    loop, tooling = project.loop, project.loop.admin(TOOLING)
    loop.git(clone, "read-tree", "-u", "--reset", released.model["CustomerMetadataProperties"]["commit"])
    with (clone / "project.yaml").open("a") as opened:
        opened.write("\nretraining:\n  schedule: rate(1 minute)\n")
    model = project.built(project.push(clone, "Train again every minute"))
    ssm, s3, scheduler = (tooling.client(service) for service in ("ssm", "s3", "scheduler"))
    lake = ssm.get_parameter(Name="/slipway/platform/lake/bucket")["Parameter"]["Value"]
    place = {"Bucket": lake, "Key": "curated/flights/2013-q1/planes.csv"}
    before = s3.get_object(**place)["Body"].read()
    s3.put_object(**place, Body=before.rstrip(b"\n").rsplit(b"\n", 1)[0] + b"\n")
    try:
        yield model["CustomerMetadataProperties"]
    finally:
        s3.put_object(**place, Body=before)
        schedule = scheduler.get_schedule(Name=project.parameter("retraining-schedule"))
        kept = {key: schedule[key] for key in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
        scheduler.update_schedule(**kept, State="DISABLED")


def test_a_schedule_trains_again_on_new_data(released: Released, changed: dict[str, Any]) -> None:
    """Protects a model that grows old: without a push, the commit of main gives the next automatic version."""
    project, deadline = released.project, time.monotonic() + 240
    while (newest := project.packages()[0]["CustomerMetadataProperties"])["version"] == changed["version"]:
        assert time.monotonic() < deadline, project.loop.build_log(f"slipway-{NAME}-model")[-2000:]
        time.sleep(1)
    manual = changed["version"].removesuffix(".0")
    assert (changed["cause"], newest["cause"], newest["version"]) == ("merge", "schedule", f"{manual}.1")
    assert newest["commit"] == changed["commit"]
    assert newest["data-version"] != changed["data-version"]
