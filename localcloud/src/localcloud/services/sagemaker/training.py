"""Training jobs: CreateTrainingJob runs a container on channels and keeps the model that it leaves in /opt/ml/model.

A managed spot job goes on after an interruption: on a fresh instance, from its checkpoints. Here an interruption comes
from outside, by `localcloud interrupt`, or by the end of the server itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Call, Fault, now, operation
from localcloud.records import Record, hook
from localcloud.services.sagemaker import algorithms, jobs, training_request
from localcloud.services.sagemaker.checkpoints import Checkpoints
from localcloud.services.sagemaker.job_runner import ENDED, Job, JobRunner

Metrics = dict[str, tuple[float, datetime]]


class Training(JobRunner):
    """The behaviour of TrainingJob."""

    kind = "TrainingJob"
    folder = "training"
    log_group = "/aws/sagemaker/TrainingJobs"
    event = "SageMaker Training Job State Change"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.watchers: dict[str, Callable[[str, float], None]] = {}
        """ARN of a training job → who is told each metric (name, value) as it is read from the log."""

    @hook("TrainingJob", "before_create")
    def check(self, call: Call, record: Record) -> None:
        """Refuse what cannot be run here, set AWS's defaults, and assume the role."""
        if "_Tuned" not in record:  # else the tuning job was checked, and its definitions are the job's
            algorithms.check(self.cloud, call.operation, call.region, record, record.get("HyperParameters") or {})
            algorithms.complete(record.get("AlgorithmSpecification") or {})
        training_request.check(record)
        record["ModelArtifacts"] = {"S3ModelArtifacts": training_request.model_uri(record)}
        record["TrainingJobStatus"], record["SecondaryStatus"] = "InProgress", "Starting"
        record["SecondaryStatusTransitions"] = [training_request.transition("Starting", now())]
        self.admit(call, record)

    @hook("TrainingJob", "after_create")
    def start(self, call: Call, record: Record) -> None:
        """Run the job in the background."""
        self.begin(call, record)

    @operation("StopTrainingJob")
    def stop_job(self, call: Call) -> dict[str, Any]:
        """End a job: SIGTERM, then SIGKILL; what it has left as a model is kept."""
        record = self.stop(call, "TrainingJobStatus")
        self._move(call.account, call.region, self._name(record), "Stopping", TrainingJobStatus="Stopping")
        return {}

    def stop_named(self, account: str, region: str, name: str) -> None:
        """The same for a tuning job that stops one of its own; nothing where it has ended."""
        self.end_container(account, region, name)
        self._move(account, region, name, "Stopping", TrainingJobStatus="Stopping")

    def interrupt(self, account: str, region: str, name: str) -> None:
        """Take the instance of a managed spot job away.

        Raises:
            Fault: there is none, it is on demand, or it does not run.
        """
        record = self.records[self.kind].get(account, region, name)
        if record is None:
            raise Fault("ResourceNotFound", f"There is no training job {name} in account {account}, region {region}.")
        if not record["EnableManagedSpotTraining"]:
            raise Fault("ValidationException", f"Training job {name} is on demand: only a spot job is interrupted.")
        job = self.running(account, region, name)
        if job is None or record["SecondaryStatus"] not in ("Downloading", "Training"):
            raise Fault(
                "ValidationException", f"Training job {name} is {record['SecondaryStatus']}: it has no instance."
            )
        job.interrupted.set()
        self.cloud.task(f"interrupt/{job.key}", self._take_away, job)

    def _take_away(self, job: Job) -> None:
        while job.interrupted.is_set() and self.running(job.account, job.region, job.name) is job:
            if self.cloud.runtime.kill(job.key):
                return
            time.sleep(0.05)

    def waiting(self, job: Job) -> None:
        """All slots are taken."""
        self._step(job, "Pending")

    def work(self, job: Job) -> None:
        """Channels down, container, model up; again from the start after an interruption."""
        values: Metrics = {}
        while True:
            limit, passed = self._limit(job)
            if limit <= 0:
                job.timed_out, job.exceeded, code = True, passed, -1
                break
            code = self._attempt(job, values, limit)
            if job.timed_out:
                job.exceeded = passed
            if not job.interrupted.is_set() or job.stopped.is_set() or job.timed_out or code == 0:
                break
            self._step(job, "Interrupted")
            self._fresh_instance(job)
            self._step(job, "Starting")
        found = self._publish(job, values)
        if job.stopped.is_set() or job.timed_out:
            self._upload(job, with_model=_has_files(job.home / "model"))
            self.end(job, "Stopped", **found)
        elif code != 0:
            self._upload(job, with_model=False)
            message = jobs.read_message(job.home / "output" / "failure")
            self.end(job, "Failed", FailureReason=jobs.algorithm_error(message, job.logs.last, code), **found)
        else:
            self._step(job, "Uploading")
            self._upload(job, with_model=_has_files(job.home / "model"))  # of nothing SageMaker makes no archive
            self.end(job, "Completed", **found)

    def _attempt(self, job: Job, values: Metrics, limit: float) -> int:
        """One run on one instance. Returns the container's exit code."""
        record, specification = job.record, job.record["AlgorithmSpecification"]
        self._step(job, "Downloading")
        for channel in record.get("InputDataConfig") or []:
            source = channel["DataSource"]["S3DataSource"]
            target = job.home / "input" / "data" / channel["ChannelName"]
            jobs.download(job.role, source["S3Uri"], source["S3DataType"], target, job.region)
        checkpoints = Checkpoints.restore(job)
        self._configure(job)
        first = {} if self._record(job).get("TrainingStartTime") else {"TrainingStartTime": now()}
        self._step(job, "Training", **first)
        entrypoint, arguments = specification.get("ContainerEntrypoint"), specification.get("ContainerArguments")
        if checkpoints:
            checkpoints.follow()
        try:
            return self.container(
                job,
                image=specification["TrainingImage"],
                entrypoint=entrypoint,
                arguments=arguments or (None if entrypoint else ["train"]),
                environment={
                    **(record.get("Environment") or {}),
                    "TRAINING_JOB_NAME": job.name,
                    "TRAINING_JOB_ARN": record["TrainingJobArn"],
                    "SAGEMAKER_REGION": job.region,
                },
                isolated=record["EnableNetworkIsolation"],
                timeout=limit,
                mounts=checkpoints.mounts if checkpoints else (),
                on_line=self._metric_reader(job, values),
            )
        finally:
            if checkpoints:
                checkpoints.close()

    def shown(self, line: str) -> str:
        """Control characters as SageMaker's log has them: a tab is #011."""
        return training_request.escaped(line)

    def _metric_reader(self, job: Job, values: Metrics) -> Callable[[str], None]:
        definitions = job.record["AlgorithmSpecification"].get("MetricDefinitions") or []
        patterns = [(item["Name"], training_request.pattern(item)) for item in definitions]
        arn = job.record["TrainingJobArn"]

        def read(line: str) -> None:
            for name, pattern in patterns:
                if found := pattern.search(line):
                    try:
                        value = float(found.group(1) if pattern.groups else found.group(0))
                    except (TypeError, ValueError):
                        continue
                    values[name] = (value, now())
                    if watcher := self.watchers.get(arn):
                        watcher(name, value)

        return read

    def _limit(self, job: Job) -> tuple[float, str]:
        """(seconds that the job may still run, the secondary status once they are over)."""
        record, condition = self._record(job), job.record["StoppingCondition"]
        runs = condition["MaxRuntimeInSeconds"] - training_request.seconds_in_use(record)
        wait = condition.get("MaxWaitTimeInSeconds")
        waits = wait - (now() - record["CreationTime"]).total_seconds() if wait else runs
        return (waits, "MaxWaitTimeExceeded") if waits < runs else (runs, "MaxRuntimeExceeded")

    def _fresh_instance(self, job: Job) -> None:
        """Nothing of the instance that was taken away is left but what is in S3."""
        job.interrupted.clear()
        job.home = jobs.directory(self.cloud, self.folder, job.account, job.region, job.name)
        job.logs.close()
        job.logs = self.log_stream(job.account, job.region, job.name, job.role)

    def end(self, job: Job, status: str, **members: Any) -> None:
        """Set the final status, the times, and tell it."""
        secondary = job.exceeded if job.timed_out and status == "Stopped" else status
        members |= {"TrainingEndTime": now(), "TrainingJobStatus": status}
        self._move(job.account, job.region, job.name, secondary, **members)

    def recover(self) -> None:
        """Go on with spot jobs, and fail all others that a restart interrupted."""
        for account, region, record in self.records[self.kind].all():
            if record["TrainingJobStatus"] in ENDED:
                continue
            name = self._name(record)
            if record["TrainingJobStatus"] == "Stopping":
                self._move(account, region, name, "Stopped", TrainingJobStatus="Stopped", TrainingEndTime=now())
            elif record["EnableManagedSpotTraining"]:
                self._move(account, region, name, "Interrupted")
                self._move(account, region, name, "Starting")
                self.launch(account, region, record)
            else:
                self._move(
                    account, region, name, "Failed",
                    TrainingJobStatus="Failed", FailureReason=jobs.RESTARTED, TrainingEndTime=now(),
                )  # fmt: skip

    def _record(self, job: Job) -> Record:
        return self.records[self.kind].get(job.account, job.region, job.name) or job.record

    def _step(self, job: Job, secondary: str, **members: Any) -> None:
        self._move(job.account, job.region, job.name, secondary, **members)

    def _move(self, account: str, region: str, name: str, secondary: str, **members: Any) -> None:
        """Go to the next secondary status and tell it. A stopping job only ends; an ended one stays as it is."""
        moved = False

        def change(record: Record) -> None:
            nonlocal moved
            status = record["TrainingJobStatus"]
            ending = members.get("TrainingJobStatus") in ENDED
            if status in ENDED or (status == "Stopping" and not ending):
                return
            moved = True
            moment = now()
            transitions = record["SecondaryStatusTransitions"]
            transitions[-1].setdefault("EndTime", moment)
            transitions.append(training_request.transition(secondary, moment, ended=ending))
            record.update(SecondaryStatus=secondary, **members)
            if ending and (seconds := training_request.seconds_in_use(record)):
                record.update(TrainingTimeInSeconds=seconds, BillableTimeInSeconds=seconds)

        record = self.records[self.kind].update(account, region, name, change)
        if record and moved:
            self.emit(account, region, record)

    def _configure(self, job: Job) -> None:
        folder = job.home / "input" / "config"
        jobs.write_json(folder / "hyperparameters.json", job.record.get("HyperParameters") or {})
        jobs.write_json(folder / "inputdataconfig.json", training_request.channels(job.record))
        jobs.write_json(folder / "resourceconfig.json", training_request.resource_config(job.record))
        if checkpoints := job.record.get("CheckpointConfig"):
            jobs.write_json(folder / "checkpointconfig.json", checkpoints)
        for name in ("model", "output", "output/data"):
            (job.home / name).mkdir(parents=True, exist_ok=True)

    def _upload(self, job: Job, *, with_model: bool) -> None:
        config = job.record["OutputDataConfig"]
        target, key = training_request.output_uri(job.record), config.get("KmsKeyId")
        plain = config.get("CompressionType") == "NONE"
        for name, source, wanted in (
            ("model", job.home / "model", with_model),
            ("output", job.home / "output" / "data", _has_files(job.home / "output" / "data")),
        ):
            if wanted and plain:
                jobs.upload(job.role, source, f"{target}/{name if name == 'model' else 'data'}/", key)
            elif wanted:
                packed = jobs.archive(source, job.home.parent / f"{job.name}.{name}.tar.gz")
                jobs.upload(job.role, packed, f"{target}/{name}.tar.gz", key)
                packed.unlink()

    def _publish(self, job: Job, values: Metrics) -> dict[str, Any]:
        """The last value of every metric, also as CloudWatch metrics of the role."""
        if not values:
            return {}
        dimensions = [{"Name": "TrainingJobName", "Value": job.name}]
        data = [
            {"MetricName": name, "Dimensions": dimensions, "Value": value, "Timestamp": moment}
            for name, (value, moment) in values.items()
        ]
        try:
            job.role.client("cloudwatch").put_metric_data(Namespace="/aws/sagemaker/TrainingJobs", MetricData=data)
        except (ClientError, BotoCoreError) as error:  # as on AWS, a role that may not put metrics still trains
            jobs.logger.warning("metrics of %s are not published: %s", job.name, error)
        final = [{"MetricName": name, "Value": value, "Timestamp": at} for name, (value, at) in values.items()]
        return {"FinalMetricDataList": final}


def _has_files(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())
