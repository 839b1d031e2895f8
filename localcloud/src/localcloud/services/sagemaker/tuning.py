"""Hyperparameter tuning jobs: training jobs are launched, watched by their objective metric, and the best is named.

The training jobs are SageMaker's own: the caller needs no permission to create them, and they act as the role of the
training job definition.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from localcloud.core import Call, Fault, now, operation, paginate
from localcloud.records import PlugIn, Record, hook
from localcloud.services.sagemaker import jobs, tuning_request
from localcloud.services.sagemaker.job_runner import ENDED
from localcloud.services.sagemaker.training import Training
from localcloud.services.sagemaker.tuning_search import Search, Trial

_EVENT = "SageMaker HyperParameter Tuning Job State Change"
_KIND = "HyperParameterTuningJob"
_POLL_SECONDS = 0.1
_IN_VAIN = 5  # training jobs without success or without a metric after which SageMaker gives up
_RETRIES = 3  # of a training job that failed inside SageMaker


@dataclass
class Tuner:
    """A tuning job that runs."""

    account: str
    region: str
    name: str
    arn: str
    search: Search
    running: dict[str, Trial] = field(default_factory=dict)
    repeat: list[Trial] = field(default_factory=list)
    early: set[str] = field(default_factory=set)
    chosen: int = 0
    launched: int = 0
    full: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    complete: threading.Event = field(default_factory=threading.Event)


class Tuning(PlugIn):
    """The behaviour of HyperParameterTuningJob."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._tuners: dict[str, Tuner] = {}

    @property
    def _training(self) -> Training:
        return next(part for part in self.service.parts if isinstance(part, Training))

    @hook(_KIND, "before_create")
    def check(self, call: Call, record: Record) -> None:
        """Refuse what cannot be run, and assume the role of the training jobs."""
        tuning_request.check(self.cloud, call.region, record)
        jobs.assume(self.cloud, tuning_request.definition_of(record)["RoleArn"], call.region)
        record["HyperParameterTuningJobStatus"] = "InProgress"
        record["_Principal"] = call.principal
        record.update(_counted([]))

    @hook(_KIND, "after_create")
    def start(self, call: Call, record: Record) -> None:
        """Run it in the background."""
        self._emit(call.account, call.region, record)
        self._launch(call.account, call.region, record)

    @operation("StopHyperParameterTuningJob")
    def stop(self, call: Call) -> dict[str, Any]:
        """Stop it and the training jobs that it has launched."""
        record = self.records[_KIND].require(call)
        status, name = record["HyperParameterTuningJobStatus"], record["HyperParameterTuningJobName"]
        if status in ENDED:
            raise Fault(
                "ValidationException",
                f"The request was rejected because the hyperparameter tuning job {name} is in status {status}.",
            )
        stopping = self.records[_KIND].update_status(call.account, call.region, name, "Stopping")
        if stopping and status != "Stopping":
            self._emit(call.account, call.region, stopping)
        if tuner := self._tuners.get(record["HyperParameterTuningJobArn"]):
            tuner.stopping.set()
        return {}

    @hook(_KIND, "before_delete")
    def check_ended(self, call: Call, record: Record) -> None:
        """One that runs is not deleted."""
        status = record["HyperParameterTuningJobStatus"]
        if status not in ENDED:
            raise Fault("ValidationException", f"The hyperparameter tuning job is in status {status}: stop it first.")

    @operation("ListTrainingJobsForHyperParameterTuningJob")
    def list_jobs(self, call: Call) -> dict[str, Any]:
        """Its training jobs; those without an objective value come last when it is sorted by that."""
        record = self.records[_KIND].require(call)
        request = call.input
        found = [self._summary(record, job) for job in self._jobs(call.account, call.region, record)]
        found = [item for item in found if request.get("StatusEquals") in (None, item["TrainingJobStatus"])]
        by = request.get("SortBy") or "Name"
        order = request.get("SortOrder") or "Ascending"
        member = {"Name": "TrainingJobName", "Status": "TrainingJobStatus"}.get(by, by)
        if by == "FinalObjectiveMetricValue":
            valued = [item for item in found if _value(item) is not None]
            valued.sort(key=lambda item: _value(item) or 0.0, reverse=order == "Descending")
            found = valued + [item for item in found if _value(item) is None]
        else:
            found.sort(key=lambda item: item[member], reverse=order == "Descending")
        page, token = paginate(found, request, token="NextToken", limit="MaxResults", default=10)  # noqa: S106
        return {"TrainingJobSummaries": page, **({"NextToken": token} if token else {})}

    def recover(self) -> None:
        """Go on where a restart interrupted: training jobs that it ended are tried again."""
        for account, region, record in self.records[_KIND].all():
            status = record["HyperParameterTuningJobStatus"]
            if status not in ENDED:
                self._launch(account, region, record, resumed=True, stopping=status == "Stopping")

    # ---- inside

    def _launch(
        self, account: str, region: str, record: Record, *, resumed: bool = False, stopping: bool = False
    ) -> None:
        arn, name = record["HyperParameterTuningJobArn"], record["HyperParameterTuningJobName"]
        tuner = Tuner(account, region, name, arn, tuning_request.search(record))
        if stopping:
            tuner.stopping.set()
        self._tuners[arn] = tuner
        self.cloud.task(f"tuning/{name}", self._run, tuner, record, resumed)

    def _run(self, tuner: Tuner, record: Record, resumed: bool) -> None:
        try:
            if resumed:
                self._resume(tuner, record)
            self._tune(tuner, record)
        except Exception as error:
            if not self.cloud.stopping.is_set():
                jobs.logger.exception("tuning job %s failed inside the local cloud", tuner.name)
                self._end(tuner, "Failed", f"InternalServerError: {type(error).__name__}: {error}")
        finally:
            self._tuners.pop(tuner.arn, None)

    def _resume(self, tuner: Tuner, record: Record) -> None:
        for job in self._jobs(tuner.account, tuner.region, record):
            trial = tuner.search.again(job["_Tuned"], job["_Attempt"])
            tuner.launched += 1
            tuner.chosen += job["_Attempt"] == 0
            self._watch(tuner, record, trial, job["TrainingJobArn"])
            tuner.running[job["TrainingJobName"]] = trial
        tuner.search.skip(tuner.chosen)

    def _tune(self, tuner: Tuner, record: Record) -> None:
        config = record["HyperParameterTuningJobConfig"]
        limits = config["ResourceLimits"]
        runtime = limits.get("MaxRuntimeInSeconds")
        reason = ""
        while not self.cloud.stopping.is_set():
            if runtime and (now() - record["CreationTime"]).total_seconds() > runtime:
                tuner.complete.set()
            reason = reason or self._collect(tuner, record)
            over = tuner.stopping.is_set() or tuner.complete.is_set() or bool(reason)
            if over:
                for name in tuner.running:
                    self._training.stop_named(tuner.account, tuner.region, name)
            else:
                self._fill(tuner, record, limits)
            if not tuner.running and (over or tuner.full):
                break
            self.cloud.stopping.wait(_POLL_SECONDS)
        if self.cloud.stopping.is_set():
            return
        reason = reason or self._hopeless(tuner, record)
        if reason:
            self._end(tuner, "Failed", reason)
        else:
            self._end(tuner, "Stopped" if tuner.stopping.is_set() else "Completed")

    def _fill(self, tuner: Tuner, record: Record, limits: Record) -> None:
        tuner.full = False
        while len(tuner.running) < limits["MaxParallelTrainingJobs"]:
            if tuner.repeat:
                failed = tuner.repeat.pop(0)
                trial = tuner.search.again(failed.values, failed.attempt + 1)
            elif tuner.chosen < limits["MaxNumberOfTrainingJobs"] and (found := tuner.search.next()):
                trial = found
                tuner.chosen += 1
            else:
                tuner.full = True
                return
            self._train(tuner, record, trial)

    def _train(self, tuner: Tuner, record: Record, trial: Trial) -> None:
        tuner.launched += 1
        request = tuning_request.training_job(record, trial.values, tuner.launched)
        call = Call("CreateTrainingJob", {}, tuner.account, tuner.region, record["_Principal"], "")
        arn = self.records["TrainingJob"].arn(tuner.account, tuner.region, request)
        self._watch(tuner, record, trial, arn)
        tuner.running[request["TrainingJobName"]] = trial
        try:
            self.records["TrainingJob"].create(call, {**request, "_Tuned": trial.values, "_Attempt": trial.attempt})
        except BaseException:
            self._training.watchers.pop(arn, None)
            tuner.running.pop(request["TrainingJobName"])
            raise
        self._note(tuner, record)

    def _watch(self, tuner: Tuner, record: Record, trial: Trial, arn: str) -> None:
        metric, name = tuning_request.objective_of(record)["MetricName"], arn.rsplit("/", 1)[1]

        def told(found: str, value: float) -> None:
            if found == metric and tuner.search.report(trial, value) and name not in tuner.early:
                tuner.early.add(name)
                self._training.stop_named(tuner.account, tuner.region, name)

        self._training.watchers[arn] = told

    def _collect(self, tuner: Tuner, record: Record) -> str:
        """Take in the training jobs that have ended. Returns why the tuning job fails, or ""."""
        changed = False
        for name, trial in list(tuner.running.items()):
            job = self.records["TrainingJob"].get(tuner.account, tuner.region, name)
            if job is not None and job["TrainingJobStatus"] not in ENDED:
                continue
            changed = True
            tuner.running.pop(name)
            if job is None:
                tuner.search.end(trial, None)
                continue
            self._training.watchers.pop(job["TrainingJobArn"], None)
            value = _value(self._summary(record, job))
            tuner.search.end(trial, value, stopped=job["TrainingJobStatus"] == "Stopped")
            if _is_retryable(job) and trial.attempt < _RETRIES:
                tuner.repeat.append(trial)
        return self._take_stock(tuner, record) if changed else ""

    def _take_stock(self, tuner: Tuner, record: Record) -> str:
        found = self._note(tuner, record)
        ended = [item for item in found if item["TrainingJobStatus"] in ENDED]
        if len(ended) >= _IN_VAIN and (reason := _in_vain(ended)):
            return reason
        criteria = record["HyperParameterTuningJobConfig"].get("TuningJobCompletionCriteria") or {}
        if _is_complete(criteria, ended, tuning_request.objective_of(record)["Type"] == "Minimize"):
            tuner.complete.set()
        return ""

    def _note(self, tuner: Tuner, record: Record) -> list[Record]:
        """Counters and the best job so far."""
        found = [self._summary(record, job) for job in self._jobs(tuner.account, tuner.region, record)]
        members = _counted(found)
        if best := _best(found, tuning_request.objective_of(record)["Type"] == "Minimize"):
            members["BestTrainingJob"] = best
        self.records[_KIND].update(tuner.account, tuner.region, tuner.name, lambda stored: stored.update(members))
        return found

    def _hopeless(self, tuner: Tuner, record: Record) -> str:
        """Why a tuning job that has come to its end has failed, or ""."""
        found = [item for item in self._note(tuner, record) if item["TrainingJobStatus"] in ENDED]
        return "" if tuner.stopping.is_set() or not found else _in_vain(found)

    def _end(self, tuner: Tuner, status: str, reason: str = "") -> None:
        members: Record = {"HyperParameterTuningEndTime": now()}
        if reason:
            members["FailureReason"] = reason[: jobs.REASON_LIMIT]
        record = self.records[_KIND].get(tuner.account, tuner.region, tuner.name)
        if record is None:
            return
        spent = sum(job.get("TrainingTimeInSeconds", 0) for job in self._jobs(tuner.account, tuner.region, record))
        members["ConsumedResources"] = {"RuntimeInSeconds": spent}
        ended = self.records[_KIND].update_status(tuner.account, tuner.region, tuner.name, status, **members)
        if ended:
            self._emit(tuner.account, tuner.region, ended)

    def _jobs(self, account: str, region: str, record: Record) -> list[Record]:
        """Its training jobs, in the order of their launch."""
        arn = record["HyperParameterTuningJobArn"]
        return [job for job in self.records["TrainingJob"].list(account, region) if job.get("TuningJobArn") == arn]

    def _summary(self, record: Record, job: Record) -> Record:
        """HyperParameterTrainingJobSummary."""
        definition, objective = tuning_request.definition_of(record), tuning_request.objective_of(record)
        members = (
            "TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingStartTime", "TrainingEndTime",
            "TrainingJobStatus", "FailureReason",
        )  # fmt: skip
        found: Record = {name: job[name] for name in members if name in job}
        found["TunedHyperParameters"] = job["_Tuned"]
        if definition.get("DefinitionName"):
            found["TrainingJobDefinitionName"] = definition["DefinitionName"]
        values = {item["MetricName"]: item["Value"] for item in job.get("FinalMetricDataList") or []}
        if objective["MetricName"] in values:
            found["FinalHyperParameterTuningJobObjectiveMetric"] = {
                "Type": objective["Type"], "MetricName": objective["MetricName"],
                "Value": values[objective["MetricName"]],
            }  # fmt: skip
        ended = job["TrainingJobStatus"] in ENDED
        failed = job["TrainingJobStatus"] == "Failed" or _value(found) is None
        found["ObjectiveStatus"] = "Pending" if not ended else "Failed" if failed else "Succeeded"
        return found

    def _emit(self, account: str, region: str, record: Record) -> None:
        jobs.emit(self.cloud, _EVENT, record, record["HyperParameterTuningJobArn"], account, region)


