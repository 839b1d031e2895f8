"""Where the process runtime keeps images. Everything appears whole, by a rename, or not at all.

trees/<digest>      directories: image roots and virtual environments, shared by what has the same contents
images/<digest>     config.json, manifest.json, and links `root` and `venv` into trees/
layers/<key>.json   which trees an instruction led to, by the hash of the instruction and all it depends on
names.json          tags, and repository digests
work/, containers/  what is being made or run; each has a lock that dies with its process
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.runtime import trees
from localcloud.runtime.references import parse
from localcloud.runtime.types import Image, ImageConfig, ImageId, ImageNotFound, RuntimeFault

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
TREE_TYPE = "application/vnd.localcloud.image.tree.v1"


@dataclass(frozen=True)
class Trees:
    """An image's files: digests of its root directory and of its virtual environment."""

    root: str
    venv: str


class ImageStore:
    """The images of one state directory. Safe for several processes at once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("trees", "images", "layers", "work", "containers", "locks"):
            (home / name).mkdir(parents=True, exist_ok=True)

    # Directories in the making

    @contextlib.contextmanager
    def scratch(self, kind: str = "work") -> Iterator[Path]:
        """A directory of this process's own, gone at the end; `sweep` removes it if the process dies."""
        path = self.home / kind / uuid.uuid4().hex
        with self._held(path.with_suffix(".lock")):
            path.mkdir()
            try:
                yield path
            finally:
                trees.remove(path)
                path.with_suffix(".lock").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what processes that are gone left in the making."""
        for kind in ("work", "containers"):
            for lock in (self.home / kind).glob("*.lock"):
                with lock.open("a") as stream:
                    try:
                        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        continue
                    trees.remove(lock.with_suffix(""))
                    lock.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """One process and thread at a time for this name."""
        with self._held(self.home / "locks" / hashlib.sha256(name.encode()).hexdigest()[:32]):
            yield

    @contextlib.contextmanager
    def _held(self, path: Path) -> Iterator[None]:
        with path.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    # Trees and layers

    def tree(self, digest: str) -> Path:
        """Where a tree is."""
        return self.home / "trees" / digest

    def keep_tree(
        self, made: Path, *, environment: bool = False, known: Mapping[str, tuple[int, str]] | None = None
    ) -> str:
        """Move a finished directory to its place. Returns its digest. `known` is as `trees.digest` has it."""
        digest, size = trees.digest(made, environment=environment, known=known)
        place = self.tree(digest)
        if environment and place.exists() and not self._runs(digest):
            trees.remove(place)  # the Python that it pointed to is gone; the new one is the same version
        if not place.exists():
            with contextlib.suppress(OSError):  # another process has just put the same there
                made.rename(place)
            self._write(self.home / "trees" / f"{digest}.size", str(size))
        return digest

    def size(self, tree: str) -> int:
        """Bytes of a tree's files."""
        try:
            return int((self.home / "trees" / f"{tree}.size").read_text())
        except (OSError, ValueError):
            return 0

    def layer(self, key: str) -> Trees | None:
        """What an instruction led to before, if it is still there."""
        try:
            document = json.loads((self.home / "layers" / f"{key}.json").read_text())
        except (OSError, ValueError):
            return None
        found = Trees(document["root"], document["venv"])
        return found if self.tree(found.root).is_dir() and self._runs(found.venv) else None

    def _runs(self, venv: str) -> bool:
        return (self.tree(venv) / "bin" / "python").exists()

    def keep_layer(self, key: str, made: Trees) -> None:
        """Remember what an instruction led to."""
        self._write(self.home / "layers" / f"{key}.json", json.dumps({"root": made.root, "venv": made.venv}))

    # Images

    def keep_image(self, config: ImageConfig, made: Trees) -> ImageId:
        """Make an image of trees and configuration. Returns its digest, which depends on nothing else."""
        document = config.document([f"sha256:{made.venv}", f"sha256:{made.root}"])
        document["x-python"] = trees.python_of(self.tree(made.venv))
        config_text = json.dumps(document, sort_keys=True, indent=1)
        layers = [
            {"mediaType": TREE_TYPE, "digest": f"sha256:{tree}", "size": self.size(tree)}
            for tree in (made.venv, made.root)
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE,
                "digest": f"sha256:{hashlib.sha256(config_text.encode()).hexdigest()}",
                "size": len(config_text.encode()),
            },
            "layers": layers,
        }
        text = json.dumps(manifest, indent=3)
        digest = hashlib.sha256(text.encode()).hexdigest()
        place = self.home / "images" / digest
        if not place.exists():
            with self.scratch() as work:
                making = work / "image"
                making.mkdir()
                (making / "config.json").write_text(config_text)
                (making / "manifest.json").write_text(text)
                (making / "root").symlink_to(f"../../trees/{made.root}")
                (making / "venv").symlink_to(f"../../trees/{made.venv}")
                with contextlib.suppress(OSError):
                    making.rename(place)
        return ImageId(f"sha256:{digest}")

    def keep_foreign(self, config: dict[str, Any], manifest: str, engine_id: str) -> ImageId:
        """Enter an image whose files an engine keeps. Returns its digest."""
        digest = hashlib.sha256(manifest.encode()).hexdigest()
        place = self.home / "images" / digest
        if not place.exists():
            with self.scratch() as work:
                making = work / "image"
                making.mkdir()
                (making / "config.json").write_text(json.dumps(config))
                (making / "manifest.json").write_text(manifest)
                (making / "engine-id").write_text(engine_id)
                with contextlib.suppress(OSError):
                    making.rename(place)
        return ImageId(f"sha256:{digest}")

    def engine_id(self, image: Image) -> str:
        """By which an engine knows the image."""
        assert image.location is not None
        return (image.location / "engine-id").read_text()

    def image(self, digest: str, reference: str = "") -> Image:
        """An image by digest.

        Raises:
            ImageNotFound: its contents are not on this machine.
        """
        place = self.home / "images" / digest.removeprefix("sha256:")
        try:
            config = ImageConfig.read(json.loads((place / "config.json").read_text()))
        except OSError:
            raise ImageNotFound(
                f"{reference or digest}: the contents of image {digest} are not on this machine; build and push it here"
            ) from None
        return Image(ImageId(f"sha256:{place.name}"), reference or digest, config, place)

    def manifest(self, digest: str) -> str:
        """An image's manifest, byte for byte."""
        return (self.image(digest).location / "manifest.json").read_text()  # type: ignore[operator]

    def image_trees(self, image: Image) -> Trees:
        """The trees of an image."""
        assert image.location is not None
        return Trees(*((image.location / part).readlink().name for part in ("root", "venv")))

    # Names

    def find(self, name: str) -> Image:
        """An image by tag, repository digest, digest, or the beginning of its id.

        Raises:
            ImageNotFound: no image has that name.
        """
        if name.startswith("sha256:") and len(name) == 71:
            with contextlib.suppress(ImageNotFound):
                return self.image(name)
        names = self._names()
        try:
            reference = str(parse(name))
        except ValueError:
            reference = name
        digest = names["tags"].get(reference) or names["repository_digests"].get(reference)
        if not digest:
            start = name.removeprefix("sha256:")
            digest = next((known for known in self.digests() if self._is_id(known, start)), None)
        if not digest:
            raise ImageNotFound(f"No such image: {name}")
        return self.image(digest, name)

    def _is_id(self, digest: str, start: str) -> bool:
        if len(start) < 6:
            return False
        return digest[7:].startswith(start) or self.id(digest)[7:].startswith(start)

    def id(self, digest: str) -> str:
        """Docker's id of an image: the digest of its configuration."""
        return str(json.loads(self.manifest(digest))["config"]["digest"])

    def digests(self) -> list[str]:
        """Every image."""
        return [f"sha256:{place.name}" for place in (self.home / "images").iterdir()]

    def tag(self, name: str, digest: str) -> None:
        """Give an image a tag, taking it from any other."""
        reference = str(parse(name))
        self._change(lambda names: names["tags"].__setitem__(reference, digest))

    def untag(self, name: str) -> bool:
        """Take a tag away. Whether it was there."""
        reference = str(parse(name))
        return self._change(lambda names: names["tags"].pop(reference, None)) is not None

    def keep_repository_digest(self, repository: str, digest: str) -> None:
        """Remember that a repository holds the image."""
        key = f"{repository}@{digest}"
        self._change(lambda names: names["repository_digests"].__setitem__(key, digest))

    def tags(self) -> list[tuple[str, ImageId]]:
        """(tag, digest) of every tag."""
        return sorted((name, ImageId(digest)) for name, digest in self._names()["tags"].items())

    def references(self, digest: str) -> tuple[list[str], list[str]]:
        """(tags, repository digests) of an image."""
        names = self._names()
        return (
            sorted(name for name, found in names["tags"].items() if found == digest),
            sorted(name for name, found in names["repository_digests"].items() if found == digest),
        )

    def _names(self) -> dict[str, dict[str, str]]:
        try:
            found: dict[str, dict[str, str]] = json.loads((self.home / "names.json").read_text())
        except FileNotFoundError:
            found = {"tags": {}, "repository_digests": {}}
        return found

    def _change(self, change: Any) -> Any:
        with self.locked("names"):
            names = self._names()
            result = change(names)
            self._write(self.home / "names.json", json.dumps(names, indent=1, sort_keys=True))
        return result

    def _write(self, path: Path, text: str) -> None:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_text(text)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def disk_errors(home: Path) -> Iterator[None]:
    """Turn a full or unwritable disk into one clear error."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RuntimeFault(f"no space left on the disk of {home}: make room there and try again") from error
        if error.errno in (errno.EROFS, errno.EACCES):
            raise RuntimeFault(f"{error.filename}: {error.strerror}; {home} must be writable") from error
        raise
