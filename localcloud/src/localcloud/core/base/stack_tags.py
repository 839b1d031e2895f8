"""A stack's tags reach its resources, with the three that CloudFormation adds, as AWS's resource schemas say.

ministack does so for the types of a table of its own; for all types that are served here the schema decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from localcloud.core.schema import Schema, load
from localcloud.core.tags import is_reserved

Properties = dict[str, Any]


class _List(list[Any]):
    """Tags as a list; `own` are those of the template, None where it has none."""

    own: Any = None


class _Map(dict[str, Any]):
    """As `_List`, where the type has tags as a map."""

    own: Any = None


def install(ours: Collection[str]) -> None:
    """Wrap what merges a stack's tags into the properties of a resource, for our types."""
    from ministack.core.responses import get_region
    from ministack.services import cloudwatch
    from ministack.services.cloudformation import provisioners, stacks

    refuse = cloudwatch._composite_system_tag_error
    cloudwatch._composite_system_tag_error = lambda tags: refuse([tag for tag in tags or () if is_reserved(tag["Key"])])
    original = provisioners._with_stack_tags

    def with_stack_tags(
        kind: str, properties: Properties, tags: list[dict[str, Any]], stack: str, stack_id: str, logical_id: str
    ) -> Any:
        schema = _schema(kind, get_region()) if kind in ours else None
        if schema is None:
            return original(kind, properties, tags, stack, stack_id, logical_id)
        own = {
            "aws:cloudformation:stack-name": stack,
            "aws:cloudformation:stack-id": stack_id,
            "aws:cloudformation:logical-id": logical_id,
        }
        extra = {str(tag["Key"]): str(tag.get("Value", "")) for tag in tags or ()}
        # AWS's own services put tags on stacks, which belong to the stack.
        extra = {key: value for key, value in extra.items() if not key.startswith("aws:")}
        return merged(schema, properties, {**extra, **(own if schema.system_tags else {})})

    provisioners._with_stack_tags = stacks._with_stack_tags = with_stack_tags


def merged(schema: Schema, properties: Properties, extra: Mapping[str, str]) -> Properties:
    """The properties with further tags; a key that the template sets stays as it is."""
    if not schema.tags or not extra:
        return properties
    given = properties.get(schema.tags)
    tags: _List | _Map
    if (schema.node(schema.tags) or {}).get("type") == "object":
        tags = _Map({**extra, **_pairs(given)})
    else:
        present = _pairs(given)
        listed = given if isinstance(given, list) else [{"Key": key, "Value": text} for key, text in present.items()]
        tags = _List([*listed, *({"Key": key, "Value": extra[key]} for key in extra if key not in present)])
    tags.own = given
    return {**properties, schema.tags: tags}


def own(kind: str, region: str, properties: Properties) -> Properties:
    """The properties as the template has them."""
    schema = _schema(kind, region)
    tags = properties.get(schema.tags) if schema else None
    if schema is None or not isinstance(tags, _List | _Map):
        return properties
    rest = {name: value for name, value in properties.items() if name != schema.tags}
    return rest if tags.own is None else {**rest, schema.tags: tags.own}


def updatable(kind: str, region: str) -> bool:
    """Whether a change of the stack's tags alone reaches a resource: not where its tags are made with it for good."""
    schema = _schema(kind, region)
    return schema is None or schema.tags_updatable


def _pairs(tags: Any) -> dict[str, Any]:
    if isinstance(tags, Mapping):
        return dict(tags)
    return {str(tag["Key"]): tag.get("Value") for tag in tags or () if isinstance(tag, Mapping) and "Key" in tag}


def _schema(kind: str, region: str) -> Schema | None:
    try:
        return load(kind, region)
    except LookupError:
        return None
