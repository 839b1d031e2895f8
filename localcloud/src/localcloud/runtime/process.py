"""The process runtime: an image is a directory, a container is a process. Nothing needs to be installed for it."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from localcloud.runtime import base, trees
from localcloud.runtime.build import Builder
from localcloud.runtime.container import Container
from localcloud.runtime.paths import PathMap
from localcloud.runtime.store import disk_errors
from localcloud.runtime.stored import StoredRuntime, command, port_of
from localcloud.runtime.types import BuildSpec, Handle, Image, ImageId, ImageNotFound, OnLine, RunSpec

_SHEBANG = re.compile(rb"#!\s*/usr/(?:local/)?bin/(?:env\s+)?python[\d.]*\s*\n")


class ProcessRuntime(StoredRuntime):
    """Images as directories, containers as processes."""

    name = "process"

    def _build(self, spec: BuildSpec) -> ImageId:
        return Builder(self.store, self._processes, self.machine, spec).build()

    def base_image(self, name: str, on_line: OnLine) -> Image | None:
        """python:3.x-slim, made of a Python of this machine."""
        minor = base.minor_version(name)
        return None if minor is None else base.ensure(self.store, name, minor, on_line)

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
        return Container(process, port_of(spec), log, spec.on_line, stack)

    def kill(self, key: str) -> bool:
        """End the container of that key."""
        return self._processes.kill(key)

    def _prepare(self, spec: RunSpec, work: Path) -> tuple[list[str], dict[str, str], Path] | str:
        """(command, variables, directory), or the reason why there is nothing to run."""
        image = self.image_of(spec)
        made = self.store.image_trees(image)
        venv = self.store.tree(made.venv)
        # The container's own writable copy: what it changes is not seen by the next one.
        root, temporary = work / "root", work / "tmp"
        trees.real_copy(self.store.tree(made.root), root)
        temporary.mkdir()
        mounts = [(Path(source), target) for source, target in spec.mounts]
        _stand_in(root, mounts)
        paths = PathMap(root, mounts)
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
            environment["SAGEMAKER_BIND_TO_PORT"] = str(port_of(spec))
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
