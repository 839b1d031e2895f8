"""Endpoints: servers brought up from an endpoint configuration, and replaced whole by an update."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Call, Fault, ResourceContext, operation
from localcloud.records import PlugIn, Record, hook
from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.endpoint_fleet import Fleet, FleetError, FleetMaker, Variant, shown_variants

_EVENT = "SageMaker Endpoint State Change"
_BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_POLL_SECONDS = 0.1


class Endpoints(PlugIn):
    """The behaviour of Endpoint."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._maker = FleetMaker(self.cloud, self._find_package)
        self._fleets: dict[str, Fleet] = {}
        self._changed = threading.Condition()

    # ---- operations

    @hook("Endpoint", "before_create")
    def check(self, call: Call, record: Record) -> None:
        """Refuse a configuration that is missing or cannot be served."""
        config = self._config(call, record["EndpointConfigName"])
        _check_deployment("CreateEndpoint", record)
        _check_config("CreateEndpoint", config)
        record["EndpointStatus"] = "Creating"
        record["_Config"] = config

    @hook("Endpoint", "after_create")
    def start(self, call: Call, record: Record) -> None:
        """Bring the servers up in the background."""
        self._emit(call.account, call.region, record)
        self.cloud.task(
            f"create {record['EndpointArn']}", self._create, call.account, call.region, record["EndpointName"]
        )

    @operation("UpdateEndpoint")
    def update(self, call: Call) -> dict[str, Any]:
        """Replace all servers by those of another configuration, in the background and all at once."""
        endpoints = self.records["Endpoint"]
        record = endpoints.require(call)
        config = self._config(call, call.input["EndpointConfigName"])
        _check_deployment("UpdateEndpoint", call.input)
        _check_config("UpdateEndpoint", config)
        weights = {}
        if call.input.get("RetainAllVariantProperties"):
            excluded = [
                item["VariantPropertyType"] for item in call.input.get("ExcludeRetainedVariantProperties") or []
            ]
            if "DesiredWeight" not in excluded:
                weights = {item["VariantName"]: item["DesiredWeight"] for item in record.get("ProductionVariants", [])}

        def change(stored: Record) -> None:
            _require_idle(stored)
            stored["EndpointStatus"] = "Updating"
            if call.input.get("DeploymentConfig"):
                stored["LastDeploymentConfig"] = call.input["DeploymentConfig"]

        updating = endpoints.update(call.account, call.region, record["EndpointName"], change)
        assert updating is not None
        self._emit(call.account, call.region, updating)
        policy = (call.input.get("DeploymentConfig") or {}).get("BlueGreenUpdatePolicy") or {}
        wait = policy.get("TerminationWaitInSeconds", 0)
        self.cloud.task(
            f"update {record['EndpointArn']}",
            self._replace, call.account, call.region, record["EndpointName"], config, weights, wait,
        )  # fmt: skip
        return {"EndpointArn": record["EndpointArn"]}

    @operation("UpdateEndpointWeightsAndCapacities")
    def update_weights(self, call: Call) -> dict[str, Any]:
        """Set the variants' share of the traffic; the number of instances is kept, one server runs."""
        record = self.records["Endpoint"].require(call)
        wanted = {item["VariantName"]: item for item in call.input["DesiredWeightsAndCapacities"]}
        if any("ServerlessUpdateConfig" in item for item in wanted.values()):
            raise _not_served("UpdateEndpointWeightsAndCapacities", "ServerlessUpdateConfig")
        known = [item["VariantName"] for item in record.get("ProductionVariants", [])]
        strangers = sorted(set(wanted) - set(known))
        if strangers:
            raise Fault(
                "ValidationException",
                f"Variants {', '.join(strangers)} are not in endpoint {record['EndpointArn']}; "
                f"there are {', '.join(known)}.",
            )

        def change(stored: Record) -> None:
            _require_idle(stored)
            stored["EndpointStatus"] = "Updating"

        updating = self.records["Endpoint"].update(call.account, call.region, record["EndpointName"], change)
        assert updating is not None
        self._emit(call.account, call.region, updating)

        def apply(stored: Record) -> None:
            for item in stored["ProductionVariants"]:
                new = wanted.get(item["VariantName"], {})
                if "DesiredWeight" in new:
                    item["CurrentWeight"] = item["DesiredWeight"] = float(new["DesiredWeight"])
                if "DesiredInstanceCount" in new:
                    item["CurrentInstanceCount"] = item["DesiredInstanceCount"] = new["DesiredInstanceCount"]
            stored["EndpointStatus"] = "InService"

        self.cloud.task(f"weights {record['EndpointArn']}", self._set, call.account, call.region, record, apply)
        return {"EndpointArn": record["EndpointArn"]}

    @hook("Endpoint", "before_delete")
    def begin_delete(self, call: Call, record: Record) -> None:
        """An endpoint that is being changed is not deleted; otherwise its servers are ended in the background."""
        if record["EndpointStatus"] in _BUSY:
            raise Fault("ValidationException", f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
        record["EndpointStatus"] = "Deleting"
        record["_keep"] = True
        self._emit(call.account, call.region, record)
        self.cloud.task(f"delete {record['EndpointArn']}", self._delete, call.account, call.region, dict(record))

    # ---- for sagemaker-runtime

    @contextmanager
    def taken(self, account: str, region: str, name: str, target: str | None) -> Iterator[Variant]:
        """The variant that is to answer an invocation; an update waits for it before it ends the server.

        Raises:
            Fault: no such endpoint serves.
        """
        variant = self._route(account, region, name, target)
        while not variant.take():  # it was replaced just now
            time.sleep(0.01)
            variant = self._route(account, region, name, target)
        try:
            yield variant
        finally:
            variant.give_back()

    def _route(self, account: str, region: str, name: str, target: str | None) -> Variant:
        """By TargetVariant or by the weights."""
        record = self.records["Endpoint"].get(account, region, name)
        if record is None or "ProductionVariants" not in record:
            raise Fault("ValidationError", f"Endpoint {name} of account {account} not found.")
        fleet = self._serving(record)
        if target:
            if target not in fleet.variants:
                listed = ", ".join(fleet.variants)
                raise Fault("ValidationError", f"Variant {target} not found in endpoint {name}; there are {listed}.")
            return fleet.variants[target]
        shares = [(item["VariantName"], item["CurrentWeight"]) for item in record["ProductionVariants"]]
        shares = [(variant, share) for variant, share in shares if variant in fleet.variants]
        if not any(share for _, share in shares):
            raise Fault("ValidationError", f"All variants of endpoint {name} have weight 0; name one by TargetVariant.")
        chosen = random.choices([item[0] for item in shares], [item[1] for item in shares])[0]  # noqa: S311
        return fleet.variants[chosen]

    def revive(self, variant: Variant) -> None:
        """Start a variant's server again if it has died.

        Raises:
            Fault: it does not come up again.
        """
        try:
            self._maker.revive(variant)
        except FleetError as error:
            raise Fault("ServiceUnavailable", str(error), 503) from error

    def _serving(self, record: Record) -> Fleet:
        """The endpoint's fleet; shortly after a restart of the local cloud, it is waited for."""
        arn = record["EndpointArn"]
        with self._changed:
            self._changed.wait_for(lambda: arn in self._fleets or self.cloud.stopping.is_set(), timeout=50)
            fleet = self._fleets.get(arn)
        if fleet is None:
            raise Fault("ServiceUnavailable", f"Endpoint {record['EndpointName']} has no server that runs.", 503)
        return fleet

    # ---- in the background

    def _create(self, account: str, region: str, name: str) -> None:
        record = self.records["Endpoint"].get(account, region, name)
        assert record is not None
        self._deploy(account, region, record, record["_Config"], {}, "Failed", 0)

    def _replace(
        self, account: str, region: str, name: str, config: Record, weights: Mapping[str, float], wait: float
    ) -> None:
        record = self.records["Endpoint"].get(account, region, name)
        assert record is not None
        self._deploy(account, region, record, config, weights, "InService", wait)

    def _deploy(
        self, account: str, region: str, record: Record, config: Record, weights: Mapping[str, float],
        otherwise: str, wait: float,
    ) -> None:  # fmt: skip
        """Bring up a new fleet and let it take over. If it does not come up, all stays as it was (`otherwise`)."""
        arn = record["EndpointArn"]
        try:
            models = self._models(account, region, config)
            fleet = self._maker.start(account, region, record["EndpointName"], config, models)
        except Exception as error:
            if self.cloud.stopping.is_set():
                return
            if not isinstance(error, FleetError | Fault):
                jobs.logger.exception("endpoint %s failed inside the local cloud", arn)
            reason = error.message if isinstance(error, Fault) else str(error) or type(error).__name__

            def fail(stored: Record) -> None:
                stored.update(EndpointStatus=otherwise, FailureReason=reason[: jobs.REASON_LIMIT])

            self._set(account, region, record, fail)
            return
        if self.cloud.stopping.is_set():
            return
        with self._changed:
            old = self._fleets.get(arn)
            self._fleets[arn] = fleet
            self._changed.notify_all()
        variants = shown_variants(config, fleet, weights)

        def shift(stored: Record) -> None:
            stored.update(EndpointConfigName=config["EndpointConfigName"], ProductionVariants=variants)
            stored.update(_Config=config, _Models=models)  # what serves is kept, whatever becomes of the model

        def succeed(stored: Record) -> None:
            stored["EndpointStatus"] = "InService"
            stored.pop("FailureReason", None)

        self.records["Endpoint"].update(account, region, record["EndpointName"], shift)
        if old is not None:
            self.cloud.stopping.wait(wait)
            old.stop()
        self._set(account, region, record, succeed)

    def _delete(self, account: str, region: str, record: Record) -> None:
        with self._changed:
            fleet = self._fleets.pop(record["EndpointArn"], None)
        if fleet is not None:
            fleet.stop()
        # The record is kept as Deleting by the engine only after the hook that started this thread.
        for _ in range(50):
            stored = self.records["Endpoint"].get(account, region, record["EndpointName"])
            if stored is None or stored["EndpointStatus"] == "Deleting":
                break
            time.sleep(0.02)
        self.records["Endpoint"].delete(account, region, record["EndpointName"])

    def _set(self, account: str, region: str, record: Record, change: Any) -> None:
        stored = self.records["Endpoint"].update(account, region, record["EndpointName"], change)
        if stored:
            self._emit(account, region, stored)

    def recover(self) -> None:
        """After a restart: serve again what was in service, go on with what was being created."""
        for account, region, record in self.records["Endpoint"].all():
            status = record["EndpointStatus"]
            if status == "Deleting":
                self.records["Endpoint"].delete(account, region, record["EndpointName"])
            elif status == "Creating":
                name = record["EndpointName"]
                self.cloud.task(f"create {record['EndpointArn']}", self._create, account, region, name)
            elif status in ("InService", "Updating"):
                self.cloud.task(f"resume {record['EndpointArn']}", self._resume, account, region, record)

    def _resume(self, account: str, region: str, record: Record) -> None:
        weights = {item["VariantName"]: item["DesiredWeight"] for item in record["ProductionVariants"]}
        interrupted = record["EndpointStatus"] == "Updating"
        try:
            fleet = self._maker.start(account, region, record["EndpointName"], record["_Config"], record["_Models"])
        except (FleetError, Fault) as error:
            if self.cloud.stopping.is_set():
                return
            reason = f"After a restart of the local cloud: {error}"
            self._set(
                account, region, record,
                lambda stored: stored.update(EndpointStatus="Failed", FailureReason=reason[: jobs.REASON_LIMIT]),
            )  # fmt: skip
            return
        with self._changed:
            self._fleets[record["EndpointArn"]] = fleet
            self._changed.notify_all()
        if interrupted:
            variants = shown_variants(record["_Config"], fleet, weights)
            self._set(
                account, region, record,
                lambda stored: stored.update(
                    EndpointStatus="InService", ProductionVariants=variants, FailureReason=jobs.RESTARTED
                ),
            )  # fmt: skip

    # ---- inside

    def _config(self, call: Call, name: str) -> Record:
        return self.records["EndpointConfig"].require(call, EndpointConfigName=name)

    def _models(self, account: str, region: str, config: Record) -> dict[str, Record]:
        models = {}
        for variant in config["ProductionVariants"]:
            model = self.records["Model"].get(account, region, variant["ModelName"])
            if model is None:
                raise FleetError(f"Could not find model {variant['ModelName']} of variant {variant['VariantName']}.")
            if len(model.get("Containers") or []) > 1:
                raise FleetError(
                    f"Model {model['ModelName']} is an inference pipeline of {len(model['Containers'])} containers, "
                    "which is not served by the local cloud."
                )
            models[variant["ModelName"]] = model
        return models

    def _find_package(self, arn: str) -> Record | None:
        found = self.records["ModelPackage"].by_arn(arn)
        return found[2] if found else None

    def _emit(self, account: str, region: str, record: Record) -> None:
        state = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", record["EndpointStatus"]).upper()
        jobs.emit(self.cloud, _EVENT, {**record, "EndpointStatus": state}, record["EndpointArn"], account, region)


def _require_idle(record: Record) -> None:
    if record["EndpointStatus"] in _BUSY:
        raise Fault("ValidationException", f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
    if record["EndpointStatus"] != "InService":
        raise Fault(
            "ValidationException",
            f'Cannot update endpoint "{record["EndpointArn"]}": its status is {record["EndpointStatus"]}. '
            "Delete it and create it anew.",
        )


def _not_served(operation_name: str, what: str) -> Fault:
    return Fault("NotImplemented", f"SageMaker {operation_name} with {what} is not served by the local cloud", 501)


def _check_deployment(operation_name: str, request: Mapping[str, Any]) -> None:
    """Only a shift of all traffic at once is served."""
    deployment = request.get("DeploymentConfig") or {}
    for member in ("RollingUpdatePolicy", "AutoRollbackConfiguration"):
        if deployment.get(member):
            raise _not_served(operation_name, f"DeploymentConfig.{member}")
    routing = (deployment.get("BlueGreenUpdatePolicy") or {}).get("TrafficRoutingConfiguration") or {}
    if routing.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
        raise _not_served(operation_name, f"traffic routing {routing['Type']}; use ALL_AT_ONCE")


def _check_config(operation_name: str, config: Record) -> None:
    for member in ("ShadowProductionVariants", "AsyncInferenceConfig", "ExplainerConfig"):
        if config.get(member):
            raise _not_served(operation_name, f"{member} ({config['EndpointConfigName']})")
    if (config.get("DataCaptureConfig") or {}).get("EnableCapture", bool(config.get("DataCaptureConfig"))):
        raise _not_served(operation_name, f"DataCaptureConfig ({config['EndpointConfigName']})")
    for variant in config["ProductionVariants"]:
        where = f"variant {variant['VariantName']} of {config['EndpointConfigName']}"
        if variant.get("ServerlessConfig"):
            raise _not_served(operation_name, f"ServerlessConfig ({where})")
        if not variant.get("ModelName"):
            raise _not_served(operation_name, f"inference components ({where} has no ModelName)")


def endpoint_ready(context: ResourceContext, name: str) -> None:
    """For CloudFormation: wait until an endpoint is in service with what was asked for.

    Raises:
        RuntimeError: with the endpoint's FailureReason, also when an update was rolled back.
    """
    client = context.client("sagemaker")
    while not context.cloud.stopping.wait(_POLL_SECONDS):
        try:
            found = client.describe_endpoint(EndpointName=name)
        except ClientError as error:
            raise RuntimeError(error.response["Error"]["Message"]) from error
        if found["EndpointStatus"] not in _BUSY:
            if found["EndpointStatus"] != "InService" or found.get("FailureReason"):
                raise RuntimeError(
                    f"Endpoint {name} is {found['EndpointStatus']}: {found.get('FailureReason', 'no reason given')}"
                )
            return


def endpoint_deleted(context: ResourceContext, name: str) -> None:
    """For CloudFormation: wait until an endpoint is gone."""
    client = context.client("sagemaker")
    while not context.cloud.stopping.wait(_POLL_SECONDS):
        try:
            client.describe_endpoint(EndpointName=name)
        except ClientError:
            return
