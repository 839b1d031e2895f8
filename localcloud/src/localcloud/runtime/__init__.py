"""Container images and containers on this machine, with or without a container engine.

    runtime = create("process", home)           # or "buildah", "docker"
    runtime.build(context, dockerfile, tag)     # an image
    runtime.run(RunSpec(image, …))              # a container

LOCALCLOUD_RUNTIME chooses for the local cloud. `process` needs nothing but uv; `buildah` makes and runs real OCI images
without a daemon; `docker` uses an engine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.runtime.references import Reference
from localcloud.runtime.registry import EcrRegistry
from localcloud.runtime.types import (
    BuildError,
    BuildSpec,
    ClientMaker,
    Handle,
    Image,
    ImageConfig,
    ImageId,
    ImageNotFound,
    Processes,
    Registry,
    RunSpec,
    Runtime,
    RuntimeFault,
    Secret,
)

if TYPE_CHECKING:
    from localcloud.core.cloud import Cloud

__all__ = [
    "RUNTIMES",
    "BuildError",
    "BuildSpec",
    "ClientMaker",
    "EcrRegistry",
    "Handle",
    "Image",
    "ImageConfig",
    "ImageId",
    "ImageNotFound",
    "Processes",
    "Reference",
    "Registry",
    "RunSpec",
    "Runtime",
    "RuntimeFault",
    "Secret",
    "create",
    "create_runtime",
]

RUNTIMES = ("process", "buildah", "docker")
VARIABLE = "LOCALCLOUD_RUNTIME"


def create(
    name: str, home: Path, processes: Processes | None = None, machine: Mapping[str, str] | None = None
) -> Runtime:
    """The runtime of that name, with its state in `home`.

    Args:
        processes: who starts children; its own unless given.
        machine: how packages are reached (`localcloud.runtime.pip.machine`); as this process reaches them unless given.

    Raises:
        RuntimeFault: an unknown name, or its program is missing.
    """
    if name == "process":
        from localcloud.runtime.process import ProcessRuntime

        return ProcessRuntime(home, processes, machine)
    if name == "buildah":
        from localcloud.runtime.buildah import BuildahRuntime

        return BuildahRuntime(home, processes, machine)
    if name == "docker":
        from localcloud.runtime.docker import DockerRuntime

        return DockerRuntime(home, processes, machine)
    raise RuntimeFault(f"{VARIABLE}={name} is not a container runtime; allowed: {', '.join(RUNTIMES)}")


def create_runtime(cloud: Cloud) -> Runtime:
    """The runtime that LOCALCLOUD_RUNTIME names, for a running local cloud."""
    name = os.environ.get(VARIABLE) or "process"
    runtime = create(name, cloud.home / "images" / name, cloud.processes)
    runtime.recover()
    return runtime
