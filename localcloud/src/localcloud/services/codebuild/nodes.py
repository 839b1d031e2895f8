"""Reading YAML nodes: each helper takes what a place in a buildspec may hold, or says what was found there instead."""

from __future__ import annotations

from collections.abc import Sequence

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_TRUE = ("yes", "true", "on")
_FALSE = ("no", "false", "off")


class BuildspecError(ValueError):
    """A buildspec that CodeBuild refuses: the message that follows YAML_FILE_ERROR."""


def where(node: Node) -> str:
    """`at line 7`."""
    return f"at line {node.start_mark.line + 1}"


def entries(node: Node, name: str) -> list[tuple[str, Node]]:
    """The keys and values of a mapping, in order; no key twice."""
    if not isinstance(node, MappingNode):
        raise BuildspecError(f"Expected '{name}' to be a mapping of keys to values {where(node)}: found {_kind(node)}")
    found: dict[str, Node] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise BuildspecError(f"Expected the keys of '{name}' to be texts {where(key)}: found {_kind(key)}")
        if key.value in found:
            raise BuildspecError(f"The key '{key.value}' in '{name}' {where(key)} is given twice")
        found[key.value] = value
    return list(found.items())


def mapping(node: Node, name: str, allowed: Sequence[str]) -> dict[str, Node]:
    """A mapping with none but the allowed keys."""
    found = dict(entries(node, name))
    for key, value in found.items():
        if key not in allowed:
            raise BuildspecError(f"Unknown key '{key}' in '{name}' {where(value)}; allowed: {', '.join(allowed)}")
    return found


def scalar(node: Node, name: str) -> str:
    """A text as it was written; numbers and booleans are texts here, as they are for CodeBuild."""
    if not isinstance(node, ScalarNode):
        raise BuildspecError(f"Expected '{name}' to be of string type {where(node)}: found {_kind(node)}")
    return str(node.value)


def flag(node: Node | None, name: str) -> bool:
    """`yes` or `no`; no where the key is absent."""
    if node is None:
        return False
    value = scalar(node, name).lower()
    if value not in (*_TRUE, *_FALSE):
        raise BuildspecError(f"'{name}: {value}' {where(node)} is unknown; allowed: yes, no")
    return value in _TRUE


def strings(node: Node, name: str) -> tuple[str, ...]:
    """A sequence of texts; one text alone counts as a sequence of one."""
    if isinstance(node, ScalarNode):
        return (str(node.value),) if node.value else ()
    if not isinstance(node, SequenceNode):
        raise BuildspecError(f"Expected '{name}' to be a sequence of texts {where(node)}: found {_kind(node)}")
    found = []
    for index, item in enumerate(node.value):
        if not isinstance(item, ScalarNode):
            line = item.start_mark.line + 1
            raise BuildspecError(
                f"Expected {name}[{index}] to be of string type: found {_kind(item)} instead at line {line}, "
                f"value of the key tag on line {max(1, line - 1)} might be empty; quote a command that contains ': '"
            )
        found.append(str(item.value))
    return tuple(found)


def _kind(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "subkeys"
    if isinstance(node, SequenceNode):
        return "a sequence"
    return f"'{node.value}'" if node.value else "nothing"
