"""Batch transform jobs: a model's container is started, every input object is sent to it, and the answers are kept."""

from __future__ import annotations

import gzip
import json
import secrets
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from localcloud.core import Call, now, operation
from localcloud.records import Record, hook
from localcloud.runtime.types import ImageNotFound
from localcloud.services.sagemaker import jobs, transform_request
from localcloud.services.sagemaker.endpoint_fleet import FleetError, FleetMaker, Variant
from localcloud.services.sagemaker.job_runner import ENDED, Job, JobRunner
from localcloud.services.sagemaker.jobs import JobError, LogStream, RoleSession
from localcloud.services.sagemaker.transform_data import DataError, assembled, batches, records

_TIMEOUT_SECONDS = 600
_RETRIES = 3


class Transform(JobRunner):
    """The behaviour of TransformJob."""

    kind = "TransformJob"
    folder = "transform"
    log_group = "/aws/sagemaker/TransformJobs"
    event = "SageMaker Transform Job State Change"

    @hook("TransformJob", "before_create")
    def check(self, call: Call, record: Record) -> None:
        """Refuse what cannot be run here, and assume the model's role."""
        model = self.records["Model"].require(call, ModelName=record["ModelName"])
        transform_request.check(record, model)
        record["_Model"] = model
        record["TransformJobStatus"] = "InProgress"
        self.admit(call, record)

    @hook("TransformJob", "after_create")
    def start(self, call: Call, record: Record) -> None:
        """Run the job in the background."""
        self.begin(call, record)

    @operation("StopTransformJob")
    def stop_job(self, call: Call) -> dict[str, Any]:
        """End a job; of the object that is being transformed nothing is kept."""
        record = self.stop(call, "TransformJobStatus")
        stopping = self._mark(call.account, call.region, self._name(record), "Stopping")
        if stopping:
            self.emit(call.account, call.region, stopping)
        return {}

    def log_stream(self, account: str, region: str, name: str, role: RoleSession) -> LogStream:
        """<job>/<instance>, as SageMaker calls the streams of transform jobs."""
        instance = "i-" + secrets.token_hex(9)[:17]
        return LogStream(self.cloud, account, region, self.log_group, f"{name}/{instance}", role)

    def work(self, job: Job) -> None:
        """Start the model, send what there is, keep what it answers."""
        maker = FleetMaker(self.cloud, self._find_package)
        try:
            server = maker.serve_for(job, job.record["_Model"], transform_request.environment(job.record))
        except FleetError as error:
            if job.stopped.is_set():
                self.end(job, "Stopped")
                return
            raise JobError(f"ClientError: {error}") from error
        except ImageNotFound as error:
            raise JobError(f"ClientError: Cannot pull the model's image as {job.role.role_arn}: {error}") from error
        try:
            self.records[self.kind].update(
                job.account, job.region, job.name, lambda stored: stored.update(TransformStartTime=now())
            )
            failed = _Run(job, server).all()
        finally:
            server.drain(0)
            if server.handle is not None:
                server.handle.stop()
            job.logs.close()
        if self.cloud.stopping.is_set():
            raise JobError(jobs.RESTARTED)
        if job.stopped.is_set():
            self.end(job, "Stopped")
        elif failed:
            self.end(job, "Failed", FailureReason=failed[: jobs.REASON_LIMIT])
        else:
            self.end(job, "Completed")

    def end(self, job: Job, status: str, **members: Any) -> None:
        """Set the final status and tell it."""
        record = self._mark(job.account, job.region, job.name, status, TransformEndTime=now(), **members)
        if record:
            self.emit(job.account, job.region, record)

    def recover(self) -> None:
        """Fail what a restart interrupted."""
        for account, region, record in self.records[self.kind].all():
            status = record["TransformJobStatus"]
            if status not in ENDED:
                to = ("Stopped", {}) if status == "Stopping" else ("Failed", {"FailureReason": jobs.RESTARTED})
                ended = self._mark(account, region, self._name(record), to[0], TransformEndTime=now(), **to[1])
                if ended:
                    self.emit(account, region, ended)

    def _role_of(self, record: Record) -> str:
        return str(record["_Model"]["ExecutionRoleArn"])

    def _mark(self, account: str, region: str, name: str, status: str, **members: Any) -> Record | None:
        def change(record: Record) -> None:
            if record["TransformJobStatus"] not in ENDED:
                record.update(TransformJobStatus=status, **members)

        return self.records[self.kind].update(account, region, name, change)

    def _find_package(self, arn: str) -> Record | None:
        found = self.records["ModelPackage"].by_arn(arn)
        return found[2] if found else None


