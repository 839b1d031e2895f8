"""The work behind a record, in the background: the stack is made, changed or deleted, and the outcome written down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Call, Fault, now
from localcloud.services.servicecatalog import stacks
from localcloud.services.servicecatalog.base import Base, Document
from localcloud.services.servicecatalog.stacks import Launcher

log = logging.getLogger(__name__)

Key = tuple[str, str, str]  # account, region, record id


class Work(Base):
    """Runs what a request began, and takes it up again after a restart."""

    def start(self, call: Call, record: Document, launcher: Launcher, act: Callable[[Any], str | None]) -> None:
        """Begin: `act` asks CloudFormation and returns the stack's id, or None where there is nothing to change."""
        key = (call.account, call.region, record["RecordId"])
        self.cloud.task(f"service catalog {record['RecordId']}", self._work, key, launcher, act)

    def _work(self, key: Key, launcher: Launcher, act: Callable[[Any], str | None]) -> None:
        try:
            self.records.update(*key, lambda r: r | {"Status": "IN_PROGRESS", "UpdatedTime": now()})
            stack_id = act(launcher.client())
            self.settle(key, launcher, stack_id)
        except stacks.Stopping:
            return
        except ClientError as error:
            self.end(key, error.response["Error"]["Code"], error.response["Error"]["Message"])
        except Fault as fault:
            self.end(key, fault.code, fault.message)
        except Exception as error:
            if not self.cloud.stopping.is_set():
                log.exception("service catalog: %s failed", key[2])
                self.end(key, "InternalFailure", f"{type(error).__name__}: {error}")

    def settle(self, key: Key, launcher: Launcher, stack_id: str | None) -> None:
        """Wait for the stack and write down the outcome. No id: there was nothing to change."""
        record = self.records.get(*key)
        assert record is not None
        product_key = (key[0], key[1], record["ProvisionedProductId"])
        if stack_id is not None and record["RecordType"] == "PROVISION_PRODUCT":
            self.provisioned.update(*product_key, lambda p: p | {"PhysicalId": stack_id})
        provisioned = self.provisioned.get(*product_key) or {}
        stack = stacks.wait(launcher, stack_id or provisioned.get("PhysicalId", ""))
        ending = record["RecordType"] == "TERMINATE_PROVISIONED_PRODUCT"
        if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
            gone = "" if ending else "StackNotFound"
            self.end(key, gone, "" if ending else "The stack was deleted by someone else")
        elif stack_id is None or (stack["StackStatus"] in stacks.GOOD and not ending):
            self.end(key, outputs=stacks.outputs(stack))
        else:
            why = stacks.reason(launcher.client(), stack)
            self.end(key, stack["StackStatus"], why)

    def end(self, key: Key, code: str = "", why: str = "", outputs: list[dict[str, str]] | None = None) -> None:
        """Write down how it ended: a code means that it failed."""
        account, region, record_id = key
        with self.cloud.store.transaction():
            record = self.records.get(*key)
            if record is None or record["Status"] in ("SUCCEEDED", "FAILED"):
                return
            ending = record["RecordType"] == "TERMINATE_PROVISIONED_PRODUCT"
            record |= {"Status": "FAILED" if code else "SUCCEEDED", "UpdatedTime": now()}
            if code:
                record["RecordErrors"] = [{"Code": code, "Description": why}]
            record["Hidden"]["Outputs"] = outputs or []
            self.records.put(*key, record)
            product_key = (account, region, record["ProvisionedProductId"])
            if ending and (not code or record["Hidden"]["IgnoreErrors"]):
                self.provisioned.delete(*product_key)
                return

            def change(provisioned: Document) -> Document:
                if not code:
                    provisioned |= {
                        "Status": "AVAILABLE",
                        "LastSuccessfulProvisioningRecordId": record_id,
                        "ProvisioningArtifactId": record["ProvisioningArtifactId"],
                    }
                    provisioned["Hidden"]["Outputs"] = outputs or []
                    return provisioned
                # AWS: TAINTED is there but not as asked for; ERROR is not there, or does not run.
                tainted = record["RecordType"] != "PROVISION_PRODUCT" and not code.startswith(
                    ("UPDATE_ROLLBACK_FAILED", "StackNotFound")
                )
                return provisioned | {"Status": "TAINTED" if tainted else "ERROR", "StatusMessage": why}

            self.provisioned.update(*product_key, change)

    # -- after a restart ----------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Bring to an end what was under way when the process ended, by what became of the stack."""
        for account, region, record_id, record in self.records.all():
            # What this process itself has begun since its start needs no rescue.
            if record["Status"] in ("CREATED", "IN_PROGRESS") and record["CreatedTime"] < self.started:
                self.cloud.task(f"service catalog {record_id}", self._resume, (account, region, record_id), record)

    def _resume(self, key: Key, record: Document) -> None:
        account, region, _ = key
        provisioned = self.provisioned.get(account, region, record["ProvisionedProductId"]) or {}
        launcher = Launcher(self.cloud, account, region, None)  # looking at the stack needs no launch role
        name = provisioned.get("PhysicalId") or stack_name(account, record["ProvisionedProductId"])
        interrupted = "The local cloud was stopped before CloudFormation was asked"
        try:
            stack = stacks.find(launcher.client(), name)
            if record["RecordType"] == "TERMINATE_PROVISIONED_PRODUCT":
                if stack is not None and not stack["StackStatus"].startswith("DELETE_"):
                    self.end(key, "Interrupted", f"{interrupted} to delete the stack: terminate again")
                    return
            elif stack is None:
                again = "terminate the provisioned product and launch again"
                self.end(key, "Interrupted", f"{interrupted} to make the stack: {again}")
                return
            elif record["RecordType"] == "UPDATE_PROVISIONED_PRODUCT" and not _changed_since(stack, record):
                self.end(key, "Interrupted", f"{interrupted} to change the stack: update again")
                return
            self.settle(key, launcher, stack["StackId"] if stack else name)
        except stacks.Stopping:
            return
        except Exception as error:
            if not self.cloud.stopping.is_set():
                self.end(key, "Interrupted", f"The stack could not be looked at after a restart: {error}")


def stack_name(account: str, provisioned_id: str) -> str:
    """AWS's name of the stack of a provisioned product."""
    return f"SC-{account}-{provisioned_id}"


def _changed_since(stack: dict[str, Any], record: Document) -> bool:
    moment = stack.get("LastUpdatedTime") or stack["CreationTime"]
    return bool(moment.timestamp() >= int(record["CreatedTime"].timestamp()))
