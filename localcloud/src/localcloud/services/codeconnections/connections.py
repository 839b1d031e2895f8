"""Connections: the API on them, and what other services ask of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.core import Call, Cloud, Fault, Service, operation, paginate, uuid
from localcloud.core.recorder import Recorded
from localcloud.core.tags import is_reserved
from localcloud.services.codecommit.git import GitRepository
from localcloud.services.codeconnections import provider

MAX_TAGS, MAX_CONNECTIONS = 50, 250
PENDING, AVAILABLE, ERROR = "PENDING", "AVAILABLE", "ERROR"
INSTALLED = ("GitHubEnterpriseServer", "GitLabSelfManaged")
# What a use of a connection does at the provider → the permissions that it needs there (Developer Tools User Guide).
_PERMISSIONS = {"GitPush": "read_write"}
_LOCK = threading.Lock()


class Connections(Service):
    """The operations. Table `codeconnections.connection` by id: members as AWS names them, `Tags`, `Directory`."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.connections = cloud.store.table("codeconnections.connection")

    # -- the API --------------------------------------------------------------------------------------------------

    @operation("CreateConnection")
    def create_connection(self, call: Call) -> dict[str, Any]:
        """A connection, PENDING until the handshake."""
        given = call.input
        if given.get("HostArn"):
            raise Fault(
                "ResourceNotFoundException", f"Host {given['HostArn']} not found; the local cloud has no hosts."
            )
        kind = given.get("ProviderType")
        if not kind:
            raise _invalid("Either ProviderType or HostArn must be given.")
        if kind in INSTALLED:
            raise _invalid(f"ProviderType {kind} needs a HostArn, and hosts are not served by the local cloud.")
        tags = _tags(given.get("Tags") or [])
        identifier = uuid()
        arn = f"arn:aws:{self.name}:{call.region}:{call.account}:connection/{identifier}"
        record = {
            "ConnectionName": given["ConnectionName"],
            "ConnectionArn": arn,
            "ProviderType": kind,
            "OwnerAccountId": call.account,
            "Tags": tags,
            "Directory": None,
        }
        with _LOCK:
            others = self.connections.list(call.account, call.region)
            if len(others) >= MAX_CONNECTIONS:
                raise Fault("LimitExceededException", f"An account has at most {MAX_CONNECTIONS} connections.")
            if any(other["ConnectionName"] == given["ConnectionName"] for other in others):
                raise _invalid(
                    f"A connection named {given['ConnectionName']} exists; connection names are unique in an account."
                )
            self.connections.insert(call.account, call.region, identifier, record)
        return {"ConnectionArn": arn, "Tags": _listed(tags)}

    @operation("GetConnection")
    def get_connection(self, call: Call) -> dict[str, Any]:
        """One connection."""
        return {"Connection": _shown(self._own(call, call.input["ConnectionArn"]))}

    @operation("ListConnections")
    def list_connections(self, call: Call) -> dict[str, Any]:
        """The connections of the account in the Region."""
        kind, host = call.input.get("ProviderTypeFilter"), call.input.get("HostArnFilter")
        found = [
            _shown(record)
            for record in self.connections.list(call.account, call.region)
            if kind in (None, record["ProviderType"]) and not host
        ]
        page, token = paginate(found, call.input, token="NextToken", limit="MaxResults")  # noqa: S106
        return {"Connections": page, "NextToken": token}

    @operation("DeleteConnection")
    def delete_connection(self, call: Call) -> dict[str, Any]:
        """Forget a connection; the repositories are the provider's, and stay."""
        record = self._own(call, call.input["ConnectionArn"])
        self.connections.delete(call.account, call.region, _id(record["ConnectionArn"]))
        return {}

    @operation("ListTagsForResource")
    def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        """A connection's tags."""
        return {"Tags": _listed(self._own(call, call.input["ResourceArn"])["Tags"])}

    @operation("TagResource")
    def tag_resource(self, call: Call) -> dict[str, Any]:
        """Add or change tags."""
        tags = _tags(call.input["Tags"])

        def change(record: dict[str, Any]) -> None:
            record["Tags"] = record["Tags"] | tags
            if len(record["Tags"]) > MAX_TAGS:
                raise Fault("LimitExceededException", f"A connection has at most {MAX_TAGS} tags.")

        self._change(call, call.input["ResourceArn"], change)
        return {}

    @operation("UntagResource")
    def untag_resource(self, call: Call) -> dict[str, Any]:
        """Remove tags."""
        gone = set(call.input["TagKeys"])

        def change(record: dict[str, Any]) -> None:
            record["Tags"] = {key: value for key, value in record["Tags"].items() if key not in gone}

        self._change(call, call.input["ResourceArn"], change)
        return {}

    def _own(self, call: Call, arn: str) -> dict[str, Any]:
        record = self.find(arn)
        if record is None or arn.split(":")[3:5] != [call.region, call.account]:
            raise Fault("ResourceNotFoundException", f"Resource not found. Connection {arn} does not exist.")
        return record

    def _change(self, call: Call, arn: str, change: Any) -> None:
        self._own(call, arn)
        self.connections.update(call.account, call.region, _id(arn), change)

    # -- the handshake --------------------------------------------------------------------------------------------

    def connect(self, arn: str, directory: Path) -> str:
        """Complete the handshake: what a person does in the console. Again, with another directory: another provider.

        Returns:
            The connection's name.

        Raises:
            Fault: there is no such connection, or no such directory.
        """
        record = self.find(arn)
        if record is None:
            raise Fault("ResourceNotFoundException", f"there is no connection {arn}", 404)
        if not directory.is_absolute() or not directory.is_dir():
            raise Fault("ValidationException", f"given {str(directory)!r}, allowed the absolute path of a directory")
        region, account = arn.split(":")[3:5]
        self.connections.update(account, region, _id(arn), lambda known: {**known, "Directory": str(directory)})
        return str(record["ConnectionName"])

    # -- what other services ask ----------------------------------------------------------------------------------

    def find(self, arn: str) -> dict[str, Any] | None:
        """The record of a connection by its ARN, or None."""
        parts = arn.split(":", 5)
        if len(parts) < 6:
            return None
        record = self.connections.get(parts[4], parts[3], _id(arn))
        return record if record and record["ConnectionArn"] == arn else None

    def by_id(self, account: str, region: str, identifier: str) -> dict[str, Any] | None:
        """The record of a connection by its id, or None."""
        return self.connections.get(account, region, identifier)

    def repository(self, record: Mapping[str, Any], full_name: str) -> GitRepository | None:
        """A repository that the connection reaches; None where its app was not given one of that name.

        Raises:
            Fault: ResourceUnavailableException, the connection is not available.
        """
        if status(record) != AVAILABLE:
            raise Fault(
                "ResourceUnavailableException",
                f"Connection {record['ConnectionArn']} is not available: its status is {status(record)}.",
            )
        return provider.repository(Path(record["Directory"]), full_name)

    def may_use(
        self, record: Mapping[str, Any], principal: str, action: str, full_name: str, branch: str = "",
        session_tags: Mapping[str, str] | None = None,
    ) -> bool:  # fmt: skip
        """Whether a principal's policies let it use the connection for what `action` does at the provider.

        The question is recorded, as IAM is asked it, with its answer.
        """
        arn = str(record["ConnectionArn"])
        service, region, account = arn.split(":")[2:5]
        keys = {
            f"{service}:FullRepositoryId": full_name,
            f"{service}:ProviderAction": action,
            f"{service}:ProviderPermissionsRequired": _PERMISSIONS.get(action, "read_only"),
        }
        if branch:
            keys[f"{service}:BranchName"] = branch
        base, use = self.cloud.base, f"{service}:UseConnection"
        assert base is not None
        tags = {f"aws:ResourceTag/{key}": value for key, value in record["Tags"].items()}
        allowed = principal.split(":")[4] == account and base.identities.allows(
            principal, region=region, action=use, resource=arn, keys={**keys, **tags}, session_tags=session_tags
        )
        if self.cloud.recorder is not None:
            context: dict[str, Any] = {"keys": keys} | ({"session_tags": dict(session_tags)} if session_tags else {})
            code, error = (200, "") if allowed else (403, "AccessDeniedException")
            self.cloud.recorder.add(Recorded(account, region, principal, use, arn, code, error, context))
        return allowed


def status(record: Mapping[str, Any]) -> str:
    """PENDING before the handshake, ERROR while the provider is not there, else AVAILABLE."""
    if not record["Directory"]:
        return PENDING
    return AVAILABLE if Path(record["Directory"]).is_dir() else ERROR


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key not in ("Tags", "Directory")}
    return {**kept, "ConnectionStatus": status(record)}


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]


def _invalid(message: str) -> Fault:
    return Fault("InvalidInputException", message)


def _tags(given: list[dict[str, str]]) -> dict[str, str]:
    for tag in given:
        if is_reserved(tag["Key"]):
            raise _invalid(f"Tag key '{tag['Key']}' begins with the reserved prefix aws:.")
    if len(given) > MAX_TAGS:
        raise Fault("LimitExceededException", f"A connection has at most {MAX_TAGS} tags; {len(given)} given.")
    return {tag["Key"]: tag["Value"] for tag in given}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
