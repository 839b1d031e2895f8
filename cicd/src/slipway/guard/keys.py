"""Whose key is it? A resource is under its project's key, or under the release key of its account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from slipway.guard.faults import code_of, is_passing

# Values of the tag Project on keys that belong to no project.
_NO_PROJECT = frozenset({"platform", "audit"})
_REFUSED = frozenset({"AccessDeniedException", "InvalidArnException", "NotFoundException"})


class Keys:
    """Looks keys up, each once."""

    def __init__(self, kms: Any, ssm: Any, namespace: str) -> None:
        self._kms, self._ssm, self._namespace = kms, ssm, namespace
        self._known: dict[str, tuple[str, Mapping[str, str]] | str] = {}
        self._release: str | None = None

    def problem(self, key: str, project: str | None) -> str | None:
        """Why a key (id, ARN, alias name or ARN) is not that of `project` (any project if None); None if it is."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._read(key)
        if isinstance(found, str):
            return found
        arn, tags = found
        if arn == self._release_key():
            return None
        owner = tags.get("Project", "")
        if tags.get("Namespace") != self._namespace or owner in _NO_PROJECT or not owner:
            return f"{arn} is no project's key"
        if project and owner != project:
            return f"{arn} is the key of the project {owner}, not of {project}"
        return None

    def _read(self, key: str) -> tuple[str, Mapping[str, str]] | str:
        try:
            arn = str(self._kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"])
            tags = self._kms.list_resource_tags(KeyId=arn).get("Tags", [])
        except ClientError as error:
            if is_passing(error) or code_of(error) not in _REFUSED:
                raise
            return f"{key} is no key of this account"
        return arn, {tag["TagKey"]: tag["TagValue"] for tag in tags}

    def _release_key(self) -> str:
        """The key of what is released in this account; empty in an account where nothing is."""
        if self._release is None:
            try:
                name = f"/{self._namespace}/platform/release/key-arn"
                self._release = str(self._ssm.get_parameter(Name=name)["Parameter"]["Value"])
            except self._ssm.exceptions.ParameterNotFound:
                self._release = ""
        return self._release
