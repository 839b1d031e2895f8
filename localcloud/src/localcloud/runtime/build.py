"""`docker build` without a container: a Dockerfile's instructions done on directories.

Each instruction that changes files leads from two trees (root and virtual environment) to two trees; the step is
remembered under the hash of the trees it began with, the instruction and all else it depends on, and is not done twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from localcloud.runtime import base, bytecode, commands, details, dockerfile, files, trees
from localcloud.runtime.context import Context, absolute, inputs_hash, place
from localcloud.runtime.dockerfile import Instruction, Stage
from localcloud.runtime.references import parse
from localcloud.runtime.sandbox import Failed, Refused, Sandbox
from localcloud.runtime.store import ImageStore, Trees
from localcloud.runtime.types import (
    BuildError,
    BuildSpec,
    Image,
    ImageConfig,
    ImageId,
    ImageNotFound,
    Processes,
    RuntimeFault,
)

_PREDEFINED = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy",
               "ftp_proxy", "no_proxy", "all_proxy"}  # fmt: skip
_PLATFORM = {
    "TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "TARGETVARIANT": "",
    "BUILDPLATFORM": "linux/amd64", "BUILDOS": "linux", "BUILDARCH": "amd64", "BUILDVARIANT": "",
}  # fmt: skip
_SITE_PACKAGES = re.compile(r"/usr/local(/lib(/python3[.\d]*(/site-packages)?)?|/bin)?/?")


@dataclass
class State:
    """A stage under way."""

    trees: Trees
    config: ImageConfig
    arguments: dict[str, str] = field(default_factory=dict)
    command_is_inherited: bool = True

    @property
    def variables(self) -> dict[str, str]:
        """What instructions see: ARG, and ENV over it."""
        return {**self.arguments, **self.config.environment}


class Builder:
    """One build."""

    def __init__(self, store: ImageStore, processes: Processes, machine: Mapping[str, str], spec: BuildSpec) -> None:
        self.store = store
        self.processes = processes
        self.machine = machine
        self.spec = spec
        self.context = Context(spec.context, spec.dockerfile)
        self.file = dockerfile.read(spec.dockerfile, spec.build_args)
        self.states: dict[int, State] = {}
        self.number = 0

    def build(self) -> ImageId:
        """Build the target stage and those it needs. Returns the image's digest."""
        target = self.file.stage(self.spec.target)
        unused = set(self.spec.build_args) - self.file.declared() - _PREDEFINED
        if unused:
            self.say(f"[Warning] One or more build-args {sorted(unused)} were not consumed")
        state = self._stage(target)
        labels = {**state.config.labels, **self.spec.labels}
        return self.store.keep_image(replace(state.config, labels=labels), state.trees)

    def say(self, line: str) -> None:
        """One line of progress."""
        self.spec.on_line(line)

    def _stage(self, stage: Stage) -> State:
        if stage.index in self.states:
            return self.states[stage.index]
        state = self._base(stage)
        steps = [item for item in stage.instructions if item.keyword in ("ADD", "COPY", "RUN", "WORKDIR")]
        done = 1
        for instruction in stage.instructions:
            if instruction in steps:
                done += 1
            self._instruction(stage, state, instruction, f"{done}/{len(steps) + 1}")
        self.states[stage.index] = state
        return state

    def _base(self, stage: Stage) -> State:
        for earlier in self.file.stages[: stage.index]:
            if earlier.name and earlier.name.lower() == stage.base.lower():
                found = self._stage(earlier)
                return State(found.trees, found.config)
        self._begin(stage, "1", f"FROM {stage.base}")
        if stage.base == "scratch":
            raise stage.start.refuse("'scratch' has no Python", allowed=base.ALLOWED)
        image = self._image(stage)
        self.say(f"#{self.number} DONE")
        return State(self.store.image_trees(image), image.config)

    def _image(self, stage: Stage) -> Image:
        minor = base.minor_version(stage.base)
        if minor is not None and not parse(stage.base).digest:
            return base.ensure(self.store, stage.base, minor, self.say)
        try:
            reference = parse(stage.base)
        except ValueError as error:
            raise stage.start.refuse(str(error)) from None
        try:
            return self.store.find(str(reference))
        except ImageNotFound:
            pass
        if not reference.is_ecr:
            raise stage.start.refuse(
                f"the base image '{stage.base}' is not served by the process runtime", allowed=base.ALLOWED,
                mend="choose one of these, or set LOCALCLOUD_RUNTIME=buildah (or docker)",
            )  # fmt: skip
        if self.spec.registry is None:
            raise stage.start.refuse(f"no credentials to pull '{stage.base}'")
        try:
            digest, _ = self.spec.registry.get_image(reference)
            return self.store.image(digest, stage.base)
        except ImageNotFound as error:
            raise stage.start.refuse(str(error), mend="push the base to that repository first") from None

    def _instruction(self, stage: Stage, state: State, instruction: Instruction, step: str) -> None:
        keyword = instruction.keyword
        handler: Callable[[Stage, State, Instruction, str], None] | None = {
            "ADD": self._copy, "COPY": self._copy, "RUN": self._run, "WORKDIR": self._workdir,
        }.get(keyword)  # fmt: skip
        if handler is not None:
            handler(stage, state, instruction, step)
        elif keyword == "ARG":
            self._arg(state, instruction)
        else:
            state.config = self._configured(state, instruction)

    def _arg(self, state: State, instruction: Instruction) -> None:
        for name, default in dockerfile.arguments(instruction).items():
            if name in self.spec.build_args:
                state.arguments[name] = self.spec.build_args[name]
            elif default is not None:
                one = replace(instruction, keyword="ENV", value=f"{name}={default}")
                state.arguments[name] = dockerfile.pairs(one, state.variables)[name]
            elif name in self.file.arguments or name in _PLATFORM:
                state.arguments[name] = self.file.arguments.get(name, _PLATFORM.get(name, ""))

    def _configured(self, state: State, instruction: Instruction) -> ImageConfig:
        config, keyword = state.config, instruction.keyword
        if keyword == "ENV":
            return replace(config, environment={**config.environment, **dockerfile.pairs(instruction, state.variables)})
        if keyword == "LABEL":
            return replace(config, labels={**config.labels, **dockerfile.pairs(instruction, state.variables)})
        if keyword in ("ENTRYPOINT", "CMD"):
            listed = instruction.exec_form
            made = tuple(listed) if listed is not None else ("/bin/sh", "-c", instruction.value)
            if keyword == "CMD":
                state.command_is_inherited = False
                return replace(config, command=made)
            # As Docker has it: a new entry point drops a command that came with the base image.
            return replace(config, entrypoint=made, command=() if state.command_is_inherited else config.command)
        values = dockerfile.expand(instruction, state.variables)
        if keyword == "EXPOSE":
            ports = tuple(port if "/" in port else f"{port}/tcp" for port in values)
            bad = [port for port in ports if not re.fullmatch(r"\d{1,5}(-\d{1,5})?/(tcp|udp)", port)]
            if bad:
                raise instruction.refuse(f"'{bad[0]}' is not a port", allowed="PORT, PORT/tcp, PORT/udp")
            return replace(config, ports=tuple(dict.fromkeys([*config.ports, *ports])))
        if keyword == "USER":
            return replace(config, user=self._user(state, instruction, values))
        if keyword == "STOPSIGNAL":
            return replace(config, stop_signal=values[0])
        if keyword == "VOLUME":
            return config  # a process has folders, not layers: there is nothing that a volume would be outside of
        return replace(config, healthcheck=details.healthcheck(instruction))

    def _user(self, state: State, instruction: Instruction, values: list[str]) -> str:
        if len(values) != 1:
            raise instruction.refuse("one argument is required")
        name = values[0].partition(":")[0]
        known = {"root", "nobody", "daemon", "www-data"}
        listed = self.store.tree(state.trees.root) / "etc" / "passwd"
        if listed.is_file():
            known |= {line.partition(":")[0] for line in listed.read_text().splitlines()}
        if not name.isdigit() and name not in known:
            raise instruction.refuse(
                f"unable to find user {name}: no matching entries in passwd file", allowed=", ".join(sorted(known)),
                mend=f"RUN useradd --create-home {name} before it",
            )  # fmt: skip
        return values[0]

    # Steps that change files

    def _begin(self, stage: Stage, step: str, text: str) -> None:
        self.number += 1
        name = f"{stage.name} " if stage.name else ""
        self.say(f"#{self.number} [{name}{step}] {text}")

    def _step(
        self, stage: Stage, state: State, step: str, text: str, inputs: Any, make: Callable[[Path], Trees]
    ) -> None:
        self._begin(stage, step, text)
        basis = json.dumps([2, state.trees.root, state.trees.venv, inputs], sort_keys=True)
        key = hashlib.sha256(basis.encode()).hexdigest()
        began = time.monotonic()
        with self.store.locked(key):
            found = None if self.spec.no_cache else self.store.layer(key)
            if found is None:
                with self.store.scratch() as work:
                    made = make(work)
                self.store.keep_layer(key, made)
        state.trees = found or made
        self.say(f"#{self.number} CACHED" if found else f"#{self.number} DONE {time.monotonic() - began:.1f}s")

    def _root(self, state: State, work: Path) -> Path:
        root = work / "root"
        trees.real_copy(self.store.tree(state.trees.root), root)
        return root.resolve()

    def _workdir(self, stage: Stage, state: State, instruction: Instruction, step: str) -> None:
        values = dockerfile.expand(replace(instruction, value=instruction.value), state.variables)
        if len(values) != 1 or not values[0]:
            raise instruction.refuse("one path is required")
        path = absolute(state.config.workdir, values[0]).rstrip("/") or "/"

        def make(work: Path) -> Trees:
            root = self._root(state, work)
            self._sandbox(state, root, root, work).place(path).mkdir(parents=True, exist_ok=True)
            return replace(state.trees, root=self.store.keep_tree(root))

        self._guarded(instruction, lambda: self._step(stage, state, step, f"WORKDIR {path}", ["WORKDIR", path], make))
        state.config = replace(state.config, workdir=path)

    def _copy(self, stage: Stage, state: State, instruction: Instruction, step: str) -> None:
        values = dockerfile.expand(instruction, state.variables)
        if len(values) < 2:
            raise instruction.refuse("source and destination are required")
        *sources, destination = values
        origin = instruction.flag("from")
        context, other = self.context, None
        if origin is not None:
            other = self._stage(self.file.stage(origin))
            context = Context(self.store.tree(other.trees.root))
            if any(_SITE_PACKAGES.fullmatch(source) for source in sources):
                self._take_packages(stage, state, instruction, step, other)
                return
        taken = []
        for source in sources:
            try:
                found = context.take(source)
            except ValueError as error:
                raise instruction.refuse(f'"{source}": {error}') from None
            if found is None:
                where = f"stage {origin}" if origin else f"the build context {self.spec.context} (or .dockerignore)"
                raise instruction.refuse(f'"{source}": not found in {where}')
            if instruction.keyword == "ADD" and any(re.search(r"\.(tar|tgz|tar\.\w+)$", t.relative) for t in found):
                raise instruction.refuse("unpacking an archive is not served", mend="put the files into the context")
            taken += found
        target = absolute(state.config.workdir, destination)
        single = len(sources) == 1 and len(taken) == 1 and not context.is_directory(sources[0])
        if not single and len(sources) > 1 and not target.endswith("/"):
            raise instruction.refuse("with more than one source the destination must be a directory and end with a /")
        mode = instruction.flag("chmod")

        def make(work: Path) -> Trees:
            root = self._root(state, work)
            here = self._sandbox(state, root, root, work).place(target)
            as_directory = not single or target.endswith("/") or here.is_dir()
            if as_directory:
                here.mkdir(parents=True, exist_ok=True)
            for path in place(taken, here, as_directory=as_directory):
                if mode and not path.is_symlink():
                    path.chmod(files.file_mode(mode, path.stat().st_mode, False))
            return replace(state.trees, root=self.store.keep_tree(root))

        inputs = ["COPY", inputs_hash(taken), target, mode, single]
        text = f"{instruction.keyword} {instruction.value}"
        self._guarded(instruction, lambda: self._step(stage, state, step, text, inputs, make))

    def _take_packages(self, stage: Stage, state: State, instruction: Instruction, step: str, other: State) -> None:
        """COPY --from of /usr/local or its packages: the other stage's environment joins this one's."""

        def make(work: Path) -> Trees:
            venv = work / "venv"
            trees.link_copy(self.store.tree(other.trees.venv), venv)
            return replace(state.trees, venv=self.store.keep_tree(venv, environment=True))

        text = f"{instruction.keyword} --from {instruction.value}"
        self._step(stage, state, step, text, ["PACKAGES", other.trees.venv], make)

    def _run(self, stage: Stage, state: State, instruction: Instruction, step: str) -> None:
        mounts = details.mounts(instruction)
        environment = state.variables

        def make(work: Path) -> Trees:
            root, venv = self._root(state, work), work / "venv"
            trees.link_copy(self.store.tree(state.trees.venv), venv)
            sandbox = self._sandbox(state, root, venv, work)
            sandbox.environment = dict(environment)
            self._give_secrets(instruction, mounts, sandbox, work)
            listed = instruction.exec_form
            if listed is not None:
                commands.run_words(listed, sandbox)
            else:
                commands.run(instruction.value, sandbox)
            installed = trees.recorded(venv)
            cache = Path(self.machine.get("LOCALCLOUD_BYTECODE") or self.store.home / "bytecode")
            bytecode.provide(venv, installed, cache)
            kept = self.store.keep_tree(venv, environment=True, known=installed if sandbox.installs_only else None)
            return Trees(root=self.store.keep_tree(root), venv=kept)

        inputs = ["RUN", instruction.value, mounts, environment, state.config.workdir]
        text = f"RUN {' '.join(instruction.value.split())}"
        self._guarded(instruction, lambda: self._step(stage, state, step, text, inputs, make))

    def _sandbox(self, state: State, root: Path, venv: Path, work: Path) -> Sandbox:
        home = work / "home"
        home.mkdir(exist_ok=True)
        number = self.number

        def line(text: str) -> None:
            self.say(f"#{number} {text}")

        return Sandbox(
            root=root, venv=venv, environment={}, workdir=state.config.workdir, home=home, machine=self.machine,
            processes=self.processes, on_line=line, key=f"build/{work.name}",
        )  # fmt: skip

    def _give_secrets(
        self, instruction: Instruction, mounts: list[dict[str, str]], sandbox: Sandbox, work: Path
    ) -> None:
        places: dict[str, Path] = {}
        for mount in mounts:
            if mount["type"] != "secret":
                continue
            name = mount.get("id") or Path(mount.get("target", "")).name
            secret = self.spec.secrets.get(name)
            if secret is None:
                if mount.get("required", "false") in ("true", ""):
                    raise instruction.refuse(f"secret {name}: not found", mend=f"docker build --secret id={name},…")
                continue
            if mount.get("env"):
                sandbox.environment[mount["env"]] = secret.value.decode()
            if mount.get("target") or not mount.get("env"):
                file = work / f"secret-{len(places)}"
                file.touch(mode=0o600)
                file.write_bytes(secret.value)
                places[mount.get("target") or f"/run/secrets/{name}"] = file
        sandbox.secrets = places

    def _guarded(self, instruction: Instruction, action: Callable[[], None]) -> None:
        try:
            action()
        except Refused as error:
            raise instruction.refuse(str(error)) from None
        except Failed as error:
            raise instruction.refuse(f"{error}\n{_indented(error.output)}".rstrip()) from None
        except BuildError as error:
            if str(error).startswith(instruction.file):
                raise
            raise instruction.refuse(str(error)) from None
        except RuntimeFault:
            raise
        except (FileExistsError, NotADirectoryError, IsADirectoryError, FileNotFoundError) as error:
            raise instruction.refuse(f"{os.strerror(error.errno or 0)}: {error.filename}") from None


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines())
