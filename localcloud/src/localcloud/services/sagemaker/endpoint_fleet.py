"""The servers behind an endpoint: for each variant one process, started from the model's image."""

from __future__ import annotations

import secrets
import shutil
import socket
import tarfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from localcloud.core import Cloud, Fault, now
from localcloud.runtime.types import ImageNotFound, RunSpec
from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.jobs import JobError, LogStream, RoleSession

if TYPE_CHECKING:
    from localcloud.records import Record
    from localcloud.runtime.types import Handle, Image
    from localcloud.services.sagemaker.job_runner import Job

LOG_GROUP = "/aws/sagemaker/Endpoints"
_PORT = 8080
_HEALTH_SECONDS = 480.0  # a container has eight minutes to answer /ping unless its variant says otherwise
_PING_TIMEOUT = 2.0
_DRAIN_SECONDS = 60.0  # what an invocation may take at most
_ROLE_OUT_OF_REACH = "and that the role passed to CreateModel has permissions to download the object."


class FleetError(Exception):
    """Why an endpoint could not be brought up, in the words of its FailureReason."""


@dataclass(frozen=True)
class Container:
    """What a model says about its container."""

    image: str
    data_url: str
    is_archive: bool
    environment: Mapping[str, str]


@dataclass
class Variant:
    """A production variant that serves."""

    name: str
    model: Record
    container: Container
    config: Mapping[str, Any]
    instance: str
    home: Path
    key: str
    role: RoleSession
    logs: LogStream
    image: Image | None = None
    handle: Handle | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False
    _asked: int = 0
    _idle: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """Where the server listens."""
        assert self.handle is not None
        return f"http://127.0.0.1:{self.handle.port}"

    def take(self) -> bool:
        """Begin an invocation; False where the variant takes none any more."""
        with self._idle:
            if not self.closed:
                self._asked += 1
            return not self.closed

    def give_back(self) -> None:
        """End an invocation."""
        with self._idle:
            self._asked -= 1
            self._idle.notify_all()

    def drain(self, seconds: float) -> None:
        """Take no more invocations and let those that run come to their end."""
        with self._idle:
            self.closed = True
            self._idle.wait_for(lambda: self._asked == 0, timeout=seconds)


@dataclass
class Fleet:
    """All variants of an endpoint configuration, running."""

    config_name: str
    variants: dict[str, Variant]

    def stop(self) -> None:
        """End all servers, each after the invocations that it has taken."""
        for variant in self.variants.values():
            variant.drain(_DRAIN_SECONDS)
            with variant.lock:
                if variant.handle is not None:
                    variant.handle.stop()
            variant.logs.close()
            shutil.rmtree(variant.home, ignore_errors=True)


