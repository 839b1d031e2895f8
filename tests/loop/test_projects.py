"""A project beside the demonstration's, whose model answers files and whose people are told by e-mail.

Launched from Service Catalog with Serving=batch, it is pushed to, fails its tests, is mended, registered, verified,
turned down, verified again and released by its people; then its training fails, and a schedule trains it again on new
data.
"""

from __future__ import annotations

import io
import json
import re
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
# Not model-registered: a filter that lets everything through would show.
EVENTS = ["approval-needed", "build-failed", "model-failed", "release-failed", "released"]
TOLD = f"\nnotifications:\n  emails: [{WHO}]\n  events: [{', '.join(EVENTS)}]\n"
FAILS = 'def test_the_flights() -> None:\n    assert not "there are no flights on Sundays"\n'
NO = "March is missing from the data."
CALLED = {STAGING: f"slipway-{NAME}-staging", PRODUCTION: f"slipway-{NAME}-production"}


@dataclass(frozen=True)
class Released:
    """The project once its first model is in production.

    Args:
        broken, turned_down: the executions that failed: of the build, and of the first release.
        asked: the mails before the first release.
    """

    project: Project
    clone: Path
    model: dict[str, Any]
    broken: str
    turned_down: str
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
    """From the launch into production; who is to be told agrees while the first build, which fails, still runs."""
    project = launch(loop, NAME, Serving="batch")
    clone = project.clone()
    with (clone / "project.yaml").open("a") as opened:
        opened.write(TOLD)
    failing = clone / "tests" / "test_flights.py"
    failing.write_text(FAILS)
    broken = project.push(clone, "Say who is told")
    inbox.follow(request(loop))
    assert loop.wait(broken, project.build) == "Failed"
    failing.unlink()
    model = project.built(project.push(clone, "Mend the tests"))
    asked = inbox.mails(loop.cloud.home, WHO)
    turned_down = project.decide(model["ModelPackageArn"], "Rejected", NO)
    assert loop.wait(turned_down, project.deploy) == "Failed"
    project.release(model["ModelPackageArn"])
    return Released(project, clone, model, broken, turned_down, asked)


def request(loop: Loop, timeout: float = 120) -> Message:
    """The mail that asks the address whether it agrees, as soon as it is there."""
    deadline = time.monotonic() + timeout
    while not (found := inbox.mails(loop.cloud.home, WHO)):
        assert time.monotonic() < deadline, loop.build_log(f"slipway-{NAME}-test")[-3000:]
        time.sleep(0.2)
    return found[0]


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
    assert [job["TransformJobStatus"] for job in jobs] == ["Completed"] * 2  # one for each of the two releases


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
    topic = project.parameter("topic-arn")
    requests = [mail for mail in released.asked if mail["Subject"] == "AWS Notification - Subscription Confirmation"]
    assert len(requests) == 1, "asked again by the second build"
    assert topic in inbox.text(requests[0])
    for event, times in (("approval-needed", 2), ("released", 1)):
        found = told(project.loop, event)
        assert len(found) == times
        assert {(message["project"], message["detail"]["pipeline"]) for message in found} == {(NAME, project.deploy)}
    (subscribed,) = (
        project.loop.admin(TOOLING).client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    )
    assert subscribed["Endpoint"] == WHO
    assert subscribed["SubscriptionArn"].startswith(f"{topic}:")


def test_a_build_that_fails_its_tests_is_told_from_the_first_on(released: Released) -> None:
    """Protects the Data Scientist who pushed and left: the mail says what failed and where, and leads to the reason."""
    project = released.project
    (message,) = told(project.loop, "build-failed")
    assert (message["project"], message["what"]) == (NAME, f"Test failed in stage Test of {project.build}")
    assert message["link"].endswith(f"/pipelines/{project.build}/executions/{released.broken}/timeline")
    detail = message["detail"]
    assert (detail["stage"], detail["action"], detail["execution-id"]) == ("Test", "Test", released.broken)
    result = detail["execution-result"]
    assert result["external-execution-summary"] == "Build terminated with state: FAILED"
    assert f"/builds/{result['external-execution-id']}/view" in result["external-execution-url"]
    # As `aws logs tail` does with the group that the mail names.
    (group,) = re.findall(r"aws logs tail (\S+) --since 1h", message["mend"])
    scientist = project.person("DataScientist").client("logs")
    pages = scientist.get_paginator("filter_log_events").paginate(logGroupName=group)
    lines = [event["message"] for page in pages for event in page["events"]]
    assert any("there are no flights on Sundays" in line for line in lines)


def test_a_release_that_is_turned_down_is_told_with_the_reason(released: Released) -> None:
    """Protects who waits for a release: the mail has the approver's words; approved again, the version is released."""
    project = released.project
    (message,) = told(project.loop, "release-failed")
    assert (message["project"], message["what"]) == (NAME, f"Approve failed in stage Approval of {project.deploy}")
    assert message["link"].endswith(f"/pipelines/{project.deploy}/executions/{released.turned_down}/timeline")
    assert message["detail"]["execution-result"]["external-execution-summary"] == NO
    assert "set to Rejected and to Approved again in the registry is released anew" in message["mend"]


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
    assert {item["event"] for item in messages(project.loop)} == set(EVENTS)
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
