"""Reads project.yaml: one clear message for each problem, with the line it is on."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from slipway.configuration.model import METRICS, ProjectFile
from slipway.configuration.rules import Broken, broken, shown
from slipway.errors import ConfigurationError

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Finding:
    """One problem: where, what, what was given, what is allowed, and how to mend it."""

    line: int
    key: str
    problem: str
    given: str
    allowed: str
    mend: str

    def text(self, file: str) -> str:
        """The message for a person; the first line alone says enough to find the place."""
        return "\n".join(
            (
                f"{file}:{self.line}: {self.key}: {self.problem}",
                f"    given:   {self.given}",
                f"    allowed: {self.allowed}",
                f"    mend:    {self.mend}",
            )
        )


def load(path: Path) -> ProjectFile:
    """Read and check a project configuration file. Raises ConfigurationError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        finding = Finding(0, "(file)", "there is no such file", str(path), "a file", "run in the project's root folder")
        raise ConfigurationError([finding.text(str(path))]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or f"not UTF-8 text: {error}"
        finding = Finding(0, "(file)", "cannot be read", reason, "a readable UTF-8 text file", "mend the file")
        raise ConfigurationError([finding.text(str(path))]) from None
    return loads(text, str(path))


def loads(text: str, file: str = "project.yaml") -> ProjectFile:
    """Check the text of a project configuration file. Raises ConfigurationError with every problem found."""
    lines: dict[Key, int] = {}
    try:
        findings, data = _parse(text, lines)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError([_not_yaml(error).text(file)]) from None
    if not findings and not isinstance(data, dict):
        findings = [
            Finding(
                1, "(file)", "not a mapping of keys to values", _shown(data), "keys such as `project: …`", _REFERENCE
            )
        ]
    project: ProjectFile | None = None
    if not findings:
        try:
            project = ProjectFile.model_validate(data)
        except ValidationError as error:
            findings = [*_findings(error, lines), *_unknown_metrics(data, lines)]
        else:
            findings = [_rule(item, lines) for item in broken(project)]
    if findings or project is None:
        raise ConfigurationError([finding.text(file) for finding in sorted(findings, key=lambda f: (f.line, f.key))])
    return project


_REFERENCE = "see the reference of project.yaml (slipway project reference)"


def _parse(text: str, lines: dict[Key, int]) -> tuple[list[Finding], object]:
    """The document as Python values; fills `lines` with the line of each key, and finds keys given twice."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return [], None
        findings = list(_walk(node, (), lines))
        return findings, loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(node: yaml.Node, path: Key, lines: dict[Key, int]) -> Iterator[Finding]:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(getattr(key, "value", key))
            line = key.start_mark.line + 1
            if (*path, name) in lines:
                first = lines[(*path, name)]
                yield Finding(
                    line, _dotted((*path, name)), "the key is given twice", f"lines {first} and {line}", "once",
                    "keep one of the two",
                )  # fmt: skip
                continue
            lines[(*path, name)] = line
            yield from _walk(value, (*path, name), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*path, index), lines)


def _not_yaml(error: Exception) -> Finding:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    line = mark.line + 1 if mark else 1
    return Finding(line, "(file)", "not YAML", str(problem), "YAML", "look at this line and the one before it")


def _findings(error: ValidationError, lines: Mapping[Key, int]) -> list[Finding]:
    findings = []
    for item in error.errors(include_url=False):
        # pydantic says `[key]` where the key of an entry is at fault, not its value.
        path = tuple(part for part in item["loc"] if part != "[key]")
        context = item.get("ctx", {})
        kind = item["type"]
        key = _dotted(path)
        line = _line(path, lines)
        given = _shown(item.get("input"))
        if kind == "extra_forbidden":
            siblings = list(_section(path[:-1]).model_fields)
            mend = _near(str(path[-1]), siblings) or f"take the key away; {_REFERENCE}"
            finding = Finding(line, key, "this key is not known", str(path[-1]), ", ".join(siblings), mend)
        elif kind == "missing":
            finding = Finding(line, key, "this key is missing", "nothing", _allowed(path), f"add `{path[-1]}: …`")
        else:
            mend = _mend(kind, item.get("input"))
            finding = Finding(line, key, _reason(kind, item["msg"]), given, _limit(kind, context, path), mend)
        findings.append(finding)
    return findings


def _rule(item: Broken, lines: Mapping[Key, int]) -> Finding:
    given = shown(item.given)
    mend = (_near(given, item.allowed) if isinstance(given, str) else "") or item.mend
    return Finding(
        _line(item.path, lines), _dotted(item.path), item.problem, _shown(given), _several(item.allowed), mend
    )


def _unknown_metrics(data: object, lines: Mapping[Key, int]) -> Iterator[Finding]:
    """Metrics that the kind of problem does not have; asked of the raw data, so that no other problem hides them."""
    if not isinstance(data, dict) or not isinstance(data.get("quality_gate"), dict):
        return
    problem = data.get("problem")
    allowed = next((names for kind, names in METRICS.items() if kind == problem), {})
    for metric in data["quality_gate"] if allowed else ():
        if metric not in allowed:
            path: Key = ("quality_gate", str(metric))
            mend = _near(str(metric), allowed) or "use one of the metrics allowed"
            message = f"a {problem} has no such metric"
            yield Finding(_line(path, lines), _dotted(path), message, str(metric), ", ".join(allowed), mend)


def _section(path: Key) -> type[BaseModel]:
    """The model that describes the mapping at `path`."""
    section: type[BaseModel] = ProjectFile
    for part in path:
        field = section.model_fields.get(str(part))
        if field is None:
            # An entry of a mapping, such as a metric of the quality gate: the mapping's value type was found already.
            continue
        section = _model_in(field.annotation) or section
    return section


def _model_in(annotation: object) -> type[BaseModel] | None:
    if (
        isinstance(annotation, type)
        and not isinstance(annotation, types.GenericAlias)
        and issubclass(annotation, BaseModel)
    ):
        return annotation
    for argument in typing.get_args(annotation):
        found = _model_in(argument)
        if found:
            return found
    return None


def _allowed(path: Key) -> str:
    """What the model says of the key at `path`."""
    field = _section(path[:-1]).model_fields.get(str(path[-1])) if path else None
    return (field.description or "a value").rstrip(".") if field else "a value"


def _limit(kind: str, context: Mapping[str, object], path: Key) -> str:
    limits = {
        "greater_than_equal": "at least {ge}",
        "less_than_equal": "at most {le}",
        "string_too_short": "at least {min_length} character(s)",
        "string_too_long": "at most {max_length} characters",
        "string_pattern_mismatch": "text that matches {pattern}",
        "literal_error": "{expected}",
        "too_short": "at least {min_length} entry",
        "too_long": "at most {max_length} entries",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "string_type": "text",
        "bool_type": "true or false",
        "dict_type": "keys and values",
        "model_type": "keys and values",
        "model_attributes_type": "keys and values",
        "number": "a finite number",
        "later": "{instead}",
        "schedule": "rate(7 days) or, of minute, hour, day of month, month, day of week, year, cron(0 3 ? * MON *)",
        "parameter": "a finite number, true or false, or one line of 1 to 256 characters",
        "lines": "one line of 1 to 256 characters",
    }
    if kind in limits:
        return limits[kind].format(**context)
    return _allowed(path)


def _reason(kind: str, message: str) -> str:
    if kind.endswith("_type") or kind == "int_from_float":
        return "has the wrong type"
    return {
        "string_pattern_mismatch": "is not in the right form",
        "literal_error": "is not one of the values allowed",
        "greater_than_equal": "is too small",
        "less_than_equal": "is too large",
        "finite_number": "is not a finite number",
        "string_too_short": "is empty",
        "string_too_long": "is too long",
        "too_short": "is empty",
        "too_long": "has too many entries",
    }.get(kind, message)


def _mend(kind: str, given: object) -> str:
    if kind == "string_type" and isinstance(given, bool | int | float):
        return f'write it in quotes: "{str(given).lower() if isinstance(given, bool) else given}"'
    if kind in {"int_type", "float_type"} and isinstance(given, str) and given.strip().replace(".", "", 1).isdigit():
        return f"write it without quotes: {given.strip()}"
    if kind == "later":
        return "take the value that is allowed; the changelog will tell when this one is"
    if kind == "lines":
        return "write it in one line; in YAML a text after `|` or `>` ends with a line break, too"
    if kind == "schedule":
        return 'write it as AWS does (EventBridge Scheduler, "Schedule types"), in UTC'
    return "change the value to one that is allowed"


def _near(given: str, allowed: Iterable[str]) -> str | None:
    names = list(allowed)
    abbreviated = [name for name in names if len(given) > 1 and name.startswith(given)]
    close = difflib.get_close_matches(given, names, n=1) or abbreviated
    return f"did you mean {close[0]}?" if close else None


def _several(allowed: Sequence[str]) -> str:
    return ", ".join(allowed[:6]) + (f" and {len(allowed) - 6} more" if len(allowed) > 6 else "")


def _line(path: Key, lines: Mapping[Key, int]) -> int:
    """The line of the key, or of the nearest key around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _dotted(path: Key) -> str:
    return ".".join(str(part) for part in path) or "(file)"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else repr(value)
    kind = type(value).__name__
    text = text if len(text) <= 60 else text[:57] + "…"
    return f"{text!r} (text)" if isinstance(value, str) else f"{text} ({_KINDS.get(kind, kind)})"


_KINDS = {"int": "whole number", "float": "number", "bool": "true or false", "dict": "keys and values", "list": "list"}