def _value(summary: Record) -> float | None:
    found = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    return None if found is None else float(found["Value"])


def _is_retryable(job: Record) -> bool:
    return job["TrainingJobStatus"] == "Failed" and str(job.get("FailureReason")).startswith("InternalServerError")


def _counted(found: list[Record]) -> Record:
    """TrainingJobStatusCounters and ObjectiveStatusCounters."""
    status = dict.fromkeys(tuning_request.COUNTERS, 0)
    objective = dict.fromkeys(("Succeeded", "Pending", "Failed"), 0)
    for item in found:
        objective[item["ObjectiveStatus"]] += 1
        if item["TrainingJobStatus"] == "Failed":
            status["RetryableError" if _is_retryable(item) else "NonRetryableError"] += 1
        else:
            status[item["TrainingJobStatus"] if item["TrainingJobStatus"] in ENDED else "InProgress"] += 1
    return {"TrainingJobStatusCounters": status, "ObjectiveStatusCounters": objective}


def _best(found: list[Record], minimize: bool) -> Record | None:
    """The first of those with the best value."""
    done = [item for item in found if item["ObjectiveStatus"] == "Succeeded"]
    sign = 1 if minimize else -1
    return min(done, key=lambda item: sign * (_value(item) or 0.0), default=None)


def _in_vain(ended: list[Record]) -> str:
    """Why training jobs that have ended are no use, or ""."""
    if any(item["ObjectiveStatus"] == "Succeeded" for item in ended):
        return ""
    if all(item["TrainingJobStatus"] == "Failed" for item in ended):
        tried = f"No training job succeeded after {len(ended)} attempts."
        last = f" The last one: {ended[-1]['FailureReason']}" if ended[-1].get("FailureReason") else ""
        return f"{tried} Please take a look at the training job failures to get more details.{last}"
    return (
        f"No objective metrics found after running {len(ended)} training jobs. Please ensure that the custom algorithm "
        "is emitting the objective metric as defined by the regular expression provided."
    )


def _is_complete(criteria: Record, ended: list[Record], minimize: bool) -> bool:
    """Whether TuningJobCompletionCriteria are met."""
    values = [value for item in ended if item["ObjectiveStatus"] == "Succeeded" and (value := _value(item)) is not None]
    if not values:
        return False
    best = min(values) if minimize else max(values)
    target = criteria.get("TargetObjectiveMetricValue")
    if target is not None and (best <= target if minimize else best >= target):
        return True
    patience = (criteria.get("BestObjectiveNotImproving") or {}).get("MaxNumberOfTrainingJobsNotImproving")
    return patience is not None and len(values) - 1 - values.index(best) >= patience
