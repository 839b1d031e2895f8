"""References to variables: `#{namespace.key}` in the configuration of actions and rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

REFERENCE = re.compile(r"#\{([^{}]*)\}")
_PARTS = re.compile(r"\A([A-Za-z0-9@\-_]+)\.([A-Za-z0-9@\-_]+)\Z")

EXECUTION_NAMESPACE = "codepipeline"
PIPELINE_NAMESPACE = "variables"
RESERVED = (EXECUTION_NAMESPACE, PIPELINE_NAMESPACE)
EXECUTION_KEYS = ("PipelineExecutionId",)

Namespaces = Mapping[str, Mapping[str, str]]


class UnresolvedError(Exception):
    """References that name nothing which the execution has produced.

    Attributes:
        references: the texts between the braces, in order of appearance.
    """

    def __init__(self, references: list[str]) -> None:
        super().__init__(", ".join(references))
        self.references = references


def references(text: str) -> list[str]:
    """What stands between the braces of each reference."""
    return REFERENCE.findall(text)


def split(reference: str) -> tuple[str, str] | None:
    """(namespace, key), or None where the reference does not have that form."""
    found = _PARTS.match(reference.strip())
    return (found[1], found[2]) if found else None


def resolve(text: str, namespaces: Namespaces) -> str:
    """`text` with each reference replaced, once: a value that looks like a reference is left as it is.

    Raises:
        UnresolvedError: names every reference without a value.
    """
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        parts = split(match[1])
        known = namespaces.get(parts[0], {}) if parts else {}
        if parts is None or parts[1] not in known:
            missing.append(match[1])
            return match[0]
        return known[parts[1]]

    resolved = REFERENCE.sub(value, text)
    if missing:
        raise UnresolvedError(missing)
    return resolved


def resolve_all(configuration: Mapping[str, str], namespaces: Namespaces) -> dict[str, str]:
    """`resolve` on every value.

    Raises:
        UnresolvedError: names every reference without a value, over all keys.
    """
    missing: list[str] = []
    resolved: dict[str, str] = {}
    for key, text in configuration.items():
        try:
            resolved[key] = resolve(text, namespaces)
        except UnresolvedError as error:
            missing.extend(error.references)
    if missing:
        raise UnresolvedError(missing)
    return resolved