class FleetMaker:
    """Starts fleets and keeps their servers alive."""

    def __init__(self, cloud: Cloud, find_package: Any) -> None:
        self.cloud = cloud
        self._find_package = find_package
        self._http = httpx.Client(timeout=_PING_TIMEOUT)

    def start(self, account: str, region: str, endpoint: str, config: Record, models: Mapping[str, Record]) -> Fleet:
        """Bring up every variant of a configuration and wait until all answer /ping.

        Raises:
            FleetError: one did not; none is left running.
        """
        fleet = Fleet(config["EndpointConfigName"], {})
        errors: list[str] = []
        try:
            for item in config["ProductionVariants"]:
                name = item["VariantName"]
                fleet.variants[name] = self._prepare(account, region, endpoint, item, models[item["ModelName"]])
            threads = [
                self.cloud.task(f"endpoint/{endpoint}/{name}", self._try_launch, variant, errors)
                for name, variant in fleet.variants.items()
            ]
            for thread in threads:
                thread.join()
            if errors:
                raise FleetError("; ".join(errors))
        except (JobError, Fault, ImageNotFound) as error:
            fleet.stop()
            raise FleetError(error.message if isinstance(error, Fault) else str(error)) from error
        except BaseException:
            fleet.stop()
            raise
        for variant in fleet.variants.values():
            self.cloud.task(f"watch/{variant.key}", self._watch, variant)
        return fleet

    def serve_for(self, job: Job, model: Record, environment: Mapping[str, str]) -> Variant:
        """The server of a batch transform job, in the job's directory and with its log. The caller stops it.

        Raises:
            FleetError: it does not come up; ImageNotFound: there is no such image.
        """
        found = self._container(model)
        container = replace(found, environment={**found.environment, **environment})
        variant = Variant("AllTraffic", model, container, {}, "", job.home, job.key, job.role, job.logs)
        variant.image = self.cloud.runtime.resolve(container.image, job.role.credentials)
        self._fetch_model(variant)
        self._launch(variant, job.stopped)
        return variant

    def revive(self, variant: Variant) -> None:
        """Start a server again that has died, as AWS replaces a failed instance.

        Raises:
            FleetError: it does not come up again.
        """
        with variant.lock:
            if not variant.closed and (variant.handle is None or not variant.handle.alive()):
                self._launch(variant)

    def _prepare(self, account: str, region: str, endpoint: str, config: Mapping[str, Any], model: Record) -> Variant:
        name = config["VariantName"]
        instance = "i-" + secrets.token_hex(8) + secrets.token_hex(1)[:1]
        folder = f"{endpoint}.{name}.{instance}"
        role_arn = model.get("ExecutionRoleArn")
        if not role_arn:
            raise FleetError(f"Model {model['ModelName']} has no ExecutionRoleArn: its image and data cannot be read.")
        role = jobs.assume(self.cloud, role_arn, region)
        variant = Variant(
            name, model, self._container(model), config, instance,
            home=jobs.directory(self.cloud, "endpoints", account, region, folder),
            key=jobs.process_key("endpoint", account, region, folder),
            role=role,
            logs=LogStream(self.cloud, account, region, f"{LOG_GROUP}/{endpoint}", f"{name}/{instance}", role),
        )  # fmt: skip
        try:
            variant.image = self.cloud.runtime.resolve(variant.container.image, variant.role.credentials)
            self._fetch_model(variant)
        except BaseException:
            variant.logs.close()
            shutil.rmtree(variant.home, ignore_errors=True)
            raise
        return variant

    def _container(self, model: Record) -> Container:
        definition = model.get("PrimaryContainer") or (model.get("Containers") or [{}])[0]
        environment = dict(definition.get("Environment") or {})
        package_name = definition.get("ModelPackageName")
        if package_name:
            definition = self._packaged(package_name, definition.get("InferenceSpecificationName"))
            environment = {**(definition.get("Environment") or {}), **environment}
        source = (definition.get("ModelDataSource") or {}).get("S3DataSource")
        if source:
            return Container(definition["Image"], source["S3Uri"], source["CompressionType"] == "Gzip", environment)
        return Container(definition["Image"], definition.get("ModelDataUrl", ""), True, environment)

    def _packaged(self, name: str, specification: str | None) -> Mapping[str, Any]:
        package = self._find_package(name)
        if package is None:
            raise FleetError(f"Could not find model package {name}.")
        found = package.get("InferenceSpecification") or {}
        if specification:
            listed = package.get("AdditionalInferenceSpecifications") or []
            found = next((item for item in listed if item["Name"] == specification), {})
        containers: list[Mapping[str, Any]] = found.get("Containers") or []
        if len(containers) != 1:
            raise FleetError(f"Model package {name} has {len(containers)} containers; the local cloud serves one.")
        return containers[0]

    def _fetch_model(self, variant: Variant) -> None:
        target = variant.home / "model"
        target.mkdir(parents=True, exist_ok=True)
        url = variant.container.data_url
        if not url:
            return
        download = variant.home / "download"
        try:
            jobs.download(variant.role, url, "S3Prefix", download if variant.container.is_archive else target, "")
        except JobError as error:
            raise FleetError(
                f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that '
                f"there is an object located at the URL {_ROLE_OUT_OF_REACH} ({error})"
            ) from error
        if variant.container.is_archive:
            try:
                for path in download.iterdir():
                    with tarfile.open(path) as tar:
                        tar.extractall(target, filter="data")
            except (tarfile.TarError, OSError) as error:
                raise FleetError(
                    f'Failed to extract model data for container "container_1" from URL: "{url}". It must be a '
                    f"gzipped tar archive: {error}"
                ) from error
            shutil.rmtree(download)

    def _try_launch(self, variant: Variant, errors: list[str]) -> None:
        try:
            with variant.lock:
                self._launch(variant)
        except FleetError as error:
            errors.append(str(error))
        except Exception as error:
            jobs.logger.exception("variant %s could not be started", variant.key)
            errors.append(f"Request to service failed: {type(error).__name__}: {error}")

    def _launch(self, variant: Variant, stopped: threading.Event | None = None) -> None:
        """Start the server and wait for /ping, unless it is not wanted any more."""
        isolated = bool(variant.model.get("EnableNetworkIsolation"))
        environment = dict(variant.container.environment) | {
            "AWS_REGION": variant.role.region,
            "AWS_DEFAULT_REGION": variant.role.region,
            "SAGEMAKER_REGION": variant.role.region,
        }
        if not isolated:
            environment |= variant.role.credentials.environment(variant.role.region)
        assert variant.image is not None
        port = _free_port()
        variant.handle = self.cloud.runtime.start(
            RunSpec(
                image=variant.image,
                arguments=["serve"],
                environment=environment,
                mounts=[(variant.home, "/opt/ml")],
                ports={_PORT: port},
                key=variant.key,
                on_line=variant.logs.line,
            )
        )
        limit = float(variant.config.get("ContainerStartupHealthCheckTimeoutInSeconds") or _HEALTH_SECONDS)
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline and not self.cloud.stopping.is_set() and not variant.closed:
            if stopped is not None and stopped.is_set():
                break
            if self._answers(variant):
                return
            if not variant.handle.alive():
                time.sleep(0.2)  # its last words are still on their way
                raise FleetError(_unhealthy(variant, f"it ended with exit code {variant.handle.returncode()}"))
            time.sleep(0.05)
        variant.handle.stop()
        raise FleetError(_unhealthy(variant, f"it did not answer GET /ping with 200 within {limit:.0f} seconds"))

    def _answers(self, variant: Variant) -> bool:
        try:
            return self._http.get(f"{variant.url}/ping").status_code == 200
        except httpx.HTTPError:
            return False

    def _watch(self, variant: Variant) -> None:
        """Replace a server that dies, less and less often where it keeps dying."""
        pause = 0.5
        while not variant.closed and not self.cloud.stopping.wait(pause):
            if variant.closed or variant.handle is None or variant.handle.alive():
                pause = 0.5
                continue
            try:
                self.revive(variant)
                variant.logs.line("The server had ended and was started again.")
            except Exception as error:  # whatever it is, it is tried again
                jobs.logger.warning("%s does not come up again: %s", variant.key, error)
                pause = min(pause * 2, 30.0)


def _unhealthy(variant: Variant, why: str) -> str:
    last = "\n".join(list(variant.logs.last)[-5:])
    return (
        f"The primary container for production variant {variant.name} did not pass the ping health check: {why}. "
        f"Please check CloudWatch logs for this endpoint." + (f" Its last lines: {last}" if last else "")
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shown_variants(config: Record, fleet: Fleet, weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """ProductionVariants as DescribeEndpoint answers them."""
    listed = []
    for item in config["ProductionVariants"]:
        variant = fleet.variants[item["VariantName"]]
        assert variant.image is not None
        weight = float(weights.get(variant.name, item.get("InitialVariantWeight", 1.0)))
        count = item.get("InitialInstanceCount", 1)
        specified = variant.container.image
        resolved = f"{specified.partition('@')[0].rpartition(':')[0] or specified}@{variant.image.digest}"
        listed.append(
            {
                "VariantName": variant.name,
                "DeployedImages": [{"SpecifiedImage": specified, "ResolvedImage": resolved, "ResolutionTime": now()}],
                "CurrentWeight": weight,
                "DesiredWeight": weight,
                "CurrentInstanceCount": count,
                "DesiredInstanceCount": count,
            }
        )
    return listed
