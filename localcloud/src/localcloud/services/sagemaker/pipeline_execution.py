"""One execution of a pipeline: steps run as soon as what they need has succeeded, in parallel where they can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from localcloud.core import Cloud, Fault, now
from localcloud.records import Record, Records
from localcloud.services.sagemaker import jobs, pipeline_policies, pipeline_steps
from localcloud.services.sagemaker.jobs import REASON_LIMIT, RoleSession
from localcloud.services.sagemaker.pipeline_definition import Definition, Step
from localcloud.services.sagemaker.pipeline_functions import EvaluationError, Scope
from localcloud.services.sagemaker.pipeline_shapes import StepKind
from localcloud.services.sagemaker.pipeline_steps import Outcome, StepContext, StepFailure, StepStopped

STEPS_FAILED = "Step failure: One or multiple steps failed."
ENDED = ("Succeeded", "Failed", "Stopped")
DEFAULT_PARALLEL = 50
_EXECUTION_EVENT = "SageMaker Model Building Pipeline Execution Status Change"
_STEP_EVENT = "SageMaker Model Building Pipeline Execution Step Status Change"


def emit_execution(cloud: Cloud, account: str, region: str, record: Mapping[str, Any], previous: str | None) -> None:
    """The event of an execution's change of status."""
    detail = {
        "pipelineExecutionDisplayName": record.get("PipelineExecutionDisplayName"),
        "currentPipelineExecutionStatus": record["PipelineExecutionStatus"],
        "previousPipelineExecutionStatus": previous,
        "executionStartTime": _stamp(record["CreationTime"]),
        "executionEndTime": _stamp(now()) if record["PipelineExecutionStatus"] in ENDED else None,
        "pipelineExecutionDescription": record.get("PipelineExecutionDescription"),
        "failureReason": record.get("FailureReason"),
        "pipelineArn": record["PipelineArn"],
        "pipelineExecutionArn": record["PipelineExecutionArn"],
    }
    _emit(cloud, account, region, record, _EXECUTION_EVENT, detail)


def emit_step(
    cloud: Cloud, account: str, region: str, record: Mapping[str, Any], step: Mapping[str, Any], previous: str | None
) -> None:
    """The event of a step's change of status. Its members begin with lower-case letters, metadata's too."""
    hit = step.get("CacheHitResult")
    detail = {
        "metadata": _lower(step.get("Metadata") or {}),
        "stepStartTime": _stamp(step.get("StartTime")),
        "stepEndTime": _stamp(step.get("EndTime")),
        "stepName": step["StepName"],
        "stepType": step["_Type"],
        "previousStepStatus": previous,
        "currentStepStatus": step["StepStatus"],
        "failureReason": step.get("FailureReason"),
        "cacheHitResult": _lower(hit) if hit else None,
        "pipelineArn": record["PipelineArn"],
        "pipelineExecutionArn": record["PipelineExecutionArn"],
    }
    _emit(cloud, account, region, record, _STEP_EVENT, detail)


def _emit(
    cloud: Cloud, account: str, region: str, record: Mapping[str, Any], kind: str, detail: Mapping[str, Any]
) -> None:
    cloud.emit(
        source="aws.sagemaker", detail_type=kind, account=account, region=region,
        detail={key: value for key, value in detail.items() if value is not None},
        resources=[record["PipelineArn"], record["PipelineExecutionArn"]],
    )  # fmt: skip


