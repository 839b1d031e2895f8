"""The buildah runtime: real OCI images and containers without a daemon.

Containers share the machine's network, so that 127.0.0.1 is the same for them; directories are mounted for real.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from localcloud.runtime import base, debian, dockerfile
from localcloud.runtime.container import Container
from localcloud.runtime.references import parse
from localcloud.runtime.secret_env import with_secret_files
from localcloud.runtime.store import disk_errors
from localcloud.runtime.stored import StoredRuntime, command, port_of, tool
from localcloud.runtime.types import (
    BuildError,
    BuildSpec,
    Handle,
    Image,
    ImageId,
    ImageNotFound,
    OnLine,
    Processes,
    RunSpec,
    RuntimeFault,
)

_ADVICE = "install it: apt-get install --no-install-recommends buildah, or use LOCALCLOUD_RUNTIME=process"
_ISOLATION = ["--isolation", "chroot", "--network", "host"]
_KEPT_LINES = 15
# What buildah itself adds when a container's program fails.
_ADDED = re.compile(r"subprocess exited (with status \d+|on .+)|Error: exit status \d+")


class BuildahRuntime(StoredRuntime):
    """Images in buildah's storage below `home`."""

    name = "buildah"
    allowed_bases = debian.ALLOWED

    def __init__(
        self, home: Path, processes: Processes | None = None, machine: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(home, processes, machine)
        self._program = tool("buildah", _ADVICE)
        self._driver = ""

    # Images

    def _build(self, spec: BuildSpec) -> ImageId:
        if not spec.context.is_dir():
            raise BuildError(f"{spec.context}: no such build context")
        if not spec.dockerfile.is_file():
            raise BuildError(f"{spec.dockerfile}: no such Dockerfile; give its path by -f")
        with self.store.scratch() as work:
            text = spec.dockerfile.read_text(encoding="utf-8-sig")
            self._fetch_bases(text, spec)
            dockerfile = work / "Dockerfile"
            dockerfile.write_text(with_secret_files(text))
            identity = work / "iid"
            arguments = [
                "bud", *_ISOLATION, "--pull-never", "--layers", "--force-rm", "--format", "docker",
                "--iidfile", str(identity),
                "--file", str(dockerfile), *self._machine_volumes(work),
            ]  # fmt: skip
            if spec.no_cache:
                arguments.append("--no-cache")
            if spec.target:
                arguments += ["--target", spec.target]
            for name, value in spec.build_args.items():
                arguments += ["--build-arg", f"{name}={value}"]
            for name, value in spec.labels.items():
                arguments += ["--label", f"{name}={value}"]
            for number, (name, secret) in enumerate(spec.secrets.items()):
                file = work / f"secret-{number}"
                file.touch(mode=0o600)
                file.write_bytes(secret.value)
                arguments += ["--secret", f"id={name},src={file}"]
            ignore = self._ignore_file(spec)
            if ignore:
                arguments += ["--ignorefile", str(ignore)]
            self._stream([*arguments, str(spec.context)], f"build/{work.name}", spec)
            return self._enter(identity.read_text().strip())

    def _ignore_file(self, spec: BuildSpec) -> Path | None:
        """The Dockerfile is a copy elsewhere, so a NAME.dockerignore beside the original has to be named."""
        own = spec.dockerfile.with_name(f"{spec.dockerfile.name}.dockerignore")
        found = own if own.is_file() else spec.context / ".dockerignore"
        return found if found.is_file() else None

    def _stream(self, arguments: Sequence[str], key: str, spec: BuildSpec) -> None:
        tail: list[str] = []

        def line(text: str) -> None:
            tail.append(text)
            del tail[:-_KEPT_LINES]
            spec.on_line(text)

        code = self._processes.run(
            self._command(arguments), env=self._environment(), cwd=Path.cwd(), key=key, on_line=line
        )
        if code:
            if any("no space left on device" in text for text in tail):
                raise RuntimeFault(f"no space left on the disk of {self.home}: free some and build again")
            raise BuildError(f"{spec.dockerfile}: buildah bud ended with {code}:\n" + "\n".join(tail))

    def _fetch_bases(self, text: str, spec: BuildSpec) -> None:
        """Have every base image here under the name that FROM gives it."""
        for name in dockerfile.bases(text, str(spec.dockerfile), spec.build_args):
            reference = parse(name)
            if self._known(str(reference)):
                continue
            image = self.base_image(name, spec.on_line)
            if image is None:
                try:
                    image = self.store.find(str(reference))
                except ImageNotFound:
                    if not reference.is_ecr or spec.registry is None:
                        raise BuildError(
                            f"{spec.dockerfile}: the base image '{name}' is not here; allowed: {self.allowed_bases}"
                        ) from None
                    image = self.store.image(spec.registry.get_image(reference)[0], name)
            self._tag_for_build(image, str(reference))

    def _known(self, name: str) -> bool:
        return self._call(["inspect", "--type", "image", "--format", "{{.FromImageID}}", name]).returncode == 0

    def _tag_for_build(self, image: Image, name: str) -> None:
        """buildah finds a FROM by tag or by id: one by digest is in its storage under the id's name already."""
        if "@" not in name:
            self._checked(["tag", self.store.engine_id(image), name])

    def base_image(self, name: str, on_line: OnLine) -> Image | None:
        """python:3.x-slim, made of Debian's packages."""
        minor = base.minor_version(name)
        if minor is None:
            return None
        with contextlib.suppress(ImageNotFound):
            return self.store.find(name)
        path = debian.archive(minor, on_line)
        with self.store.locked(f"base {path}"):
            with contextlib.suppress(ImageNotFound):
                return self.store.find(name)
            container = self._checked(["from", "--pull-never", "scratch"])
            try:
                self._checked(["add", "--quiet", container, str(path), "/"])
                version = self._python_version(container)
                self._checked([
                    "config", "--env", "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "--env", "LANG=C.UTF-8", "--env", f"PYTHON_VERSION={version}", "--cmd", '["python3"]', container,
                ])  # fmt: skip
                identity = self._checked(["commit", "--quiet", "--format", "docker", "--timestamp", "0", container])
            finally:
                self._call(["rm", container])
            digest = self._enter(identity)
            reference = parse(name)
            self.store.tag(name, digest)
            self.store.keep_repository_digest(reference.name, digest)
            self._checked(["tag", identity, str(reference)])
        return self.store.image(digest, name)

    def _python_version(self, container: str) -> str:
        code = "import platform; print(platform.python_version())"
        return self._checked(["run", *_ISOLATION, container, "--", "python3", "-c", code])

    def _enter(self, identity: str) -> ImageId:
        """Record an image of buildah's storage in ours, by the manifest it is pushed with."""
        found = json.loads(self._checked(["inspect", "--type", "image", identity]))
        document = json.loads(found["Config"]) if found.get("Config") else found["Docker"]
        return self.store.keep_foreign(document, found["Manifest"], found["FromImageID"])

    # Containers

    def run(self, spec: RunSpec) -> int:
        """Run a container to its end."""
        with disk_errors(self.home), ExitStack() as stack:
            arguments = self._container(spec, stack)
            if isinstance(arguments, str):
                spec.on_line(arguments)
                return 127
            key = spec.key or f"container/{uuid.uuid4().hex}"
            return self._processes.run(
                arguments, env=self._environment(), cwd=self.home, key=key, on_line=_own_lines(spec.on_line),
                timeout=spec.timeout,
            )  # fmt: skip

    def start(self, spec: RunSpec) -> Handle:
        """Start a container that serves."""
        stack = ExitStack()
        try:
            work = stack.enter_context(self.store.scratch("containers"))
            arguments = self._container(spec, stack)
            if isinstance(arguments, str):
                raise ImageNotFound(arguments)
            log = work / "log"
            process = self._processes.spawn(
                arguments,
                env=self._environment(),
                cwd=self.home,
                log_path=log,
                key=spec.key or f"container/{work.name}",
            )
        except BaseException:
            stack.close()
            raise
        return Container(process, port_of(spec), log, _own_lines(spec.on_line), stack)

    def _container(self, spec: RunSpec, stack: ExitStack) -> list[str] | str:
        """Make a container, to be removed with the stack. Returns the command that runs it, or what is wrong."""
        image = self.image_of(spec)
        argv = command(image, spec)
        if not argv:
            return f"docker: no command specified: {image.reference} has neither ENTRYPOINT nor CMD"
        container = self._checked(["from", "--pull-never", self.store.engine_id(image)])
        stack.callback(self._call, ["rm", container])
        arguments = ["run", *_ISOLATION]
        for source, target in spec.mounts:
            arguments += ["--volume", f"{Path(source).resolve()}:{target}"]
        environment = dict(spec.environment)
        if spec.ports:
            environment["SAGEMAKER_BIND_TO_PORT"] = str(port_of(spec))
        for name, value in environment.items():
            arguments += ["--env", f"{name}={value}"]
        if spec.workdir:
            arguments += ["--workingdir", spec.workdir]
        return self._command([*arguments, container, "--", *argv])

    def recover(self) -> None:
        """Remove containers of a killed process."""
        super().recover()
        self._call(["rm", "--all"])

    # buildah

    def _command(self, arguments: Sequence[str]) -> list[str]:
        storage = ["--root", str(self.home / "storage"), "--runroot", str(self.home / "run")]
        return [self._program, "--storage-driver", self._storage_driver(), *storage, *arguments]

    def _storage_driver(self) -> str:
        """overlay where the file system of `home` can; vfs, which copies, elsewhere. Decided once for a home."""
        file = self.home / "storage-driver"
        if not self._driver and file.is_file():
            self._driver = file.read_text()
        if not self._driver:
            self._driver = "overlay"
            if self._call(["images"]).returncode:
                self._driver = "vfs"
            file.write_text(self._driver)
        return self._driver

    def _call(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(arguments), capture_output=True, text=True, check=False, env=self._environment()
        )

    def _checked(self, arguments: Sequence[str]) -> str:
        done = self._call(arguments)
        if done.returncode:
            raise RuntimeFault(f"buildah {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR", "TMPDIR") if name in os.environ}
        return {**kept, "PATH": kept.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}

    def _machine_volumes(self, work: Path) -> list[str]:
        """This machine's way to packages, mounted while it is built and never a part of the image."""
        lines, volumes = ["[global]", "disable-pip-version-check = true", "root-user-action = ignore"], []
        certificates = self.machine.get("SSL_CERT_FILE") or self.machine.get("REQUESTS_CA_BUNDLE")
        if certificates and Path(certificates).is_file():
            inside = "/etc/ssl/certs/ca-certificates.crt"
            volumes += ["--volume", f"{Path(certificates).resolve()}:{inside}:ro"]
            lines.append(f"cert = {inside}")
        for variable, name, separator in (
            ("UV_DEFAULT_INDEX", "index-url", " "), ("UV_INDEX", "extra-index-url", " "),
            ("UV_FIND_LINKS", "find-links", ","), ("UV_INSECURE_HOST", "trusted-host", " "),
            ("UV_HTTP_TIMEOUT", "timeout", " "),
        ):  # fmt: skip
            values = [item for item in self.machine.get(variable, "").split(separator) if item]
            if values:
                lines.append(f"{name} =\n    " + "\n    ".join(values))
            for value in values:
                # The pages of an index of files link to files beside its directory `simple`.
                directory = re.sub(r"^file://|/simple/?$", "", value)
                if directory.startswith("/") and Path(directory).is_dir():
                    volumes += ["--volume", f"{directory}:{directory}:ro"]
        (work / "pip.conf").write_text("\n".join(lines) + "\n")
        # pip reads this place first: an /etc/pip.conf that comes as a secret has the last word.
        return [*volumes, "--volume", f"{work / 'pip.conf'}:/etc/xdg/pip/pip.conf:ro"]


def _own_lines(on_line: OnLine) -> OnLine:
    """The container's own lines alone."""

    def line(text: str) -> None:
        if not _ADDED.fullmatch(text):
            on_line(text)

    return line
