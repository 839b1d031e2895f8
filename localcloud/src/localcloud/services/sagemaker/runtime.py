"""Amazon SageMaker Runtime: invocations go to the server of a variant, and are counted."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from datetime import datetime
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Call, Cloud, Fault, Service, now, operation
from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.endpoint_fleet import LOG_GROUP, Variant
from localcloud.services.sagemaker.endpoints import Endpoints

MOST_BYTES = 6291456  # of Body, both ways, in the service model
TIMEOUT_SECONDS = 60.0
_FLUSH_SECONDS = 5.0
_NOT_SERVED = (
    "TargetModel", "TargetContainerHostname", "EnableExplanations", "InferenceComponentName", "SessionId",
    "PrefixAwareId",
)  # fmt: skip
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


class SageMakerRuntime(Service):
    """InvokeEndpoint."""

    name = "sagemaker-runtime"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, limits=httpx.Limits(max_connections=64))
        self._metrics = Metrics(cloud)

    @property
    def endpoints(self) -> Endpoints:
        """The control plane's endpoints."""
        parts = self.cloud.service("sagemaker").parts
        return next(part for part in parts if isinstance(part, Endpoints))

    @operation("InvokeEndpoint")
    def invoke(self, call: Call) -> dict[str, Any]:
        """Send a body to a variant's /invocations and answer with what it answers."""
        began = time.monotonic()
        name = call.input["EndpointName"]
        for member in _NOT_SERVED:
            if call.input.get(member):
                raise Fault(
                    "NotImplemented",
                    f"SageMaker Runtime InvokeEndpoint with {member} is not served by the local cloud", 501,
                )  # fmt: skip
        body = call.input.get("Body", b"")
        body = body if isinstance(body, bytes) else str(body).encode()
        if len(body) > MOST_BYTES:
            raise Fault(
                "ValidationError",
                "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length "
                f"less than or equal to {MOST_BYTES}",
            )
        with self.endpoints.taken(call.account, call.region, name, call.input.get("TargetVariant")) as variant:
            sample = Sample(call.account, call.region, name, variant.name)
            try:
                answer = self._send(call, variant, body, sample)
                self._check(call, variant, answer, sample)
            finally:
                sample.overhead = (time.monotonic() - began) * 1e6 - sample.latency
                self._metrics.add(sample)
        found = {
            "Body": answer.content,
            "ContentType": answer.headers.get("content-type", "application/octet-stream"),
            "InvokedProductionVariant": variant.name,
            "CustomAttributes": answer.headers.get("x-amzn-sagemaker-custom-attributes"),
        }
        return {key: value for key, value in found.items() if value is not None}

    def _send(self, call: Call, variant: Variant, body: bytes, sample: Sample) -> httpx.Response:
        headers = {
            "Content-Type": call.input.get("ContentType", "application/octet-stream"),
            "Accept": call.input.get("Accept", "*/*"),
        }
        for member, header in (
            ("CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes"),
            ("InferenceId", "X-Amzn-SageMaker-Inference-Id"),
        ):
            if call.input.get(member):
                headers[header] = call.input[member]
        for attempt in (1, 2):
            if attempt == 2 or variant.handle is None or not variant.handle.alive():
                self.endpoints.revive(variant)  # and wait, if another one is being started
            began = time.monotonic()
            try:
                return self._http.post(f"{variant.url}/invocations", content=body, headers=headers)
            except httpx.TimeoutException:
                sample.status = 500
                raise self._model_error(call, variant, 0, _TIMED_OUT) from None
            except httpx.HTTPError as error:
                # A kept connection to a server that was killed, or its death in the middle: once more on a new one.
                if attempt == 2:
                    sample.status = 500
                    raise self._model_error(call, variant, 0, f"{type(error).__name__}: {error}") from error
                time.sleep(0.1)
            finally:
                sample.latency = (time.monotonic() - began) * 1e6
        raise AssertionError("unreachable")

    def _check(self, call: Call, variant: Variant, answer: httpx.Response, sample: Sample) -> None:
        sample.status = answer.status_code
        if len(answer.content) > MOST_BYTES:
            sample.status = 500
            size = f"the answer has {len(answer.content)} bytes, allowed are {MOST_BYTES}"
            raise self._model_error(call, variant, answer.status_code, size)
        if not answer.is_success:
            raise self._model_error(call, variant, answer.status_code, answer.text[:1024])

    def _model_error(self, call: Call, variant: Variant, status: int, message: str) -> Fault:
        group = f"{LOG_GROUP}/{call.input['EndpointName']}"
        whose = "client" if 400 <= status < 500 else "server"
        console = f"https://{call.region}.console.aws.amazon.com/cloudwatch/home?region={call.region}"
        return Fault(
            "ModelError",
            f'Received {whose} error ({status}) from primary with message "{message}". See {console}'
            f"#logEventViewer:group={group} in account {call.account} for more information.",
            424,
            OriginalStatusCode=status,
            OriginalMessage=message,
            LogStreamArn=f"arn:aws:logs:{call.region}:{call.account}:log-group:{group}",
        )

    def close(self) -> None:
        """Write the metrics that are left."""
        self._http.close()


