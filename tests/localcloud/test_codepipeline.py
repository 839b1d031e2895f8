"""CodePipeline through boto3 and the `aws` command: declarations, executions, modes, conditions, approvals, restarts.

Pipelines here read a zip from S3 and then do what a test needs: an approval waits until it is answered, a deployment
to a bucket that does not exist fails, and one to a bucket that does succeeds.
"""

from __future__ import annotations

import io
import json
import runpy
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ACCOUNT, REGION = "111111111111", "eu-west-1"
HELPERS = runpy.run_path(str(Path(__file__).with_name("pipelines.py")))
Bench, action, approval, refused, until, zipped = (
    HELPERS[name] for name in ("Bench", "action", "approval", "refused", "until", "zipped")
)


@pytest.fixture(scope="module")
def bench(cloud: Any) -> Any:
    return Bench(cloud)


# -- declarations ---------------------------------------------------------------------------------------------------


def test_a_pipeline_is_kept_versioned_and_deleted(bench: Any) -> None:
    """Create, get, update, list, tag and delete agree with each other, and old versions can still be read."""
    name = bench.create([bench.deploy()])
    client, arn = bench.pipelines, f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{name}"
    kept = client.get_pipeline(name=name)
    assert kept["metadata"]["pipelineArn"] == arn
    assert (kept["pipeline"]["version"], kept["pipeline"]["executionMode"]) == (1, "SUPERSEDED")
    changed = bench.declare(name, [approval()])
    assert client.update_pipeline(pipeline=changed)["pipeline"]["version"] == 2
    assert client.get_pipeline(name=name, version=1)["pipeline"]["stages"] == kept["pipeline"]["stages"]
    refused("PipelineVersionNotFoundException", client.get_pipeline, name=name, version=3)
    assert name in [found["name"] for found in client.list_pipelines()["pipelines"]]
    client.tag_resource(resourceArn=arn, tags=[{"key": "Project", "value": "x"}, {"key": "b", "value": "y"}])
    client.untag_resource(resourceArn=arn, tagKeys=["b"])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "Project", "value": "x"}]
    refused("PipelineNameInUseException", client.create_pipeline, pipeline=changed)
    client.delete_pipeline(name=name)
    client.delete_pipeline(name=name)
    refused("PipelineNotFoundException", client.get_pipeline, name=name)


def test_a_role_that_does_not_trust_codepipeline_is_refused(bench: Any) -> None:
    """AWS tries the role when the pipeline is made, so a wrong trust policy shows at once and nothing is kept."""
    other = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = bench.make_role(f"other-{bench.id}", {"Version": "2012-10-17", "Statement": [other]})
    message = refused(
        "InvalidStructureException",
        bench.pipelines.create_pipeline,
        pipeline=bench.declare("untrusted", [bench.deploy()], roleArn=role),
    )
    assert message == f"CodePipeline is not authorized to perform AssumeRole on role {role}"
    refused("PipelineNotFoundException", bench.pipelines.get_pipeline, name="untrusted")


# -- one execution --------------------------------------------------------------------------------------------------


def test_creating_a_pipeline_runs_it(bench: Any) -> None:
    """The first execution starts by itself; artifacts lie at AWS's keys; what happened can be read in every list."""
    name = bench.create([bench.deploy(configuration={"ObjectKey": "of/#{Source.VersionId}.zip"})], name=f"{'n' * 30}")
    (first,) = bench.executions(name)
    assert first["trigger"] == {"triggerType": "CreatePipeline", "triggerDetail": f"arn:aws:iam::{ACCOUNT}:root"}
    done = bench.ends(name, first["pipelineExecutionId"], "Succeeded")
    version = bench.s3.head_object(Bucket=bench.source, Key="app.zip")["VersionId"]
    assert done["artifactRevisions"][0]["revisionId"] == version
    assert bench.executions(name)[0]["sourceRevisions"][0]["actionName"] == "Source"
    details = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    deployed, fetched = details
    location = fetched["output"]["outputArtifacts"][0]["s3location"]
    pipeline_part, artifact_part, rest = location["key"].split("/")
    assert (location["bucket"], pipeline_part, artifact_part, len(rest)) == (bench.store, "n" * 20, "Code", 7)
    assert fetched["output"]["outputVariables"]["ObjectKey"] == "app.zip"
    assert deployed["input"]["configuration"]["ObjectKey"] == "of/#{Source.VersionId}.zip"
    assert deployed["input"]["resolvedConfiguration"]["ObjectKey"] == f"of/{version}.zip"
    body = bench.s3.get_object(Bucket=bench.store, Key=f"of/{version}.zip")["Body"].read()
    assert zipfile.ZipFile(io.BytesIO(body)).read("a.txt") == b"one"


