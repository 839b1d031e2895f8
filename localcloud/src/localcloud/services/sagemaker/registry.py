"""The model registry: groups with their policies, versions, approval, and the event that tells of every change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from localcloud.core import Call, Fault, operation
from localcloud.records import PlugIn, Record, hook
from localcloud.records.shaping import project
from localcloud.services.sagemaker import images

EVENT = "SageMaker Model Package State Change"
_POLICY = "_Policy"
_VERSIONS = "_Versions"


class Registry(PlugIn):
    """Behaviour of ModelPackageGroup and ModelPackage."""

    # ---- groups

    @hook("ModelPackageGroup", "before_delete")
    def keep_used_group(self, call: Call, record: Record) -> None:
        """A group that has versions cannot be deleted."""
        name = record["ModelPackageGroupName"]
        count = len(self.versions(call.account, call.region, name))
        if count:
            raise Fault(
                "ConflictException",
                f"Model Package Group {record['ModelPackageGroupArn']} cannot be deleted because it contains {count} "
                "Model Package(s). Delete them first.",
            )

    @hook("ModelPackageGroup", "shared")
    def group_shared(self, call: Call, record: Record) -> bool:
        """Whether the group's policy lets another account do what it asks."""
        return self._allowed(call, record, record["ModelPackageGroupArn"])

    @operation("PutModelPackageGroupPolicy")
    def put_policy(self, call: Call) -> dict[str, Any]:
        """Set the group's resource policy."""
        text = call.input["ResourcePolicy"]
        try:
            statements = json.loads(text)["Statement"]
        except (ValueError, KeyError, TypeError) as error:
            raise Fault(
                "ValidationException",
                f"The resource policy is not valid: it is no JSON object with a Statement ({error}).",
            ) from error
        for statement in statements if isinstance(statements, list) else [statements]:
            lacking = {"Effect", "Principal", "Action", "Resource"} - set(statement)
            if lacking:
                raise Fault(
                    "ValidationException",
                    f"The resource policy is not valid: a statement lacks {', '.join(sorted(lacking))}.",
                )
        account, region, group = self.records["ModelPackageGroup"].locate(call)
        self._set(account, region, group, _POLICY, text)
        return {"ModelPackageGroupArn": group["ModelPackageGroupArn"]}

    @operation("GetModelPackageGroupPolicy")
    def get_policy(self, call: Call) -> dict[str, Any]:
        """The group's resource policy."""
        group = self.records["ModelPackageGroup"].require(call)
        if not group.get(_POLICY):
            raise Fault("ValidationException", f"Cannot find resource policy for: {group['ModelPackageGroupArn']}")
        return {"ResourcePolicy": group[_POLICY]}

    @operation("DeleteModelPackageGroupPolicy")
    def delete_policy(self, call: Call) -> None:
        """Remove the group's resource policy."""
        account, region, group = self.records["ModelPackageGroup"].locate(call)
        if not group.get(_POLICY):
            raise Fault("ValidationException", f"Cannot find resource policy for: {group['ModelPackageGroupArn']}")
        self._set(account, region, group, _POLICY, None)

    def _set(self, account: str, region: str, group: Record, member: str, value: Any) -> None:
        groups = self.records["ModelPackageGroup"]
        groups.table.update(account, region, groups.key(group), lambda found: {**found, member: value})

    # ---- packages

    @operation("CreateModelPackage")
    def create_package(self, call: Call) -> dict[str, Any]:
        """A new package; a repeated request (same ClientToken) answers with the package that it made."""
        packages = self.records["ModelPackage"]
        token = call.input.get("ClientToken")
        if token:
            for record in packages.list(call.account, call.region):
                if record.get("ClientToken") == token:
                    return {"ModelPackageArn": record["ModelPackageArn"]}
        return packages.serve_create(call)

    @hook("ModelPackage", "before_create")
    def number(self, call: Call, record: Record) -> None:
        """Check what is registered; give a version of a group its number, which is never given again."""
        group_name, name = record.get("ModelPackageGroupName"), record.get("ModelPackageName")
        if group_name and name:
            raise Fault(
                "ValidationException",
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one "
                "to use.",
            )
        if not group_name and not name:
            raise Fault("ValidationException", "Missing ARN. Give ModelPackageGroupName or ModelPackageName.")
        if record.get("ValidationSpecification"):
            raise Fault(
                "NotImplemented",
                "SageMaker CreateModelPackage with ValidationSpecification would run transform jobs on the model; that "
                "is not served by the local cloud. Leave ValidationSpecification out.",
                501,
            )
        for container in record.get("InferenceSpecification", {}).get("Containers", []):
            digest = images.require_image(self.cloud, container.get("Image"))
            if digest:
                container.setdefault("ImageDigest", digest)
        if not group_name:
            record.setdefault("CertifyForMarketplace", False)
            return
        groups = self.records["ModelPackageGroup"]
        account, region, group = groups.locate(call, {"ModelPackageGroupName": group_name})
        if account != call.account:
            raise Fault(
                "NotImplemented",
                f"SageMaker CreateModelPackage in another account's group ({group['ModelPackageGroupArn']}) is not "
                "served by the local cloud. Register the package with the group's own account.",
                501,
            )

        def count(found: Record) -> Record:
            return {**found, _VERSIONS: found.get(_VERSIONS, 0) + 1}

        counted = groups.table.update(account, region, groups.key(group), count)
        if counted is None:
            raise groups.missing(call, group)
        record["ModelPackageGroupName"] = group["ModelPackageGroupName"]
        record["ModelPackageVersion"] = counted[_VERSIONS]
        record.setdefault("ModelApprovalStatus", "PendingManualApproval")
        resource = f"model-package/{group['ModelPackageGroupName']}/{counted[_VERSIONS]}"
        record["ModelPackageArn"] = f"arn:aws:sagemaker:{region}:{account}:{resource}"

    @hook("ModelPackage", "after_create")
    def tell_created(self, call: Call, record: Record) -> None:
        """The registration is the first change of state."""
        self.tell(call, record, [])

    @hook("ModelPackage", "identify")
    def name_package(self, call: Call, given: Record) -> None:
        """A package goes by its ARN; requests may give a name instead."""
        name = given.pop("ModelPackageName", None)
        if name and not given.get("ModelPackageArn"):
            prefix = f"arn:aws:sagemaker:{call.region}:{call.account}:model-package/"
            given["ModelPackageArn"] = name if str(name).startswith("arn:") else prefix + str(name)

    @hook("ModelPackage", "describe")
    def complete(self, call: Call, record: Record) -> None:
        """The model of the answer wants a name; that of a version is its group's."""
        record.setdefault("ModelPackageName", record.get("ModelPackageGroupName"))

    @hook("ModelPackage", "shared")
    def package_shared(self, call: Call, record: Record) -> bool:
        """Whether the policy of the package's group lets another account do what it asks."""
        parts = record["ModelPackageArn"].split(":")
        group = self.records["ModelPackageGroup"].get(parts[4], parts[3], record.get("ModelPackageGroupName", ""))
        return group is not None and self._allowed(call, group, record["ModelPackageArn"])

    def _allowed(self, call: Call, group: Record, resource: str) -> bool:
        base, policy = self.cloud.base, group.get(_POLICY)
        if base is None or not policy:
            return False
        return base.identities.resource_policy_allows(
            policy, principal=call.principal, account=call.account, region=call.region,
            action=f"sagemaker:{call.operation}", resource=resource,
        )  # fmt: skip

    @hook("ModelPackage", "before_update")
    def apply_update(self, call: Call, record: Record) -> None:
        """What is not simply replaced."""
        added = record.pop("AdditionalInferenceSpecificationsToAdd", None)
        record.pop("ClientToken", None)
        if added:
            present = record.get("AdditionalInferenceSpecifications", [])
            names = {item["Name"] for item in added}
            record["AdditionalInferenceSpecifications"] = [i for i in present if i["Name"] not in names] + added

    @hook("ModelPackage", "after_update")
    def tell_updated(self, call: Call, record: Record) -> None:
        """Every update is told, with the members that it set; a rule for approvals must look at those."""
        fields = [name for name in call.input if name not in ("ModelPackageArn", "ClientToken")]
        self.tell(call, record, [name.removesuffix("ToRemove").removesuffix("ToAdd") for name in fields])

    @operation("ListModelPackages")
    def list_packages(self, call: Call) -> dict[str, Any]:
        """Versions of a group, another account's too where its policy allows; without a group unversioned packages."""
        packages = self.records["ModelPackage"]
        request = dict(call.input)
        kind = request.pop("ModelPackageType", None)
        account, region = call.account, call.region
        if request.get("ModelPackageGroupName"):
            owner, region, group = self.records["ModelPackageGroup"].locate(call, request)
            account, kind = owner, "Versioned"
            request["ModelPackageGroupName"] = group["ModelPackageGroupName"]
        kind = kind or "Unversioned"
        chosen = [
            record
            for record in packages.list(account, region)
            if kind == "Both" or ("ModelPackageVersion" in record) == (kind == "Versioned")
        ]
        return packages.listed(call, request, chosen)

    @operation("BatchDescribeModelPackage")
    def batch(self, call: Call) -> dict[str, Any]:
        """Several packages at once; those that cannot be shown are told in a map of errors."""
        packages = self.records["ModelPackage"]
        shape = self.service.model.shape_for("BatchDescribeModelPackageSummary")
        found: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for arn in call.input["ModelPackageArnList"]:
            try:
                found[arn] = project(packages.require(call, ModelPackageArn=arn), shape)
            except Fault as fault:
                errors[arn] = {"ErrorCode": fault.code, "ErrorResponse": fault.message}
        return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": errors}

    def versions(self, account: str, region: str, group: str) -> list[Record]:
        """All versions of a group, oldest first."""
        packages = self.records["ModelPackage"].list(account, region)
        return [record for record in packages if record.get("ModelPackageGroupName") == group]

    def tell(self, call: Call, record: Record, fields: list[str]) -> None:
        """Emit AWS's event."""
        detail = {**self.records["ModelPackage"].describe(call, record), "UpdatedModelPackageFields": fields}
        if "ModelPackageVersion" in record:
            detail.pop("ModelPackageName", None)
        parts = record["ModelPackageArn"].split(":")
        self.cloud.emit(
            source="aws.sagemaker",
            detail_type=EVENT,
            detail=_plain(detail),
            resources=[record["ModelPackageArn"]],
            account=parts[4],
            region=parts[3],
        )


def _plain(value: Any) -> Any:
    """An event's JSON: times as EventBridge writes them."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