def _stamp(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _lower(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key[:1].lower() + key[1:]: _lower(item) for key, item in value.items()}
    return [_lower(item) for item in value] if isinstance(value, list) else value


class Execution:
    """A running execution. Its state is in its record: `_Steps` has the steps' records."""

    def __init__(
        self, cloud: Cloud, executions: Records, job: Callable[[StepKind, str], Record | None],
        account: str, region: str, record: Record, definition: Definition,
    ) -> None:  # fmt: skip
        self.cloud = cloud
        self.executions = executions
        self.account = account
        self.region = region
        self.arn = str(record["PipelineExecutionArn"])
        self.definition = definition
        self.stopping = threading.Event()
        self._job = job
        self._record = record
        self._role = RoleSession(cloud, record["_RoleArn"], region)
        self._changed = threading.Condition()
        self._outputs: dict[str, Mapping[str, Any]] = {}
        self._files: dict[str, Any] = {}
        self._state: dict[str, str] = {}
        self._started = now()

    def run(self) -> None:
        """Run to the end."""
        reason = STEPS_FAILED
        try:
            self._restore()
            while not self.cloud.stopping.is_set():
                with self._changed:
                    started = self._start_ready()
                    if not started and "running" not in self._state.values():
                        break
                    self._changed.wait(1.0)
        except (Fault, StepFailure) as error:
            self._state["*"] = "failed"
            reason = f"ClientError: {error}"
        except Exception as error:
            jobs.logger.exception("pipeline execution %s failed inside the local cloud", self.arn)
            self._state["*"] = "failed"
            reason = f"InternalServerError: {type(error).__name__}: {error}"
        if not self.cloud.stopping.is_set():
            self._finish(reason)

    def stop(self) -> None:
        """Start no more steps and stop those that run."""
        self.stopping.set()
        with self._changed:
            self._changed.notify_all()

    def _restore(self) -> None:
        """Take over what succeeded before a retry or a restart."""
        for name, kept in (self._record.get("_Steps") or {}).items():
            if kept["StepStatus"] != "Succeeded":
                continue
            self._state[name] = "succeeded"
            self._outputs[name] = pipeline_steps.restore(self.definition.steps[name], kept, self._role)

    def _start_ready(self) -> bool:
        started = False
        moved = True
        while moved:
            moved = False
            for name, step in self.definition.steps.items():
                if name in self._state or not self._decided(step):
                    continue
                if self._skipped(step):
                    self._state[name] = "skipped"
                    moved = True
                elif self._may_start():
                    self._state[name] = "running"
                    started = True
                    self.cloud.task(f"{self.arn}/{name}", self._run_step, step)
        return started

    def _decided(self, step: Step) -> bool:
        return all(self._state.get(name) in ("succeeded", "skipped") for name in step.needs)

    def _skipped(self, step: Step) -> bool:
        if any(self._state[name] == "skipped" for name in step.needs):
            return True
        return step.branch is not None and self._outputs[step.branch[0]]["Outcome"] != str(step.branch[1])

    def _may_start(self) -> bool:
        states = list(self._state.values())
        stored = self.executions.get(self.account, self.region, self.arn) or self._record
        parallel = (stored.get("ParallelismConfiguration") or {}).get("MaxParallelExecutionSteps", DEFAULT_PARALLEL)
        return not self.stopping.is_set() and "failed" not in states and states.count("running") < parallel

    def _run_step(self, step: Step) -> None:
        state, record = "failed", {}
        try:
            if not self._joined(step):
                self._set_step(step, "Starting", StartTime=now(), AttemptCount=1)
                self._set_step(step, "Executing")
            outcome = pipeline_steps.run_step(step, self._context(step))
            self._outputs[step.name] = outcome.properties
            state, record = "succeeded", _succeeded(outcome)
        except StepStopped:
            state, record = "stopped", {"StepStatus": "Stopped"}
        except (StepFailure, EvaluationError) as error:
            prefix = "ClientError: " if isinstance(error, EvaluationError) else ""
            record = {"StepStatus": "Failed", "FailureReason": f"{prefix}{error}"}
        except Fault as fault:
            record = {"StepStatus": "Failed", "FailureReason": f"ClientError: {fault.message}"}
        except Exception as error:
            if self.cloud.stopping.is_set():
                return
            jobs.logger.exception("step %s of %s failed inside the local cloud", step.name, self.arn)
            record = {"StepStatus": "Failed", "FailureReason": f"InternalServerError: {type(error).__name__}: {error}"}
        finally:
            if not self.cloud.stopping.is_set():
                if "FailureReason" in record:
                    record["FailureReason"] = record["FailureReason"][:REASON_LIMIT]
                status = record.pop("StepStatus", "Failed")
                self._set_step(step, status, EndTime=now(), **record)
            with self._changed:
                self._state[step.name] = state
                self._changed.notify_all()

    def _context(self, step: Step) -> StepContext:
        return StepContext(
            execution_arn=self.arn,
            execution_id=self.arn.rsplit("/", 1)[1],
            role=self._role,
            scope=self._scope,
            experiment=self._record.get("PipelineExperimentConfig") or {},
            stopping=self.stopping,
            note=lambda members: self._note(step, members),
            find_cached=self._find_cached,
            job=self._job,
            joined=self._joined(step),
        )

    def _joined(self, step: Step) -> Mapping[str, Any] | None:
        """The record of a step that was at work when the execution was taken up again after a restart."""
        found: Mapping[str, Any] | None = (self._record.get("_Steps") or {}).get(step.name)
        return found if found and found["StepStatus"] == "Executing" and found.get("_Made") else None

    def _scope(self, names: dict[str, Any]) -> Scope:
        return Scope(
            parameters=self._record["_Parameters"],
            variables={**variables(self._record, self._started), **names},
            outputs=self._outputs,
            property_file=self._property_file,
            json_object=lambda uri: pipeline_steps.read_json(self._role, uri),
        )

    def _property_file(self, step: str, name: str) -> Any:
        output, path = self.definition.steps[step].property_files[name]
        described = self._outputs.get(step)
        if described is None:
            raise EvaluationError(f"property file {name}: step {step} has not run")
        for item in described["ProcessingOutputConfig"]["Outputs"]:
            if item["OutputName"] == output:
                uri = f"{item['S3Output']['S3Uri'].rstrip('/')}/{path}"
                if uri not in self._files:
                    self._files[uri] = pipeline_steps.read_json(self._role, uri)
                return self._files[uri]
        raise EvaluationError(f"property file {name}: step {step} has no output {output}")

    def _find_cached(self, step: Step, digest: str) -> tuple[str, Record] | None:
        """The newest successful run of the same step, of this pipeline, that is not too old."""
        best: tuple[datetime, str, Record] | None = None
        for record in self.executions.list(self.account, self.region):
            found = (record.get("_Steps") or {}).get(step.name)
            if record["PipelineArn"] != self._record["PipelineArn"] or not found:
                continue
            if found["StepStatus"] != "Succeeded" or found.get("_Signature") != digest or "CacheHitResult" in found:
                continue
            if step.cache and now() - found["EndTime"] > pipeline_policies.duration(step.cache):
                continue
            if best is None or found["EndTime"] > best[0]:
                best = (found["EndTime"], record["PipelineExecutionArn"], found)
        return best[1:] if best else None

    def _note(self, step: Step, members: Mapping[str, Any]) -> None:
        def change(record: Record) -> None:
            record["_Steps"].setdefault(step.name, {}).update(members)

        self.executions.update(self.account, self.region, self.arn, change)

    def _set_step(self, step: Step, status: str, **members: Any) -> None:
        previous: str | None = None

        def change(record: Record) -> None:
            nonlocal previous
            steps = record.setdefault("_Steps", {})
            base = {"StepName": step.name, "_Type": step.type, "_Order": len(steps)}
            for member, key in (("StepDisplayName", "DisplayName"), ("StepDescription", "Description")):
                if step.raw.get(key):
                    base[member] = step.raw[key]
            kept = steps.setdefault(step.name, base)
            previous = kept.get("StepStatus")
            kept.update(members, StepStatus=status)

        record = self.executions.update(self.account, self.region, self.arn, change)
        if record:
            emit_step(self.cloud, self.account, self.region, record, record["_Steps"][step.name], previous)

    def _finish(self, reason: str) -> None:
        states = self._state.values()
        if "failed" in states:
            status, members = "Failed", {"FailureReason": reason[:1300]}
        elif self.stopping.is_set():
            status, members = "Stopped", {}
        else:
            status, members = "Succeeded", {}
        previous = None

        def change(record: Record) -> None:
            nonlocal previous
            previous = record["PipelineExecutionStatus"]
            record.update(PipelineExecutionStatus=status, **members)

        record = self.executions.update(self.account, self.region, self.arn, change)
        if record:
            emit_execution(self.cloud, self.account, self.region, record, previous)


def _succeeded(outcome: Outcome) -> dict[str, Any]:
    record: dict[str, Any] = {"StepStatus": "Succeeded", **outcome.notes}
    if outcome.metadata:
        record["Metadata"] = outcome.metadata
    return record


def variables(record: Mapping[str, Any], started: datetime) -> dict[str, Any]:
    """What `Execution.…` reads."""
    return {
        "PipelineName": record["PipelineName"],
        "PipelineArn": record["PipelineArn"],
        "PipelineExecutionId": str(record["PipelineExecutionArn"]).rsplit("/", 1)[1],
        "PipelineExecutionArn": record["PipelineExecutionArn"],
        "StartDateTime": _stamp(started),
        "CurrentDateTime": _stamp(now()),
    }
