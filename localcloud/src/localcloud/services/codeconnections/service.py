"""The service under its two names, its routes and its CloudFormation types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Route
from localcloud.core.cfn import Properties, ResourceContext
from localcloud.core.schema import Schema
from localcloud.records.declared import Declared
from localcloud.services.codeconnections.connections import Connections
from localcloud.services.codeconnections.control import handshakes
from localcloud.services.codeconnections.endpoint import PREFIX, GitEndpoint
from localcloud.services.git_http import HOSTED


class _Backend:
    """Makes connections by the API. `name` is botocore's of the service."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        """CreateConnection."""
        made = context.client(self.name).create_connection(**properties)
        return self._read(context, made["ConnectionArn"])

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        """The tags, which alone change in place."""
        client = context.client(self.name)
        gone = sorted({tag["Key"] for tag in old.get("Tags") or ()} - {tag["Key"] for tag in new.get("Tags") or ()})
        if gone:
            client.untag_resource(ResourceArn=physical_id, TagKeys=gone)
        if new.get("Tags"):
            client.tag_resource(ResourceArn=physical_id, Tags=new["Tags"])
        return self._read(context, physical_id)

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        """DeleteConnection."""
        try:
            context.client(self.name).delete_connection(ConnectionArn=physical_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise

    def _read(self, context: ResourceContext, arn: str) -> dict[str, Any]:
        found = context.client(self.name).get_connection(ConnectionArn=arn)["Connection"]
        return {name: found[name] for name in ("ConnectionArn", "ConnectionStatus", "OwnerAccountId")}


class CodeConnections(Connections):
    """AWS CodeConnections."""

    name = "codeconnections"
    resources = (Declared("AWS::CodeConnections::Connection", _Backend("codeconnections")).resource_type(),)

    def routes(self) -> Sequence[Route]:
        """Where git clones from and pushes to, and where the handshake is completed."""
        endpoint = GitEndpoint(self)
        # Signed requests for a bucket of that name are S3's.
        return (Route(PREFIX, endpoint, unsigned=True), Route(HOSTED, endpoint, unsigned=True), handshakes(self))


class CodeStarConnections(Connections):
    """The same service by its former name."""

    name = "codestar-connections"
    resources = (Declared("AWS::CodeStarConnections::Connection", _Backend("codestar-connections")).resource_type(),)
