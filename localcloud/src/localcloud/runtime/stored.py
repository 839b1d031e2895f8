"""What the three runtimes do alike: names, records in ECR, and the `docker` command."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from localcloud.children import Children
from localcloud.runtime import base, provided
from localcloud.runtime.pip import machine as machine_settings
from localcloud.runtime.references import parse
from localcloud.runtime.registry import EcrRegistry, ecr_reference
from localcloud.runtime.store import MANIFEST_TYPE, ImageStore, disk_errors
from localcloud.runtime.types import (
    BuildSpec,
    ClientMaker,
    Image,
    ImageId,
    ImageNotFound,
    OnLine,
    Processes,
    Registry,
    RunSpec,
    RuntimeFault,
    quiet,
)


class StoredRuntime:
    """A runtime over an `ImageStore`. What is left to the subclasses: building, running, base images."""

    name = ""
    allowed_bases = base.ALLOWED

    def __init__(
        self, home: Path, processes: Processes | None = None, machine: Mapping[str, str] | None = None
    ) -> None:
        """
        Args:
            home: a directory of its own for images and containers.
            processes: who starts children.
            machine: how packages are reached, as `localcloud.runtime.pip.machine` finds it; that of this process
                unless given.
        """
        self.home = home.absolute()
        with disk_errors(self.home):
            self.store = ImageStore(self.home)
        self._processes: Processes = processes or Children()
        self.machine = dict(machine) if machine is not None else machine_settings()

    def build(
        self,
        context: Path,
        dockerfile: Path,
        tag: str,
        build_args: Mapping[str, str] | None = None,
        on_line: OnLine = quiet,
        registry: Registry | None = None,
    ) -> ImageId:
        """Build an image and tag it."""
        return self.build_image(
            BuildSpec(context, dockerfile, [tag], build_args or {}, on_line=on_line, registry=registry)
        )

    def build_image(self, spec: BuildSpec) -> ImageId:
        """The same with everything `docker build` can be given."""
        for tag in spec.tags:
            checked(tag)
        with disk_errors(self.home):
            digest = self._build(spec)
            for tag in spec.tags:
                self.store.tag(tag, digest)
        return digest

    def _build(self, spec: BuildSpec) -> ImageId:
        raise NotImplementedError

    def base_image(self, name: str, on_line: OnLine) -> Image | None:
        """The built-in base of that name, made where it is missing; None when the name is no built-in's."""
        raise NotImplementedError

    def tag(self, source: str, target: str) -> ImageId:
        """Give an image another name."""
        image = self.store.find(source)
        checked(target)
        self.store.tag(target, image.digest)
        return image.digest

    def push(self, name: str, registry: Registry) -> str:
        """Record a tagged image in ECR. Returns its digest."""
        image = self.store.find(name)
        reference = ecr_reference(name)
        text = self.store.manifest(image.digest)
        digest = registry.put_image(reference, text, json.loads(text).get("mediaType", MANIFEST_TYPE))
        self.store.keep_repository_digest(reference.name, digest)
        return digest

    def pull(self, name: str, registry: Registry, on_line: OnLine = quiet) -> Image:
        """Make an image available under its name: a built-in base, or one that ECR has a record of."""
        reference = parse(checked(name))
        if not reference.digest:
            image = self.base_image(name, on_line)
            if image is not None:
                return image
        if not reference.is_ecr:
            raise ImageNotFound(f"{name} is not served by the {self.name} runtime; allowed: {self.allowed_bases}")
        digest, _ = registry.get_image(reference)
        image = self.store.image(digest, name)
        if reference.tag:
            self.store.tag(name, digest)
        self.store.keep_repository_digest(reference.name, digest)
        return image

    def inspect(self, name: str) -> Image:
        """An image on this machine."""
        return self.store.find(name)

    def manifest(self, digest: str) -> str:
        """An image's manifest."""
        return self.store.manifest(digest)

    def images(self) -> list[tuple[str, ImageId]]:
        """Every tag."""
        return self.store.tags()

    def references(self, digest: str) -> tuple[list[str], list[str]]:
        """(tags, repository digests) of an image."""
        return self.store.references(digest)

    def remove(self, name: str) -> list[str]:
        """Take a tag away. The contents stay for as long as a registry may name them."""
        image = self.store.find(name)
        if self.store.untag(name):
            return [f"Untagged: {name}"]
        tags = self.store.references(image.digest)[0]
        for tag in tags:
            self.store.untag(tag)
        return [f"Untagged: {tag}" for tag in tags]

    def resolve(self, image_uri: str, credentials: ClientMaker) -> Image:
        """An image by its ECR address, with the caller's rights; one that AWS provides needs none."""
        if found := provided.find(image_uri):
            return provided.ensure(self.store, found, self.build_image)
        digest, _ = EcrRegistry(credentials).get_image(ecr_reference(image_uri))
        return self.store.image(digest, image_uri)

    def image_of(self, spec: RunSpec) -> Image:
        """The image that a run names, as it is on this machine."""
        if isinstance(spec.image, Image):
            return self.store.image(spec.image.digest, spec.image.reference)
        return self.store.find(spec.image)

    def kill(self, key: str) -> bool:
        """End the container of that key."""
        return self._processes.kill(key)

    def shim_directory(self) -> Path:
        """A directory with an executable `docker` that speaks to this runtime: to be put first on a PATH."""
        return write_shim(self.home, self.name, self.machine)

    def recover(self) -> None:
        """Clear away what a killed process left half done."""
        self.store.sweep()


