"""What was launched, and how it went: records, provisioned products, outputs."""

from __future__ import annotations

import fnmatch
from datetime import datetime

from localcloud.core import Call, Fault, operation
from localcloud.services.servicecatalog.base import Document, page
from localcloud.services.servicecatalog.provisioning import ProvisioningOperations, record_detail

_DETAIL = (
    "Name", "Arn", "Type", "Id", "Status", "StatusMessage", "CreatedTime", "IdempotencyToken", "LastRecordId",
    "LastProvisioningRecordId", "LastSuccessfulProvisioningRecordId", "ProductId", "ProvisioningArtifactId",
)  # fmt: skip
_ATTRIBUTES = (*_DETAIL, "Tags", "PhysicalId", "UserArn", "UserArnSession")


class HistoryOperations(ProvisioningOperations):
    """DescribeRecord … SearchProvisionedProducts."""

    @operation("DescribeRecord")
    def describe_record(self, call: Call) -> Document:
        """How one request went, with the stack's outputs once it succeeded."""
        record = self.need(call, self.records, call.input["Id"])
        listed, token = page(record["Hidden"]["Outputs"], call)
        return {"RecordDetail": record_detail(record), "RecordOutputs": listed, "NextPageToken": token}

    @operation("ListRecordHistory")
    def list_record_history(self, call: Call) -> Document:
        """Records, newest first; SearchFilter by product or provisionedproduct."""
        search = call.input.get("SearchFilter") or {}
        members = {"product": "ProductId", "provisionedproduct": "ProvisionedProductId"}
        key = search.get("Key", "")
        if key and key not in members:
            raise Fault(
                "InvalidParametersException", f"SearchFilter Key '{key}' is not valid; allowed: {', '.join(members)}"
            )
        found = [
            record_detail(record)
            for record in reversed(self.records.list(call.account, call.region))
            if (not key or record[members[key]] == search.get("Value"))
            and self._within(call, record["Hidden"]["UserArn"], record["Hidden"]["Session"])
        ]
        listed, token = page(found, call)
        return {"RecordDetails": listed, "NextPageToken": token}

    @operation("DescribeProvisionedProduct")
    def describe_provisioned_product(self, call: Call) -> Document:
        """One provisioned product."""
        found = self.provisioned_named(call)
        members = (*_DETAIL, "LaunchRoleArn")
        return {"ProvisionedProductDetail": {k: found[k] for k in members if k in found}, "CloudWatchDashboards": []}

    @operation("GetProvisionedProductOutputs")
    def get_provisioned_product_outputs(self, call: Call) -> Document:
        """The outputs of the last successful launch or change."""
        outputs = self.provisioned_named(call)["Hidden"].get("Outputs", [])
        wanted = call.input.get("OutputKeys")
        if wanted:
            missing = sorted(set(wanted) - {output["OutputKey"] for output in outputs})
            if missing:
                raise Fault(
                    "InvalidParametersException", f"Invalid OutputKey found in the request: {', '.join(missing)}"
                )
            outputs = [output for output in outputs if output["OutputKey"] in wanted]
        listed, token = page(outputs, call)
        return {"Outputs": listed, "NextPageToken": token}

    @operation("ScanProvisionedProducts")
    def scan_provisioned_products(self, call: Call) -> Document:
        """Provisioned products within the access level."""
        listed, token = page(self._mine(call), call)
        members = (*_DETAIL, "LaunchRoleArn")
        return {"ProvisionedProducts": [{k: p[k] for k in members if k in p} for p in listed], "NextPageToken": token}

    @operation("SearchProvisionedProducts")
    def search_provisioned_products(self, call: Call) -> Document:
        """Provisioned products within the access level that fit the search queries."""
        queries = call.input.get("Filters", {}).get("SearchQuery", [])
        found = [self._attributes(call, p) for p in self._mine(call)]
        found = [p for p in found if all(_fits(p, query) for query in queries)]
        by = call.input.get("SortBy")
        if by:
            found.sort(key=lambda p: str(_member(p, by)))
        if call.input.get("SortOrder") == "DESCENDING":
            found.reverse()
        listed, token = page(found, call)
        return {"ProvisionedProducts": listed, "TotalResultsCount": len(found), "NextPageToken": token}

    def _attributes(self, call: Call, provisioned: Document) -> Document:
        shown = {key: provisioned[key] for key in _ATTRIBUTES if key in provisioned}
        product = self.products.get(call.account, call.region, provisioned["ProductId"])
        artifact = self.artifacts.get(call.account, call.region, provisioned["ProvisioningArtifactId"])
        if product:
            shown["ProductName"] = product["Name"]
        if artifact:
            shown["ProvisioningArtifactName"] = artifact["Name"]
        return shown

    def _mine(self, call: Call) -> list[Document]:
        return [
            p
            for p in self.provisioned.list(call.account, call.region)
            if self._within(call, p["UserArn"], p["UserArnSession"])
        ]

    def _within(self, call: Call, user_arn: str, session: str) -> bool:
        """Whether it is within the access level: the account's, the role's, or (AWS's default) the user's own."""
        level = call.input.get("AccessLevelFilter") or {"Key": "User", "Value": "self"}
        if level.get("Value", "self") != "self":
            raise Fault(
                "InvalidParametersException", f"AccessLevelFilter Value '{level['Value']}' is not valid; allowed: self"
            )
        if level["Key"] == "Account":
            return True
        return user_arn == self.caller(call) if level["Key"] == "Role" else session == call.principal


def _member(attributes: Document, name: str) -> object:
    by_name = {key.lower(): value for key, value in attributes.items()}
    value = by_name.get(name.lower(), "")
    return value.isoformat() if isinstance(value, datetime) else value


def _fits(attributes: Document, query: str) -> bool:
    """ "field:value" or free text, * standing for anything."""
    field, colon, value = query.partition(":")
    known = {key.lower() for key in _ATTRIBUTES} | {"productname", "provisioningartifactname"}
    if colon and field.lower() in known:
        found = _member(attributes, field)
        if field.lower() == "tags":
            key, _, wanted = value.partition(":")
            tags = attributes.get("Tags", [])
            return any(t["Key"] == key and (not wanted or fnmatch.fnmatch(t["Value"], wanted)) for t in tags)
        return fnmatch.fnmatch(str(found).lower(), value.strip('"').lower())
    text = " ".join(str(v) for k, v in attributes.items() if k != "Tags").lower()
    return fnmatch.fnmatch(text, f"*{query.lower()}*")
