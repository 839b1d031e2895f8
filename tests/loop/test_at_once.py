"""Two people do the same thing at the same moment: one of them succeeds, the other is told why not, soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from slipway_demo import commands
from tests.loop.conftest import (
    DEPLOY,
    ENDPOINTS,
    PRODUCTION,
    PROJECT,
    STAGING,
    TOOLING,
    Loop,
    copy_of_the_platform,
    deploy_platform,
)
from tests.loop.projects import launching

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.xdist_group("loop")]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each call answered, or the ClientError that it ended with; all begin at the same moment."""
    answers: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def call(number: int) -> None:
        gate.wait()
        try:
            answers[number] = calls[number]()
        except ClientError as error:
            answers[number] = error

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    return answers


def test_two_launches_of_one_name_make_one(loop: Loop) -> None:
    """Protects against a double click: the second request is refused before anything is made."""
    answers = at_once(*[launching(loop, "once", ProjectName="once") for _ in range(2)])
    refused = [answer for answer in answers if isinstance(answer, ClientError)]
    assert [answer["Status"] for answer in answers if answer not in refused] == ["SUCCEEDED"]
    assert [error.response["Error"]["Code"] for error in refused] == ["InvalidParametersException"]
    assert "already exists" in str(refused[0])


def test_two_launches_of_one_project_make_one_and_tell_why_not_the_other(loop: Loop) -> None:
    """Protects two admins with one idea: one project, whole; the other launch is rolled back with the cause."""
    records = at_once(launching(loop, "twice-a", ProjectName="twice"), launching(loop, "twice-b", ProjectName="twice"))
    assert sorted(record["Status"] for record in records) == ["FAILED", "SUCCEEDED"]
    (failed,) = [record for record in records if record["Status"] == "FAILED"]
    assert failed["RecordErrors"][0]["Code"] == "ROLLBACK_COMPLETE"
    # Of what failed in a nested stack CloudFormation tells the parent the name alone.
    told = failed["RecordErrors"][0]["Description"]
    assert "already exists" in told or "The following resource(s) failed to create: [" in told, told
    tooling = loop.admin(TOOLING)
    names = tooling.client("ssm").get_paginator("get_parameters_by_path")
    published = names.paginate(Path="/slipway/projects/twice", Recursive=True).build_full_result()["Parameters"]
    like = names.paginate(Path=f"/slipway/projects/{PROJECT}", Recursive=True).build_full_result()["Parameters"]
    assert len(published) == len(like), "the rollback took something of the project that succeeded"
    branch = tooling.client("codecommit").get_branch(repositoryName="twice", branchName="main")["branch"]
    assert branch["commitId"]


def test_two_launches_of_two_projects_make_two(loop: Loop) -> None:
    """Protects two teams that start on the same day."""
    records = at_once(launching(loop, "left", ProjectName="left"), launching(loop, "right", ProjectName="right"))
    assert [record["Status"] for record in records] == ["SUCCEEDED", "SUCCEEDED"], records


def _approve_package(loop: Loop) -> list[str]:
    """Ask for a decision again and have two people approve at once. Returns the executions, oldest first."""
    pipelines, sagemaker = loop.admin(TOOLING).client("codepipeline"), loop.admin(TOOLING).client("sagemaker")

    def executions() -> list[str]:
        found = pipelines.list_pipeline_executions(pipelineName=DEPLOY)["pipelineExecutionSummaries"]
        return [str(item["pipelineExecutionId"]) for item in reversed(found)]

    known = executions()
    arn = loop.report["model"]["model_package_arn"]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="PendingManualApproval")
    clients = [loop.person("ReleaseApprover").client("sagemaker") for _ in range(2)]
    answers = at_once(*[
        lambda client=client: client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        for client in clients
    ])  # fmt: skip
    assert not any(isinstance(answer, ClientError) for answer in answers), answers
    assert sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"
    deadline = time.monotonic() + 30
    while len(executions()) < len(known) + 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    return [execution for execution in executions() if execution not in known]


