"""The records of CodeArtifact and how they are found."""

from __future__ import annotations

import re
from typing import Any

from localcloud.core import Call, Cloud, Fault, Service, Table

Document = dict[str, Any]
FORMATS = ("pypi", "generic")
CONNECTION = "public:pypi"


def normal(name: str) -> str:
    """A Python package's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def invalid(message: str) -> Fault:
    """CodeArtifact's answer to input that it does not take."""
    return Fault("ValidationException", message, 400, reason="FIELD_VALIDATION_FAILED")


def missing(kind: str, identifier: str, message: str) -> Fault:
    """CodeArtifact's answer for what does not exist."""
    return Fault("ResourceNotFoundException", message, 404, resourceId=identifier, resourceType=kind)


def conflict(kind: str, identifier: str, message: str) -> Fault:
    """CodeArtifact's answer for what stands in the way."""
    return Fault("ConflictException", message, 409, resourceId=identifier, resourceType=kind)


def served_format(name: str) -> str:
    """The format, where it is served.

    Raises:
        Fault: ValidationException, naming the format.
    """
    if name not in FORMATS:
        raise invalid(f"The package format '{name}' is not served by the local cloud; served: {', '.join(FORMATS)}")
    return name


class Records:
    """Domains, repositories, packages and package versions."""

    def __init__(self, cloud: Cloud) -> None:
        self.store = cloud.store
        self.domains: Table = cloud.store.table("codeartifact.domain")
        self.repositories: Table = cloud.store.table("codeartifact.repository")
        self.packages: Table = cloud.store.table("codeartifact.package")
        self.versions: Table = cloud.store.table("codeartifact.version")
        self.tokens: Table = cloud.store.table("codeartifact.token")
        self.groups: Table = cloud.store.table("codeartifact.package-group")
        self.tags: Table = cloud.store.table("codeartifact.tags")

    def domain(self, owner: str, region: str, name: str) -> Document:
        """A domain.

        Raises:
            Fault: ResourceNotFoundException.
        """
        found = self.domains.get(owner, region, name)
        if found is None:
            raise missing("domain", name, f"Domain not found. Domain: '{name}', owner: '{owner}'")
        return found

    def repository(self, owner: str, region: str, domain: str, name: str) -> Document:
        """A repository.

        Raises:
            Fault: ResourceNotFoundException.
        """
        self.domain(owner, region, domain)
        found = self.repositories.get(owner, region, f"{domain}/{name}")
        if found is None:
            raise missing("repository", name, f"Repository not found. Repository: '{name}' in domain '{domain}'")
        return found

    def in_domain(self, owner: str, region: str, domain: str) -> list[Document]:
        """The repositories of a domain."""
        return [item for item in self.repositories.list(owner, region) if item["domainName"] == domain]

    def published(self, owner: str, region: str, package: str) -> list[Document]:
        """The versions of a package, given by its key, oldest first."""
        return [item for item in self.versions.list(owner, region) if item["packageKey"] == package]


def package_key(domain: str, repository: str, form: str, namespace: str, package: str) -> str:
    """The key of a package."""
    return "/".join((domain, repository, form, namespace, normal(package) if form == "pypi" else package))


class Base(Service):
    """What the operations share."""

    name = "codeartifact"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.records = Records(cloud)

    @staticmethod
    def owner(call: Call) -> str:
        """The account that owns the domain of a call."""
        return str(call.input.get("domainOwner") or call.account)

    def repository_of(self, call: Call) -> Document:
        """The repository that a call names."""
        return self.records.repository(self.owner(call), call.region, call.input["domain"], call.input["repository"])
