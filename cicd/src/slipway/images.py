"""A project's images: named by what goes into them, built only when that changes.

The tag of an image is a hash of its Dockerfile, of every file that the Dockerfile copies (its requirements, which pin
the version of this package, are among them) and of the base image's digest. Nothing else of the repository counts: a
change of the README or of another image's script builds nothing, and a step whose image did not change can be taken
from the pipeline's cache.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.progress import Progress

NAMES = ("preprocessing", "training", "inference")
TAG_LENGTH = 12
_NEVER = {"__pycache__", ".git", ".ruff_cache", ".pytest_cache", ".mypy_cache"}


@dataclass(frozen=True)
class Image:
    """An image in a registry."""

    name: str
    repository_uri: str
    tag: str
    digest: str | None = None

    @property
    def tagged(self) -> str:
        """repository:tag"""
        return f"{self.repository_uri}:{self.tag}"

    @property
    def pinned(self) -> str:
        """repository@sha256:…, which names these bytes and no others."""
        if self.digest is None:
            raise SlipwayError(
                f"image {self.name} ({self.tagged}) is not in the registry: run `slipway image build {self.name}` first"
            )
        return f"{self.repository_uri}@{self.digest}"


def check_name(name: str) -> str:
    """The name of an image, or SlipwayError."""
    if name not in NAMES:
        raise SlipwayError(f"unknown image: given {name!r}, allowed {', '.join(NAMES)}")
    return name


def content_tag(root: Path, name: str, base_digest: str) -> str:
    """The tag of the project's image `name`: 12 hexadecimal digits."""
    digest = hashlib.sha256(f"base {base_digest}\0".encode())
    dockerfile = root / name / "Dockerfile"
    for file in [dockerfile, *sources(root, dockerfile)]:
        mode = "x" if file.stat().st_mode & 0o100 else "-"
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(root).as_posix()} {mode} {content}\0".encode())
    return digest.hexdigest()[:TAG_LENGTH]


def sources(root: Path, dockerfile: Path) -> list[Path]:
    """The files that a Dockerfile copies from the build context `root`, sorted."""
    try:
        text = dockerfile.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SlipwayError(
            f"{dockerfile}: there is no such file; every image has a folder with its Dockerfile"
        ) from None
    files: set[Path] = set()
    for number, words in _instructions(text):
        if words[0].upper() not in {"COPY", "ADD"}:
            continue
        if any(word.startswith("--from") for word in words[1:]):
            continue  # from another stage, not from the context
        patterns = [word for word in words[1:] if not word.startswith("--")][:-1]
        for pattern in patterns:
            found = set(_files(root, pattern))
            if not found:
                raise SlipwayError(f"{dockerfile}:{number}: {words[0]} {pattern}: there is no such file in {root}")
            files |= found
    return sorted(files)


def _instructions(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, words) of each instruction; continued lines are joined."""
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        start = start or number
        if stripped.endswith("\\"):
            pending += stripped[:-1] + " "
            continue
        yield start, (pending + stripped).split()
        pending, start = "", 0


def _files(root: Path, pattern: str) -> Iterator[Path]:
    for path in sorted(root.glob(pattern.rstrip("/"))) if pattern not in {".", "./"} else [root]:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not _NEVER & set(file.relative_to(root).parts):
                yield file


def digest_of(ecr: Any, repository_uri: str, tag: str) -> str | None:
    """The digest of an image in ECR, None if there is no such image."""
    registry, _, repository = repository_uri.partition("/")
    try:
        details = ecr.describe_images(
            registryId=registry.split(".")[0], repositoryName=repository, imageIds=[{"imageTag": tag}]
        )["imageDetails"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return None
        raise
    return str(details[0]["imageDigest"]) if details else None


def base_image(ecr: Any, uri: str) -> str:
    """The platform's base image, pinned: `repository:tag` → `repository@sha256:…`."""
    if "@" in uri:
        return uri
    repository, _, tag = uri.rpartition(":")
    digest = digest_of(ecr, repository, tag)
    if digest is None:
        raise SlipwayError(
            f"the platform's base image {uri} is not in the registry: run `slipway platform deploy` again"
        )
    return f"{repository}@{digest}"


def find(ecr: Any, root: Path, name: str, repository_uri: str, base: str) -> Image:
    """The image that the project's files ask for; `digest` is None if it has not been built yet."""
    tag = content_tag(root, check_name(name), base.rpartition("@")[2])
    return Image(name, repository_uri, tag, digest_of(ecr, repository_uri, tag))


def login(ecr: Any, registry: str) -> None:
    """Give `docker` the registry's password."""
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().partition(":")[2]
    command(["docker", "login", "--username", "AWS", "--password-stdin", registry], text=password)


def build(image: Image, root: Path, base: str, pip_configuration: Path) -> None:
    """Build an image and push it. pip's configuration holds a token: a build secret stays in no layer."""
    arguments = ["docker", "build", "--file", f"{image.name}/Dockerfile", "--build-arg", f"BASE_IMAGE={base}"]
    arguments += ["--secret", f"id=pip.conf,src={pip_configuration}"]
    command([*arguments, "--tag", image.tagged, "."], cwd=root)
    command(["docker", "push", image.tagged])


def command(
    arguments: list[str],
    *,
    cwd: Path | None = None,
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command whose output a person should see. Raises SlipwayError if it is missing or fails."""
    try:
        whole = {**os.environ, **(environment or {})}
        subprocess.run(arguments, cwd=cwd, env=whole, input=text, text=True, check=True)  # noqa: S603 - never a shell
    except FileNotFoundError:
        raise SlipwayError(f"the command {arguments[0]!r} is not on the PATH") from None
    except subprocess.CalledProcessError as error:
        raise SlipwayError(f"`{' '.join(arguments[:2])}` failed with exit code {error.returncode}; see above") from None


def start_engine(progress: Progress) -> None:
    """Start the Docker engine if it does not run yet.

    In CodeBuild a privileged build gets a running engine only in AWS's own images; in the platform's build image it has
    to be started (AWS documentation, "Docker in custom image sample").
    """
    if _answers():
        return
    if shutil.which("dockerd") is None:
        raise SlipwayError(
            "no Docker engine answers `docker info`, and there is no `dockerd` to start: the build's project must be "
            "privileged and run in the platform's build image"
        )
    log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the engine
    subprocess.Popen(["dockerd"], stdout=log, stderr=log)  # noqa: S607 - where the build image has it
    for _ in range(60):
        if _answers():
            progress.say("the Docker engine is up")
            return
        time.sleep(0.5)
    log.seek(0)
    raise SlipwayError(f"the Docker engine did not start in 30 seconds:\n{log.read().decode(errors='replace')[-2000:]}")


def _answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0  # noqa: S607
    except FileNotFoundError:
        return False
