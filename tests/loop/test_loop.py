"""The loop, whole: what `make demo` leaves, and what happens when people go on from there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.loop.conftest import BUILD, ENDPOINTS, GROUP, PROJECT, Loop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("loop")]
TOOLING, STAGING, PRODUCTION = "111111111111", "222222222222", "333333333333"


def test_the_report_says_everything(loop: Loop) -> None:
    """Protects those who read report.json: every field is there and means something."""
    report = loop.report
    assert report["ok"] is True
    assert report["seconds"] > 0
    assert all(step["ok"] and step["seconds"] >= 0 and step["name"] for step in report["steps"])
    assert report["platform"]["stacks"] >= 10
    assert report["platform"]["resources"] >= 100
    assert report["project"]["name"] == PROJECT
    assert re.fullmatch(r"pp-[a-z0-9]{13}", report["project"]["provisioned_product_id"])
    assert report["project"]["clone_url"].startswith(loop.cloud.endpoint)
    assert report["build"]["pipeline"] == BUILD
    assert re.fullmatch(r"[0-9a-f-]{36}", report["build"]["execution_id"])
    assert re.fullmatch(r"[0-9a-f]{40}", report["build"]["commit_id"])
    assert report["build"]["sagemaker_execution_arn"].startswith(f"arn:aws:sagemaker:eu-west-1:{TOOLING}:pipeline/")
    metrics = report["build"]["metrics"]
    assert set(metrics) >= {"rmse", "mse", "mae", "r2"}
    assert metrics["mse"] == pytest.approx(metrics["rmse"] ** 2, rel=1e-6)
    assert 10 < metrics["rmse"] < 25
    assert 0.6 < metrics["r2"] < 1
    assert report["model"]["version"] == "V1.0.0"
    assert report["model"]["model_package_arn"].endswith(f"model-package/{GROUP}/1")
    assert report["release"] == {"staging_endpoint": ENDPOINTS[STAGING], "production_endpoint": ENDPOINTS[PRODUCTION]}
    assert len(report["predictions"]) == 10
    errors = [abs(item["predicted"] - item["actual"]) for item in report["predictions"]]
    assert sum(errors) / 10 < 40, "the predictions have nothing to do with the flights"


def test_the_terminal_shows_durations_and_what_to_try_next(loop: Loop) -> None:
    """Protects the first impression: steps with durations, a table, the next commands."""
    assert len(re.findall(r"✓ .* \d+\.\d s", loop.output)) >= 7
    for expected in ("What now runs", "Ten real flights", "Try next", "make -s env PERSONA=DataScientist"):
        assert expected in loop.output


def test_a_second_run_reuses_what_is_there(loop: Loop) -> None:
    """Protects against a demonstration that builds everything twice."""
    before = loop.packages()
    done = loop.demo("run")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert loop.packages() == before


def test_the_environment_of_a_persona_works_for_any_tool(loop: Loop) -> None:
    """Protects `make env`: what it prints makes plain `aws` that persona."""
    printed = loop.demo("env", "--persona", "DataScientist", "--project", PROJECT)
    assert printed.returncode == 0, printed.stderr
    exports = loop.folder / "exports"
    exports.write_text(printed.stdout)
    script = f"eval $(cat {exports}); aws sts get-caller-identity --query Arn --output text"
    out = subprocess.run(["bash", "-c", script], env=loop.environment(), capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"arn:aws:sts::{TOOLING}:assumed-role/slipway-DataScientist/datascientist"


def test_an_unknown_persona_is_refused_with_those_there_are(loop: Loop) -> None:
    """Protects a typing error."""
    out = loop.demo("env", "--persona", "Scientist")
    assert out.returncode == 1
    assert "PERSONA=Scientist is unknown" in out.stderr
    assert "DataScientist" in out.stderr


def test_the_model_serves_in_staging_and_production(loop: Loop) -> None:
    """Protects the release: both accounts answer, and with the same model."""
    assert loop.predict(STAGING) == pytest.approx(loop.predict(PRODUCTION))


def test_artefacts_are_where_aws_would_put_them(loop: Loop) -> None:
    """Protects those who look for a model in S3."""
    tooling = loop.admin(TOOLING)
    described = tooling.client("sagemaker").describe_model_package(
        ModelPackageName=loop.report["model"]["model_package_arn"]
    )
    container = described["InferenceSpecification"]["Containers"][0]
    bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    assert key.endswith("/output/model.tar.gz")
    assert tooling.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 1000
    assert re.search(r"\.dkr\.ecr\.eu-west-1\.amazonaws\.com/.+@sha256:[0-9a-f]{64}$", container["Image"])


def _edit(clone: Path, pattern: str, replacement: str) -> None:
    path = clone / "project.yaml"
    text = path.read_text()
    changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert changed != text, f"{pattern} is not in project.yaml"
    path.write_text(changed)


@pytest.fixture(scope="module")
def inbox(loop: Loop) -> Callable[[str], list[dict[str, Any]]]:
    """Somebody who reads the project's topic: told("model-failed") are the details of such messages until now."""
    tooling = loop.admin(TOOLING)
    topic = tooling.client("ssm").get_parameter(Name=f"/slipway/projects/{PROJECT}/topic-arn")["Parameter"]["Value"]
    queues = tooling.client("sqs")
    queue = queues.create_queue(QueueName="inbox")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    tooling.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    read: list[dict[str, Any]] = []

    def told(event: str) -> list[dict[str, Any]]:
        while messages := queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                read.append(json.loads(json.loads(message["Body"])["Message"]))
                queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        assert all(message["project"] == PROJECT for message in read)
        return [message["detail"] for message in read if message["event"] == event]

    return told


