"""A resource that no bill and no policy can attribute."""

from __future__ import annotations

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.schema import ResourceNotFoundError
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from slipway.lint.templates import properties, resources

REQUIRED = ("Namespace", "Project", "CostCenter")
_REGION = "us-east-1"  # has every type


class RequiredTags(CloudFormationLintRule):
    """Cost allocation, tag-based permissions and the clean-up go by these tags.

    Which types can be tagged, and by which property, AWS's own resource schemas say.
    """

    id = "E3902"
    shortdesc = "Resources have the tags that the platform goes by"
    description = f"Every resource that CloudFormation can tag has the tags {', '.join(REQUIRED)}"
    tags = ["resources", "tags"]  # noqa: RUF012

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Resources that lack tags."""
        found = []
        for kind, resource, path in resources(cfn.template):
            name = tag_property(kind)
            if name is None:
                continue
            given = properties(resource).get(name, [])
            keys = set(given) if isinstance(given, dict) else {_key(tag) for tag in given if isinstance(tag, dict)}
            if missing := [tag for tag in REQUIRED if tag not in keys]:
                found.append(RuleMatch(path, f"{kind} {path[-1]} lacks the tags {', '.join(missing)} ({name})"))
        return found


def _key(tag: dict[str, Any]) -> Any:
    return tag.get("Key", tag.get("TagKey"))


def tag_property(kind: str) -> str | None:
    """The property that takes a type's tags; None where CloudFormation cannot tag it."""
    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(_REGION, kind).schema
    except ResourceNotFoundError:  # a custom resource, or a type that cfn-lint reports itself
        return None
    said = schema.get("tagging", {})
    if said.get("taggable") is False:
        return None
    name = str(said.get("tagProperty", "/properties/Tags")).rpartition("/")[2]
    return name if name in schema.get("properties", {}) else None