_DAEMON = "#!/bin/sh\necho 'no daemon is needed here: docker works without one'\n"


def write_shim(home: Path, runtime: str, machine: Mapping[str, str]) -> Path:
    """Write the `docker` command of a runtime. The settings file beside it may hold an index's password: mode 600."""
    directory = home / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    source = str(Path(__file__).parent.parent.parent)
    code = f"import sys; sys.path.insert(0, {source!r}); from localcloud.runtime.shim import main; sys.exit(main())"
    settings = f"LOCALCLOUD_RUNTIME={runtime} LOCALCLOUD_IMAGES={shlex.quote(str(home))}"
    script = f'#!/bin/sh\n{settings} exec {shlex.quote(sys.executable)} -I -c {shlex.quote(code)} "$@"\n'
    for path, text, mode in (
        (home / "machine.json", json.dumps(dict(machine), indent=1, sort_keys=True), 0o600),
        (directory / "docker", script, 0o755),
        (directory / "dockerd", _DAEMON, 0o755),
    ):
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        temporary.touch(mode=mode)
        temporary.write_text(text)
        temporary.chmod(mode)
        temporary.replace(path)
    return directory


def command(image: Image, spec: RunSpec) -> list[str]:
    """Entry point and arguments by Docker's rule: an entry point that is given drops the image's command."""
    if spec.entrypoint is not None:
        return [*spec.entrypoint, *(spec.arguments or ())]
    return [*image.config.entrypoint, *(spec.arguments if spec.arguments is not None else image.config.command)]


def port_of(spec: RunSpec) -> int:
    """The port on this machine of a container that serves; 0 when it has none."""
    return spec.ports.get(SERVING_PORT, next(iter(spec.ports.values()), 0))


SERVING_PORT = 8080


def checked(name: str) -> str:
    """A name of an image.

    Raises:
        ImageNotFound: it is not one.
    """
    try:
        parse(name)
    except ValueError as error:
        raise ImageNotFound(str(error)) from None
    return name


def tool(name: str, advice: str, path: str | None = None) -> str:
    """An executable that a runtime needs.

    Raises:
        RuntimeFault: it is missing.
    """
    search = path if path is not None else os.environ.get("PATH", os.defpath)
    found = shutil.which(name, path=f"{search}:/usr/sbin:/sbin")
    if found is None:
        raise RuntimeFault(f"{name} was not found, which this container runtime needs; {advice}")
    return found
