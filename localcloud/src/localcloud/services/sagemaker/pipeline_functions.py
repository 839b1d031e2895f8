"""The expressions of a pipeline definition: Get, Std:Join, Std:JsonGet, and the conditions of Condition steps.

Everything here is pure: what an expression reads comes from a `Scope`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FUNCTIONS = ("Get", "Std:Join", "Std:JsonGet")
COMPARISONS = ("Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")
CONDITIONS = (*COMPARISONS, "In", "Not", "Or", "And")
EXECUTION_VARIABLES = (
    "StartDateTime", "CurrentDateTime", "PipelineName", "PipelineArn", "PipelineExecutionId", "PipelineExecutionArn",
    "TrainingJobName", "ProcessingJobName",
)  # fmt: skip

_TOKEN = re.compile(
    r"""(?:^|\.)(?P<name>[^.\[\]'"]+) | \[\s*(?P<index>\d+)\s*\]
    | \[\s*'(?P<single>[^']*)'\s*\] | \[\s*"(?P<double>[^"]*)"\s*\]""",
    re.VERBOSE,
)


class EvaluationError(Exception):
    """An expression that has no value. The text says which, and why."""


def path_tokens(path: str) -> list[str | int]:
    """The parts of `A.B['c'][0]`, also with JSONPath's leading `$`.

    Raises:
        EvaluationError: it is no such path.
    """
    text = path[1:].removeprefix(".") if path.startswith("$") else path
    tokens: list[str | int] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            raise EvaluationError(f"'{path}' is not a path: unexpected '{text[position:]}'")
        if found["index"] is not None:
            tokens.append(int(found["index"]))
        else:
            names = (found["name"], found["single"], found["double"])
            tokens.append(next(value for value in names if value is not None))
        position = found.end()
    if not tokens:
        raise EvaluationError(f"'{path}' is an empty path")
    return tokens


def follow(value: Any, tokens: Sequence[str | int], path: str) -> Any:
    """The value at the path. A list may be indexed by name: `Outputs['train']` is the element whose …Name is 'train'.

    Raises:
        EvaluationError: there is nothing at the path.
    """
    for token in tokens:
        if isinstance(value, Mapping) and str(token) in value:
            value = value[str(token)]
        elif isinstance(value, list) and isinstance(token, int) and token < len(value):
            value = value[token]
        elif isinstance(value, list) and isinstance(token, str):
            value = _named(value, token, path)
        else:
            raise EvaluationError(f"'{path}' has no value: there is no '{token}'{_what_there_is(value)}")
    return value


def _named(items: list[Any], name: str, path: str) -> Any:
    for item in items:
        if isinstance(item, Mapping) and any(key.endswith("Name") and found == name for key, found in item.items()):
            return item
    raise EvaluationError(f"'{path}' has no value: no element is named '{name}'")


def _what_there_is(value: Any) -> str:
    if isinstance(value, Mapping):
        return f" among {', '.join(map(str, value)) or 'no keys'}"
    if isinstance(value, list):
        return f" in a list of {len(value)}"
    return f" in {value!r}"