def _token(loop: Loop, execution: str) -> str | None:
    """The token of an execution's approval; None if it ends without asking."""
    pipelines = loop.admin(TOOLING).client("codepipeline")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for stage in pipelines.get_pipeline_state(name=DEPLOY)["stageStates"]:
            latest = stage["actionStates"][0].get("latestExecution", {})
            here = stage.get("latestExecution", {}).get("pipelineExecutionId") == execution
            if stage["stageName"] == "Approval" and here and latest.get("status") == "InProgress":
                return str(latest["token"])
        found = pipelines.get_pipeline_execution(pipelineName=DEPLOY, pipelineExecutionId=execution)
        if found["pipelineExecution"]["status"] != "InProgress":
            return None
        time.sleep(0.2)
    raise AssertionError("nobody is asked for an approval")


def _answer(loop: Loop, token: str, status: str) -> Callable[[], Any]:
    client = loop.person("ReleaseApprover").client("codepipeline")
    return lambda: client.put_approval_result(
        pipelineName=DEPLOY, stageName="Approval", actionName="Approve", token=token,
        result={"summary": "Staging answers.", "status": status},
    )  # fmt: skip


def test_two_answers_to_one_question_the_first_counts(loop: Loop) -> None:
    """Protects the decision: of approval and rejection at once one counts, the other gets AWS's error, so does a third.

    A package that is approved twice at once may be released twice, since SageMaker tells every update: the second
    release waits for the first, and changes nothing.
    """
    before = loop.predict()
    released = _approve_package(loop)
    assert 1 <= len(released) <= 2
    for execution in released:
        token = _token(loop, execution)
        assert token
        choices = ["Approved", "Rejected"]
        answers = at_once(*[_answer(loop, token, choice) for choice in choices])
        counted = [choice for choice, answer in zip(choices, answers, strict=True) if isinstance(answer, dict)]
        late = [error for error in answers if isinstance(error, ClientError)]
        assert len(counted) == 1, answers
        assert [error.response["Error"]["Code"] for error in late] == ["ApprovalAlreadyCompletedException"]
        (third,) = at_once(_answer(loop, token, "Approved"))
        assert third.response["Error"]["Code"] == "ApprovalAlreadyCompletedException"
        expected = "Succeeded" if counted == ["Approved"] else "Failed"
        assert loop.wait(execution, DEPLOY) == expected
    assert loop.predict() == before


def test_an_error_in_the_endpoints_template_fails_the_release_and_the_old_model_serves(
    loop: Loop, tmp_path: Path
) -> None:
    """Protects production from the platform's own mistakes: staging fails with the cause; the next release works."""
    before, repository = loop.predict(), copy_of_the_platform(tmp_path)
    template = repository / "service-catalog" / "project" / "endpoint.yaml"
    template.write_text(template.read_text().replace("VariantName: champion", 'VariantName: "no name!"', 1))
    done = deploy_platform(loop, repository)
    assert done.returncode == 0, done.stderr
    for execution in _approve_package(loop):
        assert loop.wait(execution, DEPLOY) == "Failed"
        told = loop.causes(execution, DEPLOY)
        assert "EndpointConfiguration (AWS::SageMaker::EndpointConfig)" in told
        assert "'no name!' at 'productionVariants.1.member.variantName'" in told
    assert loop.predict() == loop.predict(STAGING) == before
    done = deploy_platform(loop, commands.ROOT)
    assert done.returncode == 0, done.stderr
    for execution in _approve_package(loop):
        token = _token(loop, execution)
        assert token
        _answer(loop, token, "Approved")()
        assert loop.wait(execution, DEPLOY) == "Succeeded"
    for account in (STAGING, PRODUCTION):
        found = loop.admin(account).client("sagemaker").describe_endpoint(EndpointName=ENDPOINTS[account])
        assert found["EndpointStatus"] == "InService"
    assert loop.predict() == loop.predict(STAGING) == before
