"""Launch, change and terminate: the requests, each of which makes a record and begins work in the background."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Call, Credentials, Fault, now, operation
from localcloud.services.servicecatalog import stacks
from localcloud.services.servicecatalog.base import Document, Path, merge_tags, new_id, not_found
from localcloud.services.servicecatalog.browsing import BrowseOperations
from localcloud.services.servicecatalog.stacks import Launcher
from localcloud.services.servicecatalog.work import Work, stack_name


class ProvisioningOperations(BrowseOperations, Work):
    """ProvisionProduct, UpdateProvisionedProduct, TerminateProvisionedProduct."""

    # -- launch -------------------------------------------------------------------------------------------------

    @operation("ProvisionProduct")
    def provision_product(self, call: Call) -> Document:
        """Start a launch. The same ProvisionToken answers with the first request's record."""
        given = call.input
        product = self.product_named(call, given.get("ProductId"), given.get("ProductName"))
        path = self.path_for(call, product["Id"], given.get("PathId"), given.get("PathName"))
        artifact = self.artifact_named(
            call, product["Id"], given.get("ProvisioningArtifactId"), given.get("ProvisioningArtifactName"), active=True
        )
        if artifact["Guidance"] == "DEPRECATED":  # what was launched from it may still be changed
            problem = f"{artifact['Id']} ({artifact['Name']}) is deprecated: new products cannot be launched from it"
            raise Fault("InvalidParametersException", problem)
        if given.get("ProvisioningPreferences"):
            raise Fault("NotImplemented", "ProvisioningPreferences (stack sets) is not served by the local cloud", 501)
        if given.get("NotificationArns"):  # the stack would be made, and nobody would hear of it
            raise Fault("NotImplemented", "NotificationArns is not served by the local cloud", 501)
        tags = self._launch_tags(call, path, product, given.get("Tags", []))
        name, product_key = given["ProvisionedProductName"], new_id("pp")
        arn = f"arn:aws:servicecatalog:{call.region}:{call.account}:stack/{name}/{product_key}"
        provisioned: Document = {
            "Name": name,
            "Arn": arn,
            "Type": "CFN_STACK",
            "Id": product_key,
            "Status": "UNDER_CHANGE",
            "CreatedTime": now(),
            "IdempotencyToken": given["ProvisionToken"],
            "ProductId": product["Id"],
            "ProvisioningArtifactId": artifact["Id"],
            "Tags": tags,
            "UserArn": self.caller(call),
            "UserArnSession": call.principal,
            "Hidden": {"PathId": path.id, "PortfolioId": path.portfolio["Id"]},
        }
        role = self.launch_role(call, path)
        if role:
            provisioned["LaunchRoleArn"] = role
        with self.cloud.store.transaction():
            known = self._same_token(call, "PROVISION_PRODUCT", given["ProvisionToken"])
            if known:
                return {"RecordDetail": record_detail(known)}
            if any(p["Name"] == name for p in self.provisioned.list(call.account, call.region)):
                raise Fault("InvalidParametersException", f"A stack named {name} already exists.")
            record = self._record(call, provisioned, "PROVISION_PRODUCT", given["ProvisionToken"], artifact["Id"])
        parameters = [
            {"ParameterKey": p["Key"], "ParameterValue": p.get("Value", "")}
            for p in given.get("ProvisioningParameters", [])
        ]
        template = stacks.template_of(artifact["Hidden"]["Url"], artifact["Hidden"]["Template"])
        request = {
            "StackName": stack_name(call.account, product_key),
            **template,
            "Parameters": parameters,
            "Capabilities": stacks.CAPABILITIES,
            "Tags": self._stack_tags(provisioned, tags, artifact["Id"], path.portfolio["ARN"], call.principal),
            "ClientRequestToken": record["RecordId"],
        }
        launcher = Launcher(self.cloud, call.account, call.region, role, None if role else self._person(call))

        def create(client: Any) -> str:
            stacks.check(client, template, parameters)
            return str(client.create_stack(**request)["StackId"])

        self.start(call, record, launcher, create)
        return {"RecordDetail": record_detail(record)}

    def _launch_tags(self, call: Call, path: Path, product: Document, own: list[Document]) -> list[Document]:
        """The tags of the portfolio, the product, their tag options and the person, as one list."""
        given = {tag["Key"]: tag["Value"] for tag in own}
        options: dict[str, list[str]] = {}
        for option in self.tag_options_of(call, path.portfolio["Id"], product["Id"]):
            if option["Active"]:
                options.setdefault(option["Key"], []).append(option["Value"])
        for key, values in options.items():
            chosen = given.get(key) or (values[0] if len(values) == 1 else None)
            if chosen not in values:
                problem = f"The tag {key} must be one of {', '.join(values)}; given: {chosen or 'nothing'}"
                raise Fault("InvalidParametersException", problem)
            given[key] = str(chosen)
        # What AWS itself put on them (aws:cloudformation:…) says where they come from, not their products.
        kept = [tag for tag in path.portfolio["Tags"] + product["Tags"] if not tag["Key"].startswith("aws:")]
        return merge_tags([{"Key": key, "Value": value} for key, value in given.items()], kept)

    def _stack_tags(
        self, provisioned: Document, tags: list[Document], artifact_id: str, portfolio_arn: str, principal: str
    ) -> list[Document]:
        """What the stack carries: the tags, and those by which AWS tells where it comes from."""
        assert self.cloud.base is not None
        self.cloud.base.stacks.admit_service_tags(provisioned["Arn"])
        account, region = provisioned["Arn"].split(":")[4], provisioned["Arn"].split(":")[3]
        own = {
            "portfolioArn": portfolio_arn,
            "productArn": f"arn:aws:catalog:{region}:{account}:product/{provisioned['ProductId']}",
            "provisioningPrincipalArn": principal,
            "provisioningArtifactIdentifier": artifact_id,
            "provisionedProductArn": provisioned["Arn"],
        }
        return tags + [{"Key": f"aws:servicecatalog:{key}", "Value": value} for key, value in own.items()]

    def _person(self, call: Call) -> Credentials:
        """The caller's own credentials: without a launch constraint a launch is done with the person's rights."""
        assert self.cloud.base is not None
        known = self.cloud.base.identities.secret(call.access_key)
        if known is None:
            return self.cloud.root(call.account, call.region)
        return Credentials(call.access_key, known[0], known[1], self.cloud.endpoint, call.region, self.caller(call))

    # -- change -------------------------------------------------------------------------------------------------

    @operation("UpdateProvisionedProduct")
    def update_provisioned_product(self, call: Call) -> Document:
        """Start a change: another version, other parameters."""
        given = call.input
        provisioned = self.provisioned_named(call)
        known = self._same_token(call, "UPDATE_PROVISIONED_PRODUCT", given["UpdateToken"])
        if known:
            return {"RecordDetail": record_detail(known)}
        product_id = provisioned["ProductId"]
        if given.get("ProductId") or given.get("ProductName"):
            product_id = self.product_named(call, given.get("ProductId"), given.get("ProductName"))["Id"]
        if product_id != provisioned["ProductId"]:
            problem = f"{provisioned['Name']} is a {provisioned['ProductId']}; it cannot become a {product_id}"
            raise Fault("InvalidParametersException", problem)
        product = self.need(call, self.products, product_id)
        path = self.path_for(call, product_id, given.get("PathId"), given.get("PathName"))
        artifact = self.need(call, self.artifacts, provisioned["ProvisioningArtifactId"])
        if given.get("ProvisioningArtifactId") or given.get("ProvisioningArtifactName"):
            artifact = self.artifact_named(
                call,
                product_id,
                given.get("ProvisioningArtifactId"),
                given.get("ProvisioningArtifactName"),
                active=True,
            )
        tags = provisioned["Tags"]
        if given.get("Tags"):
            if not self.tags_may_change(call, path.portfolio["Id"], product_id):
                problem = f"The tags of {provisioned['Name']} may not change: no RESOURCE_UPDATE constraint allows it"
                raise Fault("InvalidParametersException", problem)
            tags = self._launch_tags(call, path, product, given["Tags"])
        role = self.launch_role(call, path)
        parameters: list[Document] = []
        for p in given.get("ProvisioningParameters", []):
            value = {"UsePreviousValue": True} if p.get("UsePreviousValue") else {"ParameterValue": p.get("Value", "")}
            parameters.append({"ParameterKey": p["Key"], **value})
        with self.cloud.store.transaction():
            current = self._begin(call, provisioned["Id"])
            members = {"Tags": tags, "LaunchRoleArn": role} if role else {"Tags": tags}
            kind = "UPDATE_PROVISIONED_PRODUCT"
            record = self._record(call, current | members, kind, given["UpdateToken"], artifact["Id"])
        template = stacks.template_of(artifact["Hidden"]["Url"], artifact["Hidden"]["Template"])
        request = {
            "StackName": current.get("PhysicalId") or stack_name(call.account, current["Id"]),
            **template,
            "Parameters": parameters,
            "Capabilities": stacks.CAPABILITIES,
            "Tags": self._stack_tags(current, tags, artifact["Id"], path.portfolio["ARN"], current["UserArnSession"]),
            "ClientRequestToken": record["RecordId"],
        }

        def change(client: Any) -> str | None:
            stacks.check(client, template, parameters)
            try:
                return str(client.update_stack(**request)["StackId"])
            except ClientError as error:
                if "No updates are to be performed" in error.response["Error"]["Message"]:
                    return None
                raise

        launcher = Launcher(self.cloud, call.account, call.region, role, None if role else self._person(call))
        self.start(call, record, launcher, change)
        return {"RecordDetail": record_detail(record)}

    # -- terminate ----------------------------------------------------------------------------------------------

    @operation("TerminateProvisionedProduct")
    def terminate_provisioned_product(self, call: Call) -> Document:
        """Start the end: the stack is deleted (or, on request, left), and the provisioned product with it."""
        given = call.input
        known = self._same_token(call, "TERMINATE_PROVISIONED_PRODUCT", given["TerminateToken"])
        if known:
            return {"RecordDetail": record_detail(known)}
        provisioned = self.provisioned_named(call)
        with self.cloud.store.transaction():
            current = self._begin(call, provisioned["Id"])
            record = self._record(
                call, current, "TERMINATE_PROVISIONED_PRODUCT", given["TerminateToken"],
                current["ProvisioningArtifactId"], ignore=bool(given.get("IgnoreErrors")),
            )  # fmt: skip
        if given.get("RetainPhysicalResources"):
            self.end((call.account, call.region, record["RecordId"]))
            return {"RecordDetail": record_detail(record)}
        stack = current.get("PhysicalId") or stack_name(call.account, current["Id"])

        def remove(client: Any) -> str:
            found = stacks.find(client, stack)
            client.delete_stack(StackName=stack)
            return str(found["StackId"]) if found else stack

        role = current.get("LaunchRoleArn")
        launcher = Launcher(self.cloud, call.account, call.region, role, None if role else self._person(call))
        self.start(call, record, launcher, remove)
        return {"RecordDetail": record_detail(record)}

    # -- records ------------------------------------------------------------------------------------------------

    def provisioned_named(self, call: Call) -> Document:
        """The provisioned product that a request names by id or by name."""
        given_id = call.input.get("ProvisionedProductId") or call.input.get("Id")
        given_name = call.input.get("ProvisionedProductName") or call.input.get("Name")
        if bool(given_id) == bool(given_name):
            raise Fault("InvalidParametersException", "Name the provisioned product by its id or by its name")
        if given_id:
            return self.need(call, self.provisioned, given_id)
        for found in self.provisioned.list(call.account, call.region):
            if found["Name"] == given_name:
                return found
        raise not_found(str(given_name))

    def _same_token(self, call: Call, kind: str, token: str) -> Document | None:
        for record in self.records.list(call.account, call.region):
            if record["RecordType"] == kind and record["IdempotencyToken"] == token:
                return record
        return None

    def _begin(self, call: Call, key: str) -> Document:
        current = self.need(call, self.provisioned, key)
        if current["Status"] in ("UNDER_CHANGE", "PLAN_IN_PROGRESS"):
            problem = (
                f"Provisioned product {current['Name']} is {current['Status']}; wait for {current['LastRecordId']}"
            )
            raise Fault("InvalidParametersException", problem)
        return current

    def _record(
        self, call: Call, provisioned: Document, kind: str, token: str, artifact_id: str, *, ignore: bool = False
    ) -> Document:
        """Write down that something begins."""
        moment = now()
        record: Document = {
            "RecordId": new_id("rec"),
            "ProvisionedProductName": provisioned["Name"],
            "Status": "CREATED",
            "CreatedTime": moment,
            "UpdatedTime": moment,
            "ProvisionedProductType": "CFN_STACK",
            "RecordType": kind,
            "ProvisionedProductId": provisioned["Id"],
            "ProductId": provisioned["ProductId"],
            "ProvisioningArtifactId": artifact_id,
            "PathId": provisioned["Hidden"]["PathId"],
            "RecordErrors": [],
            "RecordTags": provisioned["Tags"],
            "IdempotencyToken": token,
            "Hidden": {"IgnoreErrors": ignore, "Outputs": [], "UserArn": self.caller(call), "Session": call.principal},
        }
        if provisioned.get("LaunchRoleArn"):
            record["LaunchRoleArn"] = provisioned["LaunchRoleArn"]
        provisioned |= {"Status": "UNDER_CHANGE", "LastRecordId": record["RecordId"]}
        provisioned.pop("StatusMessage", None)
        if kind != "TERMINATE_PROVISIONED_PRODUCT":
            provisioned["LastProvisioningRecordId"] = record["RecordId"]
        self.records.put(call.account, call.region, record["RecordId"], record)
        self.provisioned.put(call.account, call.region, provisioned["Id"], provisioned)
        return record


def record_detail(record: Document) -> Document:
    """A record as answers show it."""
    return {key: value for key, value in record.items() if key not in ("IdempotencyToken", "Hidden")}