def test_a_wrong_configuration_fails_in_the_test_stage_with_line_and_key(
    loop: Loop, inbox: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Protects the handshake: an unknown key is named with its line, people are told, and the old model serves on."""
    before, clone = loop.predict(), loop.clone()
    (clone / "project.yaml").write_text((clone / "project.yaml").read_text() + "\nquality_gates: {}\n")
    execution = loop.execution(loop.push(clone, "Misspell a key"))
    assert loop.wait(execution) == "Failed"
    log = loop.build_log(f"slipway-{PROJECT}-test")
    assert re.search(r"project\.yaml:\d+", log)
    assert "quality_gates" in log
    assert "quality_gate" in log
    assert loop.predict() == before
    assert [(detail["action"], detail["execution-id"]) for detail in inbox("build-failed")] == [("Test", execution)]
    loop.git(clone, "revert", "--no-edit", "HEAD")


@pytest.mark.thorough
def test_a_gate_that_is_not_met_says_figure_bound_and_key_and_registers_nothing(
    loop: Loop, inbox: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Protects production from a bad model, and people from having to look for the reason."""
    before, clone = loop.packages(), loop.clone()
    if "quality_gates" in (clone / "project.yaml").read_text():
        loop.git(clone, "revert", "--no-edit", "HEAD")
    _edit(clone, r"(rmse:\s*\{\s*max:\s*)[0-9.]+|(rmse:\s*\n\s*max:\s*)[0-9.]+", r"\g<1>\g<2>0.5")
    execution = loop.execution(loop.push(clone, "Ask for the impossible"))
    assert loop.wait(execution) == "Failed"
    log = loop.build_log(f"slipway-{PROJECT}-model")
    assert re.search(r"rmse is \d+\.\d+.*at most 0\.5.*quality_gate\.rmse\.max", log), log[-2000:]
    assert loop.packages() == before
    (failed,) = inbox("model-failed")
    assert failed["stepName"] == "Refuse-rmse"
    assert re.search(r"rmse is \d+\.\d+.*at most 0\.5.*quality_gate\.rmse\.max", failed["failureReason"])
    loop.git(clone, "revert", "--no-edit", "HEAD")
    loop.git(clone, "push", "--quiet", "origin", "main")


@pytest.mark.thorough
def test_two_pushes_in_quick_succession_give_two_models_in_order(
    loop: Loop, inbox: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Protects concurrency: executions queue, neither cancels the other, versions are unique and ordered."""
    clone = loop.clone()
    commits = []
    for attempt in (1, 2):
        _edit(clone, r"^description:.*$", f"description: Attempt {attempt} at {time.time_ns()}")
        _edit(clone, r"^(\s+max_iter:\s*)(\d+)", rf"\g<1>{100 + attempt}")
        commits.append(loop.push(clone, f"Attempt {attempt}"))
    statuses = [loop.wait(loop.execution(commit)) for commit in commits]
    assert statuses == ["Succeeded", "Succeeded"]
    sagemaker = loop.admin(TOOLING).client("sagemaker")
    properties = [
        sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])["CustomerMetadataProperties"]
        for package in loop.packages()
    ]
    by_commit = {item["commit"]: item["version"] for item in properties}
    versions = [item["version"] for item in properties]
    assert len(set(versions)) == len(versions)
    ours = [tuple(map(int, by_commit[commit][1:].split("."))) for commit in commits]
    assert ours[0] < ours[1]
    registered = {detail["ModelPackageArn"] for detail in inbox("model-registered")}
    assert {package["ModelPackageArn"] for package in loop.packages()[-2:]} <= registered


@pytest.mark.thorough
def test_a_build_that_dies_with_the_machine_leaves_a_consistent_state(loop: Loop) -> None:
    """Protects against kill -9 in the middle of a build: it ends, with a reason, and the old model serves."""
    before, clone = loop.predict(), loop.clone()
    _edit(clone, r"^(\s+max_iter:\s*)(\d+)", r"\g<1>120")
    execution = loop.execution(loop.push(clone, "Build while the power fails"))
    time.sleep(6)
    pid = int((loop.cloud.home / "pid").read_text())
    subprocess.run(["kill", "-9", str(pid)], check=True)
    up = subprocess.run(
        [sys.executable, "-m", "localcloud", "--home", str(loop.cloud.home), "--port", str(loop.cloud.port), "up"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert up.returncode == 0, up.stderr
    assert loop.wait(execution) in {"Failed", "Succeeded"}
    sagemaker = loop.admin(TOOLING).client("sagemaker")
    running = [
        job["TrainingJobName"]
        for job in sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
    ]
    assert running == []
    deadline = time.monotonic() + 60
    while (
        loop.admin(PRODUCTION)
        .client("sagemaker")
        .describe_endpoint(EndpointName=ENDPOINTS[PRODUCTION])["EndpointStatus"]
        != "InService"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert loop.predict() == before