def test_variables_and_revisions_of_the_callers_choice(bench: Any) -> None:
    """Declared variables take given values; an older object version and, where allowed, another key can be run."""
    old = bench.s3.head_object(Bucket=bench.source, Key="app.zip")["VersionId"]
    bench.s3.put_object(Bucket=bench.source, Key="app.zip", Body=zipped(a__txt="two"))
    bench.s3.put_object(Bucket=bench.source, Key="other.zip", Body=zipped(a__txt="other"))
    out = {"ObjectKey": "var/#{variables.Where}/#{codepipeline.PipelineExecutionId}"}
    variables = [{"name": "Where", "defaultValue": "here"}, {"name": "Other", "defaultValue": "x"}]
    name = bench.create([bench.deploy(configuration=out)], variables=variables)
    override = {"actionName": "Source", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": old}
    started = bench.start(name, variables=[{"name": "Where", "value": "there"}], sourceRevisions=[override])
    ended = bench.ends(name, started, "Succeeded")
    assert {v["name"]: v["resolvedValue"] for v in ended["variables"]} == {"Where": "there", "Other": "x"}
    body = bench.s3.get_object(Bucket=bench.store, Key=f"var/there/{started}")["Body"].read()
    assert zipfile.ZipFile(io.BytesIO(body)).read("a.txt") == b"one"
    start = bench.pipelines.start_pipeline_execution
    assert "Nope" in refused("ValidationException", start, name=name, variables=[{"name": "Nope", "value": "x"}])
    key = {"actionName": "Source", "revisionType": "S3_OBJECT_KEY", "revisionValue": "other.zip"}
    assert "AllowOverrideForS3ObjectKey" in refused("ValidationException", start, name=name, sourceRevisions=[key])
    refused("ValidationException", start, name=name, sourceRevisions=[{**override, "revisionType": "COMMIT_ID"}])
    open_key = bench.declare(name, [bench.deploy(configuration=out)], variables=variables)
    open_key["stages"][0]["actions"] = [bench.source_action(AllowOverrideForS3ObjectKey="true")]
    bench.pipelines.update_pipeline(pipeline=open_key)
    started = bench.start(name, sourceRevisions=[key])
    bench.ends(name, started, "Succeeded")
    body = bench.s3.get_object(Bucket=bench.store, Key=f"var/here/{started}")["Body"].read()
    assert zipfile.ZipFile(io.BytesIO(body)).read("a.txt") == b"other"


def test_starting_twice_with_one_token_starts_once(bench: Any) -> None:
    """A request that a client repeats after a broken connection does not run the pipeline again."""
    name = bench.create([bench.deploy()])
    token = uuid4().hex
    started: list[str] = []
    threads = [
        threading.Thread(target=lambda: started.append(bench.start(name, clientRequestToken=token))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(started)) == 1
    assert len(bench.executions(name)) == 2


def test_run_order_and_parallel_actions(bench: Any) -> None:
    """Actions of one run order run together; the next order waits for all of them, and a failure ends the stage."""
    actions = [bench.deploy("A"), approval("Approve"), bench.deploy("Late", runOrder=2)]
    actions = [actions[1], actions[0], actions[2]]
    name = bench.create(actions)
    token = bench.token(name)
    until(lambda: bench.stage(name, "Stage1")["actionStates"][1]["latestExecution"]["status"] == "Succeeded")
    assert "latestExecution" not in bench.stage(name, "Stage1")["actionStates"][2]
    bench.answer(name, token, "Rejected")
    bench.ends(name, bench.executions(name)[0]["pipelineExecutionId"], "Failed")
    state = bench.stage(name, "Stage1")
    assert state["latestExecution"]["status"] == "Failed"
    assert "latestExecution" not in state["actionStates"][2]
    rejected = state["actionStates"][0]["latestExecution"]
    assert (rejected["status"], rejected["summary"]) == ("Failed", "seen")


# -- execution modes -----------------------------------------------------------------------------------------------


def test_superseded_keeps_only_the_newest_in_front_of_a_stage(bench: Any) -> None:
    """The stage is locked by the first; of two that wait, the older is superseded, the newer enters afterwards."""
    name = bench.create([approval()])
    first = bench.executions(name)[0]["pipelineExecutionId"]
    token = bench.token(name)
    second, third = bench.start(name), None
    until(lambda: bench.stage(name, "Stage1").get("inboundExecution", {}).get("pipelineExecutionId") == second)
    third = bench.start(name)
    bench.ends(name, second, "Superseded")
    assert bench.status(name, first) == "InProgress"
    bench.answer(name, token)
    bench.ends(name, first, "Succeeded")
    bench.approve(name, execution=third)
    bench.ends(name, third, "Succeeded")


def test_queued_runs_every_execution_in_order(bench: Any) -> None:
    """Nothing is superseded, and the order of starting is the order of entering."""
    name = bench.create([approval()], executionMode="QUEUED")
    ids = [bench.executions(name)[0]["pipelineExecutionId"], bench.start(name), bench.start(name)]
    token = bench.token(name, execution=ids[0])
    until(lambda: len(bench.stage(name, "Stage1").get("inboundExecutions", [])) == 2)
    inbound = [entry["pipelineExecutionId"] for entry in bench.stage(name, "Stage1")["inboundExecutions"]]
    assert inbound == ids[1:]
    bench.answer(name, token)
    for execution in ids[1:]:
        bench.approve(name, execution=execution)
    for execution in ids:
        bench.ends(name, execution, "Succeeded")


def test_parallel_executions_do_not_wait_for_each_other(bench: Any) -> None:
    """Two executions are in one stage at once, and transitions cannot be disabled."""
    name = bench.create([approval()], executionMode="PARALLEL")
    second = bench.start(name)

    def waiting() -> list[dict[str, Any]]:
        found = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
        return [entry for entry in found if entry["actionName"] == "Approve" and entry["status"] == "InProgress"]

    until(lambda: len(waiting()) == 2)
    bench.approve(name, execution=second)
    bench.ends(name, second, "Succeeded")
    assert len(waiting()) == 1
    refused(
        "ValidationException",
        bench.pipelines.disable_stage_transition,
        pipelineName=name,
        stageName="Stage1",
        transitionType="Inbound",
        reason="no",
    )


def test_a_disabled_transition_holds_executions(bench: Any) -> None:
    """Nothing enters the stage until the transition is enabled again; who waited then goes on."""
    name = bench.create([approval()], [bench.deploy()])
    way = {"pipelineName": name, "stageName": "Stage2", "transitionType": "Inbound"}
    bench.pipelines.disable_stage_transition(**way, reason="freeze")
    bench.approve(name)
    until(lambda: bench.stage(name, "Stage2").get("inboundExecution"))
    state = bench.stage(name, "Stage2")["inboundTransitionState"]
    assert (state["enabled"], state["disabledReason"]) == (False, "freeze")
    bench.pipelines.enable_stage_transition(**way)
    bench.ends(name, bench.executions(name)[0]["pipelineExecutionId"], "Succeeded")
    refused("StageNotFoundException", bench.pipelines.enable_stage_transition, **{**way, "stageName": "Nope"})


# -- stop, retry, approvals ----------------------------------------------------------------------------------------


def test_stop_and_wait_then_abandon(bench: Any) -> None:
    """A stopped execution awaits its actions; asked again it must be abandoned; an ended one cannot be stopped."""
    name = bench.create([approval()], [bench.deploy()])
    execution = bench.executions(name)[0]["pipelineExecutionId"]
    bench.token(name)
    stop, which = bench.pipelines.stop_pipeline_execution, {"pipelineName": name, "pipelineExecutionId": execution}
    stop(**which, reason="wrong data")
    assert bench.status(name, execution) == "Stopping"
    refused("DuplicatedStopRequestException", stop, **which)
    stop(**which, abandon=True)
    bench.ends(name, execution, "Stopped")
    assert bench.stage(name, "Stage1")["actionStates"][0]["latestExecution"]["status"] == "Abandoned"
    assert bench.executions(name)[0]["stopTrigger"]["reason"] == "wrong data"
    refused("PipelineExecutionNotStoppableException", stop, **which)
    other = bench.start(name)
    token = bench.token(name, execution=other)
    stop(pipelineName=name, pipelineExecutionId=other)
    bench.answer(name, token)
    bench.ends(name, other, "Stopped")


def test_retry_runs_what_failed_or_everything(bench: Any) -> None:
    """FAILED_ACTIONS keeps what succeeded, ALL_ACTIONS runs it again; a success cannot be retried."""
    late = f"late-{uuid4().hex[:8]}"
    name = bench.create([bench.deploy("Good"), bench.deploy("Bad", bucket=late)])
    execution = bench.executions(name)[0]["pipelineExecutionId"]
    bench.ends(name, execution, "Failed")
    error = bench.stage(name, "Stage1")["actionStates"][1]["latestExecution"]["errorDetails"]
    assert late in error["message"]
    retry = bench.pipelines.retry_stage_execution
    which = {"pipelineName": name, "stageName": "Stage1", "pipelineExecutionId": execution}
    retry(**which, retryMode="FAILED_ACTIONS")
    bench.ends(name, execution, "Failed")
    bench.bucket(late)
    retry(**which, retryMode="ALL_ACTIONS")
    bench.ends(name, execution, "Succeeded")
    found = bench.pipelines.list_action_executions(pipelineName=name, filter={"pipelineExecutionId": execution})
    names = [entry["actionName"] for entry in found["actionExecutionDetails"]]
    assert (names.count("Good"), names.count("Bad"), names.count("Source")) == (2, 3, 1)
    assert bench.stage(name, "Stage1")["retryStageMetadata"] == {
        "manualStageRetryAttempt": 2,
        "latestRetryTrigger": "ManualStageRetry",
    }
    refused("StageNotRetryableException", retry, **which, retryMode="FAILED_ACTIONS")


def test_an_older_failed_execution_cannot_be_retried(bench: Any) -> None:
    """Once a later execution has been in the stage, the earlier one would undo it."""
    name = bench.create([bench.deploy("Bad", bucket=f"never-{bench.id}")])
    first = bench.executions(name)[0]["pipelineExecutionId"]
    bench.ends(name, first, "Failed")
    bench.ends(name, bench.start(name), "Failed")
    which = {"pipelineName": name, "stageName": "Stage1", "pipelineExecutionId": first, "retryMode": "ALL_ACTIONS"}
    refused("NotLatestPipelineExecutionException", bench.pipelines.retry_stage_execution, **which)


def test_two_approvals_at_once_count_once(bench: Any) -> None:
    """Of several answers to one request exactly one is taken; the others are told so, and a wrong token is refused."""
    name = bench.create([approval(configuration={"CustomData": "look"})])
    token = bench.token(name)
    wrong = refused("InvalidApprovalTokenException", bench.answer, name=name, token=str(uuid4()))
    assert "token" in wrong
    codes: list[str] = []

    def answer(status: str) -> None:
        try:
            bench.answer(name, token, status)
            codes.append(status)
        except bench.pipelines.exceptions.ApprovalAlreadyCompletedException:
            codes.append("late")

    threads = [threading.Thread(target=answer, args=(status,)) for status in ("Approved", "Rejected") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count("late") == 5
    won = next(code for code in codes if code != "late")
    bench.ends(name, bench.executions(name)[0]["pipelineExecutionId"], "Succeeded" if won == "Approved" else "Failed")


# -- updates, the command line, a power cut -------------------------------------------------------------------------


def test_an_update_cancels_what_is_inside_a_changed_stage(bench: Any) -> None:
    """Another stage's change leaves a running execution alone and applies when it gets there."""
    name = bench.create([approval()], [bench.deploy()])
    execution = bench.executions(name)[0]["pipelineExecutionId"]
    token = bench.token(name)
    changed = bench.declare(name, [approval()], [bench.deploy("New")])
    bench.pipelines.update_pipeline(pipeline=changed)
    bench.answer(name, token)
    bench.ends(name, execution, "Succeeded")
    assert bench.stage(name, "Stage2")["actionStates"][0]["latestExecution"]["status"] == "Succeeded"
    second = bench.start(name)
    bench.token(name, execution=second)
    bench.pipelines.update_pipeline(pipeline=bench.declare(name, [approval(), bench.deploy()]))
    bench.ends(name, second, "Cancelled")


def test_the_aws_command(cloud: Any, bench: Any) -> None:
    """What a person types works as on AWS, errors included."""
    name = bench.create([approval()])
    token = bench.token(name)

    def aws(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            ["aws", "codepipeline", *words], env=cloud.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    words = ["--pipeline-name", name, "--stage-name", "Stage1", "--action-name", "Approve", "--token", token]
    assert json.loads(aws("put-approval-result", *words, "--result", "summary=fine,status=Approved"))["approvedAt"]
    assert "PipelineNotFoundException" in aws("get-pipeline", "--name", "nope", code=255)


def test_executions_go_on_after_a_power_cut(own_cloud: Any) -> None:
    """What had succeeded stays, an open approval can still be answered, and nothing stays in progress for ever."""
    bench = Bench(own_cloud)
    name = bench.create([approval()], [bench.deploy()])
    queued = bench.create([approval()], executionMode="QUEUED")
    second = bench.start(queued)
    token = bench.token(name)
    bench.token(queued)
    before = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    own_cloud.kill()
    own_cloud.start()
    after = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    assert [entry["actionExecutionId"] for entry in after] == [entry["actionExecutionId"] for entry in before]
    bench.answer(name, token)
    bench.ends(name, bench.executions(name)[0]["pipelineExecutionId"], "Succeeded")
    bench.approve(queued)
    bench.approve(queued, execution=second)
    bench.ends(queued, second, "Succeeded")


# -- connections ----------------------------------------------------------------------------------------------------

CONNECTION = f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/0d9d6f2e-0000-4000-8000-000000000000"


def connected(bench: Any, **configuration: str) -> dict[str, Any]:
    """A source action by a connection."""
    given = {"ConnectionArn": CONNECTION, "FullRepositoryId": "owner/name", "BranchName": "main", **configuration}
    outputs = [{"name": "Code"}]
    return dict(action("Source", "Source", "CodeStarSourceConnection", configuration=given, outputArtifacts=outputs))


@pytest.mark.parametrize(
    ("git", "message"),
    [
        ({"sourceActionName": "Nope", "push": [{"tags": {"includes": ["v*"]}}]}, "no source action"),
        ({"sourceActionName": "Source"}, "neither push nor pullRequest"),
        (
            {"sourceActionName": "Source", "push": [{"filePaths": {"includes": ["a"]}}]},
            "file paths without branches",
        ),
        (
            {
                "sourceActionName": "Source",
                "push": [{"tags": {"includes": ["v*"]}, "branches": {"includes": ["main"]}}],
            },
            "tags beside branches",
        ),
    ],
)
def test_a_trigger_that_could_never_fire_is_refused(bench: Any, git: dict[str, Any], message: str) -> None:
    """A wrong trigger fails the deployment; on AWS it would otherwise be found when no push starts anything."""
    declared = bench.declare("triggered", [approval()], pipelineType="V2")
    declared["stages"][0]["actions"] = [connected(bench)]
    declared["triggers"] = [{"providerType": "CodeStarSourceConnection", "gitConfiguration": git}]
    assert message in refused("InvalidStructureException", bench.pipelines.create_pipeline, pipeline=declared)
    declared["stages"][0]["actions"] = [bench.source_action()]
    declared["triggers"][0]["gitConfiguration"] = {**git, "sourceActionName": "Source"}
    assert "is of provider S3" in refused(
        "InvalidStructureException", bench.pipelines.create_pipeline, pipeline=declared
    )


def test_a_connection_that_is_none_is_refused(bench: Any) -> None:
    """A pipeline whose source could never be fetched is not made."""
    declared = bench.declare("unconnected", [approval()])
    for wrong in ({"ConnectionArn": "arn:aws:s3:::bucket"}, {"FullRepositoryId": "name"}):
        declared["stages"][0]["actions"] = [connected(bench, **wrong)]
        refused("InvalidActionDeclarationException", bench.pipelines.create_pipeline, pipeline=declared)
