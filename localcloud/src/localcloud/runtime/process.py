"""The process runtime: an image is a directory, a container is a process. Nothing needs to be installed for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from localcloud.runtime import base, trees
from localcloud.runtime.build import Builder
from localcloud.runtime.children import Children
from localcloud.runtime.paths import PathMap
from localcloud.runtime.pip import machine as machine_settings
from localcloud.runtime.references import parse
from localcloud.runtime.registry import EcrRegistry, ecr_reference
from localcloud.runtime.store import MANIFEST_TYPE, ImageStore, disk_errors
from localcloud.runtime.types import (
    BuildSpec,
    ClientMaker,
    Handle,
    Image,
    ImageId,
    ImageNotFound,
    OnLine,
    Process,
    Processes,
    Registry,
    RunSpec,
    quiet,
)

_SHEBANG = re.compile(rb"#!\s*/usr/(?:local/)?bin/(?:env\s+)?python[\d.]*\s*\n")
_TAIL_SECONDS = 0.1
_SERVING_PORT = 8080


class ProcessRuntime:
    """Images as directories, containers as processes."""

    name = "process"

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
        self.home = home
        with disk_errors(home):
            self.store = ImageStore(home)
        self._processes: Processes = processes or Children()
        self.machine = dict(machine) if machine is not None else machine_settings()

    # Images

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
        return self.build_image(BuildSpec(context, dockerfile, [tag], build_args or {}, on_line=on_line,
                                          registry=registry))  # fmt: skip

    def build_image(self, spec: BuildSpec) -> ImageId:
        """The same with everything `docker build` can be given."""
        for tag in spec.tags:
            _checked(tag)
        with disk_errors(self.home):
            digest = Builder(self.store, self._processes, self.machine, spec).build()
            for tag in spec.tags:
                self.store.tag(tag, digest)
        return digest

    def tag(self, source: str, target: str) -> ImageId:
        """Give an image another name."""
        image = self.store.find(source)
        _checked(target)
        self.store.tag(target, image.digest)
        return image.digest

    def push(self, name: str, registry: Registry) -> str:
        """Record a tagged image in ECR. Returns its digest."""
        image = self.store.find(name)
        reference = ecr_reference(name)
        digest = registry.put_image(reference, self.store.manifest(image.digest), MANIFEST_TYPE)
        self.store.keep_repository_digest(reference.name, digest)
        return digest

    def pull(self, name: str, registry: Registry) -> Image:
        """Make an image available under its name: a built-in base, or one that ECR has a record of."""
        reference = parse(_checked(name))
        minor = base.minor_version(name)
        if minor is not None and not reference.digest:
            return base.ensure(self.store, name, minor, quiet)
        if not reference.is_ecr:
            raise ImageNotFound(f"{name} is not served by the process runtime; allowed: {base.ALLOWED}")
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
        done = []
        for tag in [name] if self.store.untag(name) else self.store.references(image.digest)[0]:
            self.store.untag(tag)
            done.append(f"Untagged: {tag}")
        return done

    def resolve(self, image_uri: str, credentials: ClientMaker) -> Image:
        """An image by its ECR address, with the caller's rights."""
        digest, _ = EcrRegistry(credentials).get_image(ecr_reference(image_uri))
        return self.store.image(digest, image_uri)

    # Containers

    def run(self, spec: RunSpec) -> int:
        """Run a container to its end."""
        with disk_errors(self.home), self.store.scratch("containers") as work:
            prepared = self._prepare(spec, work)
            if isinstance(prepared, str):
                spec.on_line(prepared)
                return 127
            argv, environment, cwd = prepared
            key = spec.key or f"container/{work.name}"
            return self._processes.run(
                argv, env=environment, cwd=cwd, key=key, on_line=spec.on_line, timeout=spec.timeout
            )

    def start(self, spec: RunSpec) -> Handle:
        """Start a container that serves. Its directory goes when it is stopped."""
        stack = ExitStack()
        stack.enter_context(disk_errors(self.home))
        work = stack.enter_context(self.store.scratch("containers"))
        try:
            prepared = self._prepare(spec, work)
            if isinstance(prepared, str):
                raise ImageNotFound(prepared)
            argv, environment, cwd = prepared
            log = work / "log"
            key = spec.key or f"container/{work.name}"
            process = self._processes.spawn(argv, env=environment, cwd=cwd, log_path=log, key=key)
        except BaseException:
            stack.close()
            raise
        return Container(process, next(iter(spec.ports.values()), 0), log, spec.on_line, stack)

    def kill(self, key: str) -> bool:
        """End the container of that key."""
        return self._processes.kill(key)

    def _prepare(self, spec: RunSpec, work: Path) -> tuple[list[str], dict[str, str], Path] | str:
        """(command, variables, directory), or the reason why there is nothing to run."""
        image = spec.image if isinstance(spec.image, Image) else self.store.find(spec.image)
        made = self.store.image_trees(self.store.image(image.digest, image.reference))
        venv = self.store.tree(made.venv)
        # The container's own writable copy: what it changes is not seen by the next one.
        root, temporary = work / "root", work / "tmp"
        trees.real_copy(self.store.tree(made.root), root)
        temporary.mkdir()
        mounts = [(Path(source), target) for source, target in spec.mounts]
        _stand_in(root, mounts)
        paths = PathMap(root, [*mounts, (temporary, "/tmp")])  # noqa: S108
        environment = paths.environment({**image.config.environment, **spec.environment})
        search = environment.get("PATH", os.defpath).split(":") + os.environ.get("PATH", os.defpath).split(":")
        environment["PATH"] = ":".join([str(venv / "bin"), *dict.fromkeys(search)])
        environment.setdefault("HOME", str(work))
        environment.setdefault("TMPDIR", str(temporary))
        environment["VIRTUAL_ENV"] = str(venv)
        base_directory = paths.find("/opt/ml")
        if base_directory is not None:
            environment.setdefault("SAGEMAKER_BASE_DIR", str(base_directory))
        if spec.ports:
            port = spec.ports.get(_SERVING_PORT, next(iter(spec.ports.values())))
            environment["SAGEMAKER_BIND_TO_PORT"] = str(port)
        argv = command(image, spec)
        if not argv:
            return f"docker: no command specified: {image.reference} has neither ENTRYPOINT nor CMD"
        argv = _rewritten(argv, paths)
        cwd = paths.find(spec.workdir or image.config.workdir) or root
        cwd.mkdir(parents=True, exist_ok=True)
        executable = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=environment["PATH"])
        if executable is not None and not Path(executable).is_absolute():
            executable = str(cwd / executable)
        if executable is None or not os.access(executable, os.X_OK):
            problem = "permission denied" if executable and Path(executable).exists() else "executable file not found"
            return f'docker: unable to start container process: exec: "{argv[0]}": {problem} in the image'
        return _interpreted(executable, argv[1:], venv), environment, cwd

    # The docker command, restarts

    def shim_directory(self) -> Path:
        """A directory with an executable `docker` that speaks to this runtime."""
        return write_shim(self.home, self.name, self.machine)

    def recover(self) -> None:
        """Clear away what a killed process left half done."""
        self.store.sweep()


