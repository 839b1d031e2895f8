"""The values of options: NAME=value, secrets, volumes; and sizes to read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from localcloud.runtime.shim.options import Usage
from localcloud.runtime.types import RuntimeFault, Secret


def assignments(items: Sequence[str]) -> dict[str, str]:
    """NAME=value, or NAME alone for the variable of this process."""
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def secret(text: str) -> tuple[str, Secret]:
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    name = fields.get("id", "")
    if not name:
        raise Usage(f"docker build --secret {text}: id= is missing; allowed: id=NAME,src=FILE or id=NAME,env=VARIABLE")
    source = fields.get("src") or fields.get("source")
    if source:
        try:
            return name, Secret(Path(source).read_bytes())
        except OSError as error:
            raise RuntimeFault(f"docker build --secret {text}: {source}: {error.strerror}") from None
    variable = fields.get("env") or name
    if variable not in os.environ:
        raise RuntimeFault(f"docker build --secret {text}: the environment has no variable {variable}")
    return name, Secret(os.environ[variable].encode())


def volume(text: str) -> tuple[Path, str]:
    source, _, rest = text.partition(":")
    target, _, _ = rest.partition(":")
    if not target.startswith("/") or not source.startswith(("/", ".")):
        raise Usage(f"docker run -v {text}: expected /directory/here:/directory/in/the/container")
    return Path(source).resolve(), target


def size(count: int) -> str:
    value, unit = float(count), "B"
    for following in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, following
    return f"{value:.3g}{unit}"
