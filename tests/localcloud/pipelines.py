"""What the tests of CodePipeline share: a role, buckets, and pipelines made of a few kinds of action.

Loaded by path: test modules cannot import each other.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

ACCOUNT, REGION = "111111111111", "eu-west-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "codepipeline.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return buffer.getvalue()


def until(look: Callable[[], Any], seconds: float = 20, what: str = "") -> Any:
    """What `look` answers, once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or look}"
        time.sleep(0.05)


def refused(code: str, call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return str(caught.value.response["Error"]["Message"])


def action(name: str, category: str, provider: str, **more: Any) -> dict[str, Any]:
    kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": name, "actionTypeId": kind, **more}


def approval(name: str = "Approve", **more: Any) -> dict[str, Any]:
    return action(name, "Approval", "Manual", **more)


class Bench:
    """A role, a source bucket with a zip, an artifact bucket, and pipelines made of them."""

    def __init__(self, cloud: Any) -> None:
        self.cloud, self.id = cloud, uuid4().hex[:8]
        self.pipelines, self.s3, self.iam = cloud.client("codepipeline"), cloud.client("s3"), cloud.client("iam")
        self.role = self.make_role(f"pipeline-{self.id}", TRUST)
        self.source, self.store = f"source-{self.id}", f"store-{self.id}"
        self.bucket(self.source)
        self.bucket(self.store)
        self.s3.put_bucket_versioning(Bucket=self.source, VersioningConfiguration={"Status": "Enabled"})
        self.s3.put_object(Bucket=self.source, Key="app.zip", Body=zipped(a__txt="one"))

    def make_role(self, name: str, trust: Any) -> str:
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        return str(made["Role"]["Arn"])

    def bucket(self, name: str) -> str:
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return str(name)

    def source_action(self, **configuration: str) -> dict[str, Any]:
        given = {"S3Bucket": self.source, "S3ObjectKey": "app.zip", "PollForSourceChanges": "false", **configuration}
        return action(
            "Source", "Source", "S3", configuration=given, outputArtifacts=[{"name": "Code"}], namespace="Source"
        )

    def deploy(self, name: str = "Deploy", bucket: str | None = None, **more: Any) -> dict[str, Any]:
        given = {"BucketName": bucket or self.store, "Extract": "false", "ObjectKey": f"out/{name}.zip"}
        given |= more.pop("configuration", {})
        return action(name, "Deploy", "S3", configuration=given, inputArtifacts=[{"name": "Code"}], **more)

    def declare(self, name: str, *stages: dict[str, Any] | list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A declaration; a stage is a dictionary, or its actions alone."""
        full = [s if isinstance(s, dict) else {"name": f"Stage{i}", "actions": s} for i, s in enumerate(stages, 1)]
        return {
            "name": name,
            "roleArn": self.role,
            "artifactStore": {"type": "S3", "location": self.store},
            "stages": [{"name": "Source", "actions": [self.source_action()]}, *full],
            "pipelineType": "V2",
            **more,
        }

    def create(self, *stages: Any, **more: Any) -> str:
        """Create a pipeline and return its name."""
        name = str(more.pop("name", f"p-{uuid4().hex[:8]}"))
        self.pipelines.create_pipeline(pipeline=self.declare(name, *stages, **more))
        return name

    def executions(self, name: str) -> list[dict[str, Any]]:
        """Oldest first."""
        found = self.pipelines.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
        return list(reversed(found))

    def status(self, name: str, execution: str) -> str:
        found = self.pipelines.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)
        return str(found["pipelineExecution"]["status"])

    def ends(self, name: str, execution: str, status: str) -> dict[str, Any]:
        """Wait for the end of an execution, which must be this one."""
        until(lambda: self.status(name, execution) not in ("InProgress", "Stopping"), what=self.show(name))
        found = self.pipelines.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)
        assert found["pipelineExecution"]["status"] == status, self.show(name)
        return dict(found["pipelineExecution"])

    def show(self, name: str) -> str:
        return json.dumps(self.pipelines.get_pipeline_state(name=name)["stageStates"], default=str, indent=1)

    def start(self, name: str, **more: Any) -> str:
        return str(self.pipelines.start_pipeline_execution(name=name, **more)["pipelineExecutionId"])

    def stage(self, name: str, stage: str) -> dict[str, Any]:
        states = self.pipelines.get_pipeline_state(name=name)["stageStates"]
        return next(state for state in states if state["stageName"] == stage)

    def token(self, name: str, stage: str = "Stage1", execution: str | None = None) -> str:
        """Wait for an approval request (of an execution) and return its token."""

        def look() -> str | None:
            state = self.stage(name, stage)
            if execution and state.get("latestExecution", {}).get("pipelineExecutionId") != execution:
                return None
            token: str | None = state["actionStates"][0].get("latestExecution", {}).get("token")
            return token

        return str(until(look, what=f"approval token of {name} {stage}"))

    def answer(self, name: str, token: str, status: str = "Approved", stage: str = "Stage1") -> None:
        self.pipelines.put_approval_result(
            pipelineName=name,
            stageName=stage,
            actionName="Approve",
            token=token,
            result={"summary": "seen", "status": status},
        )

    def approve(self, name: str, stage: str = "Stage1", execution: str | None = None) -> None:
        self.answer(name, self.token(name, stage, execution), stage=stage)
