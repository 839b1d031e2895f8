"""What the three runtimes have in common: images, runs, errors, and the interfaces they need from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NewType, Protocol

from localcloud.runtime.references import Reference

ImageId = NewType("ImageId", str)
"""An image's digest, "sha256:…": the digest of its manifest."""

OnLine = Callable[[str], None]


def quiet(line: str) -> None:
    """An `on_line` that drops the line."""


class RuntimeFault(Exception):
    """Something a person can mend; the message is all they need."""


class BuildError(RuntimeFault):
    """A Dockerfile that cannot be built here: file, line, instruction, what is allowed, the mend."""


class ImageNotFound(RuntimeFault):
    """No such image in the registry, or not for this caller, or its contents are gone from this machine."""


@dataclass(frozen=True)
class ImageConfig:
    """The part of an image that is not files, in the terms of the OCI image configuration."""

    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    workdir: str = "/"
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    healthcheck: Mapping[str, Any] | None = None
    stop_signal: str = ""

    def document(self, layers: Sequence[str]) -> dict[str, Any]:
        """The OCI image configuration. It holds no time, so that equal contents have equal digests."""
        config: dict[str, Any] = {
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "Entrypoint": list(self.entrypoint) or None,
            "Cmd": list(self.command) or None,
            "WorkingDir": self.workdir,
            "User": self.user,
            "Labels": dict(sorted(self.labels.items())),
            "ExposedPorts": {port: {} for port in sorted(self.ports)},
            "Healthcheck": dict(self.healthcheck) if self.healthcheck else None,
            "StopSignal": self.stop_signal,
        }
        return {
            "architecture": "amd64",
            "os": "linux",
            "config": {name: value for name, value in config.items() if value},
            "rootfs": {"type": "layers", "diff_ids": list(layers)},
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> ImageConfig:
        """The inverse of `document`; also reads what buildah and docker write."""
        config = document.get("config") or document.get("Config") or {}
        return cls(
            environment=dict(item.split("=", 1) for item in config.get("Env") or []),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            workdir=config.get("WorkingDir") or "/",
            user=config.get("User") or "",
            labels=dict(config.get("Labels") or {}),
            ports=tuple(config.get("ExposedPorts") or ()),
            healthcheck=config.get("Healthcheck"),
            stop_signal=config.get("StopSignal") or "",
        )


@dataclass(frozen=True)
class Image:
    """An image on this machine."""

    digest: ImageId
    reference: str
    config: ImageConfig
    location: Path | None = None
    """Where the process runtime keeps it; None in the other runtimes."""


@dataclass(frozen=True)
class RunSpec:
    """One container. `image` is an `Image` or a digest or a local tag."""

    image: Image | str
    entrypoint: Sequence[str] | None = None
    """None: the image's own entry point."""
    arguments: Sequence[str] | None = None
    """What follows the entry point. None: the image's own command."""
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[tuple[Path, str]] = ()
    """(directory on this machine, its path in the container)."""
    workdir: str | None = None
    ports: Mapping[int, int] = field(default_factory=dict)
    """Port in the container → port on this machine. A server finds the latter in SAGEMAKER_BIND_TO_PORT."""
    key: str = ""
    """By which `kill` finds it; unique among what runs."""
    on_line: OnLine = quiet
    timeout: float | None = None


class Process(Protocol):
    """A long-lived child, as `Processes.spawn` returns it."""

    @property
    def pid(self) -> int: ...
    def alive(self) -> bool: ...
    def returncode(self) -> int | None: ...
    def stop(self) -> None: ...


class Processes(Protocol):
    """Who starts child processes: the local cloud's own `Processes`, or `localcloud.children.Children`."""

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        key: str,
        on_line: OnLine = quiet,
        timeout: float | None = None,
    ) -> int: ...
    def spawn(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log_path: Path, key: str) -> Process: ...
    def kill(self, key: str) -> bool: ...


class Registry(Protocol):
    """ECR as one caller sees it."""

    def put_image(self, reference: Reference, manifest: str, media_type: str) -> str:
        """Record a manifest under the reference's tag. Returns its digest."""
        ...

    def get_image(self, reference: Reference) -> tuple[str, str]:
        """(digest, manifest) of the reference's tag or digest.

        Raises:
            ImageNotFound: there is none, or the caller may not see it.
        """
        ...


class ClientMaker(Protocol):
    """What hands out AWS clients for an identity, e.g. `localcloud.core.Credentials`."""

    def client(self, service: str, region: str | None = None) -> Any: ...


@dataclass(frozen=True)
class Secret:
    """A BuildKit secret: a value or a file that a RUN sees and no image keeps."""

    value: bytes


@dataclass(frozen=True)
class BuildSpec:
    """One `docker build`."""

    context: Path
    dockerfile: Path
    tags: Sequence[str] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    no_cache: bool = False
    registry: Registry | None = None
    """For FROM an ECR image."""
    on_line: OnLine = quiet


class Handle(Protocol):
    """A container that serves."""

    @property
    def port(self) -> int: ...
    def alive(self) -> bool: ...
    def returncode(self) -> int | None: ...
    def stop(self) -> None: ...


class Runtime(Protocol):
    """The verbs of a container runtime."""

    name: str

    def build(
        self, context: Path, dockerfile: Path, tag: str, build_args: Mapping[str, str] | None = None,
        on_line: OnLine = quiet, registry: Registry | None = None,
    ) -> ImageId:  # fmt: skip
        """Build an image and tag it."""
        ...

    def build_image(self, spec: BuildSpec) -> ImageId:
        """The same with everything `docker build` can be given."""
        ...

    def tag(self, source: str, target: str) -> ImageId:
        """Give an image on this machine another name."""
        ...

    def push(self, name: str, registry: Registry) -> str:
        """Record a tagged image in ECR. Returns its digest."""
        ...

    def pull(self, name: str, registry: Registry, on_line: OnLine = quiet) -> Image:
        """Make an image available under its name on this machine."""
        ...

    def inspect(self, name: str) -> Image:
        """An image on this machine, by tag, digest or the beginning of its id."""
        ...

    def manifest(self, digest: str) -> str:
        """An image's manifest, as it is put into ECR."""
        ...

    def images(self) -> list[tuple[str, ImageId]]:
        """(tag, digest) of every tag on this machine."""
        ...

    def references(self, digest: str) -> tuple[list[str], list[str]]:
        """(tags, repository digests) of an image."""
        ...

    def remove(self, name: str) -> list[str]:
        """Take a tag away; contents that nobody names any more go later. Returns what was done, a line each."""
        ...

    def resolve(self, image_uri: str, credentials: ClientMaker) -> Image:
        """An image by its ECR address, with the caller's rights.

        Raises:
            ImageNotFound: with the reason.
        """
        ...

    def run(self, spec: RunSpec) -> int:
        """Run a container to its end. Returns the exit code (124 after `timeout`, 143 after `kill`)."""
        ...

    def start(self, spec: RunSpec) -> Handle:
        """Start a container that serves."""
        ...

    def kill(self, key: str) -> bool:
        """End the container of that key. Whether there was one."""
        ...

    def shim_directory(self) -> Path:
        """A directory with an executable `docker` that speaks to this runtime: to be put first on a PATH."""
        ...

    def recover(self) -> None:
        """Clear away what a killed process left half done."""
        ...
