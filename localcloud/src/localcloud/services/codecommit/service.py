"""The service: all operations, git's address, and the CloudFormation type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core import Created, ResourceContext, ResourceType, Route
from localcloud.services.codecommit.comments import CommentOperations
from localcloud.services.codecommit.reading import ReadOperations
from localcloud.services.codecommit.repositories import RepositoryOperations
from localcloud.services.codecommit.smart_http import PREFIX, SmartHttp
from localcloud.services.codecommit.writing import WriteOperations

_PROPERTIES = {"RepositoryName", "RepositoryDescription", "KmsKeyId", "Tags"}


def _check(properties: dict[str, Any]) -> None:
    for name in sorted(set(properties) - _PROPERTIES):
        known = "is not served by the local cloud" if name in ("Code", "Triggers") else "is no property of this type"
        raise ValueError(
            f"AWS::CodeCommit::Repository: the property {name} {known}; allowed: {', '.join(sorted(_PROPERTIES))}"
        )
    if not properties.get("RepositoryName"):
        raise ValueError("AWS::CodeCommit::Repository: the property RepositoryName is required")


def _tags(properties: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags") or []}


def _created(context: ResourceContext, name: str) -> Created:
    found = context.client("codecommit").get_repository(repositoryName=name)["repositoryMetadata"]
    attributes = {
        "Arn": found["Arn"],
        "CloneUrlHttp": found["cloneUrlHttp"],
        "CloneUrlSsh": found["cloneUrlSsh"],
        "Name": found["repositoryName"],
        "RepositoryId": found["repositoryId"],
    }
    return Created(found["repositoryId"], attributes)


def _name_of(context: ResourceContext, repository_id: str) -> str | None:
    for page in context.client("codecommit").get_paginator("list_repositories").paginate():
        for repository in page["repositories"]:
            if repository["repositoryId"] == repository_id:
                return str(repository["repositoryName"])
    return None


def _create(context: ResourceContext, properties: dict[str, Any]) -> Created:
    _check(properties)
    request: dict[str, Any] = {"repositoryName": properties["RepositoryName"], "tags": _tags(properties)}
    if properties.get("RepositoryDescription"):
        request["repositoryDescription"] = properties["RepositoryDescription"]
    if properties.get("KmsKeyId"):
        request["kmsKeyId"] = properties["KmsKeyId"]
    context.client("codecommit").create_repository(**request)
    return _created(context, properties["RepositoryName"])


def _update(context: ResourceContext, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> Created:
    _check(new)
    client = context.client("codecommit")
    name = new["RepositoryName"]
    if old.get("RepositoryName") != name:
        client.update_repository_name(oldName=_name_of(context, physical_id) or old["RepositoryName"], newName=name)
    if old.get("RepositoryDescription") != new.get("RepositoryDescription"):
        description = new.get("RepositoryDescription") or ""
        client.update_repository_description(repositoryName=name, repositoryDescription=description)
    if new.get("KmsKeyId") and old.get("KmsKeyId") != new["KmsKeyId"]:
        client.update_repository_encryption_key(repositoryName=name, kmsKeyId=new["KmsKeyId"])
    made = _created(context, name)
    gone = sorted(set(_tags(old)) - set(_tags(new)))
    if gone:
        client.untag_resource(resourceArn=made.attributes["Arn"], tagKeys=gone)
    if _tags(new):
        client.tag_resource(resourceArn=made.attributes["Arn"], tags=_tags(new))
    return made


def _delete(context: ResourceContext, physical_id: str, properties: dict[str, Any]) -> None:
    name = _name_of(context, physical_id)
    if name:
        context.client("codecommit").delete_repository(repositoryName=name)


class CodeCommit(RepositoryOperations, ReadOperations, WriteOperations, CommentOperations):
    """AWS CodeCommit."""

    resources = (
        ResourceType(
            "AWS::CodeCommit::Repository", service="codecommit", create=_create, update=_update, delete=_delete
        ),
    )

    def routes(self) -> Sequence[Route]:
        """Where git clones from and pushes to."""
        return (Route(PREFIX, SmartHttp(self)),)