class Sample:
    """What is measured of one invocation, in microseconds."""

    def __init__(self, account: str, region: str, endpoint: str, variant: str) -> None:
        self.account = account
        self.region = region
        self.endpoint = endpoint
        self.variant = variant
        self.status = 200
        self.latency = 0.0
        self.overhead = 0.0
        self.moment: datetime = now()

    def values(self) -> dict[str, tuple[float, str]]:
        """Metric → (value, unit), as AWS/SageMaker has them."""
        return {
            "Invocations": (1.0, "None"),
            "InvocationsPerInstance": (1.0, "None"),
            "Invocation4XXErrors": (float(400 <= self.status < 500), "None"),
            "Invocation5XXErrors": (float(self.status >= 500), "None"),
            "InvocationModelErrors": (float(not 200 <= self.status < 300), "None"),
            "ModelLatency": (self.latency, "Microseconds"),
            "OverheadLatency": (max(0.0, self.overhead), "Microseconds"),
        }


class Metrics:
    """CloudWatch metrics of invocations, put in batches in the background: an invocation does not wait for them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._samples: list[Sample] = []
        self._lock = threading.Lock()
        self._running = False

    def add(self, sample: Sample) -> None:
        """Count an invocation."""
        with self._lock:
            self._samples.append(sample)
            if not self._running:
                self._running = True
                self._cloud.task("sagemaker-runtime/metrics", self._run)

    def _run(self) -> None:
        """Flush now and then, until there is nothing left to flush."""
        while not self._cloud.stopping.wait(_FLUSH_SECONDS):
            with self._lock:
                samples, self._samples = self._samples, []
                if not samples:
                    self._running = False
                    return
            self._put(samples)

    def _put(self, samples: list[Sample]) -> None:
        groups: dict[tuple[str, str], dict[tuple[str, str, str, str], list[float]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for sample in samples:
            for metric, (value, unit) in sample.values().items():
                groups[sample.account, sample.region][sample.endpoint, sample.variant, metric, unit].append(value)
        for (account, region), series in groups.items():
            data = [
                {
                    "MetricName": metric,
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": endpoint},
                        {"Name": "VariantName", "Value": variant},
                    ],
                    "Timestamp": samples[-1].moment,
                    "Unit": unit,
                    "Values": values[start : start + 150],
                }
                for (endpoint, variant, metric, unit), values in series.items()
                for start in range(0, len(values), 150)
            ]
            client = self._cloud.client("cloudwatch", account=account, region=region)
            for start in range(0, len(data), 100):
                try:
                    client.put_metric_data(Namespace="AWS/SageMaker", MetricData=data[start : start + 100])
                except (ClientError, BotoCoreError) as error:
                    jobs.logger.warning("invocation metrics of account %s are lost: %s", account, error)
