"""Templates are parsed by libyaml, and once: ministack parses in Python, and anew wherever it looks at a template."""

from __future__ import annotations

import functools
import marshal
from collections.abc import Callable
from typing import Any

import yaml

Parse = Callable[[str], Any]

_KEPT = 256  # of the templates that were parsed last


def parser(parse: Parse, loader: type[yaml.SafeLoader]) -> Parse:
    """A function that returns what `parse` does, each time as a copy of its own.

    Args:
        parse: ministack's function. What the fast way does not understand is left to it, and so are its errors.
        loader: the YAML loader with which it works, whose tags are taken over.
    """

    class Fast(yaml.CSafeLoader):
        yaml_constructors = loader.yaml_constructors
        yaml_multi_constructors = loader.yaml_multi_constructors
        yaml_implicit_resolvers = loader.yaml_implicit_resolvers

    @functools.lru_cache(_KEPT)
    def packed(body: str) -> bytes:
        text = body.strip()
        if text.startswith("{"):
            return marshal.dumps(parse(text))
        try:
            found = yaml.load(text, Fast)  # noqa: S506 - it is a SafeLoader
        except yaml.YAMLError:
            found = parse(text)
        return marshal.dumps(found if isinstance(found, dict) else parse(text))

    def parse_once(body: str) -> Any:
        try:
            return marshal.loads(packed(body))  # noqa: S302 - made two lines above
        except (ValueError, RecursionError):  # a refusal, which `parse` words; or no plain data
            return parse(body)

    return parse_once
