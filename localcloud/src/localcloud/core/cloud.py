"""What services share: state, clients, identities, events, logs, child processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from localcloud.core import service_models, tags
from localcloud.core.errors import Fault
from localcloud.core.ids import now
from localcloud.core.processes import Processes
from localcloud.core.room import Room
from localcloud.core.store import Store

if TYPE_CHECKING:
    from localcloud.core.base import Base
    from localcloud.core.recorder import Recorder
    from localcloud.core.service import Service
    from localcloud.runtime import Runtime

logger = logging.getLogger("localcloud")

ACCOUNTS = ("111111111111", "222222222222", "333333333333")
REGION = "eu-west-1"
_CLIENT = Config(
    retries={"max_attempts": 1, "mode": "standard"},
    read_timeout=900,
    connect_timeout=10,
    max_pool_connections=20,
    s3={"addressing_style": "path"},
)
# Clients are made under a lock because sessions are not thread-safe.
_SESSION = service_models.session()
_SESSION_LOCK = threading.Lock()


def make_client(
    service: str, *, endpoint: str, region: str, access_key: str, secret_key: str, token: str | None
) -> Any:
    """A boto3 client on the local cloud."""
    with _SESSION_LOCK:
        return _SESSION.client(
            service, endpoint_url=endpoint, region_name=region, aws_access_key_id=access_key,
            aws_secret_access_key=secret_key, aws_session_token=token, config=_CLIENT,
        )  # fmt: skip


def _as_service(params: dict[str, Any], **_: Any) -> None:
    params["headers"][tags.HEADER] = tags.TOKEN


@dataclass(frozen=True)
class Credentials:
    """What STS hands out for a role."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    endpoint: str
    region: str
    role_arn: str = ""

    def environment(self, region: str | None = None) -> dict[str, str]:
        """The variables by which every AWS SDK and the `aws` command find endpoint, region and identity."""
        where = region or self.region
        variables = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": where,
            "AWS_DEFAULT_REGION": where,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The one API whose client takes its endpoint from nowhere else (sagemaker-mlflow).
            "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": f"{self.endpoint}/_sagemaker-mlflow",
        }
        if self.session_token:
            variables["AWS_SESSION_TOKEN"] = self.session_token
        return variables

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client of that identity."""
        return make_client(
            service, endpoint=self.endpoint, region=region or self.region, access_key=self.access_key,
            secret_key=self.secret_key, token=self.session_token,
        )  # fmt: skip


class Cloud:
    """The running local cloud, as services see it."""

    def __init__(self, home: Path, endpoint: str, region: str = REGION, accounts: Sequence[str] = ACCOUNTS) -> None:
        self.home = home
        self.endpoint = endpoint
        self.region = region
        self.accounts = tuple(accounts)
        self.room = Room(home)
        self.store = Store(home / "localcloud.sqlite", self.room.release)
        self.processes = Processes(self.store)
        self.stopping = threading.Event()
        self.services: dict[str, Service] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._session_clients: dict[tuple[str, str, str], tuple[str, Any]] = {}
        self._lock = threading.Lock()
        self.base: Base | None = None
        self.recorder: Recorder | None = None  # for calls that come by another way than the API, e.g. git's

    @cached_property
    def runtime(self) -> Runtime:
        """The container runtime that LOCALCLOUD_RUNTIME names."""
        from localcloud.runtime import create_runtime

        return create_runtime(self)

    def service(self, name: str) -> Any:
        """One of our services, for in-process use where no identity matters."""
        return self.services[name]

    def root(self, account: str, region: str | None = None) -> Credentials:
        """The account's root: its key is the account number."""
        return Credentials(account, "test", None, self.endpoint, region or self.region)

    def client(self, service: str, *, account: str, region: str | None = None) -> Any:
        """A boto3 client acting as the account's root. Clients are kept and are thread-safe."""
        key = (service, account, region or self.region)
        with self._lock:
            found = self._clients.get(key)
        if found is None:
            found = self.root(account, region).client(service)
            found.meta.events.register("before-call", _as_service)
            with self._lock:
                self._clients[key] = found
        return found

    def client_of(self, credentials: Credentials, service: str) -> Any:
        """A boto3 client of a session that CloudFormation acts with. Kept till the session's successor asks for one."""
        with self._lock:
            known = self._session_clients.get((service, credentials.role_arn, credentials.region))
        if known and known[0] == credentials.access_key:
            return known[1]
        made = credentials.client(service)
        made.meta.events.register("before-call", _as_service)
        with self._lock:
            self._session_clients[service, credentials.role_arn, credentials.region] = (credentials.access_key, made)
        return made

    def assume(
        self,
        role_arn: str,
        session_name: str,
        *,
        region: str | None = None,
        duration: int = 3600,
        tags: Mapping[str, str] | None = None,
        by: Credentials | None = None,
        service_principal: str | None = None,
        source_arn: str = "",
    ) -> Credentials:
        """Assume a role through STS as `by`, or as an AWS service (`service_principal`: "codebuild.amazonaws.com").

        Args:
            source_arn: the resource for which a service assumes the role, as AWS tells it in aws:SourceArn.

        Raises:
            Fault: AccessDenied when the role does not exist or its trust policy does not admit the caller.
        """
        from botocore.exceptions import ClientError

        account = role_arn.split(":")[4]
        if self.base is not None:
            self.base.identities.check_trust(role_arn, principal=by.role_arn if by else None, service=service_principal)
        caller = by or self.root(account, region)
        request: dict[str, Any] = {
            "RoleArn": role_arn,
            "RoleSessionName": session_name[:64],
            "DurationSeconds": duration,
        }
        if tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        try:
            answer = caller.client("sts", region).assume_role(**request)["Credentials"]
        except ClientError as error:
            raise Fault(error.response["Error"]["Code"], error.response["Error"]["Message"], 403) from error
        if service_principal and self.recorder is not None:
            self.recorder.assumed(role_arn, service_principal, source_arn, region or self.region)
        return Credentials(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], self.endpoint,
            region or self.region, role_arn,
        )  # fmt: skip

    def emit(
        self,
        *,
        source: str,
        detail_type: str,
        detail: Mapping[str, Any],
        resources: Sequence[str],
        account: str,
        region: str,
    ) -> None:
        """Put an AWS service's event on the account's default EventBridge bus. Delivery happens in the background."""
        if self.base is None:
            raise RuntimeError("the base is not started")
        self.base.events.emit(source, detail_type, dict(detail), list(resources), account, region)

    def forget(self, module: str, store: str, key: str, account: str, region: str) -> None:
        """Remove what ministack's API can make and not delete: an entry of one of its modules' dictionaries."""
        if self.base is None:
            raise RuntimeError("the base is not started")
        self.base.state.forget(module, store, key, account, region)

    def log(self, account: str, region: str, group: str, stream: str, lines: Iterable[str], client: Any = None) -> None:
        """Append lines to a CloudWatch Logs stream, which is created where it is missing; as the root, or `client`."""
        logs = client or self.client("logs", account=account, region=region)
        stamp = int(now().timestamp() * 1000)
        events = [{"timestamp": stamp, "message": line or " "} for line in lines]
        if not events:
            return
        try:
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        except logs.exceptions.ResourceNotFoundException:
            for create, names in (
                (logs.create_log_group, {"logGroupName": group}),
                (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
            ):
                try:
                    create(**names)
                except logs.exceptions.ResourceAlreadyExistsException:
                    continue
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    def task(self, name: str, function: Callable[..., Any], *args: Any) -> threading.Thread:
        """Run a function in the background; what it raises is logged."""

        def body() -> None:
            try:
                function(*args)
            except Exception:
                if not self.stopping.is_set():
                    logger.exception("background task %s failed", name)

        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Stop children and close the state."""
        self.stopping.set()
        for service in self.services.values():
            service.close()
        self.processes.close()
        self.store.close()
