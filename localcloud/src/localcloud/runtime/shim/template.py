"""The Go templates that `--format` is used with: {{.A.B}}, {{json .A}}, {{index .A 0}}, {{len .A}}, {{.A | json}}."""

from __future__ import annotations

import json
import re
from typing import Any

from localcloud.runtime.shim.options import Usage

_ACTION = re.compile(r"{{-?\s*(.*?)\s*-?}}")
_PATH = re.compile(r"\.(?:[\w-]+(?:\.[\w-]+)*)?")
ALLOWED = '{{.Name}}, {{.Name.Other}}, {{json .Name}}, {{index .Name 0}}, {{index .Name "key"}}, {{len .Name}}'


def render(template: str, document: Any) -> str:
    """Fill in a template.

    Raises:
        Usage: an action or a name that is not served.
    """
    return _ACTION.sub(lambda match: _action(match[1], document), template.replace("\\n", "\n").replace("\\t", "\t"))


def _action(text: str, document: Any) -> str:
    piped = re.fullmatch(r"(\S+)\s*\|\s*json", text)
    if piped:
        text = f"json {piped[1]}"
    head, _, rest = text.partition(" ")
    if head == "json":
        return json.dumps(_value(rest.strip(), document), separators=(",", ":"))
    if head == "len":
        return str(len(_value(rest.strip(), document)))
    if head == "index":
        name, *keys = re.findall(r'"[^"]*"|\S+', rest)
        value = _value(name, document)
        for key in keys:
            try:
                value = value[int(key)] if key.isdigit() else value[key.strip('"')]
            except (IndexError, KeyError, TypeError):
                raise Usage(f"template: error calling index: {key} is not in {name}") from None
        return _text(value)
    return _text(_value(text, document))


def _value(path: str, document: Any) -> Any:
    if not _PATH.fullmatch(path):
        raise Usage(f"template {{{{{path}}}}} is not served here; served: {ALLOWED}")
    value = document
    for name in path[1:].split(".") if path != "." else []:
        if not isinstance(value, dict) or name not in value:
            allowed = ", ".join(value) if isinstance(value, dict) else "none"
            raise Usage(f"template: no '{name}' in {path}; allowed: {allowed}")
        value = value[name]
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + " ".join(_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_text(item)}" for key, item in sorted(value.items())) + "]"
    return "<no value>" if value is None else str(value)
