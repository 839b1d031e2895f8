"""A released model that answers files: staged, verified by a transform job, used in production; and an endpoint again.

The bundle of the demonstration's model is given another `serving`, as a build of such a project.yaml writes it; from
the approval on, everything is played: package, staging, verification, approval, production, and a job there.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from slipway_demo import watching
from tests.loop.conftest import DEPLOY, ENDPOINTS, PRODUCTION, PROJECT, STAGING, TOOLING, Loop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("loop")]

BUNDLE = "releases/1.zip"
# One instance type other than the default shows that the settings arrive.
SETTINGS = {"instance_type": "ml.m5.xlarge", "max_payload_mb": 2}


def bucket(loop: Loop) -> str:
    """The project's bucket."""
    ssm = loop.admin(TOOLING).client("ssm")
    return str(ssm.get_parameter(Name=f"/slipway/projects/{PROJECT}/bucket")["Parameter"]["Value"])


def served_as(content: bytes, serving: dict[str, Any]) -> bytes:
    """A bundle with another `serving` in its project.yaml."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "project.yaml":
                text = yaml.safe_dump({**yaml.safe_load(text), "serving": serving}).encode()
            new.writestr(name, text)
    return changed.getvalue()


def release(loop: Loop, bundle: bytes) -> None:
    """Approve the model anew, and then the release that comes of it."""
    s3 = loop.admin(TOOLING).client("s3")
    s3.put_object(Bucket=bucket(loop), Key=BUNDLE, Body=bundle)
    approver = loop.person("ReleaseApprover")
    sagemaker, pipelines = approver.client("sagemaker"), approver.client("codepipeline")
    known = set(watching.executions(pipelines, DEPLOY))
    arn = loop.report["model"]["model_package_arn"]
    for status in ("PendingManualApproval", "Approved"):
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)
    execution = watching.newest_execution(pipelines, DEPLOY, known)
    approve(loop, pipelines, execution)
    assert loop.wait(execution, DEPLOY, timeout=120) == "Succeeded", loop.causes(execution, DEPLOY)


def approve(loop: Loop, pipelines: Any, execution: str) -> None:
    """Let the release into production as soon as it asks."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        found = pipelines.get_pipeline_execution(pipelineName=DEPLOY, pipelineExecutionId=execution)
        status = found["pipelineExecution"]["status"]
        assert status == "InProgress", f"{status}: {loop.causes(execution, DEPLOY)}\n{verification(loop)}"
        for stage in pipelines.get_pipeline_state(name=DEPLOY)["stageStates"]:
            latest = stage["actionStates"][0].get("latestExecution", {})
            ours = stage.get("latestExecution", {}).get("pipelineExecutionId") == execution
            if stage["stageName"] == "Approval" and ours and latest.get("token"):
                pipelines.put_approval_result(
                    pipelineName=DEPLOY, stageName="Approval", actionName="Approve", token=latest["token"],
                    result={"summary": "It answers as evaluated.", "status": "Approved"},
                )  # fmt: skip
                return
        time.sleep(0.3)
    raise AssertionError(f"{execution} does not ask for an approval")


def verification(loop: Loop) -> str:
    """The log of the newest verification."""
    return loop.build_log(f"slipway-{PROJECT}-verify")


