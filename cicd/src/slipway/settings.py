"""What the platform and the project publish about themselves, read from SSM Parameter Store.

The layers hand on what others need as parameters: `/{namespace}/platform/{layer}/{name}` and
`/{namespace}/projects/{project}/{name}`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.errors import SlipwayError


def environment(name: str, default: str | None = None) -> str:
    """An environment variable that the build's project sets. Raises SlipwayError if there is none and no default."""
    value = os.environ.get(name) or default
    if value is None:
        raise SlipwayError(f"the environment variable {name} is not set: the CodeBuild project of this build sets it")
    return value


@dataclass(frozen=True)
class Parameters:
    """The parameters below a path; the keys are relative to it."""

    path: str
    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        try:
            return self.values[name]
        except KeyError:
            raise SlipwayError(
                f"SSM parameter {self.path}{name} does not exist: is the platform (or the project) deployed with this "
                "namespace, in this account and region?"
            ) from None

    def get(self, name: str, default: str = "") -> str:
        """The value, or the default if there is no such parameter."""
        return self.values.get(name, default)

    def list(self, name: str) -> list[str]:
        """The value of a StringList, or of a text with commas."""
        return [part.strip() for part in self[name].split(",") if part.strip()]


def read(ssm: Any, path: str) -> Parameters:
    """All parameters below `path` (which ends with a slash)."""
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True, WithDecryption=True)
    found = {item["Name"].removeprefix(path): item["Value"] for page in pages for item in page["Parameters"]}
    return Parameters(path, found)


def platform(ssm: Any, namespace: str) -> Parameters:
    """What the platform publishes."""
    return read(ssm, f"/{namespace}/platform/")


def project(ssm: Any, namespace: str, name: str) -> Parameters:
    """What a project publishes."""
    return read(ssm, f"/{namespace}/projects/{name}/")
