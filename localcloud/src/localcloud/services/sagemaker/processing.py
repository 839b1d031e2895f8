"""Processing jobs: CreateProcessingJob runs a container between S3 inputs and S3 outputs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from localcloud.core import Call, Fault, now, operation
from localcloud.records import Record, hook
from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.job_runner import ENDED, Job, JobRunner

_ROOT = "/opt/ml/processing"
_DEFAULT_RUNTIME_SECONDS = 86400


class Processing(JobRunner):
    """The behaviour of ProcessingJob."""

    kind = "ProcessingJob"
    folder = "processing"
    log_group = "/aws/sagemaker/ProcessingJobs"
    event = "SageMaker Processing Job State Change"

    @hook("ProcessingJob", "before_create")
    def check(self, call: Call, record: Record) -> None:
        """Refuse what cannot be run here, and assume the role."""
        jobs.refuse_instances(record["ProcessingResources"]["ClusterConfig"].get("InstanceCount"), "processing job")
        for item in record.get("ProcessingInputs") or []:
            where = f"input {item['InputName']}"
            if "DatasetDefinition" in item:
                raise _not_served(f"DatasetDefinition ({where})")
            if item.get("S3Input", {}).get("S3InputMode") == "Pipe":
                raise _not_served(f"S3InputMode Pipe ({where}); use File")
            _check_local_path(item.get("S3Input"), where, bool(item.get("AppManaged")))
        for item in (record.get("ProcessingOutputConfig") or {}).get("Outputs", []):
            where = f"output {item['OutputName']}"
            if "FeatureStoreOutput" in item:
                raise _not_served(f"FeatureStoreOutput ({where})")
            _check_local_path(item.get("S3Output"), where, bool(item.get("AppManaged")))
        record.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": _DEFAULT_RUNTIME_SECONDS})
        record["ProcessingJobStatus"] = "InProgress"
        self.admit(call, record)

    @hook("ProcessingJob", "after_create")
    def start(self, call: Call, record: Record) -> None:
        """Run the job in the background."""
        self.begin(call, record)

    @operation("StopProcessingJob")
    def stop_job(self, call: Call) -> dict[str, Any]:
        """End a job: SIGTERM, then SIGKILL."""
        record = self.stop(call, "ProcessingJobStatus")
        stopping = self._mark(call.account, call.region, self._name(record), "Stopping")
        if stopping:
            self.emit(call.account, call.region, stopping)
        return {}

    def work(self, job: Job) -> None:
        """Inputs down, container, outputs up."""
        record = job.record
        inputs = [item for item in record.get("ProcessingInputs") or [] if not item.get("AppManaged")]
        outputs = [
            item
            for item in (record.get("ProcessingOutputConfig") or {}).get("Outputs", [])
            if not item.get("AppManaged")
        ]
        for item in inputs:
            source = item["S3Input"]
            target = job.home / _below_ml(source["LocalPath"])
            jobs.download(job.role, source["S3Uri"], source.get("S3DataType", "S3Prefix"), target, job.region)
        for item in outputs:
            (job.home / _below_ml(item["S3Output"]["LocalPath"])).mkdir(parents=True, exist_ok=True)
        self._configure(job)
        self.records[self.kind].update(
            job.account, job.region, job.name, lambda stored: stored.update(ProcessingStartTime=now())
        )
        specification = record["AppSpecification"]
        code = self.container(
            job,
            image=specification["ImageUri"],
            entrypoint=specification.get("ContainerEntrypoint"),
            arguments=specification.get("ContainerArguments"),
            environment=record.get("Environment") or {},
            isolated=bool((record.get("NetworkConfig") or {}).get("EnableNetworkIsolation")),
            timeout=record["StoppingCondition"]["MaxRuntimeInSeconds"],
        )
        message = jobs.read_message(job.home / "output" / "message")
        ended = {"ExitMessage": message} if message else {}
        stopped = job.stopped.is_set() or job.timed_out
        if not stopped and code == 0:
            self._upload(job, outputs)
            self.end(job, "Completed", **ended)
            return
        # What is uploaded continuously has been uploaded up to the end, however it ended.
        self._upload(job, [item for item in outputs if item["S3Output"]["S3UploadMode"] == "Continuous"])
        if stopped:
            self.end(job, "Stopped", **ended)
        else:
            reason = jobs.algorithm_error(message, job.logs.last, code)
            self.end(job, "Failed", FailureReason=reason, **ended)

    def end(self, job: Job, status: str, **members: Any) -> None:
        """Set the final status and tell it."""
        record = self._mark(job.account, job.region, job.name, status, ProcessingEndTime=now(), **members)
        if record:
            self.emit(job.account, job.region, record)

    def recover(self) -> None:
        """Fail what a restart interrupted."""
        for account, region, record in self.records[self.kind].all():
            if record["ProcessingJobStatus"] not in ENDED:
                ended = self._mark(
                    account, region, self._name(record), "Failed",
                    FailureReason=jobs.RESTARTED, ProcessingEndTime=now(),
                )  # fmt: skip
                if ended:
                    self.emit(account, region, ended)

    def _mark(self, account: str, region: str, name: str, status: str, **members: Any) -> Record | None:
        def change(record: Record) -> None:
            if record["ProcessingJobStatus"] not in ENDED:
                record.update(ProcessingJobStatus=status, **members)

        return self.records[self.kind].update(account, region, name, change)

    def _configure(self, job: Job) -> None:
        members = (
            "ProcessingJobArn", "ProcessingJobName", "ProcessingInputs", "ProcessingOutputConfig", "RoleArn",
            "ProcessingResources", "AppSpecification", "Environment", "StoppingCondition", "NetworkConfig",
            "ExperimentConfig",
        )  # fmt: skip
        request = {name: job.record[name] for name in members if name in job.record}
        jobs.write_json(job.home / "config" / "processingjobconfig.json", request)
        jobs.write_json(job.home / "config" / "resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
        (job.home / "output").mkdir(exist_ok=True)

    def _upload(self, job: Job, outputs: list[dict[str, Any]]) -> None:
        kms_key = (job.record.get("ProcessingOutputConfig") or {}).get("KmsKeyId")
        for item in outputs:
            target = item["S3Output"]
            jobs.upload(job.role, job.home / _below_ml(target["LocalPath"]), target["S3Uri"], kms_key)


def _not_served(what: str) -> Fault:
    return Fault("NotImplemented", f"SageMaker CreateProcessingJob with {what} is not served by the local cloud", 501)


def _check_local_path(channel: dict[str, Any] | None, where: str, managed: bool) -> None:
    if managed:
        return
    path = (channel or {}).get("LocalPath", "")
    if not path.startswith(_ROOT) or ".." in PurePosixPath(path).parts:
        raise Fault(
            "ValidationException",
            f"LocalPath of {where} is '{path}'; it must be a directory below {_ROOT}/, where the container finds it.",
        )


def _below_ml(path: str) -> str:
    return path.removeprefix("/opt/ml/")
