"""Training jobs: CreateTrainingJob runs a container on channels and keeps the model that it leaves in /opt/ml/model."""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Call, Fault, now, operation
from localcloud.records import Record, hook
from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.job_runner import ENDED, Job, JobRunner
from localcloud.services.sagemaker.jobs import JobError

_DEFAULT_RUNTIME_SECONDS = 86400
_CHECKPOINTS = "/opt/ml/checkpoints"
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class Training(JobRunner):
    """The behaviour of TrainingJob."""

    kind = "TrainingJob"
    folder = "training"
    log_group = "/aws/sagemaker/TrainingJobs"
    event = "SageMaker Training Job State Change"

    @hook("TrainingJob", "before_create")
    def check(self, call: Call, record: Record) -> None:
        """Refuse what cannot be run here, set AWS's defaults, and assume the role."""
        specification = record.get("AlgorithmSpecification") or {}
        if not specification.get("TrainingImage"):
            raise _not_served("no AlgorithmSpecification.TrainingImage (AlgorithmName and serverless jobs)")
        resources = record.get("ResourceConfig") or {}
        if resources.get("InstanceGroups"):
            raise _not_served("ResourceConfig.InstanceGroups")
        jobs.refuse_instances(resources.get("InstanceCount"), "training job")
        names = [channel["ChannelName"] for channel in record.get("InputDataConfig") or []]
        if len(set(names)) != len(names):
            raise Fault("ValidationException", f"Channel names must be unique; given are {', '.join(names)}.")
        for channel in record.get("InputDataConfig") or []:
            _check_channel(channel, specification["TrainingInputMode"])
        for metric in specification.get("MetricDefinitions") or []:
            _pattern(metric)
        record.setdefault("StoppingCondition", {}).setdefault("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_SECONDS)
        for flag in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"):
            record.setdefault(flag, False)
        record["ModelArtifacts"] = {"S3ModelArtifacts": _model_uri(record)}
        record["TrainingJobStatus"], record["SecondaryStatus"] = "InProgress", "Starting"
        record["SecondaryStatusTransitions"] = [_transition("Starting", now())]
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

    def waiting(self, job: Job) -> None:
        """All slots are taken."""
        self._step(job, "Pending")

    def work(self, job: Job) -> None:
        """Channels down, container, model up."""
        record, specification = job.record, job.record["AlgorithmSpecification"]
        self._step(job, "Downloading")
        for channel in record.get("InputDataConfig") or []:
            source = channel["DataSource"]["S3DataSource"]
            target = job.home / "input" / "data" / channel["ChannelName"]
            jobs.download(job.role, source["S3Uri"], source["S3DataType"], target, job.region)
        checkpoints, mounts = self._restore_checkpoints(job)
        self._configure(job)
        values: dict[str, tuple[float, datetime]] = {}
        patterns = [(item["Name"], _pattern(item)) for item in specification.get("MetricDefinitions") or []]

        def read_metrics(line: str) -> None:
            for name, pattern in patterns:
                if found := pattern.search(line):
                    try:
                        values[name] = (float(found.group(1) if pattern.groups else found.group(0)), now())
                    except ValueError:
                        continue

        self._step(job, "Training", TrainingStartTime=now())
        entrypoint, arguments = specification.get("ContainerEntrypoint"), specification.get("ContainerArguments")
        code = self.container(
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
            timeout=record["StoppingCondition"]["MaxRuntimeInSeconds"],
            mounts=mounts,
            on_line=read_metrics,
        )
        found = self._publish(job, values)
        if checkpoints:
            jobs.upload(job.role, checkpoints, record["CheckpointConfig"]["S3Uri"])
            shutil.rmtree(checkpoints, ignore_errors=True)
        if job.stopped.is_set() or job.timed_out:
            self._upload(job, with_model=_has_files(job.home / "model"))
            self.end(job, "Stopped", **found)
        elif code != 0:
            self._upload(job, with_model=False)
            message = jobs.read_message(job.home / "output" / "failure")
            self.end(job, "Failed", FailureReason=jobs.algorithm_error(message, job.logs.last, code), **found)
        else:
            self._step(job, "Uploading")
            self._upload(job, with_model=True)
            self.end(job, "Completed", **found)

    def end(self, job: Job, status: str, **members: Any) -> None:
        """Set the final status, the times, and tell it."""
        moment = now()
        stored = self.records[self.kind].get(job.account, job.region, job.name) or {}
        began = stored.get("TrainingStartTime")
        if began:
            seconds = max(1, round((moment - began).total_seconds()))
            members |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        secondary = "MaxRuntimeExceeded" if job.timed_out and status == "Stopped" else status
        members |= {"TrainingEndTime": moment, "TrainingJobStatus": status}
        self._move(job.account, job.region, job.name, secondary, **members)

    def recover(self) -> None:
        """Fail what a restart interrupted."""
        for account, region, record in self.records[self.kind].all():
            if record["TrainingJobStatus"] not in ENDED:
                self._move(
                    account, region, self._name(record), "Failed",
                    TrainingJobStatus="Failed", FailureReason=jobs.RESTARTED, TrainingEndTime=now(),
                )  # fmt: skip

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
            transitions.append(_transition(secondary, moment, ended=ending))
            record.update(SecondaryStatus=secondary, **members)

        record = self.records[self.kind].update(account, region, name, change)
        if record and moved:
            self.emit(account, region, record)

    def _restore_checkpoints(self, job: Job) -> tuple[Path | None, list[tuple[Path, str]]]:
        config = job.record.get("CheckpointConfig")
        if not config:
            return None, []
        inside = config.get("LocalPath") or _CHECKPOINTS
        below = inside.startswith("/opt/ml/")
        local = job.home / inside.removeprefix("/opt/ml/") if below else job.home.parent / f"{job.name}.checkpoints"
        local.mkdir(parents=True, exist_ok=True)
        try:
            jobs.download(job.role, config["S3Uri"], "S3Prefix", local, job.region)
        except JobError as error:
            if "No S3 objects found" not in str(error):  # a first run has none to go on from
                raise
        return local, [] if below else [(local, inside)]

    def _configure(self, job: Job) -> None:
        record, folder = job.record, job.home / "input" / "config"
        resources = record.get("ResourceConfig") or {}
        jobs.write_json(folder / "hyperparameters.json", record.get("HyperParameters") or {})
        jobs.write_json(folder / "inputdataconfig.json", _channels(record))
        jobs.write_json(
            folder / "resourceconfig.json",
            {
                "current_host": "algo-1",
                "current_instance_type": resources.get("InstanceType"),
                "current_group_name": "homogeneousCluster",
                "hosts": ["algo-1"],
                "instance_groups": [
                    {
                        "instance_group_name": "homogeneousCluster",
                        "instance_type": resources.get("InstanceType"),
                        "hosts": ["algo-1"],
                    }
                ],
                "network_interface_name": "eth0",
            },
        )
        for name in ("model", "output", "output/data"):
            (job.home / name).mkdir(parents=True, exist_ok=True)

    def _upload(self, job: Job, *, with_model: bool) -> None:
        config = job.record["OutputDataConfig"]
        target, key = _output_uri(job.record), config.get("KmsKeyId")
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

    def _publish(self, job: Job, values: dict[str, tuple[float, datetime]]) -> dict[str, Any]:
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


def _transition(status: str, moment: datetime, ended: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"Status": status, "StartTime": moment, "StatusMessage": _MESSAGES[status]}
    return found | ({"EndTime": moment} if ended else {})


def _output_uri(record: Record) -> str:
    return f"{record['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{record['TrainingJobName']}/output"


def _model_uri(record: Record) -> str:
    plain = record["OutputDataConfig"].get("CompressionType") == "NONE"
    return f"{_output_uri(record)}/{'model/' if plain else 'model.tar.gz'}"


def _channels(record: Record) -> dict[str, Any]:
    mode = record["AlgorithmSpecification"]["TrainingInputMode"]
    channels = {}
    for channel in record.get("InputDataConfig") or []:
        source = channel["DataSource"]["S3DataSource"]
        channels[channel["ChannelName"]] = {
            "TrainingInputMode": channel.get("InputMode") or mode,
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        } | ({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {})
    return channels


def _has_files(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _pattern(metric: dict[str, str]) -> re.Pattern[str]:
    try:
        return re.compile(metric["Regex"])
    except re.error as error:
        raise Fault(
            "ValidationException", f"MetricDefinitions: Regex of {metric['Name']} is '{metric['Regex']}': {error}."
        ) from None


def _check_channel(channel: dict[str, Any], mode: str) -> None:
    where = f"channel {channel['ChannelName']}"
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise _not_served(f"a data source that is not S3 ({where})")
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise _not_served(f"S3DataType {source['S3DataType']} ({where}); use S3Prefix or ManifestFile")
    if (channel.get("InputMode") or mode) == "Pipe":
        raise _not_served(f"input mode Pipe ({where}); use File or FastFile")


def _not_served(what: str) -> Fault:
    return Fault("NotImplemented", f"SageMaker CreateTrainingJob with {what} is not served by the local cloud", 501)
