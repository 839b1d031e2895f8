"""The commands of `docker` that are served. Anything else is refused by name, with exit code 1."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from localcloud.children import Children
from localcloud.runtime.references import parse as parse_reference
from localcloud.runtime.shim import logins, template, values
from localcloud.runtime.shim.options import FLAG, VALUE, Options, Usage, parse
from localcloud.runtime.types import BuildSpec, Image, ImageNotFound, RunSpec, Runtime, RuntimeFault

_BUILD = {
    "build-arg": VALUE, "cache-from": VALUE, "cache-to": VALUE, "file": VALUE, "iidfile": VALUE, "label": VALUE,
    "load": FLAG, "network": VALUE, "no-cache": FLAG, "platform": VALUE, "progress": VALUE, "provenance": FLAG,
    "pull": FLAG, "push": FLAG, "quiet": FLAG, "rm": FLAG, "force-rm": FLAG, "sbom": FLAG, "secret": VALUE,
    "tag": VALUE, "target": VALUE,
}  # fmt: skip
_RUN = {"entrypoint": VALUE, "env": VALUE, "env-file": VALUE, "interactive": FLAG, "name": VALUE, "network": VALUE,
        "platform": VALUE, "pull": VALUE, "rm": FLAG, "tty": FLAG, "volume": VALUE, "workdir": VALUE}  # fmt: skip
_PLATFORMS = ("linux/amd64", "linux", "")


@dataclass
class Shim:
    """One call of the command."""

    runtime: Runtime
    registry: logins.LoggedIn

    def build(self, words: Sequence[str], command: str = "build") -> int:
        """docker build, docker buildx build."""
        options = parse(command, words, _BUILD, {"t": "tag", "f": "file", "q": "quiet"})
        if len(options.arguments) != 1:
            raise Usage(f'"docker {command}" requires exactly 1 argument: the build context, a directory')
        _platform(command, options)
        if options.arguments[0] == "-" or "://" in options.arguments[0]:
            raise Usage(f"docker {command}: the build context must be a directory, given: {options.arguments[0]}")
        context = Path(options.arguments[0])
        dockerfile = Path(options.last("file")) if options.last("file") else context / "Dockerfile"
        tags = options.all("tag")
        if options.on("push") and not tags:
            raise Usage(f"docker {command} --push: tag is needed when pushing to registry (-t)")
        began = time.monotonic()
        spec = BuildSpec(
            context=context, dockerfile=dockerfile, tags=tags,
            build_args=values.assignments(options.all("build-arg")), labels=values.assignments(options.all("label")),
            secrets=dict(values.secret(item) for item in options.all("secret")),
            target=options.last("target") or None, no_cache=options.on("no-cache"), registry=self.registry,
            on_line=(lambda line: None) if options.on("quiet") else _progress,
        )  # fmt: skip
        digest = self.runtime.build_image(spec)
        identity = self._id(digest)
        if options.last("iidfile"):
            Path(options.last("iidfile")).write_text(identity)
        if options.on("quiet"):
            print(identity)
        else:
            _progress(f"writing image {identity} done")
            for tag in tags:
                _progress(f"naming to {parse_reference(tag)} done")
            _progress(f"built in {time.monotonic() - began:.1f}s")
        if options.on("push"):
            for tag in tags:
                self._push(tag)
        return 0

    def buildx(self, words: Sequence[str]) -> int:
        """docker buildx build, version."""
        if words[:1] in (["build"], ["b"]):
            return self.build(words[1:], "buildx build")
        if words[:1] == ["version"]:
            print("github.com/docker/buildx v0.0.0-localcloud")
            return 0
        raise Usage(f"docker buildx {' '.join(words[:1])} is not served here; served: buildx build, buildx version")

    def tag(self, words: Sequence[str]) -> int:
        """docker tag SOURCE TARGET."""
        source, target = _arguments("tag", words, 2)
        self.runtime.tag(source, target)
        return 0

    def push(self, words: Sequence[str]) -> int:
        """docker push NAME."""
        options = parse("push", words, {"quiet": FLAG, "all-tags": FLAG, "platform": VALUE}, {"q": "quiet"})
        (name,) = _count("push", options.arguments, 1)
        if options.on("all-tags"):
            raise Usage("docker push --all-tags is not served here; push each tag")
        self._push(name)
        return 0

    def _push(self, name: str) -> None:
        reference = parse_reference(name)
        began = time.monotonic()
        print(f"The push refers to repository [{reference.name}]", flush=True)
        digest = self.runtime.push(name, self.registry)
        size = len(self.runtime.manifest(digest))
        print(f"{reference.tag}: digest: {digest} size: {size} ({time.monotonic() - began:.1f}s)", flush=True)

    def pull(self, words: Sequence[str]) -> int:
        """docker pull NAME."""
        options = parse("pull", words, {"quiet": FLAG, "platform": VALUE}, {"q": "quiet"})
        (name,) = _count("pull", options.arguments, 1)
        _platform("pull", options)
        began = time.monotonic()
        reference = parse_reference(name)
        image = self.runtime.pull(name, self.registry, _progress)
        if not options.on("quiet"):
            print(f"{reference.tag or reference.digest}: Pulling from {reference.repository}")
            print(f"Digest: {image.digest}")
            print(f"Status: Image is here for {reference} ({time.monotonic() - began:.1f}s)")
        print(str(reference))
        return 0

    def login(self, words: Sequence[str]) -> int:
        """docker login --username AWS --password-stdin REGISTRY."""
        known = {"username": VALUE, "password": VALUE, "password-stdin": FLAG}
        options = parse("login", words, known, {"u": "username", "p": "password"})
        (registry,) = _count("login", options.arguments, 1)
        registry = registry.removeprefix("https://").rstrip("/")
        if not parse_reference(f"{registry}/any").is_ecr and registry != "public.ecr.aws":
            raise Usage(f"docker login {registry}: served are ACCOUNT.dkr.ecr.REGION.amazonaws.com and public.ecr.aws")
        if not options.on("password-stdin"):
            raise Usage("docker login: give the password by --password-stdin, where no list of processes shows it")
        if options.last("username") != "AWS":
            raise Usage(f"docker login: the user of an ECR registry is AWS, given: '{options.last('username')}'")
        if not sys.stdin.read().strip():
            raise RuntimeFault("Error: Cannot perform an interactive login: the password on stdin is empty")
        logins.add(registry)
        print("Login Succeeded")
        return 0

    def logout(self, words: Sequence[str]) -> int:
        """docker logout REGISTRY."""
        (registry,) = _arguments("logout", words, 1)
        logins.remove(registry)
        print(f"Removing login credentials for {registry}")
        return 0

    def image(self, words: Sequence[str]) -> int:
        """docker image SUBCOMMAND."""
        served: Mapping[str, Callable[[Sequence[str]], int]] = {
            "build": self.build, "inspect": self.inspect, "ls": self.images, "list": self.images, "pull": self.pull,
            "push": self.push, "rm": self.rmi, "tag": self.tag,
        }  # fmt: skip
        if not words or words[0] not in served:
            given = " ".join(words[:1])
            raise Usage(f"docker image {given} is not served here; served: {', '.join(served)}")
        return served[words[0]](words[1:])

    def inspect(self, words: Sequence[str]) -> int:
        """docker image inspect, docker inspect."""
        options = parse("inspect", words, {"format": VALUE, "type": VALUE}, {"f": "format"})
        if not options.arguments:
            raise Usage('"docker inspect" requires at least 1 argument')
        documents, missing = [], []
        for name in options.arguments:
            try:
                documents.append(self._document(self.runtime.inspect(name)))
            except ImageNotFound as error:
                missing.append(str(error))
        if options.last("format"):
            for document in documents:
                print(template.render(options.last("format"), document))
        else:
            print(json.dumps(documents, indent=4))
        for problem in missing:
            print(f"Error response from daemon: {problem}", file=sys.stderr)
        return 1 if missing else 0

    def manifest(self, words: Sequence[str]) -> int:
        """docker manifest inspect NAME: what the registry has."""
        if words[:1] != ["inspect"]:
            raise Usage(f"docker manifest {' '.join(words[:1])} is not served here; served: manifest inspect")
        options = parse("manifest inspect", words[1:], {"verbose": FLAG}, {"v": "verbose"})
        (name,) = _count("manifest inspect", options.arguments, 1)
        reference = parse_reference(name)
        try:
            digest, text = self.registry.get_image(reference)
        except ImageNotFound as error:
            raise RuntimeFault(f"no such manifest: {name} ({error})") from None
        if options.on("verbose"):
            document = {"Ref": str(reference), "Descriptor": {"digest": digest}, "OCIManifest": json.loads(text)}
            text = json.dumps(document, indent=4)
        print(text)
        return 0

    def images(self, words: Sequence[str]) -> int:
        """docker images, docker image ls."""
        known = {"all": FLAG, "digests": FLAG, "format": VALUE, "no-trunc": FLAG, "quiet": FLAG}
        options = parse("images", words, known, {"a": "all", "q": "quiet"})
        wanted = parse_reference(options.arguments[0]).name if options.arguments else ""
        rows = []
        for name, digest in self.runtime.images():
            reference = parse_reference(name)
            if wanted and reference.name != wanted:
                continue
            identity = self._id(digest).removeprefix("sha256:")
            rows.append({
                "Repository": reference.name, "Tag": reference.tag, "ID": identity[:12], "Digest": digest,
                "Size": values.size(self._bytes(digest)),
            })  # fmt: skip
        if options.on("quiet"):
            print("\n".join(dict.fromkeys(row["ID"] for row in rows)))
        elif options.last("format"):
            for row in rows:
                form = options.last("format")
                print(json.dumps(row) if form == "json" else template.render(form, row))
        else:
            width = max([len(row["Repository"]) for row in rows] + [10]) + 3
            print(f"{'REPOSITORY':{width}}{'TAG':20}{'IMAGE ID':15}SIZE")
            for row in rows:
                print(f"{row['Repository']:{width}}{row['Tag']:20}{row['ID']:15}{row['Size']}")
        return 0

    def rmi(self, words: Sequence[str]) -> int:
        """docker rmi NAME…"""
        options = parse("rmi", words, {"force": FLAG}, {"f": "force"})
        if not options.arguments:
            raise Usage('"docker rmi" requires at least 1 argument')
        for name in options.arguments:
            print("\n".join(self.runtime.remove(name)))
        return 0

    def run(self, words: Sequence[str]) -> int:
        """docker run."""
        short = {"e": "env", "v": "volume", "w": "workdir", "i": "interactive", "t": "tty"}
        options = parse("run", words, _RUN, short, to_first=True)
        _platform("run", options)
        if not options.arguments:
            raise Usage('"docker run" requires at least 1 argument: the image')
        name, arguments = options.arguments[0], options.arguments[1:]
        try:
            image = self.runtime.inspect(name)
        except ImageNotFound:
            image = self.runtime.pull(name, self.registry)
        environment: dict[str, str] = {}
        for file in options.all("env-file"):
            lines = [line.strip() for line in Path(file).read_text().splitlines()]
            environment |= values.assignments([line for line in lines if line and not line.startswith("#")])
        environment |= values.assignments(options.all("env"))
        entrypoint = options.last("entrypoint")
        return self.runtime.run(
            RunSpec(
                image=image,
                entrypoint=[entrypoint] if entrypoint else None,
                arguments=arguments or None,
                environment=environment,
                mounts=[values.volume(item) for item in options.all("volume")],
                workdir=options.last("workdir") or None,
                on_line=lambda line: print(line, flush=True),
            )
        )

    def version(self, words: Sequence[str]) -> int:
        """docker version."""
        options = parse("version", words, {"format": VALUE}, {"f": "format"})
        document = {"Client": {"Version": "28.0.0", "Context": "localcloud", "Os": "linux", "Arch": "amd64"},
                    "Server": {"Version": "28.0.0", "Runtime": self.runtime.name}}  # fmt: skip
        if options.last("format"):
            print(template.render(options.last("format"), document))
        else:
            print(f"Client: localcloud\n Version: 28.0.0\n\nServer: localcloud, runtime {self.runtime.name}")
        return 0

    def info(self, words: Sequence[str]) -> int:
        """docker info."""
        print(f"Server: localcloud\n Runtime: {self.runtime.name}\n Images: {len(self.runtime.images())}")
        return 0

    def _id(self, digest: str) -> str:
        return str(json.loads(self.runtime.manifest(digest))["config"]["digest"])

    def _bytes(self, digest: str) -> int:
        return sum(int(layer["size"]) for layer in json.loads(self.runtime.manifest(digest))["layers"])

    def _document(self, image: Image) -> dict[str, Any]:
        tags, digests = self.runtime.references(image.digest)
        layers = [layer["digest"] for layer in json.loads(self.runtime.manifest(image.digest))["layers"]]
        document = image.config.document(layers)
        config = document["config"]
        return {
            "Id": self._id(image.digest), "RepoTags": tags, "RepoDigests": digests, "Architecture": "amd64",
            "Os": "linux", "Size": self._bytes(image.digest),
            "Config": {name: config.get(name) for name in ("Env", "Entrypoint", "Cmd", "WorkingDir", "User", "Labels",
                                                           "ExposedPorts", "Healthcheck")},
            "RootFS": {"Type": "layers", "Layers": layers},
        }  # fmt: skip


SERVED = ("build", "buildx", "image", "images", "info", "inspect", "login", "logout", "manifest", "pull", "push",
          "rmi", "run", "tag", "version")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. LOCALCLOUD_RUNTIME and LOCALCLOUD_IMAGES say which runtime, and where its state is."""
    words = list(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        if words[:1] in (["--version"], ["-v"]):
            print("Docker version 28.0.0, build localcloud")
            return 0
        if not words or words[0] not in SERVED:
            given = " ".join(words[:1]) or "(nothing)"
            raise Usage(f"docker {given} is not served by the local cloud; served: {', '.join(SERVED)}")
        shim = Shim(_runtime(), logins.LoggedIn())
        command: Callable[[Sequence[str]], int] = getattr(shim, words[0])
        return command(words[1:])
    except (Usage, RuntimeFault, ValueError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ERROR: cancelled", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141


def _runtime() -> Runtime:
    name, home = os.environ.get("LOCALCLOUD_RUNTIME", "process"), os.environ.get("LOCALCLOUD_IMAGES")
    if not home:
        raise RuntimeFault("LOCALCLOUD_IMAGES is not set: this command is written by runtime.shim_directory()")
    from localcloud.runtime import create

    try:
        machine = json.loads((Path(home) / "machine.json").read_text())
    except OSError:
        machine = None
    return create(name, Path(home), Children(own_groups=False), machine)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments(command: str, words: Sequence[str], count: int) -> list[str]:
    return _count(command, parse(command, words, {}, {}).arguments, count)


def _count(command: str, arguments: list[str], count: int) -> list[str]:
    if len(arguments) != count:
        raise Usage(f'"docker {command}" requires exactly {count} argument{"s" if count > 1 else ""}')
    return arguments


def _platform(command: str, options: Options) -> None:
    if options.last("platform") not in _PLATFORMS:
        raise Usage(f"docker {command} --platform {options.last('platform')}: only linux/amd64 is served here")
