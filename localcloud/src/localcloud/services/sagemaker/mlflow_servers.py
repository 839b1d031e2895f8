"""MLflow tracking servers: each an `mlflow server` of its own on a SQLite file, started, stopped and taken up again."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from localcloud.core import Call, Fault, operation
from localcloud.records import PlugIn, Record, hook
from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.mlflow_api import AUTH

if TYPE_CHECKING:
    from localcloud.children import Child

_BUSY = ("Creating", "Updating", "Deleting", "Stopping", "Starting")
_START_SECONDS = 300.0
_TICKET_SECONDS = 300  # where the request does not say
_POLL_SECONDS = 0.1
# Nothing of the local cloud's own environment but what Python needs: the server asks no AWS and tells nobody anything.
_LENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore",
}


class ServerError(Exception):
    """Why a tracking server does not come up."""


@dataclass(frozen=True)
class Serving:
    """A process that answers."""

    child: Child
    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Ticket:
    """An address that SageMaker has signed for somebody."""

    arn: str
    account: str
    region: str
    principal: str
    until: float


class MlflowServers(PlugIn):
    """The behaviour of MlflowTrackingServer."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._serving: dict[str, Serving] = {}
        self._tickets: dict[str, Ticket] = {}
        self._changed = threading.Condition()

    # ---- operations

    @hook("MlflowTrackingServer", "before_create")
    def check(self, call: Call, record: Record) -> None:
        """Its program has to be there, and its role has to trust SageMaker."""
        if importlib.util.find_spec("mlflow") is None:
            raise Fault(
                "NotImplemented",
                "SageMaker CreateMlflowTrackingServer is not served by a local cloud whose Python has no mlflow.",
                501,
            )
        jobs.assume(self.cloud, record["RoleArn"], call.region)
        record.update(TrackingServerStatus="Creating", IsActive="Inactive")

    @hook("MlflowTrackingServer", "after_create")
    def create(self, call: Call, record: Record) -> None:
        """Bring the server up in the background."""
        self._begin("create", call, record, "Created", "CreateFailed")

    @hook("MlflowTrackingServer", "before_update")
    def refuse_while_busy(self, call: Call, record: Record) -> None:
        """Size and version say nothing here; what is in the middle of something is not changed."""
        self._require_idle(record)
        record["TrackingServerStatus"] = "Updated"

    @operation("StartMlflowTrackingServer")
    def start(self, call: Call) -> dict[str, Any]:
        """Start one that is stopped; its runs are still there."""
        record = self.records["MlflowTrackingServer"].require(call)
        self._require_idle(record)
        if record["IsActive"] == "Active":
            raise self._conflict(record, "is active already")
        self._set(call.account, call.region, record, TrackingServerStatus="Starting")
        self._begin("start", call, record, "Started", "StartFailed")
        return {"TrackingServerArn": record["TrackingServerArn"]}

    @operation("StopMlflowTrackingServer")
    def stop(self, call: Call) -> dict[str, Any]:
        """Stop the process; the SQLite file stays."""
        record = self.records["MlflowTrackingServer"].require(call)
        self._require_idle(record)
        if record["IsActive"] != "Active":
            raise self._conflict(record, "is not active")
        self._set(call.account, call.region, record, TrackingServerStatus="Stopping")

        def end() -> None:
            self._end(record["TrackingServerArn"])
            self._set(call.account, call.region, record, TrackingServerStatus="Stopped", IsActive="Inactive")

        self.cloud.task(f"stop {record['TrackingServerArn']}", end)
        return {"TrackingServerArn": record["TrackingServerArn"]}

    @operation("CreatePresignedMlflowTrackingServerUrl")
    def presign(self, call: Call) -> dict[str, Any]:
        """An address of MLflow's pages that opens once, within its time. A session has no end of its own here."""
        record = self.records["MlflowTrackingServer"].require(call)
        if record["IsActive"] != "Active":
            raise self._conflict(record, "is not active")
        token, seconds = secrets.token_urlsafe(32), call.input.get("ExpiresInSeconds", _TICKET_SECONDS)
        self._tickets[token] = Ticket(
            record["TrackingServerArn"], call.account, call.region, call.principal, time.monotonic() + seconds
        )
        return {"AuthorizedUrl": f"{self.cloud.endpoint}{AUTH}?authToken={token}"}

    @hook("MlflowTrackingServer", "before_delete")
    def refuse_deletion_while_busy(self, call: Call, record: Record) -> None:
        """What is in the middle of something is not deleted."""
        self._require_idle(record)

    @hook("MlflowTrackingServer", "after_delete")
    def remove(self, call: Call, record: Record) -> None:
        """The process goes, and the list of runs with it; artifacts are in their bucket."""
        self._end(record["TrackingServerArn"])
        shutil.rmtree(self._home(call.account, call.region, record), ignore_errors=True)

    def recover(self) -> None:
        """After a restart: serve again what was active; go on with what was being made or started."""
        for account, region, record in self.records["MlflowTrackingServer"].all():
            status, arn = record["TrackingServerStatus"], record["TrackingServerArn"]
            if status == "Stopping":
                self._set(account, region, record, TrackingServerStatus="Stopped", IsActive="Inactive")
            elif status in ("Creating", "Starting"):
                done, failed = ("Created", "CreateFailed") if status == "Creating" else ("Started", "StartFailed")
                self.cloud.task(f"resume {arn}", self._bring_up, account, region, record, done, failed)
            elif record["IsActive"] == "Active":
                self.cloud.task(f"resume {arn}", self._bring_up, account, region, record, status, "StartFailed")

    # ---- for the data plane

    def url(self, arn: str, account: str) -> str:
        """Where the server of an ARN answers; one that is coming up again is waited for.

        Raises:
            Fault: there is none, it is somebody else's, or it does not run.
        """
        found = self.records["MlflowTrackingServer"].by_arn(arn)
        if found is None or found[0] != account:
            raise Fault("RESOURCE_DOES_NOT_EXIST", f"Tracking server {arn} does not exist.", 404)
        if found[2]["IsActive"] != "Active":
            status = found[2]["TrackingServerStatus"]
            raise Fault("INVALID_STATE", f"Tracking server {arn} is not active; its status is {status}.", 400)
        with self._changed:
            self._changed.wait_for(lambda: arn in self._serving or self.cloud.stopping.is_set(), timeout=_START_SECONDS)
            serving = self._serving.get(arn)
        if serving is None:
            raise Fault("TEMPORARILY_UNAVAILABLE", f"Tracking server {arn} has no process that runs.", 503)
        if not serving.child.alive():
            serving = self._revive(*found)
        return serving.url

    def redeem(self, token: str) -> Ticket:
        """Take a signed address; it opens once.

        Raises:
            Fault: there is none, it was opened already, or its time is over.
        """
        ticket = self._tickets.pop(token, None)
        if ticket is None or ticket.until < time.monotonic():
            raise Fault(
                "PERMISSION_DENIED", "The address was opened already, or its time is over: ask for another.", 403
            )
        return ticket

    # ---- inside

    def _begin(self, verb: str, call: Call, record: Record, done: str, failed: str) -> None:
        name = f"{verb} {record['TrackingServerArn']}"
        self.cloud.task(name, self._bring_up, call.account, call.region, record, done, failed)

    def _bring_up(self, account: str, region: str, record: Record, done: str, failed: str) -> None:
        try:
            self._keep(record["TrackingServerArn"], self._launch(account, region, record))
        except (ServerError, OSError) as error:
            if not self.cloud.stopping.is_set():
                jobs.logger.warning("%s does not come up: %s", record["TrackingServerArn"], error)
                self._set(account, region, record, TrackingServerStatus=failed, IsActive="Inactive")
            return
        self._set(account, region, record, TrackingServerStatus=done, IsActive="Active")

    def _revive(self, account: str, region: str, record: Record) -> Serving:
        """Another process in place of one that died."""
        arn = record["TrackingServerArn"]
        with self._changed:
            serving = self._serving.get(arn)
            if serving is not None and serving.child.alive():
                return serving
            try:
                self._serving[arn] = self._launch(account, region, record)
            except (ServerError, OSError) as error:
                raise Fault("TEMPORARILY_UNAVAILABLE", f"Tracking server {arn}: {error}", 503) from error
            return self._serving[arn]

    def _launch(self, account: str, region: str, record: Record) -> Serving:
        home = self._home(account, region, record)
        home.mkdir(parents=True, exist_ok=True)
        port = _free_port()
        child = self.cloud.processes.spawn(
            [
                sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}",
                "--default-artifact-root", record["ArtifactStoreUri"], "--no-serve-artifacts",
                "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            ],
            env={**{name: os.environ[name] for name in _LENT if name in os.environ}, **_SETTINGS},
            cwd=home,
            log_path=home / "log",
            key=jobs.process_key("mlflow", account, region, record["TrackingServerName"]),
        )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while child.alive() and time.monotonic() < deadline and not self.cloud.stopping.wait(_POLL_SECONDS):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).is_success:
                    return Serving(child, port)
            except httpx.HTTPError:
                continue
        child.stop()
        last = (home / "log").read_text(errors="replace").strip().splitlines()[-3:]
        raise ServerError(f"mlflow server does not answer; its log ends: {' '.join(last)}")

    def _keep(self, arn: str, serving: Serving) -> None:
        with self._changed:
            self._serving[arn] = serving
            self._changed.notify_all()

    def _end(self, arn: str) -> None:
        with self._changed:
            serving = self._serving.pop(arn, None)
        if serving is not None:
            serving.child.stop()

    def _home(self, account: str, region: str, record: Record) -> Path:
        name = str(record["TrackingServerName"])
        return Path(self.cloud.home, "sagemaker", "mlflow", account, region, name)

    def _set(self, account: str, region: str, record: Record, **members: str) -> None:
        def change(stored: Record) -> None:
            stored.update(members)

        servers = self.records["MlflowTrackingServer"]
        servers.update(account, region, record["TrackingServerName"], change)

    def _require_idle(self, record: Record) -> None:
        stored = self.records["MlflowTrackingServer"].by_arn(record["TrackingServerArn"])
        status = stored[2]["TrackingServerStatus"] if stored else ""
        if status in _BUSY:
            raise self._conflict(record, f"is {status}")

    @staticmethod
    def _conflict(record: Record, why: str) -> Fault:
        return Fault("ConflictException", f"Tracking server {record['TrackingServerName']} {why}.", 409)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
