"""SageMaker Pipelines: definitions kept, executions started, watched, stopped and tried again."""

from __future__ import annotations

import threading
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Call, Fault, now, operation, paginate, short_id
from localcloud.records import PlugIn, Record, hook
from localcloud.records.engine import user_context
from localcloud.services.sagemaker import jobs, pipeline_definition
from localcloud.services.sagemaker.pipeline_definition import Definition, DefinitionError
from localcloud.services.sagemaker.pipeline_execution import (
    ENDED,
    Execution,
    emit_execution,
    emit_step,
    variables,
)
from localcloud.services.sagemaker.pipeline_functions import Scope
from localcloud.services.sagemaker.pipeline_shapes import KINDS, StepKind

_STEP_MEMBERS = (
    "StepName", "StepDisplayName", "StepDescription", "StartTime", "EndTime", "StepStatus", "CacheHitResult",
    "FailureReason", "Metadata", "AttemptCount",
)  # fmt: skip
_PAGE = 10


class Pipelines(PlugIn):
    """The behaviour of Pipeline and PipelineExecution."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._running: dict[str, Execution] = {}
        self._lock = threading.Lock()

    # ---- definitions

    @hook("Pipeline", "before_create")
    def check_new(self, call: Call, record: Record) -> None:
        """Refuse a definition that cannot be run and a role that cannot be assumed."""
        self._load_definition(call, record)
        jobs.assume(self.cloud, record["RoleArn"], call.region)
        record.setdefault("PipelineDisplayName", record["PipelineName"])
        record["PipelineVersionId"] = 1

    @hook("Pipeline", "before_update")
    def check_changed(self, call: Call, record: Record) -> None:
        """Refuse a definition that cannot be run."""
        if "PipelineDefinition" in call.input or "PipelineDefinitionS3Location" in call.input:
            if "PipelineDefinition" not in call.input:
                record.pop("PipelineDefinition", None)
            self._load_definition(call, record)
            record["PipelineVersionId"] = record.get("PipelineVersionId", 1) + 1
        if "RoleArn" in call.input:
            jobs.assume(self.cloud, record["RoleArn"], call.region)

    @hook("Pipeline", "before_delete")
    def check_idle(self, call: Call, record: Record) -> None:
        """A pipeline that runs is not deleted."""
        for execution in self._executions_of(call.account, call.region, record):
            if execution["PipelineExecutionStatus"] not in ENDED:
                raise Fault(
                    "ConflictException",
                    f"Pipeline {record['PipelineArn']} cannot be deleted while its execution "
                    f"{execution['PipelineExecutionArn']} is {execution['PipelineExecutionStatus']}. Stop it first.",
                )

    @hook("Pipeline", "after_delete")
    def forget_executions(self, call: Call, record: Record) -> None:
        """A pipeline's executions go with it."""
        for execution in self._executions_of(call.account, call.region, record):
            self.records["PipelineExecution"].delete(call.account, call.region, execution["PipelineExecutionArn"])

    def _load_definition(self, call: Call, record: Record) -> None:
        location = record.pop("PipelineDefinitionS3Location", None)
        if location and "PipelineDefinition" not in record:
            version = {"VersionId": location["VersionId"]} if location.get("VersionId") else {}
            client = self.cloud.client("s3", account=call.account, region=call.region)
            try:
                found = client.get_object(Bucket=location["Bucket"], Key=location["ObjectKey"], **version)
            except ClientError as error:
                raise Fault(
                    "ValidationException",
                    f"PipelineDefinitionS3Location s3://{location['Bucket']}/{location['ObjectKey']} cannot be read: "
                    f"{error.response['Error']['Message']}",
                ) from error
            record["PipelineDefinition"] = found["Body"].read().decode()
        if not record.get("PipelineDefinition"):
            raise Fault("ValidationException", "PipelineDefinition or PipelineDefinitionS3Location is required.")
        _parse(record["PipelineDefinition"])

    # ---- executions

    @operation("StartPipelineExecution")
    def start_execution(self, call: Call) -> dict[str, Any]:
        """Start an execution; the same ClientRequestToken again answers with the same execution."""
        for member in ("SelectiveExecutionConfig", "MlflowExperimentName"):
            if call.input.get(member):
                raise Fault(
                    "NotImplemented",
                    f"SageMaker StartPipelineExecution with {member} is not served by the local cloud",
                    501,
                )
        pipeline = self.records["Pipeline"].require(call, PipelineName=call.input["PipelineName"])
        version = call.input.get("PipelineVersionId")
        if version and version != pipeline["PipelineVersionId"]:
            raise Fault("ResourceNotFound", f"Pipeline version {version} of {pipeline['PipelineArn']} does not exist.")
        token = call.input.get("ClientRequestToken")
        with self._lock:
            for execution in self._executions_of(call.account, call.region, pipeline):
                if token and execution["_Token"] == token:
                    return {"PipelineExecutionArn": execution["PipelineExecutionArn"]}
            definition = _parse(pipeline["PipelineDefinition"])
            try:
                parameters = definition.bind(call.input.get("PipelineParameters") or [])
            except DefinitionError as error:
                raise Fault("ValidationException", str(error)) from None
            record = self._new_execution(call, pipeline, definition, parameters)
            self.records["PipelineExecution"].put(call.account, call.region, record)
        self.records["Pipeline"].table.update(
            call.account, call.region, pipeline["PipelineName"], lambda stored: stored.update(LastRunTime=now())
        )
        self._run(call.account, call.region, record, definition, None)
        return {"PipelineExecutionArn": record["PipelineExecutionArn"]}

    def _new_execution(
        self, call: Call, pipeline: Record, definition: Definition, parameters: dict[str, Any]
    ) -> Record:
        moment, identifier = now(), short_id(12)
        record: Record = {
            "PipelineArn": pipeline["PipelineArn"],
            "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{identifier}",
            "PipelineExecutionDisplayName": call.input.get("PipelineExecutionDisplayName")
            or f"execution-{int(moment.timestamp() * 1000)}",
            "PipelineExecutionStatus": "Executing",
            "CreationTime": moment,
            "LastModifiedTime": moment,
            "CreatedBy": user_context(call),
            "LastModifiedBy": user_context(call),
            "PipelineVersionId": pipeline["PipelineVersionId"],
            "_Id": identifier,
            "PipelineName": pipeline["PipelineName"],
            "_RoleArn": pipeline["RoleArn"],
            "_Definition": pipeline["PipelineDefinition"],
            "_Parameters": parameters,
            "_Given": call.input.get("PipelineParameters") or [],
            "_Token": call.input.get("ClientRequestToken"),
            "_Steps": {},
        }
        for member in ("PipelineExecutionDescription", "ParallelismConfiguration"):
            value = call.input.get(member) or (pipeline.get(member) if member.startswith("Parallel") else None)
            if value:
                record[member] = value
        if definition.experiment:
            scope = Scope(parameters=parameters, variables=variables(record, moment))
            record["PipelineExperimentConfig"] = {
                key: str(value).lower() if key == "ExperimentName" else value
                for key, value in scope.resolve(dict(definition.experiment)).items()
            }
        return record

    @operation("StopPipelineExecution")
    def stop_execution(self, call: Call) -> dict[str, Any]:
        """Start no further step, and stop the jobs that run."""
        record = self.records["PipelineExecution"].require(call)
        arn = record["PipelineExecutionArn"]
        if record["PipelineExecutionStatus"] in ENDED:
            status = record["PipelineExecutionStatus"]
            raise Fault("ConflictException", f"Pipeline execution {arn} cannot be stopped: its status is {status}.")
        stopping = self.records["PipelineExecution"].update(call.account, call.region, arn, _to_stopping)
        execution = self._running.get(arn)
        if stopping and execution:
            emit_execution(self.cloud, call.account, call.region, stopping, record["PipelineExecutionStatus"])
            execution.stop()
        return {"PipelineExecutionArn": arn}

    @operation("RetryPipelineExecution")
    def retry_execution(self, call: Call) -> dict[str, Any]:
        """Run what failed or was stopped again, and what comes after it; what succeeded is kept."""
        record = self.records["PipelineExecution"].require(call)
        arn, status = record["PipelineExecutionArn"], record["PipelineExecutionStatus"]
        if status not in ("Failed", "Stopped"):
            raise Fault(
                "ConflictException",
                f"Pipeline execution {arn} cannot be retried: its status is {status}; it must be Failed or Stopped.",
            )

        def change(stored: Record) -> None:
            stored["_Steps"] = {
                name: step for name, step in stored["_Steps"].items() if step["StepStatus"] == "Succeeded"
            }
            stored["PipelineExecutionStatus"] = "Executing"
            stored["LastModifiedBy"] = user_context(call)
            stored.pop("FailureReason", None)
            if call.input.get("ParallelismConfiguration"):
                stored["ParallelismConfiguration"] = call.input["ParallelismConfiguration"]

        changed = self.records["PipelineExecution"].update(call.account, call.region, arn, change)
        assert changed is not None
        self._run(call.account, call.region, changed, _parse(changed["_Definition"]), status)
        return {"PipelineExecutionArn": arn}

    @operation("ListPipelineExecutions")
    def list_executions(self, call: Call) -> dict[str, Any]:
        """Executions of a pipeline, newest first unless asked otherwise."""
        pipeline = self.records["Pipeline"].require(call, PipelineName=call.input["PipelineName"])
        after, before = call.input.get("CreatedAfter"), call.input.get("CreatedBefore")
        chosen = [
            item
            for item in self._executions_of(call.account, call.region, pipeline)
            if (not after or item["CreationTime"] >= after) and (not before or item["CreationTime"] <= before)
        ]
        by_arn = call.input.get("SortBy") == "PipelineExecutionArn"
        chosen.sort(key=lambda item: item["PipelineExecutionArn" if by_arn else "CreationTime"])
        if call.input.get("SortOrder") != "Ascending":
            chosen.reverse()
        page, token = paginate(chosen, call.input, token="NextToken", limit="MaxResults", default=_PAGE)  # noqa: S106
        return _with_token({"PipelineExecutionSummaries": [_summary(item) for item in page]}, token)

    @operation("ListPipelineExecutionSteps")
    def list_steps(self, call: Call) -> dict[str, Any]:
        """The steps that have started, the last first unless asked otherwise."""
        record = self.records["PipelineExecution"].require(call)
        steps = sorted(record["_Steps"].values(), key=lambda step: (step["StartTime"], step["_Order"]))
        if call.input.get("SortOrder") != "Ascending":
            steps.reverse()
        page, token = paginate(steps, call.input, token="NextToken", limit="MaxResults", default=_PAGE)  # noqa: S106
        shown = [{name: step[name] for name in _STEP_MEMBERS if name in step} for step in page]
        return _with_token({"PipelineExecutionSteps": shown}, token)

    @operation("DescribePipelineDefinitionForExecution")
    def describe_definition(self, call: Call) -> dict[str, Any]:
        """The definition that the execution runs, whatever became of the pipeline's since."""
        record = self.records["PipelineExecution"].require(call)
        return {"PipelineDefinition": record["_Definition"], "CreationTime": record["CreationTime"]}

    @operation("ListPipelineParametersForExecution")
    def list_parameters(self, call: Call) -> dict[str, Any]:
        """The parameters that the execution was started with."""
        record = self.records["PipelineExecution"].require(call)
        page, token = paginate(record["_Given"], call.input, token="NextToken", limit="MaxResults", default=_PAGE)  # noqa: S106
        return _with_token({"PipelineParameters": page}, token)

    def recover(self) -> None:
        """Go on with executions whose jobs go on; fail the others, and stop those that were stopping."""
        for account, region, record in self.records["PipelineExecution"].all():
            previous = record["PipelineExecutionStatus"]
            if previous in ENDED:
                continue
            if previous == "Executing" and self._goes_on(account, region, record):
                self._run(account, region, record, _parse(record["_Definition"]), previous)
                continue
            ended = "Stopped" if previous == "Stopping" else "Failed"
            left: list[tuple[str, str]] = []

            def change(stored: Record, ended: str = ended, left: list[tuple[str, str]] = left) -> None:
                for name, step in stored["_Steps"].items():
                    if step.get("StepStatus") in ("Starting", "Executing", "Stopping"):
                        left.append((name, step["StepStatus"]))
                        step.update(StepStatus=ended, EndTime=now())
                        if ended == "Failed":
                            step["FailureReason"] = jobs.RESTARTED
                stored["PipelineExecutionStatus"] = ended
                if ended == "Failed":
                    stored["FailureReason"] = jobs.RESTARTED

            changed = self.records["PipelineExecution"].update(account, region, record["PipelineExecutionArn"], change)
            if changed:
                for name, status in left:
                    emit_step(self.cloud, account, region, changed, changed["_Steps"][name], status)
                emit_execution(self.cloud, account, region, changed, previous)

    # ---- inside

    def _goes_on(self, account: str, region: str, record: Record) -> bool:
        """Whether a restart has left something of the execution at work: spot training, or a tuning job."""
        steps = _parse(record["_Definition"]).steps
        active = {
            name: step for name, step in record["_Steps"].items() if step.get("StepStatus") in ("Starting", "Executing")
        }
        for name, step in active.items():
            kind = KINDS.get(steps[name].type)
            job = self.records[kind.kind].get(account, region, step.get("_Made", "")) if kind and kind.stop else None
            if kind is None or job is None or job[f"{kind.kind}Status"] not in ("InProgress", "Completed"):
                return False
        return bool(active)

    def _run(self, account: str, region: str, record: Record, definition: Definition, previous: str | None) -> None:
        execution = Execution(
            self.cloud, self.records["PipelineExecution"], self._job_reader(account, region),
            account, region, record, definition,
        )  # fmt: skip
        self._running[execution.arn] = execution
        if previous != record["PipelineExecutionStatus"]:  # one that goes on after a restart has not changed
            emit_execution(self.cloud, account, region, record, previous)

        def body() -> None:
            try:
                execution.run()
            finally:
                if self._running.get(execution.arn) is execution:
                    self._running.pop(execution.arn, None)

        self.cloud.task(execution.arn, body)

    def _job_reader(self, account: str, region: str) -> Any:
        def read(kind: StepKind, name: str) -> Record | None:
            return self.records[kind.kind].get(account, region, name)

        return read

    def _executions_of(self, account: str, region: str, pipeline: Record) -> list[Record]:
        listed = self.records["PipelineExecution"].list(account, region)
        return [item for item in listed if item["PipelineArn"] == pipeline["PipelineArn"]]


def _parse(text: str) -> Definition:
    try:
        return pipeline_definition.parse(text)
    except DefinitionError as error:
        raise Fault("ValidationException", str(error)) from None


def _to_stopping(record: Record) -> None:
    if record["PipelineExecutionStatus"] == "Executing":
        record["PipelineExecutionStatus"] = "Stopping"
        for step in record["_Steps"].values():
            if step.get("StepStatus") in ("Starting", "Executing"):
                step["StepStatus"] = "Stopping"


def _summary(record: Record) -> dict[str, Any]:
    summary = {
        "PipelineExecutionArn": record["PipelineExecutionArn"],
        "StartTime": record["CreationTime"],
        "PipelineExecutionStatus": record["PipelineExecutionStatus"],
        "PipelineExecutionDisplayName": record["PipelineExecutionDisplayName"],
        "PipelineExecutionDescription": record.get("PipelineExecutionDescription"),
        "PipelineExecutionFailureReason": record.get("FailureReason"),
    }
    return {key: value for key, value in summary.items() if value is not None}


def _with_token(answer: dict[str, Any], token: str | None) -> dict[str, Any]:
    return answer | ({"NextToken": token} if token else {})
