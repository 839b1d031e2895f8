"""AWS::ECR::Repository: one resource, several calls."""

from __future__ import annotations

import json
from typing import Any

from localcloud.core import Created, ResourceContext, ResourceType

Properties = dict[str, Any]


def _text(value: Any) -> str:
    """A policy: a template may give it as JSON or as an object."""
    return value if isinstance(value, str) else json.dumps(value)


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"


def _settings(properties: Properties) -> Properties:
    request: Properties = {"imageTagMutability": properties.get("ImageTagMutability", "MUTABLE")}
    filters = properties.get("ImageTagMutabilityExclusionFilters")
    if filters:
        request["imageTagMutabilityExclusionFilters"] = [
            {
                "filterType": item["ImageTagMutabilityExclusionFilterType"],
                "filter": item["ImageTagMutabilityExclusionFilterValue"],
            }
            for item in filters
        ]
    return request


def _create(context: ResourceContext, properties: Properties) -> Created:
    client = context.client("ecr")
    name = properties.get("RepositoryName") or context.name(256).lower()
    encryption = properties.get("EncryptionConfiguration")
    request: Properties = {
        "repositoryName": name,
        **_settings(properties),
        "imageScanningConfiguration": {
            "scanOnPush": _flag(properties.get("ImageScanningConfiguration", {}).get("ScanOnPush", False))
        },
        "tags": properties.get("Tags", []),
    }
    if encryption:
        request["encryptionConfiguration"] = {
            "encryptionType": encryption["EncryptionType"],
            **({"kmsKey": encryption["KmsKey"]} if encryption.get("KmsKey") else {}),
        }
    made = client.create_repository(**request)["repository"]
    try:
        _policies(client, name, {}, properties)
    except Exception:
        client.delete_repository(repositoryName=name, force=True)  # nothing half-made stays behind
        raise
    return Created(name, {"Arn": made["repositoryArn"], "RepositoryUri": made["repositoryUri"]})


def _policies(client: Any, name: str, old: Properties, new: Properties) -> None:
    lifecycle = (new.get("LifecyclePolicy") or {}).get("LifecyclePolicyText")
    if lifecycle:
        client.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=_text(lifecycle))
    elif (old.get("LifecyclePolicy") or {}).get("LifecyclePolicyText"):
        client.delete_lifecycle_policy(repositoryName=name)
    if new.get("RepositoryPolicyText"):
        client.set_repository_policy(repositoryName=name, policyText=_text(new["RepositoryPolicyText"]))
    elif old.get("RepositoryPolicyText"):
        client.delete_repository_policy(repositoryName=name)


def _update(context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
    replaced = ("RepositoryName", "EncryptionConfiguration")
    if any(old.get(name) != new.get(name) for name in replaced):
        return _create(context, new)
    client = context.client("ecr")
    client.put_image_tag_mutability(repositoryName=physical_id, **_settings(new))
    scan = _flag(new.get("ImageScanningConfiguration", {}).get("ScanOnPush", False))
    client.put_image_scanning_configuration(repositoryName=physical_id, imageScanningConfiguration={"scanOnPush": scan})
    _policies(client, physical_id, old, new)
    made = client.describe_repositories(repositoryNames=[physical_id])["repositories"][0]
    arn, tags = made["repositoryArn"], {tag["Key"] for tag in new.get("Tags", [])}
    gone = [tag["Key"] for tag in old.get("Tags", []) if tag["Key"] not in tags]
    if gone:
        client.untag_resource(resourceArn=arn, tagKeys=gone)
    if new.get("Tags"):
        client.tag_resource(resourceArn=arn, tags=new["Tags"])
    return Created(physical_id, {"Arn": arn, "RepositoryUri": made["repositoryUri"]})


def _delete(context: ResourceContext, physical_id: str, properties: Properties) -> None:
    client = context.client("ecr")
    try:
        client.delete_repository(repositoryName=physical_id, force=_flag(properties.get("EmptyOnDelete", False)))
    except client.exceptions.RepositoryNotFoundException:
        return


REPOSITORY = ResourceType("AWS::ECR::Repository", create=_create, update=_update, delete=_delete, service="ecr")
