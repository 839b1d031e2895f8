"""SageMaker Pipelines as boto3 sees them: definitions are run, from hand-written JSON and from the SageMaker SDK's."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.sagemaker_support import Bench, unique, wait

ENDED = ("Succeeded", "Failed", "Stopped")


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


def refused(call: Any, **request: Any) -> tuple[str, str]:
    """(code, message) of the error that a call answers with."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def step(name: str, kind: str, arguments: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments, **members}


class Lab:
    """One pipeline and its executions."""

    def __init__(self, bench: Bench, steps: list[dict[str, Any]], **members: Any) -> None:
        self.bench = bench
        self.sagemaker = bench.sagemaker
        self.name = unique("pipe")
        self.definition = {"Version": "2020-12-01", "Parameters": [], "Steps": steps, **members}
        self.sagemaker.create_pipeline(
            PipelineName=self.name, PipelineDefinition=json.dumps(self.definition), RoleArn=bench.role
        )

    def start(self, **parameters: str) -> str:
        given = [{"Name": name, "Value": value} for name, value in parameters.items()]
        started = self.sagemaker.start_pipeline_execution(PipelineName=self.name, PipelineParameters=given)
        return str(started["PipelineExecutionArn"])

    def status(self, arn: str) -> dict[str, Any]:
        return dict(self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn))

    def end(self, arn: str) -> dict[str, Any]:
        wait(lambda: self.status(arn)["PipelineExecutionStatus"] in ENDED, what=f"the end of {arn}")
        return self.status(arn)

    def run(self, **parameters: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        arn = self.start(**parameters)
        return self.end(arn), self.steps(arn)

    def steps(self, arn: str) -> dict[str, dict[str, Any]]:
        found = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
        return {item["StepName"]: item for item in found["PipelineExecutionSteps"]}


def evaluation(bench: Bench, name: str, rmse: Any = "12.5", **members: Any) -> dict[str, Any]:
    """A Processing step that writes a report with a figure."""
    join = {"Std:Join": {"On": "/", "Values": [f"s3://{bench.bucket}", name, {"Get": "Execution.PipelineExecutionId"}]}}
    return step(
        name, "Processing", bench.processing_arguments(join, Environment={"RMSE": rmse}),  # type: ignore[arg-type]
        PropertyFiles=[{"PropertyFileName": "figures", "OutputName": "report", "FilePath": "report.json"}], **members,
    )  # fmt: skip


def figure(of: str) -> dict[str, Any]:
    return {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.{of}.PropertyFiles.figures"}, "Path": "metrics.rmse"}}


def gate(of: str, bound: Any, then: list[dict[str, Any]]) -> dict[str, Any]:
    """A quality gate as a project's pipeline has it."""
    message = {"Std:Join": {"On": "", "Values": ["rmse is ", figure(of), ", at most ", bound, " allowed"]}}
    return step(
        "Gate", "Condition",
        {
            "Conditions": [{"Type": "LessThanOrEqualTo", "LeftValue": figure(of), "RightValue": bound}],
            "IfSteps": then,
            "ElseSteps": [step("Stop", "Fail", {"ErrorMessage": message})],
        },
    )  # fmt: skip


def test_a_whole_pipeline(bench: Bench) -> None:
    """prepare → train → evaluate → gate → register: data flows from step to step, jobs are named as AWS names them,
    the model package points back at the execution, and every change is told on the event bus."""
    group = unique("group")
    prep = evaluation(bench, "Prep")
    train = step(
        "Train", "Training",
        bench.training_arguments(
            HyperParameters={"rate": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.rate"}]}}},
            InputDataConfig=[
                bench.channel("train", {"Get": "Steps.Prep.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"})  # type: ignore[arg-type]
            ],
        ),
    )  # fmt: skip
    check = evaluation(bench, "Evaluate", rmse={"Get": "Parameters.rmse"}, DependsOn=["Train"])
    register = step(
        "Register", "RegisterModel",
        {
            "ModelPackageGroupName": group,
            "ModelApprovalStatus": "PendingManualApproval",
            "InferenceSpecification": {
                "Containers": [
                    {"Image": bench.image, "ModelDataUrl": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}}
                ],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        },
    )  # fmt: skip
    lab = Lab(
        bench, [prep, train, check, gate("Evaluate", {"Get": "Parameters.bound"}, [register])],
        Parameters=[
            {"Name": "rate", "Type": "Float", "DefaultValue": 0.25},
            {"Name": "bound", "Type": "Float", "DefaultValue": 25.0},
            {"Name": "rmse", "Type": "String", "DefaultValue": "12.5"},
        ],
        PipelineExperimentConfig={
            "ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": {"Get": "Execution.PipelineExecutionId"}
        },
    )  # fmt: skip
    step_events = bench.events("SageMaker Model Building Pipeline Execution Step Status Change")
    run_events = bench.events("SageMaker Model Building Pipeline Execution Status Change")
    run, steps = lab.run()
    arn = run["PipelineExecutionArn"]
    identifier = arn.rsplit("/", 1)[1]
    assert run["PipelineExecutionStatus"] == "Succeeded", steps
    assert list(steps) == ["Prep", "Train", "Evaluate", "Gate", "Register"]
    assert {item["StepStatus"] for item in steps.values()} == {"Succeeded"}
    assert steps["Gate"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    job = steps["Train"]["Metadata"]["TrainingJob"]["Arn"].rsplit("/", 1)[1]
    assert job.startswith(f"pipelines-{identifier}-Train-")
    trained = bench.sagemaker.describe_training_job(TrainingJobName=job)
    assert trained["HyperParameters"] == {"rate": "0.25"}
    assert trained["ExperimentConfig"]["TrialName"] == identifier
    assert trained["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"].endswith(f"/Prep/{identifier}")
    package = bench.sagemaker.describe_model_package(
        ModelPackageName=steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    )
    assert package["MetadataProperties"]["GeneratedBy"] == arn
    assert package["ModelPackageGroupName"] == group
    data = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    assert data == trained["ModelArtifacts"]["S3ModelArtifacts"]

    told = wait(
        lambda: [e["detail"] for e in step_events() if e["detail"]["pipelineExecutionArn"] == arn][14:], what="events"
    )
    assert told
    mine = [e["detail"] for e in step_events() if e["detail"]["pipelineExecutionArn"] == arn]
    # A queue keeps no order.
    trains = {item["currentStepStatus"]: item for item in mine if item["stepName"] == "Train"}
    assert set(trains) == {"Starting", "Executing", "Succeeded"}
    assert trains["Succeeded"]["metadata"] == {"trainingJob": {"arn": trained["TrainingJobArn"]}}
    assert trains["Succeeded"]["stepType"] == "Training"
    whole = wait(
        lambda: [e for e in run_events() if e["detail"]["pipelineExecutionArn"] == arn][1:], what="the last event"
    )
    assert whole[-1]["detail"]["currentPipelineExecutionStatus"] == "Succeeded"
    assert whole[-1]["detail"]["previousPipelineExecutionStatus"] == "Executing"
    assert whole[-1]["resources"] == [run["PipelineArn"], arn]


def test_a_gate_that_is_not_met(bench: Bench) -> None:
    """The Fail step's words have figure and bound, the execution fails, and what is behind the gate does not run."""
    lab = Lab(bench, [evaluation(bench, "Evaluate", rmse="31.2"), gate("Evaluate", 25.0, [evaluation(bench, "After")])])
    run, steps = lab.run()
    assert run["PipelineExecutionStatus"] == "Failed"
    assert run["FailureReason"] == "Step failure: One or multiple steps failed."
    assert list(steps) == ["Evaluate", "Gate", "Stop"]
    assert steps["Gate"]["Metadata"]["Condition"]["Outcome"] == "False"
    assert steps["Stop"]["StepStatus"] == "Failed"
    assert steps["Stop"]["Metadata"]["Fail"]["ErrorMessage"] == "rmse is 31.2, at most 25.0 allowed"
    listed = lab.sagemaker.list_pipeline_executions(PipelineName=lab.name)["PipelineExecutionSummaries"]
    assert listed[0]["PipelineExecutionFailureReason"] == run["FailureReason"]


def test_a_job_that_fails(bench: Bench) -> None:
    """The step has the job's reason; steps that need it do not run; independent ones that ran are kept on a retry."""
    lab = Lab(
        bench,
        [
            evaluation(bench, "Good"),
            step("Bad", "Training", bench.training_arguments(HyperParameters={"fail": "no rows"}), DependsOn=["Good"]),
            evaluation(bench, "Later", DependsOn=["Bad"]),
        ],
    )
    run, steps = lab.run()
    arn = run["PipelineExecutionArn"]
    assert run["PipelineExecutionStatus"] == "Failed"
    assert list(steps) == ["Good", "Bad"]
    assert steps["Bad"]["FailureReason"] == "AlgorithmError: no rows, exit code: 1"
    assert "TrainingJob" in steps["Bad"]["Metadata"]
    lab.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    lab.end(arn)
    again = lab.steps(arn)
    assert again["Good"]["Metadata"] == steps["Good"]["Metadata"]
    assert again["Bad"]["Metadata"] != steps["Bad"]["Metadata"]
    code, _ = refused(lab.sagemaker.stop_pipeline_execution, PipelineExecutionArn=arn, ClientRequestToken="u" * 32)
    assert code == "ConflictException"


def test_a_step_that_cannot_be_created(bench: Bench) -> None:
    """What the create call answers is the step's reason."""
    request = bench.processing_arguments(f"s3://{bench.bucket}/x", RoleArn=bench.role + "-none")
    run, steps = Lab(bench, [step("Prep", "Processing", request)]).run()
    assert run["PipelineExecutionStatus"] == "Failed"
    reason = steps["Prep"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: Could not")


def test_a_cached_step_is_not_run_again(bench: Bench) -> None:
    """The same inputs, image and environment: the earlier job's outputs are used; a change runs it again."""
    prep = evaluation(
        bench, "Prep", rmse={"Get": "Parameters.rmse"}, CacheConfig={"Enabled": True, "ExpireAfter": "P1D"}
    )
    use = step(
        "Use", "Processing",
        bench.processing_arguments(
            f"s3://{bench.bucket}/cache-use",
            {"Get": "Steps.Prep.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"},  # type: ignore[arg-type]
        ),
    )  # fmt: skip
    lab = Lab(bench, [prep, use], Parameters=[{"Name": "rmse", "Type": "String", "DefaultValue": "1"}])
    first, ran = lab.run()
    second, hit = lab.run()
    assert second["PipelineExecutionStatus"] == "Succeeded", hit
    assert hit["Prep"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first["PipelineExecutionArn"]}
    assert hit["Prep"]["Metadata"] == ran["Prep"]["Metadata"]
    assert "CacheHitResult" not in hit["Use"]
    assert json.loads(bench.read(f"s3://{bench.bucket}/cache-use/report.json"))["files"] == ["report.json"]
    _, third = lab.run(rmse="2")
    assert "CacheHitResult" not in third["Prep"]


def test_steps_run_in_parallel(bench: Bench) -> None:
    """Steps that do not need each other run at the same time, unless ParallelismConfiguration says otherwise."""
    steps = [
        step(name, "Processing", bench.processing_arguments(f"s3://{bench.bucket}/p", Environment={"SLEEP": "1"}))
        for name in ("A", "B")
    ]
    lab = Lab(bench, steps)
    _, both = lab.run()
    assert both["B"]["StartTime"] < both["A"]["EndTime"]
    started = lab.sagemaker.start_pipeline_execution(
        PipelineName=lab.name, ParallelismConfiguration={"MaxParallelExecutionSteps": 1}
    )
    lab.end(started["PipelineExecutionArn"])
    one = lab.steps(started["PipelineExecutionArn"])
    assert one["B"]["StartTime"] >= one["A"]["EndTime"]


def test_an_execution_stops(bench: Bench) -> None:
    """Stop ends the running job and starts nothing more."""
    slow = step("Slow", "Processing", bench.processing_arguments(f"s3://{bench.bucket}/s", Environment={"SLEEP": "60"}))
    lab = Lab(bench, [slow, evaluation(bench, "After", DependsOn=["Slow"])])
    arn = lab.start()
    wait(lambda: lab.steps(arn).get("Slow", {}).get("Metadata"))
    lab.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    assert lab.end(arn)["PipelineExecutionStatus"] == "Stopped"
    steps = lab.steps(arn)
    assert list(steps) == ["Slow"]
    assert steps["Slow"]["StepStatus"] == "Stopped"
    job = steps["Slow"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[1]
    assert bench.processed(job)["ProcessingJobStatus"] == "Stopped"


def test_starting(bench: Bench) -> None:
    """Parameters are checked, a token starts once, what was given can be read back."""
    lab = Lab(
        bench, [step("Stop", "Fail", {"ErrorMessage": {"Get": "Parameters.word"}})],
        Parameters=[{"Name": "word", "Type": "String", "EnumValues": ["a", "b"]}],
    )  # fmt: skip
    start = lab.sagemaker.start_pipeline_execution
    for given, told in (
        ([], "must be given: word"),
        ([{"Name": "word", "Value": "z"}], "allowed are a, b"),
        ([{"Name": "other", "Value": "z"}], "not declared"),
    ):
        code, message = refused(start, PipelineName=lab.name, PipelineParameters=given)
        assert code == "ValidationException"
        assert told in message
    given = [{"Name": "word", "Value": "b"}]
    arns = {
        start(PipelineName=lab.name, PipelineParameters=given, ClientRequestToken="x" * 32)["PipelineExecutionArn"]
        for _ in range(3)
    }
    assert len(arns) == 1
    arn = arns.pop()
    assert lab.end(arn)["PipelineExecutionStatus"] == "Failed"
    assert lab.steps(arn)["Stop"]["Metadata"]["Fail"]["ErrorMessage"] == "b"
    read = lab.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)
    assert read["PipelineParameters"] == given
    text = lab.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)["PipelineDefinition"]
    assert json.loads(text) == lab.definition
    assert refused(start, PipelineName="no-such")[0] == "ResourceNotFound"


def test_definitions(bench: Bench) -> None:
    """A bad definition is refused by Create and Update; a good one may come from S3; the name is unique."""
    sagemaker, name = bench.sagemaker, unique("pipe")
    good = json.dumps({"Version": "2020-12-01", "Steps": [step("Stop", "Fail", {"ErrorMessage": "x"})]})
    bad = json.dumps({"Version": "2020-12-01", "Steps": [step("T", "EMR", {})]})
    code, message = refused(sagemaker.create_pipeline, PipelineName=name, PipelineDefinition=bad, RoleArn=bench.role)
    assert code == "ValidationException"
    assert "Step T is of type EMR, which is not served" in message
    bench.put("definition.json", good)
    sagemaker.create_pipeline(
        PipelineName=name, RoleArn=bench.role,
        PipelineDefinitionS3Location={"Bucket": bench.bucket, "ObjectKey": "definition.json"},
    )  # fmt: skip
    assert sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"] == good
    code, message = refused(sagemaker.create_pipeline, PipelineName=name, PipelineDefinition=good, RoleArn=bench.role)
    assert code == "ValidationException"
    assert "Pipeline names must be unique within an AWS account and region" in message
    assert refused(sagemaker.update_pipeline, PipelineName=name, PipelineDefinition=bad)[0] == "ValidationException"
    assert sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"] == good
    sagemaker.delete_pipeline(PipelineName=name)
    assert refused(sagemaker.describe_pipeline, PipelineName=name)[0] == "ResourceNotFound"


FUNCTION = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("no capacity today")
    return {"statusCode": 200, "version": f"V1.0.{event['count']}", "ready": True, "rows": 7}
"""


def test_lambda_steps(bench: Bench) -> None:
    """A Lambda step gets its arguments, hands on typed outputs, and fails with the function's words."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", FUNCTION)
    arn = bench.cloud.client("lambda").create_function(
        FunctionName=unique("step"), Runtime="python3.11", Handler="index.handler", Code={"ZipFile": packed.getvalue()},
        Role=bench.make_role(unique("lambda"), "lambda.amazonaws.com"),
    )["FunctionArn"]  # fmt: skip
    outputs = [
        {"OutputName": "version", "OutputType": "String"},
        {"OutputName": "ready", "OutputType": "Boolean"},
        {"OutputName": "rows", "OutputType": "Integer"},
    ]
    call = step(
        "Ask", "Lambda", {"count": {"Get": "Parameters.count"}, "fail": {"Get": "Parameters.fail"}},
        FunctionArn=arn, OutputParameters=outputs,
    )  # fmt: skip

    def output(name: str) -> dict[str, str]:
        return {"Get": f"Steps.Ask.OutputParameters['{name}']"}

    check = step(
        "Check", "Condition",
        {
            "Conditions": [
                {"Type": "Equals", "LeftValue": output("ready"), "RightValue": True},
                {"Type": "GreaterThan", "LeftValue": output("rows"), "RightValue": 5},
            ],
            "IfSteps": [step("Tell", "Fail", {"ErrorMessage": output("version")})],
            "ElseSteps": [],
        },
    )  # fmt: skip
    lab = Lab(
        bench, [call, check],
        Parameters=[
            {"Name": "count", "Type": "Integer", "DefaultValue": 3},
            {"Name": "fail", "Type": "Boolean", "DefaultValue": False},
        ],
    )  # fmt: skip
    _, steps = lab.run()
    assert steps["Ask"]["Metadata"]["Lambda"]["OutputParameters"] == [
        {"Name": "version", "Value": "V1.0.3"}, {"Name": "ready", "Value": "true"}, {"Name": "rows", "Value": "7"}
    ]  # fmt: skip
    assert steps["Tell"]["Metadata"]["Fail"]["ErrorMessage"] == "V1.0.3"
    _, steps = lab.run(fail="true")
    assert steps["Ask"]["StepStatus"] == "Failed"
    assert "no capacity today" in steps["Ask"]["FailureReason"]


SDK = """
import json, sys
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import ProcessingS3Output, ProcessingOutput
from sagemaker.core.workflow.conditions import ConditionLessThanOrEqualTo
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep

image, role, bucket, name = sys.argv[1:]
session = PipelineSession(default_bucket=bucket)
bound = ParameterFloat(name="Bound", default_value=25.0)
processor = Processor(
    role=role, image_uri=image, instance_count=1, instance_type="ml.m5.large", sagemaker_session=session)
output = ProcessingOutput(output_name="report", s3_output=ProcessingS3Output(
    s3_uri=f"s3://{bucket}/{name}", local_path="/opt/ml/processing/output", s3_upload_mode="EndOfJob"))
figures = PropertyFile(name="figures", output_name="report", path="report.json")
arguments = processor.run(
    outputs=[output], arguments=["process", "/opt/ml/processing/input", "/opt/ml/processing/output"])
evaluate = ProcessingStep(name="Evaluate", step_args=arguments, property_files=[figures],
    cache_config=CacheConfig(enable_caching=True, expire_after="P30D"))
rmse = JsonGet(step_name="Evaluate", property_file=figures, json_path="metrics.rmse")
gate = ConditionStep(name="Gate", conditions=[ConditionLessThanOrEqualTo(left=rmse, right=bound)], if_steps=[],
    else_steps=[FailStep(name="Stop", error_message=Join(on="", values=["rmse is ", rmse, ", at most ", bound]))])
pipeline = Pipeline(name=name, parameters=[bound], steps=[evaluate, gate], sagemaker_session=session)
pipeline.upsert(role_arn=role)
pipeline.upsert(role_arn=role)
print(json.dumps(pipeline.start(parameters={"Bound": 5.0}).arn))
"""


def test_the_sagemaker_sdk(bench: Bench, tmp_path: Path) -> None:
    """A pipeline written with the SageMaker Python SDK v3 is upserted twice and run; its gate decides."""
    name = unique("sdk")
    (tmp_path / "config.yaml").write_text(
        "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
    )
    environment = {
        **bench.cloud.environment(),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(tmp_path / "config.yaml"),
        "SAGEMAKER_VALIDATE_ROLE": "false",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-c", SDK, bench.image, bench.role, bench.bucket, name],
        env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    arn = json.loads(done.stdout.strip().splitlines()[-1])

    def ended() -> bool:
        found = bench.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return found["PipelineExecutionStatus"] in ENDED

    wait(ended)
    listed = bench.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    steps = {item["StepName"]: item for item in listed}
    assert steps["Evaluate"]["StepStatus"] == "Succeeded", steps
    assert steps["Stop"]["Metadata"]["Fail"]["ErrorMessage"] == "rmse is 12.5, at most 5.0"


@pytest.mark.thorough
def test_a_restart_ends_executions(own_cloud: Any, tmp_path: Path) -> None:
    """kill -9 in the middle: the execution and its step are Failed with the reason, and a retry completes it."""
    bench = Bench(own_cloud, tmp_path)
    flag = f"s3://{bench.bucket}/out"
    lab = Lab(
        bench,
        [
            evaluation(bench, "First"),
            step(
                "Slow", "Processing", bench.processing_arguments(flag, Environment={"SLEEP": "5"}), DependsOn=["First"]
            ),
        ],
    )
    arn = lab.start()
    wait(lambda: lab.steps(arn).get("Slow", {}).get("Metadata"))
    own_cloud.kill()
    own_cloud.start()
    run = lab.end(arn)
    assert run["PipelineExecutionStatus"] == "Failed"
    assert "the local cloud was restarted" in run["FailureReason"]
    steps = lab.steps(arn)
    assert steps["First"]["StepStatus"] == "Succeeded"
    assert steps["Slow"]["StepStatus"] == "Failed"
    lab.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="t" * 32)
    time.sleep(0.2)
    assert lab.end(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert lab.steps(arn)["First"]["Metadata"] == steps["First"]["Metadata"]
