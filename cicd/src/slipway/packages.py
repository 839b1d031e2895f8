"""The platform's package index, as pip and uv are given it: an address with a token in it, so never an argument."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from slipway import settings


@dataclass(frozen=True)
class Place:
    """A repository of packages. A build's project names it; others find it in the platform's parameters."""

    domain: str
    repository: str


def place(session: Any, namespace: str, environment: Mapping[str, str] = os.environ) -> Place:
    """The platform's repository."""
    domain, repository = environment.get("PACKAGES_DOMAIN"), environment.get("PACKAGES_REPOSITORY")
    if domain and repository:
        return Place(domain, repository)
    parameters = settings.platform(session.client("ssm"), namespace)
    return Place(parameters["packages/domain"], parameters["packages/repository"])


def index(session: Any, where: Place) -> str:
    """The index's address with a new token, good for twelve hours at most: a secret."""
    codeartifact = session.client("codeartifact")
    token = codeartifact.get_authorization_token(domain=where.domain)["authorizationToken"]
    endpoint = codeartifact.get_repository_endpoint(domain=where.domain, repository=where.repository, format="pypi")
    parts = urlsplit(endpoint["repositoryEndpoint"])
    return f"{parts.scheme}://aws:{quote(token, safe='')}@{parts.netloc}{parts.path.rstrip('/')}/simple/"


@contextmanager
def pip_configuration(session: Any, where: Place) -> Iterator[Path]:
    """A configuration file of pip with the index, readable by nobody else, gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pip.conf"
        path.touch(mode=0o600)
        path.write_text(f"[global]\nindex-url = {index(session, where)}\n", encoding="utf-8")
        yield path
