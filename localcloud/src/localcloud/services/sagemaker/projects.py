"""SageMaker projects: a Service Catalog product, or CloudFormation templates, launched under a project's name.

As AWS does, the launch is the caller's: Service Catalog launches with the product's launch role, CloudFormation with
the role that the request names, or with the caller's own rights. The template gets `SageMakerProjectName` and
`SageMakerProjectId`, which it has to declare, and everything bears the tags `sagemaker:project-name` and `-id`.
A project that has been deleted is no longer described.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Call, Credentials, Fault, operation
from localcloud.records import PlugIn, Record, hook

BUSY = {"Pending", "CreateInProgress", "UpdateInProgress", "DeleteInProgress"}
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"}
_RESTARTED = "The local cloud was stopped while this was in progress."
_POLL_SECONDS = 0.2
Place = tuple[str, str, str]  # account, region, name


class Failed(Exception):
    """A launch, a change or an end that did not succeed, in the words of who did it."""


class Stopping(Exception):
    """The local cloud is stopping."""


class Projects(PlugIn):
    """Behaviour of Project."""

    @hook("Project", "before_create")
    def check(self, call: Call, record: Record) -> None:
        """A project is launched from one thing."""
        providers = record.pop("TemplateProviders", None) or []
        if bool(providers) is bool(record.get("ServiceCatalogProvisioningDetails")):
            raise _invalid("Give either ServiceCatalogProvisioningDetails or TemplateProviders.")
        record["ProjectStatus"] = "CreateInProgress"
        if providers:
            details = [dict(provider["CfnTemplateProvider"]) for provider in providers]
            record["TemplateProviderDetails"] = [{"CfnTemplateProviderDetail": detail} for detail in details]

    @hook("Project", "after_create")
    def create(self, call: Call, record: Record) -> None:
        """Launch in the background."""
        tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in call.input.get("Tags") or []]
        who, place = self._caller(call), self._place(call, record)

        def launch() -> None:
            stored = self._record(place)
            if stored.get("ServiceCatalogProvisioningDetails"):
                self._provision(who.client("servicecatalog"), place, stored, _tags(tags, stored))
            for index in range(len(stored.get("TemplateProviderDetails", []))):
                self._create_stack(who.client("cloudformation"), place, index, _tags(tags, stored))

        self._task("Create", place, launch)

    @operation("UpdateProject")
    def update(self, call: Call) -> dict[str, Any]:
        """Launch another version, or with other parameters, in the background."""
        records, given = self.records["Project"], call.input
        record = self._idle(call)
        details = given.get("ServiceCatalogProvisioningUpdateDetails")
        templates = [item["CfnTemplateProvider"] for item in given.get("TemplateProvidersToUpdate") or []]
        if details and not record.get("ServiceCatalogProvisioningDetails"):
            raise _invalid(f"Project {record['ProjectName']} was not launched from Service Catalog.")
        known = [
            item["CfnTemplateProviderDetail"]["TemplateName"] for item in record.get("TemplateProviderDetails", [])
        ]
        if strangers := sorted({item["TemplateName"] for item in templates} - set(known)):
            raise _invalid(f"Project {record['ProjectName']} has no template {', '.join(strangers)}.")

        def change(stored: Record) -> None:
            if "ProjectDescription" in given:
                stored["ProjectDescription"] = given["ProjectDescription"]
            if details or templates:
                stored["ProjectStatus"] = "UpdateInProgress"

        place = self._place(call, record)
        records.update(*place, change)
        if tags := given.get("Tags"):
            self.cloud.client("sagemaker", account=call.account, region=call.region).add_tags(
                ResourceArn=record["ProjectArn"], Tags=tags
            )
        if details or templates:
            who = self._caller(call)

            def launch() -> None:
                if details:
                    self._change(who.client("servicecatalog"), place, details)
                for item in templates:
                    self._change_stack(who.client("cloudformation"), place, known.index(item["TemplateName"]), item)

            self._task("Update", place, launch)
        return {"ProjectArn": record["ProjectArn"]}

    @hook("Project", "before_delete")
    def delete(self, call: Call, record: Record) -> None:
        """End what was launched, in the background; then the project is gone."""
        self._idle(call)
        record["ProjectStatus"], record["_keep"] = "DeleteInProgress", True
        who, place = self._caller(call), self._place(call, record)

        def end() -> None:
            stored = self._record(place)
            if product := stored.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductId"):
                self._terminate(who.client("servicecatalog"), place, product)
            for index, item in reversed(list(enumerate(stored.get("TemplateProviderDetails", [])))):
                if stack := item["CfnTemplateProviderDetail"].get("StackDetail", {}).get("Id"):
                    client = who.client("cloudformation")
                    client.delete_stack(StackName=stack)
                    self._follow_stack(place, index, stack)

        self._task("Delete", place, end)

    def recover(self) -> None:
        """What a restart interrupted failed: it can be deleted, or updated again."""
        for account, region, record in self.records["Project"].all():
            if record["ProjectStatus"] in BUSY:
                verb = record["ProjectStatus"].removesuffix("InProgress")
                self._fail((account, region, record["ProjectName"]), verb, _RESTARTED)

    # ---- Service Catalog

    def _provision(self, catalogue: Any, place: Place, record: Record, tags: list[dict[str, str]]) -> None:
        details = record["ServiceCatalogProvisioningDetails"]
        product = details["ProductId"]
        artifact = details.get("ProvisioningArtifactId") or _newest(catalogue, product)
        answer = catalogue.provision_product(
            ProductId=product, ProvisioningArtifactId=artifact,
            ProvisionedProductName=f"{record['ProjectName']}-{record['ProjectId']}",
            ProvisioningParameters=_own(record, details.get("ProvisioningParameters")),
            ProvisionToken=record["ProjectId"], Tags=tags,
            **({"PathId": details["PathId"]} if details.get("PathId") else {}),
        )["RecordDetail"]  # fmt: skip

        def note(stored: Record) -> None:
            stored["ServiceCatalogProvisioningDetails"]["ProvisioningArtifactId"] = artifact
            stored["ServiceCatalogProvisionedProductDetails"] = {"ProvisionedProductId": answer["ProvisionedProductId"]}

        self.records["Project"].update(*place, note)
        self._follow(catalogue, place, answer)

    def _change(self, catalogue: Any, place: Place, details: Mapping[str, Any]) -> None:
        record = self._record(place)
        launched = record["ServiceCatalogProvisioningDetails"]
        new = {item["Key"]: item.get("Value", "") for item in details.get("ProvisioningParameters") or []}
        old = [item["Key"] for item in launched.get("ProvisioningParameters") or [] if item["Key"] not in new]
        kept = [{"Key": key, "UsePreviousValue": True} for key in (*old, "SageMakerProjectName", "SageMakerProjectId")]
        artifact = details.get("ProvisioningArtifactId") or launched["ProvisioningArtifactId"]
        answer = catalogue.update_provisioned_product(
            ProvisionedProductId=record["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"],
            ProductId=launched["ProductId"], ProvisioningArtifactId=artifact,
            ProvisioningParameters=[*kept, *({"Key": key, "Value": value} for key, value in new.items())],
        )["RecordDetail"]  # fmt: skip
        self._follow(catalogue, place, answer)

        def note(stored: Record) -> None:
            settings = stored["ServiceCatalogProvisioningDetails"]
            values = {item["Key"]: item.get("Value", "") for item in settings.get("ProvisioningParameters") or []} | new
            settings["ProvisioningArtifactId"] = artifact
            settings["ProvisioningParameters"] = [{"Key": key, "Value": value} for key, value in values.items()]

        self.records["Project"].update(*place, note)

    def _terminate(self, catalogue: Any, place: Place, product: str) -> None:
        try:
            answer = catalogue.terminate_provisioned_product(ProvisionedProductId=product)["RecordDetail"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return
            raise
        self._follow(catalogue, place, answer)

    def _follow(self, catalogue: Any, place: Place, record: Mapping[str, Any]) -> None:
        """Until the record of Service Catalog has ended. Raises Failed in its words."""
        while record["Status"] not in ("SUCCEEDED", "FAILED"):
            self._pause()
            record = catalogue.describe_record(Id=record["RecordId"])["RecordDetail"]
        if record["Status"] == "FAILED":
            told = "; ".join(error.get("Description", "") for error in record.get("RecordErrors", []))
            raise Failed(told or "Service Catalog gives no reason")

    # ---- CloudFormation

    def _create_stack(self, cloudformation: Any, place: Place, index: int, tags: list[dict[str, str]]) -> None:
        record = self._record(place)
        detail = record["TemplateProviderDetails"][index]["CfnTemplateProviderDetail"]
        name = f"SP-{record['ProjectName']}-{record['ProjectId']}-{detail['TemplateName']}"
        stack = cloudformation.create_stack(
            StackName=name, TemplateURL=detail["TemplateURL"], Capabilities=_CAPABILITIES, Tags=tags,
            Parameters=_stack_parameters(_own(record, detail.get("Parameters"))),
            **({"RoleARN": detail["RoleARN"]} if detail.get("RoleARN") else {}),
        )["StackId"]  # fmt: skip
        self._note_stack(place, index, {"Name": name, "Id": stack, "StatusMessage": "CREATE_IN_PROGRESS"})
        self._follow_stack(place, index, stack)

    def _change_stack(self, cloudformation: Any, place: Place, index: int, given: Mapping[str, Any]) -> None:
        record = self._record(place)
        detail = record["TemplateProviderDetails"][index]["CfnTemplateProviderDetail"]
        values = {item["Key"]: item.get("Value", "") for item in detail.get("Parameters") or []}
        values |= {item["Key"]: item.get("Value", "") for item in given.get("Parameters") or []}
        parameters = [{"Key": key, "Value": value} for key, value in values.items()]
        stack = detail["StackDetail"]["Id"]
        try:
            cloudformation.update_stack(
                StackName=stack, TemplateURL=given["TemplateURL"], Capabilities=_CAPABILITIES,
                Parameters=_stack_parameters(_own(record, parameters)),
                **({"RoleARN": detail["RoleARN"]} if detail.get("RoleARN") else {}),
            )  # fmt: skip
        except ClientError as error:
            if "No updates are to be performed" not in error.response["Error"]["Message"]:
                raise
        self._follow_stack(place, index, stack)

        def note(stored: Record) -> None:
            kept = stored["TemplateProviderDetails"][index]["CfnTemplateProviderDetail"]
            kept["TemplateURL"], kept["Parameters"] = given["TemplateURL"], parameters

        self.records["Project"].update(*place, note)

    def _follow_stack(self, place: Place, index: int, stack_id: str) -> None:
        """Until nothing is in progress in the stack. Raises Failed in its words."""
        cloudformation = self.cloud.client("cloudformation", account=place[0], region=place[1])
        while True:
            stack = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            self._pause()
        message = stack.get("StackStatusReason") or stack["StackStatus"]
        self._note_stack(place, index, {"Name": stack["StackName"], "Id": stack_id, "StatusMessage": message})
        if stack["StackStatus"] not in _GOOD:
            raise Failed(f"Stack {stack['StackName']} is {stack['StackStatus']}: {message}")

    def _note_stack(self, place: Place, index: int, detail: dict[str, str]) -> None:
        def note(stored: Record) -> None:
            stored["TemplateProviderDetails"][index]["CfnTemplateProviderDetail"]["StackDetail"] = detail

        self.records["Project"].update(*place, note)

    # ---- inside

    def _task(self, verb: str, place: Place, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Stopping:
                return  # `recover` says what became of it
            except Failed as failure:
                self._fail(place, verb, str(failure))
            except ClientError as error:
                told = error.response["Error"]
                self._fail(place, verb, f"{told['Message']} ({told['Code']})")
            else:
                if verb == "Delete":
                    self.records["Project"].delete(*place)
                else:
                    self.records["Project"].update_status(*place, f"{verb}Completed")

        self.cloud.task(f"{verb} project {place[2]}", run)

    def _fail(self, place: Place, verb: str, reason: str) -> None:
        def note(stored: Record) -> None:
            stored["ProjectStatus"] = f"{verb}Failed"
            if stored.get("ServiceCatalogProvisioningDetails"):
                found = stored.setdefault("ServiceCatalogProvisionedProductDetails", {})
                found["ProvisionedProductStatusMessage"] = reason.replace("\n", " ")
            for item in stored.get("TemplateProviderDetails", []):
                item["CfnTemplateProviderDetail"].setdefault("StackDetail", {"StatusMessage": reason[:4096]})

        self.records["Project"].update(*place, note)

    def _pause(self) -> None:
        if self.cloud.stopping.wait(_POLL_SECONDS):
            raise Stopping

    def _idle(self, call: Call) -> Record:
        record = self.records["Project"].require(call)
        if record["ProjectStatus"] in BUSY:
            raise Fault("ConflictException", f"Project {record['ProjectName']} is {record['ProjectStatus']}.")
        return record

    def _record(self, place: Place) -> Record:
        record = self.records["Project"].get(*place)
        assert record is not None, f"project {place[2]} is gone"
        return record

    def _place(self, call: Call, record: Record) -> Place:
        return call.account, call.region, self.records["Project"].key(record)

    def _caller(self, call: Call) -> Credentials:
        """The caller's own credentials: SageMaker acts for the caller, in the caller's session."""
        base = self.cloud.base
        known = base.identities.secret(call.access_key) if base is not None else None
        if known is None:
            return self.cloud.root(call.account, call.region)
        return Credentials(call.access_key, known[0], known[1], self.cloud.endpoint, call.region)


def _newest(catalogue: Any, product: str) -> str:
    found = catalogue.describe_product(Id=product)["ProvisioningArtifacts"]
    return str(max(found, key=lambda item: item["CreatedTime"])["Id"])


def _own(record: Record, parameters: Any) -> list[dict[str, str]]:
    """The parameters as given, and the two that say which project it is."""
    given = [{"Key": item["Key"], "Value": item.get("Value", "")} for item in parameters or []]
    own = {"SageMakerProjectName": record["ProjectName"], "SageMakerProjectId": record["ProjectId"]}
    return [item for item in given if item["Key"] not in own] + [{"Key": k, "Value": v} for k, v in own.items()]


def _stack_parameters(parameters: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"ParameterKey": item["Key"], "ParameterValue": item["Value"]} for item in parameters]


def _tags(given: list[dict[str, str]], record: Record) -> list[dict[str, str]]:
    own = {"sagemaker:project-name": record["ProjectName"], "sagemaker:project-id": record["ProjectId"]}
    return [tag for tag in given if tag["Key"] not in own] + [{"Key": k, "Value": v} for k, v in own.items()]


def _invalid(message: str) -> Fault:
    return Fault("ValidationException", message)
