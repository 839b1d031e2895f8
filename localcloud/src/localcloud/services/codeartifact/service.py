"""AWS CodeArtifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from localcloud.core import Cloud, Created, ResourceContext, ResourceType, Route
from localcloud.services.codeartifact.groups import GroupOperations
from localcloud.services.codeartifact.index import HEALTH, PREFIX, PipIndex
from localcloud.services.codeartifact.machine import MachineIndex

Properties = dict[str, Any]


def _tags(properties: Properties) -> list[dict[str, str]]:
    return [{"key": tag["Key"], "value": tag["Value"]} for tag in properties.get("Tags", [])]


def _retag(client: Any, arn: str, old: Properties, new: Properties) -> None:
    wanted = _tags(new)
    gone = {tag["key"] for tag in _tags(old)} - {tag["key"] for tag in wanted}
    if gone:
        client.untag_resource(resourceArn=arn, tagKeys=sorted(gone))
    if wanted:
        client.tag_resource(resourceArn=arn, tags=wanted)


def _document(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# ---------------------------------------------------------------------- AWS::CodeArtifact::Domain


def _domain(client: Any, name: str) -> Created:
    found = client.describe_domain(domain=name)["domain"]
    attributes = {"Arn": found["arn"], "Name": name, "Owner": found["owner"], "EncryptionKey": found["encryptionKey"]}
    return Created(found["arn"], attributes)


def _create_domain(context: ResourceContext, properties: Properties) -> Created:
    client, name = context.client("codeartifact"), properties["DomainName"]
    key = {"encryptionKey": properties["EncryptionKey"]} if properties.get("EncryptionKey") else {}
    client.create_domain(domain=name, tags=_tags(properties), **key)
    if properties.get("PermissionsPolicyDocument"):
        policy = _document(properties["PermissionsPolicyDocument"])
        client.put_domain_permissions_policy(domain=name, policyDocument=policy)
    return _domain(client, name)


def _update_domain(context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
    if any(old.get(name) != new.get(name) for name in ("DomainName", "EncryptionKey")):
        return _create_domain(context, new)
    client, name = context.client("codeartifact"), new["DomainName"]
    if new.get("PermissionsPolicyDocument"):
        policy = _document(new["PermissionsPolicyDocument"])
        client.put_domain_permissions_policy(domain=name, policyDocument=policy)
    elif old.get("PermissionsPolicyDocument"):
        client.delete_domain_permissions_policy(domain=name)
    _retag(client, physical_id, old, new)
    return _domain(client, name)


def _delete_domain(context: ResourceContext, physical_id: str, properties: Properties) -> None:
    context.client("codeartifact").delete_domain(domain=physical_id.rsplit("/", 1)[-1])


# ---------------------------------------------------------------------- AWS::CodeArtifact::Repository


def _at(context: ResourceContext, properties: Properties) -> dict[str, str]:
    return {
        "domain": properties["DomainName"],
        "domainOwner": str(properties.get("DomainOwner") or context.account),
        "repository": properties["RepositoryName"],
    }


def _repository(client: Any, at: dict[str, str]) -> Created:
    found = client.describe_repository(**at)["repository"]
    attributes = {
        "Arn": found["arn"], "Name": found["name"], "DomainName": found["domainName"],
        "DomainOwner": found["domainOwner"],
    }  # fmt: skip
    return Created(found["arn"], attributes)


def _upstreams(properties: Properties) -> list[dict[str, str]]:
    return [{"repositoryName": name} for name in properties.get("Upstreams", [])]


def _create_repository(context: ResourceContext, properties: Properties) -> Created:
    client, at = context.client("codeartifact"), _at(context, properties)
    description = {"description": properties["Description"]} if properties.get("Description") else {}
    client.create_repository(**at, **description, upstreams=_upstreams(properties), tags=_tags(properties))
    for name in properties.get("ExternalConnections", []):
        client.associate_external_connection(**at, externalConnection=name)
    if properties.get("PermissionsPolicyDocument"):
        policy = _document(properties["PermissionsPolicyDocument"])
        client.put_repository_permissions_policy(**at, policyDocument=policy)
    return _repository(client, at)


def _update_repository(context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
    if any(old.get(name) != new.get(name) for name in ("DomainName", "DomainOwner", "RepositoryName")):
        return _create_repository(context, new)
    client, at = context.client("codeartifact"), _at(context, new)
    before, after = set(old.get("ExternalConnections", [])), set(new.get("ExternalConnections", []))
    for name in sorted(before - after):
        client.disassociate_external_connection(**at, externalConnection=name)
    client.update_repository(**at, description=new.get("Description", ""), upstreams=_upstreams(new))
    for name in sorted(after - before):
        client.associate_external_connection(**at, externalConnection=name)
    if new.get("PermissionsPolicyDocument"):
        policy = _document(new["PermissionsPolicyDocument"])
        client.put_repository_permissions_policy(**at, policyDocument=policy)
    elif old.get("PermissionsPolicyDocument"):
        client.delete_repository_permissions_policy(**at)
    _retag(client, physical_id, old, new)
    return _repository(client, at)


def _delete_repository(context: ResourceContext, physical_id: str, properties: Properties) -> None:
    domain, _, name = physical_id.split(":repository/", 1)[-1].partition("/")
    client = context.client("codeartifact")
    try:
        client.delete_repository(domain=domain, domainOwner=physical_id.split(":")[4], repository=name)
    except client.exceptions.ResourceNotFoundException:
        return


# ---------------------------------------------------------------------- AWS::CodeArtifact::PackageGroup


def _create_group(context: ResourceContext, properties: Properties) -> Created:
    if properties.get("OriginConfiguration"):
        raise ValueError(
            "The property OriginConfiguration of AWS::CodeArtifact::PackageGroup is not served by the local cloud"
        )
    named = {"domain": properties["DomainName"], "packageGroup": properties["Pattern"]}
    if properties.get("DomainOwner"):
        named["domainOwner"] = str(properties["DomainOwner"])
    extra = {
        member: properties[name]
        for name, member in (("ContactInfo", "contactInfo"), ("Description", "description"))
        if properties.get(name)
    }
    client = context.client("codeartifact")
    arn = client.create_package_group(**named, **extra, tags=_tags(properties))["packageGroup"]["arn"]
    return Created(arn, {"Arn": arn})


def _update_group(context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
    if any(old.get(name) != new.get(name) for name in ("DomainName", "DomainOwner", "Pattern")):
        return _create_group(context, new)
    client = context.client("codeartifact")
    client.update_package_group(
        domain=new["DomainName"], packageGroup=new["Pattern"], contactInfo=new.get("ContactInfo", ""),
        description=new.get("Description", ""),
    )  # fmt: skip
    _retag(client, physical_id, old, new)
    return Created(physical_id, {"Arn": physical_id})


def _delete_group(context: ResourceContext, physical_id: str, properties: Properties) -> None:
    client = context.client("codeartifact")
    try:
        client.delete_package_group(domain=properties["DomainName"], packageGroup=properties["Pattern"])
    except client.exceptions.ResourceNotFoundException:
        return


class CodeArtifact(GroupOperations):
    """Domains and repositories of Python and generic packages, with a pip index that serves them."""

    resources = (
        ResourceType(
            "AWS::CodeArtifact::Domain", service="codeartifact", create=_create_domain, update=_update_domain,
            delete=_delete_domain,
        ),
        ResourceType(
            "AWS::CodeArtifact::Repository", service="codeartifact", create=_create_repository,
            update=_update_repository, delete=_delete_repository,
        ),
        ResourceType(
            "AWS::CodeArtifact::PackageGroup", service="codeartifact", create=_create_group, update=_update_group,
            delete=_delete_group,
        ),
    )  # fmt: skip

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.machine = MachineIndex()
        self._index = PipIndex(self, self.machine)

    def outside_is_wanted(self) -> None:
        """Look for the machine's index before the first package is asked for."""
        self.cloud.task("machine's package index", self.machine.prepare)

    def routes(self) -> Sequence[Route]:
        """The pip index of every repository, and whether the machine's own answers."""
        return (Route(PREFIX, self._index.app), Route(HEALTH, self._index.app))