def is_function(value: Any) -> bool:
    """Whether a JSON value is an expression and not a literal."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in FUNCTIONS


@dataclass
class Scope:
    """What expressions can read.

    Args:
        parameters: name → typed value.
        variables: the execution's variables, e.g. "PipelineExecutionId".
        outputs: step → its properties, as the Describe operation of what it made answers.
        property_file: (step, file name) → the parsed JSON document.
        json_object: S3 URI → the parsed JSON document.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    property_file: Callable[[str, str], Any] = lambda step, name: {}
    json_object: Callable[[str], Any] = lambda uri: {}

    def resolve(self, value: Any) -> Any:
        """The value with every expression in it replaced by what it stands for.

        Raises:
            EvaluationError: an expression has no value.
        """
        if is_function(value):
            name, argument = next(iter(value.items()))
            if name == "Get":
                return self.get(str(argument))
            return self._join(argument) if name == "Std:Join" else self._json_get(argument)
        if isinstance(value, Mapping):
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return value

    def get(self, path: str) -> Any:
        """The value of a `Get`."""
        kind, _, rest = path.partition(".")
        if kind == "Parameters" and rest in self.parameters:
            return self.parameters[rest]
        if kind == "Execution" and rest in self.variables:
            return self.variables[rest]
        if kind == "Steps":
            step, *tokens = path_tokens(rest)
            if step in self.outputs:
                return follow(self.outputs[str(step)], tokens, path)
            raise EvaluationError(f"'{path}' has no value: step {step} has not run")
        raise EvaluationError(f"'{path}' has no value")

    def _join(self, argument: Mapping[str, Any]) -> str:
        values = self.resolve(argument.get("Values", []))
        return str(argument.get("On", "")).join(as_text(value) for value in _flat(values))

    def _json_get(self, argument: Mapping[str, Any]) -> Any:
        path = str(self.resolve(argument["Path"]))
        if "S3Uri" in argument:
            uri = str(self.resolve(argument["S3Uri"]))
            return follow(self.json_object(uri), path_tokens(path), f"{uri}: {path}")
        step, name = property_file_of(argument)
        return follow(self.property_file(step, name), path_tokens(path), f"{name} of step {step}: {path}")

    def condition(self, condition: Mapping[str, Any]) -> bool:
        """Whether a condition holds.

        Raises:
            EvaluationError: a value is missing, or two values cannot be compared.
        """
        kind = condition["Type"]
        if kind == "Not":
            inner = condition.get("Condition", condition.get("Expression"))
            return not self.condition(inner or {})
        if kind in ("Or", "And"):  # all are evaluated: a missing value is an error wherever it stands
            values = [self.condition(item) for item in condition["Conditions"]]
            return any(values) if kind == "Or" else all(values)
        if kind == "In":
            wanted = self.resolve(condition["QueryValue"])
            return any(_compare("Equals", wanted, self.resolve(item)) for item in condition["Values"])
        return _compare(kind, self.resolve(condition["LeftValue"]), self.resolve(condition["RightValue"]))


def property_file_of(argument: Mapping[str, Any]) -> tuple[str, str]:
    """(step, property file) that a Std:JsonGet reads.

    Raises:
        EvaluationError: the reference has another form.
    """
    reference = argument.get("PropertyFile")
    path = reference.get("Get") if isinstance(reference, Mapping) else reference
    tokens = path_tokens(str(path))
    if len(tokens) != 4 or tokens[0] != "Steps" or tokens[2] != "PropertyFiles":
        raise EvaluationError(f"PropertyFile is '{path}'; it must be 'Steps.<step>.PropertyFiles.<name>'")
    return str(tokens[1]), str(tokens[3])


def references(value: Any) -> Iterator[str]:
    """Every path that a `Get` in the value reads; those of property files too."""
    if is_function(value) and "Get" in value:
        yield str(value["Get"])
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def as_text(value: Any) -> str:
    """A value as Std:Join writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _flat(values: Any) -> Iterator[Any]:
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _compare(kind: str, left: Any, right: Any) -> bool:
    if _family(left) != _family(right):
        raise EvaluationError(f"{kind} cannot compare {left!r} ({_family(left)}) with {right!r} ({_family(right)})")
    if kind == "Equals":
        return bool(left == right)
    if _family(left) not in ("number", "string"):
        raise EvaluationError(f"{kind} cannot order {left!r} and {right!r}: they are of type {_family(left)}")
    if kind == "GreaterThan":
        return bool(left > right)
    if kind == "GreaterThanOrEqualTo":
        return bool(left >= right)
    if kind == "LessThan":
        return bool(left < right)
    if kind == "LessThanOrEqualTo":
        return bool(left <= right)
    raise EvaluationError(f"condition type '{kind}' is not one of {', '.join(CONDITIONS)}")


def _family(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "none" if value is None else type(value).__name__
