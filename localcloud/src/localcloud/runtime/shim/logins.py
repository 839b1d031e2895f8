"""Who is logged in to which registry: as with docker, ECR is not reached before `docker login`.

Only the registry's name is kept. The identity is that of the AWS_* variables, whose token the login was made with.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from localcloud.runtime.references import Reference
from localcloud.runtime.registry import EcrRegistry, EnvironmentCredentials
from localcloud.runtime.types import RuntimeFault


def _file() -> Path:
    directory = os.environ.get("DOCKER_CONFIG") or f"{os.environ.get('HOME', '/root')}/.docker"
    return Path(directory) / "localcloud.json"


def _known() -> list[str]:
    try:
        found = json.loads(_file().read_text())["registries"]
    except (OSError, ValueError, KeyError):
        return []
    return [str(item) for item in found]


def add(registry: str) -> None:
    """Remember a login."""
    _write(sorted({*_known(), registry}))


def remove(registry: str) -> bool:
    """Forget a login. Whether there was one."""
    known = _known()
    _write([item for item in known if item != registry])
    return registry in known


def _write(registries: list[str]) -> None:
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{uuid.uuid4().hex}")
    temporary.write_text(json.dumps({"registries": registries}))
    temporary.replace(file)


class LoggedIn:
    """ECR for the caller in the environment, after a login."""

    def __init__(self) -> None:
        self._registry = EcrRegistry(EnvironmentCredentials())

    def put_image(self, reference: Reference, manifest: str, media_type: str) -> str:
        """As `EcrRegistry.put_image`."""
        self._check(reference)
        return self._registry.put_image(reference, manifest, media_type)

    def get_image(self, reference: Reference) -> tuple[str, str]:
        """As `EcrRegistry.get_image`."""
        self._check(reference)
        return self._registry.get_image(reference)

    def _check(self, reference: Reference) -> None:
        if reference.registry not in _known():
            raise RuntimeFault(
                f"{reference}: no basic auth credentials; log in first: aws ecr get-login-password "
                f"| docker login --username AWS --password-stdin {reference.registry}"
            )