class Container:
    """A running server. Its output goes to a file and from there to `on_line`."""

    def __init__(self, process: Process, port: int, log: Path, on_line: OnLine, stack: ExitStack) -> None:
        self._process = process
        self.port = port
        self._log = log
        self._on_line = on_line
        self._stack = stack
        self._lock = threading.Lock()
        self._code: int | None = None
        self._tail = threading.Thread(target=self._follow, name=f"container-{process.pid}", daemon=True)
        self._tail.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.alive()

    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.returncode()

    def stop(self) -> None:
        """End it and clear away its directory. May be called twice."""
        self._process.stop()
        self._tail.join(timeout=5)
        with self._lock:
            self._stack.close()

    def _follow(self) -> None:
        rest = b""
        with self._log.open("rb") as stream:
            while True:
                alive = self._process.alive()
                chunk = stream.read()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._on_line(line.decode(errors="replace"))
                if not alive and not chunk:
                    break
                if not chunk:
                    time.sleep(_TAIL_SECONDS)
        if rest:
            self._on_line(rest.decode(errors="replace"))


def command(image: Image, spec: RunSpec) -> list[str]:
    """Entry point and arguments by Docker's rule: an entry point that is given drops the image's command."""
    if spec.entrypoint is not None:
        return [*spec.entrypoint, *(spec.arguments or ())]
    return [*image.config.entrypoint, *(spec.arguments if spec.arguments is not None else image.config.command)]


def write_shim(home: Path, runtime: str, machine: Mapping[str, str]) -> Path:
    """Write the `docker` command of a runtime. The settings file beside it may hold an index's password: mode 600."""
    directory = home / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent.parent.parent
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r}); from localcloud.runtime.shim import main; sys.exit(main())"
    )
    script = (
        "#!/bin/sh\n"
        f'LOCALCLOUD_RUNTIME={runtime} LOCALCLOUD_IMAGES="{home}" exec "{sys.executable}" -I -c "{code}" "$@"\n'
    )
    for path, text, mode in (
        (home / "machine.json", json.dumps(dict(machine), indent=1, sort_keys=True), 0o600),
        (directory / "docker", script, 0o755),
    ):
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        temporary.touch(mode=mode)
        temporary.write_text(text)
        temporary.chmod(mode)
        temporary.replace(path)
    return directory


def _checked(name: str) -> str:
    try:
        parse(name)
    except ValueError as error:
        raise ImageNotFound(str(error)) from None
    return name


def _stand_in(root: Path, mounts: list[tuple[Path, str]]) -> None:
    """Links in the container's root where a container would have mounts, so that /opt/ml is one directory even when
    only directories below it are mounted."""
    for source, target in sorted(mounts, key=lambda pair: len(pair[1])):
        link = root / target.strip("/")
        if any(parent.is_symlink() for parent in link.parents if parent != root and root in parent.parents):
            continue  # inside a directory that is mounted itself
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        elif os.path.lexists(link):
            link.unlink()
        link.symlink_to(source.resolve())


def _rewritten(argv: list[str], paths: PathMap) -> list[str]:
    if len(argv) >= 3 and argv[0].rsplit("/", 1)[-1] in ("sh", "bash") and argv[1] in ("-c", "-ec", "-lc"):
        return [argv[0], argv[1], paths.command(argv[2]), *map(paths.text, argv[3:])]
    return [paths.text(item) for item in argv]


def _interpreted(executable: str, arguments: list[str], venv: Path) -> list[str]:
    """A script whose first line names the image's Python by its path runs with that Python here."""
    try:
        with Path(executable).open("rb") as stream:
            head = stream.read(200)
    except OSError:
        head = b""
    if _SHEBANG.match(head):
        return [str(venv / "bin" / "python"), executable, *arguments]
    if re.fullmatch(r"/usr/(local/)?bin/python[\d.]*", executable):
        return [str(venv / "bin" / "python"), *arguments]
    return [executable, *arguments]
