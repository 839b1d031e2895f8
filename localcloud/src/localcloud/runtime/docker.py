"""The docker runtime: where there is an engine, images and containers are the engine's."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from localcloud.runtime import base, dockerfile
from localcloud.runtime.container import Container
from localcloud.runtime.references import parse
from localcloud.runtime.store import CONFIG_TYPE, MANIFEST_TYPE, disk_errors
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

_KEPT_LINES = 15
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


class DockerRuntime(StoredRuntime):
    """Images in the engine's own store."""

    name = "docker"
    allowed_bases = "any image that the engine has or can pull, an image of ECR"

    def __init__(
        self, home: Path, processes: Processes | None = None, machine: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(home, processes, machine)
        # The command of this runtime's own shim may be first on PATH; it is not the engine's.
        path = [item for item in os.environ.get("PATH", os.defpath).split(":") if Path(item) != self.home / "bin"]
        self._path = ":".join(path)
        self._program = tool("docker", "install Docker, or use LOCALCLOUD_RUNTIME=process", self._path)

    # Images

    def _build(self, spec: BuildSpec) -> ImageId:
        if not spec.context.is_dir():
            raise BuildError(f"{spec.context}: no such build context")
        with self.store.scratch() as work:
            identity = work / "iid"
            arguments = ["build", "--network", "host", "--iidfile", str(identity), "--file", str(spec.dockerfile)]
            arguments += ["--progress", "plain"]
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
            self._fetch_bases(spec)
            tail: list[str] = []

            def line(text: str) -> None:
                tail.append(text)
                del tail[:-_KEPT_LINES]
                spec.on_line(text)

            code = self._processes.run(
                [self._program, *arguments, str(spec.context)], env=self._environment(), cwd=Path.cwd(),
                key=f"build/{work.name}", on_line=line,
            )  # fmt: skip
            if code:
                raise BuildError(f"{spec.dockerfile}: docker build ended with {code}:\n" + "\n".join(tail))
            return self._enter(identity.read_text().strip())

    def _fetch_bases(self, spec: BuildSpec) -> None:
        """A base in ECR has a record there and its files here: the engine is told its name."""
        text = spec.dockerfile.read_text(encoding="utf-8-sig")
        for name in dockerfile.bases(text, str(spec.dockerfile), spec.build_args):
            reference = parse(name)
            if reference.is_ecr and not reference.digest and spec.registry is not None:
                image = self.store.image(spec.registry.get_image(reference)[0], name)
                self._checked(["tag", self.store.engine_id(image), name])

    def base_image(self, name: str, on_line: OnLine) -> Image | None:
        """The official python image, pulled by the engine."""
        if base.minor_version(name) is None:
            return None
        self._checked(["pull", "--quiet", name])
        digest = self._enter(self._checked(["image", "inspect", "--format", "{{.Id}}", name]))
        self.store.tag(name, digest)
        return self.store.image(digest, name)

    def _enter(self, identity: str) -> ImageId:
        """Record an image of the engine under a manifest made of its id and its layers' digests.

        An engine without a registry has no manifest for an image; this one is the same for the same image.
        """
        found = json.loads(self._checked(["image", "inspect", identity]))[0]
        document = {"architecture": found["Architecture"], "os": found["Os"], "config": found["Config"]}
        layers = [{"mediaType": _LAYER_TYPE, "digest": item, "size": 0} for item in found["RootFS"]["Layers"]]
        if layers:
            layers[-1]["size"] = int(found["Size"])
        config = {"mediaType": CONFIG_TYPE, "digest": found["Id"], "size": len(json.dumps(document))}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
        return self.store.keep_foreign(document, json.dumps(manifest, indent=3), found["Id"])

    # Containers

    def run(self, spec: RunSpec) -> int:
        """Run a container to its end."""
        with disk_errors(self.home), ExitStack() as stack:
            arguments, name = self._container(spec)
            stack.callback(self._remover(name))
            return self._processes.run(
                arguments, env=self._environment(), cwd=self.home, key=spec.key or name, on_line=spec.on_line,
                timeout=spec.timeout,
            )  # fmt: skip

    def start(self, spec: RunSpec) -> Handle:
        """Start a container that serves."""
        stack = ExitStack()
        try:
            work = stack.enter_context(self.store.scratch("containers"))
            arguments, name = self._container(spec)
            stack.callback(self._remover(name))
            log = work / "log"
            process = self._processes.spawn(
                arguments, env=self._environment(), cwd=self.home, log_path=log, key=spec.key or name
            )
        except BaseException:
            stack.close()
            raise
        return Container(process, port_of(spec), log, spec.on_line, stack)

    def _container(self, spec: RunSpec) -> tuple[list[str], str]:
        image = self.image_of(spec)
        argv = command(image, spec)
        if not argv:
            raise ImageNotFound(f"docker: no command specified: {image.reference} has neither ENTRYPOINT nor CMD")
        name = f"localcloud-{uuid.uuid4().hex[:12]}"
        arguments = ["run", "--rm", "--name", name, "--network", "host", "--label", f"localcloud={self.home}"]
        for source, target in spec.mounts:
            arguments += ["--volume", f"{Path(source).resolve()}:{target}"]
        environment = dict(spec.environment)
        if spec.ports:
            environment["SAGEMAKER_BIND_TO_PORT"] = str(port_of(spec))
        for variable, value in environment.items():
            arguments += ["--env", f"{variable}={value}"]
        if spec.workdir:
            arguments += ["--workdir", spec.workdir]
        arguments += ["--entrypoint", argv[0], self.store.engine_id(image), *argv[1:]]
        return [self._program, *arguments], name

    def _remover(self, name: str) -> Callable[[], object]:
        """Killing the client leaves the container running; this ends it."""
        return lambda: self._call(["rm", "--force", name])

    def recover(self) -> None:
        """Remove containers of a killed process."""
        super().recover()
        listed = self._call(["ps", "--all", "--quiet", "--filter", f"label=localcloud={self.home}"])
        if listed.returncode == 0 and listed.stdout.split():
            self._call(["rm", "--force", *listed.stdout.split()])

    def _call(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *arguments], capture_output=True, text=True, check=False, env=self._environment()
        )

    def _checked(self, arguments: Sequence[str]) -> str:
        done = self._call(arguments)
        if done.returncode:
            reason = done.stderr.strip() or done.stdout.strip()
            raise RuntimeFault(f"docker {' '.join(arguments[:2])} failed: {reason}")
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("DOCKER_", "XDG_"))}
        return {**kept, "HOME": os.environ.get("HOME", "/root"), "PATH": self._path, "DOCKER_BUILDKIT": "1"}
