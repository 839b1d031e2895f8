"""Names of images: `[registry/]repository[:tag][@digest]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+|/)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A parsed name. Docker Hub's official images are told by an empty registry and no slash in the repository."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def account(self) -> str:
        """The AWS account of an ECR registry, else empty."""
        match = _ECR.fullmatch(self.registry)
        return match["account"] if match else ""

    @property
    def region(self) -> str:
        """The region of an ECR registry, else empty."""
        match = _ECR.fullmatch(self.registry)
        return match["region"] if match else ""

    @property
    def is_ecr(self) -> bool:
        """Whether it names a private ECR registry."""
        return bool(self.account)

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Parse a name; a name with neither tag nor digest means the tag "latest".

    Raises:
        ValueError: not a name of an image.
    """
    rest, _, digest = text.partition("@")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise ValueError(f"'{text}' is not the name of an image: a digest is 'sha256:' and 64 hexadecimal digits")
    first, slash, remainder = rest.partition("/")
    registry = ""
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, rest = first, remainder
    repository, _, tag = rest.partition(":")
    if registry in ("docker.io", "index.docker.io"):
        registry, repository = "", repository.removeprefix("library/")
    if not _PATH.fullmatch(repository):
        raise ValueError(
            f"'{text}' is not the name of an image: expected [registry/]repository[:tag][@digest], "
            "the repository in small letters and digits, separated by one of . _ - /"
        )
    if ":" in rest and not _TAG.fullmatch(tag):
        raise ValueError(f"'{text}' is not the name of an image: the tag may hold letters, digits, _ . - (128 at most)")
    return Reference(registry, repository, tag or ("" if digest else "latest"), digest)