def outputs(loop: Loop, account: str) -> dict[str, str]:
    """What the release's stack in an account says."""
    stack = loop.admin(account).client("cloudformation").describe_stacks(StackName=ENDPOINTS[account])["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def endpoints(loop: Loop, account: str) -> list[str]:
    """The endpoints of an account."""
    return [found["EndpointName"] for found in loop.admin(account).client("sagemaker").list_endpoints()["Endpoints"]]


def models(loop: Loop, account: str) -> list[str]:
    """The models of an account."""
    return [found["ModelName"] for found in loop.admin(account).client("sagemaker").list_models()["Models"]]


@pytest.fixture(scope="module")
def original(loop: Loop) -> Iterator[bytes]:
    """The bundle as the build wrote it; it lies there again afterwards."""
    s3 = loop.admin(TOOLING).client("s3")
    content = bytes(s3.get_object(Bucket=bucket(loop), Key=BUNDLE)["Body"].read())
    yield content
    s3.put_object(Bucket=bucket(loop), Key=BUNDLE, Body=content)


@pytest.fixture(scope="module")
def both(loop: Loop, original: bytes) -> Loop:
    """The model is released in the mode both: beside the endpoint, which stays, a model for transform jobs."""
    release(loop, served_as(original, {"mode": "both", "batch": SETTINGS}))
    return loop


def run(loop: Loop, file: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`slipway batch run` in the shell of the ML Engineer."""
    return subprocess.run(
        [sys.executable, "-m", "slipway", "batch", "run", "--project", PROJECT, "--input", file, *arguments],
        cwd=loop.folder, env={**os.environ, **loop.person("MLEngineer").full_environment()}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip


def demonstrated(loop: Loop) -> list[float]:
    """What the demonstration's endpoint said of the rows, rounded."""
    return [item["predicted"] for item in loop.report["predictions"]]


def jobs(loop: Loop, account: str) -> list[dict[str, Any]]:
    """The transform jobs of an account, newest first."""
    sagemaker = loop.admin(account).client("sagemaker")
    listed = sagemaker.list_transform_jobs(SortBy="CreationTime", SortOrder="Descending")["TransformJobSummaries"]
    return [sagemaker.describe_transform_job(TransformJobName=job["TransformJobName"]) for job in listed]


def test_a_release_has_a_model_for_files_beside_its_endpoint(both: Loop) -> None:
    """Protects the release: both accounts have the model, in the network, with the settings of project.yaml."""
    for account, environment in ((STAGING, "staging"), (PRODUCTION, "production")):
        told = outputs(both, account)
        assert endpoints(both, account) == [ENDPOINTS[account]] == [told["EndpointName"]]
        assert told["BatchModelName"] in models(both, account)
        assert told["BatchModelName"].endswith(f"-{environment}")
        assert told["ModelVersion"] == both.report["model"]["version"]
        assert (told["BatchInstanceType"], told["BatchMaxPayloadInMB"]) == ("ml.m5.xlarge", "2")
        described = both.admin(account).client("sagemaker").describe_model(ModelName=told["BatchModelName"])
        assert described["EnableNetworkIsolation"] is True
        assert described["VpcConfig"]["Subnets"]
        assert described["ExecutionRoleArn"].endswith(f"/slipway-release-batch-model-{environment}")


def test_staging_was_verified_by_a_transform_job(both: Loop) -> None:
    """Protects production: a job answered the sample rows in staging, under the key, and nothing of them is left."""
    log = verification(both)
    assert "is Completed after" in log, log[-2000:]
    assert "text/csv: " in log, "the endpoint was not tried"
    assert "staging (both) answers as the model did when it was evaluated" in log
    job, told = jobs(both, STAGING)[0], outputs(both, STAGING)
    assert job["ModelName"] == told["BatchModelName"]
    assert job["TransformResources"]["VolumeKmsKeyId"] == job["TransformOutput"]["KmsKeyId"] == told["BatchKeyArn"]
    left = both.admin(STAGING).client("s3").list_objects_v2(Bucket=told["BatchBucket"], Prefix="verify/")
    assert left["KeyCount"] == 0


def test_the_released_model_answers_a_file_in_production(both: Loop) -> None:
    """Protects users: one command brings a file, runs the job as the operator's role, and fetches the answers."""
    answers = both.folder / "answers"
    done = run(both, "rows.csv", "--output", str(answers))
    assert done.returncode == 0, done.stdout + done.stderr
    predicted = [float(line) for line in (answers / "rows.csv.out").read_text().split()]
    assert [round(value, 2) for value in predicted] == demonstrated(both)
    job = jobs(both, PRODUCTION)[0]
    listed = both.admin(PRODUCTION).client("sagemaker").list_tags(ResourceArn=job["TransformJobArn"])["Tags"]
    tags = {tag["Key"]: tag["Value"] for tag in listed}
    assert (tags["Project"], tags["Environment"]) == (PROJECT, "production")


@pytest.mark.thorough
def test_a_change_of_mode_takes_the_endpoint_away_and_brings_it_back(loop: Loop, original: bytes) -> None:
    """Protects the bill and a project that changes its mind: what a release does not need is gone in both accounts."""
    release(loop, served_as(original, {"mode": "batch", "batch": SETTINGS}))
    log = verification(loop)
    assert "staging (batch) answers" in log
    assert "text/csv: " not in log
    before = {}
    for account in (STAGING, PRODUCTION):
        told = outputs(loop, account)
        assert "EndpointName" not in told
        assert endpoints(loop, account) == []
        assert models(loop, account) == [told["BatchModelName"]]
        before[account] = told["BatchModelName"]
    (loop.folder / "wrong.csv").write_text("1,2,3\n")
    done = run(loop, "wrong.csv")
    assert done.returncode == 1
    assert "failed: ClientError" in done.stderr, done.stderr
    assert "given 3 values" in done.stderr
    assert "Traceback" not in done.stderr
    release(loop, original)
    for account in (STAGING, PRODUCTION):
        assert endpoints(loop, account) == [ENDPOINTS[account]]
        assert before[account] not in models(loop, account)
    assert [round(value, 2) for value in loop.predict()] == demonstrated(loop)
    done = run(loop, "rows.csv")
    assert done.returncode == 1
    assert "has no model for transform jobs: serving.mode" in done.stderr