class _Run:
    """The objects of one job, one after the other; the requests of each at the same time."""

    def __init__(self, job: Job, server: Variant) -> None:
        config = job.record.get("ModelClientConfig") or {}
        self.job = job
        self.server = server
        self.retries = config.get("InvocationsMaxRetries", _RETRIES)
        self.http = httpx.Client(timeout=config.get("InvocationsTimeoutInSeconds", _TIMEOUT_SECONDS))
        self.at_once, self.most, self.strategy = transform_request.parameters(job.record, self._wishes())
        self.processing = transform_request.processing(job.record)

    def all(self) -> str:
        """Transform every object. Returns why the job fails, or "": one object that cannot be transformed does not
        keep the others from it."""
        record, reason = self.job.record, ""
        strategy = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}[self.strategy]
        self._say(
            f"MaxConcurrentTransforms={self.at_once}, MaxPayloadInMB={self.most // transform_request.MEGABYTE}, "
            f"BatchStrategy={strategy}"
        )
        source = record["TransformInput"]["DataSource"]["S3DataSource"]
        folder = self.job.home / "batch"
        jobs.download(self.job.role, source["S3Uri"], source["S3DataType"], folder, self.job.region)
        try:
            for path in sorted(item for item in folder.rglob("*") if item.is_file()):
                if self.job.stopped.is_set():
                    break
                try:
                    self._one(path, path.relative_to(folder).as_posix())
                except DataError as error:
                    self._say(f"{path.relative_to(folder)}: {error}")
                    reason = reason or f"ClientError: See job logs for more information. {path.name}: {error}"
        finally:
            self.http.close()
            shutil.rmtree(folder, ignore_errors=True)
        return reason

    def _one(self, path: Path, key: str) -> None:
        given, target = self.job.record["TransformInput"], self.job.record["TransformOutput"]
        body = path.read_bytes()
        if given["CompressionType"] == "Gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"it is not gzip: {error}") from None
        found = records(body, given["SplitType"])
        packed = list(batches([self.processing.request(item) for item in found], self.strategy, self.most))
        starts = [sum(len(batch) for batch in packed[:index]) for index in range(len(packed))]
        work = [(batch, found[start : start + len(batch)]) for batch, start in zip(packed, starts, strict=True)]
        with ThreadPoolExecutor(self.at_once) as pool:
            answers = list(pool.map(lambda item: self._ask(*item), work))
        if self.job.stopped.is_set():
            return
        out = path.with_name(path.name + ".out")
        out.write_bytes(assembled([part for answer in answers for part in answer], target["AssembleWith"]))
        uri = f"{target['S3OutputPath'].rstrip('/')}/{key}.out"
        jobs.upload(self.job.role, out, uri, target.get("KmsKeyId"))
        out.unlink()

    def _ask(self, batch: Sequence[bytes], found: Sequence[bytes]) -> list[bytes]:
        if self.job.stopped.is_set():
            return []
        given, target = self.job.record["TransformInput"], self.job.record["TransformOutput"]
        headers = {"X-Amzn-SageMaker-Custom-Attributes": ""}
        if given.get("ContentType"):
            headers["Content-Type"] = given["ContentType"]
        headers["Accept"] = target.get("Accept") or "*/*"
        body = b"\n".join(batch)
        told = ""
        for _ in range(self.retries + 1):
            if self.job.stopped.is_set():
                return []
            try:
                answer = self.http.post(f"{self.server.url}/invocations", content=body, headers=headers)
            except httpx.HTTPError as error:
                told = f"the model did not answer: {type(error).__name__}: {error}"
                if self.server.handle is None or not self.server.handle.alive():
                    break
                continue
            if answer.status_code == 200:
                return self.processing.answers(found, answer.content)
            told = f"the model answered {answer.status_code}: {answer.text[:400]}"
            if answer.status_code < 500:
                break
        raise DataError(told)

    def _wishes(self) -> Any:
        try:
            answer = self.http.get(f"{self.server.url}/execution-parameters", timeout=30)
            return json.loads(answer.content) if answer.status_code == 200 and answer.content else None
        except (httpx.HTTPError, ValueError):
            return None

    def _say(self, line: str) -> None:
        self.job.logs.line(f"[sagemaker logs]: {line}")
