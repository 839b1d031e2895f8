"""Where the commands of a build run: on this machine for curated images, in an image of ECR otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from localcloud.core import Cloud, Credentials

Lines = Callable[[str], None]
CURATED = "aws/codebuild/"


class ImagePullError(Exception):
    """The image could not be had; the message is the phase context's."""


class Container(Protocol):
    """Runs the driver of a session."""

    shares_files: bool

    def run(self, arguments: list[str], on_line: Lines) -> int:
        """Run to the end; the exit code."""

    def stop(self) -> None:
        """End everything that runs in it."""


class HostContainer:
    """A process group of this machine."""

    shares_files = True

    def __init__(self, cloud: Cloud, key: str, environment: Mapping[str, str], workdir: Path) -> None:
        self._cloud = cloud
        self._key = key
        self._environment = dict(environment)
        self._workdir = workdir

    def run(self, arguments: list[str], on_line: Lines) -> int:
        """See `Container`."""
        return self._cloud.processes.run(
            arguments, env=self._environment, cwd=self._workdir, key=self._key, on_line=on_line
        )

    def stop(self) -> None:
        """See `Container`."""
        self._cloud.processes.kill(self._key)


class ImageContainer:
    """An image run by the container runtime, with the build's directory mounted under its own path."""

    def __init__(
        self, cloud: Cloud, key: str, image: Any, environment: Mapping[str, str], root: Path, workdir: Path
    ) -> None:
        self._cloud = cloud
        self._key = key
        self._image = image
        self._environment = dict(environment)
        self._root = root
        self._workdir = workdir
        self.shares_files = shares_files(cloud)

    def run(self, arguments: list[str], on_line: Lines) -> int:
        """See `Container`."""
        from localcloud.runtime.types import RunSpec

        return int(
            self._cloud.runtime.run(
                RunSpec(
                    image=self._image,
                    entrypoint=arguments[:1],
                    arguments=arguments[1:],
                    environment=self._environment,
                    mounts=[(self._root, str(self._root))],
                    workdir=str(self._workdir),
                    key=self._key,
                    on_line=on_line,
                )
            )
        )

    def stop(self) -> None:
        """See `Container`."""
        self._cloud.runtime.kill(self._key)


def shares_files(cloud: Cloud) -> bool:
    """Whether what runs in an image sees the machine's files: so it is with the process runtime."""
    return str(cloud.runtime.name) == "process"


def pull(cloud: Cloud, image_uri: str, credentials: Credentials) -> Any:
    """The image behind a URI of ECR.

    Raises:
        ImagePullError: with CodeBuild's wording and the cause.
    """
    try:
        return cloud.runtime.resolve(image_uri, credentials)
    except Exception as error:
        raise ImagePullError(
            "Unable to pull customer's container image. CannotPullContainerError: "
            f"failed to resolve {image_uri}: {error}"
        ) from error
