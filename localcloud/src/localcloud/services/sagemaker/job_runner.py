"""The life of a job: queued for capacity, run in a container, ended with a status, a reason and an event."""

from __future__ import annotations

import shutil
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from localcloud.core import Call, Cloud, Fault
from localcloud.records import PlugIn, Record
from localcloud.runtime.types import ImageNotFound, RunSpec
from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.jobs import Capacity, JobError, LogStream, RoleSession
from localcloud.services.sagemaker.lineage_auto import AutoLineage

ENDED = ("Completed", "Failed", "Stopped")
_CAPACITY: WeakKeyDictionary[Cloud, Capacity] = WeakKeyDictionary()
_TIMED_OUT = 124


def capacity_of(cloud: Cloud) -> Capacity:
    """The slots that all kinds of jobs share."""
    return _CAPACITY.setdefault(cloud, Capacity())


@dataclass
class Job:
    """A job that runs."""

    account: str
    region: str
    name: str
    record: Record
    role: RoleSession
    home: Path
    logs: LogStream
    key: str
    stopped: threading.Event = field(default_factory=threading.Event)
    interrupted: threading.Event = field(default_factory=threading.Event)
    timed_out: bool = False
    exceeded: str = "MaxRuntimeExceeded"


class JobRunner(PlugIn):
    """A plug-in for one kind of job. Subclasses say what the job does in `work`."""

    kind: ClassVar[str]
    folder: ClassVar[str]
    log_group: ClassVar[str]
    event: ClassVar[str]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._roles: dict[str, RoleSession] = {}
        self._running: dict[str, Job] = {}
        self._lock = threading.Lock()

    @abstractmethod
    def work(self, job: Job) -> None:
        """Do the job and end it by `end`.

        Raises:
            JobError: it failed, with the reason.
        """

    def end(self, job: Job, status: str, **members: Any) -> None:
        """Set the final status, once, and tell it."""
        raise NotImplementedError

    def waiting(self, job: Job) -> None:
        """The job waits for capacity."""

    def _name(self, record: Mapping[str, Any]) -> str:
        return str(record[f"{self.kind}Name"])

    def _key(self, account: str, region: str, name: str) -> str:
        return jobs.process_key(self.folder, account, region, name)

    def admit(self, call: Call, record: Record) -> None:
        """Assume the role, which AWS does while the job is created."""
        key = self._key(call.account, call.region, self._name(record))
        self._roles[key] = jobs.assume(self.cloud, self._role_of(record), call.region)

    def begin(self, call: Call, record: Record) -> None:
        """Run the job in the background."""
        self.emit(call.account, call.region, record)
        self.launch(call.account, call.region, record)

    def launch(self, account: str, region: str, record: Record) -> None:
        """Run a job that is known already."""
        name = self._name(record)
        key = self._key(account, region, name)
        role = self._roles.pop(key, None) or RoleSession(self.cloud, self._role_of(record), region)
        job = Job(
            account, region, name, record, role,
            home=jobs.directory(self.cloud, self.folder, account, region, name),
            logs=self.log_stream(account, region, name, role),
            key=key,
        )  # fmt: skip
        with self._lock:
            self._running[key] = job
        self.cloud.task(key, self._run, job)

    def log_stream(self, account: str, region: str, name: str, role: RoleSession) -> LogStream:
        """The log of one instance of a job."""
        return LogStream(self.cloud, account, region, self.log_group, jobs.stream_name(name), role)

    def _role_of(self, record: Record) -> str:
        return str(record["RoleArn"])

    def _run(self, job: Job) -> None:
        try:
            with capacity_of(self.cloud).slot(job.stopped, lambda: self.waiting(job)) as held:
                if held:
                    self.work(job)
                else:
                    self.end(job, "Stopped")
        except JobError as error:
            self._fail(job, str(error))
        except Fault as fault:
            self._fail(job, f"ClientError: {fault.message}")
        except Exception as error:
            if not self.cloud.stopping.is_set():
                jobs.logger.exception("%s %s failed inside the local cloud", self.kind, job.name)
                self._fail(job, f"InternalServerError: {type(error).__name__}: {error}")
        finally:
            job.logs.close()
            with self._lock:
                self._running.pop(job.key, None)
            shutil.rmtree(job.home, ignore_errors=True)  # an instance's disk goes with the job

    def _fail(self, job: Job, reason: str) -> None:
        if not self.cloud.stopping.is_set():
            if job.stopped.is_set():
                self.end(job, "Stopped")
            else:
                self.end(job, "Failed", FailureReason=reason[: jobs.REASON_LIMIT])

    def container(
        self,
        job: Job,
        *,
        image: str,
        entrypoint: Sequence[str] | None,
        arguments: Sequence[str] | None,
        environment: Mapping[str, str],
        isolated: bool,
        timeout: float,
        mounts: Sequence[tuple[Path, str]] = (),
        on_line: Callable[[str], None] = lambda line: None,
    ) -> int:
        """Run the job's container to its end. Sets `job.timed_out`.

        Raises:
            JobError: there is no such image.
        """
        try:
            resolved = self.cloud.runtime.resolve(image, job.role.credentials)
        except ImageNotFound as error:
            raise JobError(f"ClientError: Cannot pull the image {image} as {job.role.role_arn}: {error}") from error
        variables = dict(environment) | {"AWS_REGION": job.region, "AWS_DEFAULT_REGION": job.region}
        if not isolated:  # an isolated container has no network, and so no credentials
            variables |= job.role.credentials.environment(job.region)

        def keep(text: str) -> None:
            line = self.shown(text)
            job.logs.line(line)
            on_line(line)

        if job.stopped.is_set() or job.interrupted.is_set():
            return -1
        started = time.monotonic()
        code: int = self.cloud.runtime.run(
            RunSpec(
                image=resolved,
                entrypoint=list(entrypoint) if entrypoint else None,
                arguments=list(arguments) if arguments else None,
                environment=variables,
                mounts=[(job.home, "/opt/ml"), *mounts],
                key=job.key,
                on_line=keep,
                timeout=timeout,
            )
        )
        job.logs.close()  # whoever sees that the job has ended finds all of its log
        job.timed_out = code == _TIMED_OUT and time.monotonic() - started >= timeout
        if self.cloud.stopping.is_set():
            raise JobError(jobs.RESTARTED)
        return code if code >= 0 else 128 - code  # a signal, as a container tells it: 137 of SIGKILL

    def shown(self, line: str) -> str:
        """A line of the container's output as the log has it."""
        return line

    def stop(self, call: Call, status_member: str) -> Record:
        """Mark a job as stopping and end its process.

        Raises:
            Fault: it has ended already, or there is none.
        """
        records = self.records[self.kind]
        record = records.require(call)
        if record[status_member] in ENDED:
            raise Fault(
                "ValidationException",
                f"The request was rejected because the {self.folder} job is in status {record[status_member]}.",
            )
        self.end_container(call.account, call.region, self._name(record))
        return record

    def end_container(self, account: str, region: str, name: str) -> None:
        """End the job's process because it is stopped. May be asked for again and again."""
        job = self.running(account, region, name)
        if job is not None and not job.stopped.is_set():
            job.stopped.set()
            self.cloud.task(f"stop/{job.key}", self._kill, job)

    def running(self, account: str, region: str, name: str) -> Job | None:
        """The job, while it runs or waits."""
        with self._lock:
            return self._running.get(self._key(account, region, name))

    def _kill(self, job: Job) -> None:
        """End the container, also one that is only about to start."""
        while self._running.get(job.key) is job and not self.cloud.stopping.is_set():
            if self.cloud.runtime.kill(job.key):
                return
            time.sleep(0.1)

    def emit(self, account: str, region: str, record: Record) -> None:
        """Tell the job's state on the event bus; of one that has ended, keep the lineage."""
        if record[f"{self.kind}Status"] in ENDED:
            for part in self.service.parts:
                if isinstance(part, AutoLineage):
                    part.job_ended(account, region, self.kind, record)
        jobs.emit(self.cloud, self.event, record, record[f"{self.kind}Arn"], account, region)
