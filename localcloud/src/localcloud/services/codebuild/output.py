"""Taking a build's output to S3: artifacts, and the cache between builds."""

from __future__ import annotations

import hashlib
import posixpath
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Credentials
from localcloud.services.codebuild.buildspec import Artifacts, Cache
from localcloud.services.codebuild.patterns import directories, matches, select
from localcloud.services.codebuild.sources import split_location, unzip


class OutputError(Exception):
    """Output that could not be uploaded: the message of a CLIENT_ERROR."""


@dataclass(frozen=True)
class Uploaded:
    """Where an artifact lies."""

    location: str
    sha256: str = ""
    md5: str = ""


def collect(declared: Artifacts, base: Path) -> list[tuple[str, Path]]:
    """(name in the artifact, file) of everything that an artifacts section names.

    Raises:
        OutputError: nothing matches.
    """
    roots = directories(base, declared.base_directory)
    if not roots:
        raise OutputError(f"no matching base directory path found for {declared.base_directory}")
    found: dict[str, Path] = {}
    for root in roots:
        for path in select(root, declared.files, declared.exclude_paths):
            found.setdefault(posixpath.basename(path) if declared.discard_paths else path, root / path)
    if not found:
        raise OutputError(
            f"no matching artifact paths found: {', '.join(declared.files)} "
            f"in {declared.base_directory or 'the source'}"
        )
    return list(found.items())


def pack(files: list[tuple[str, Path]], target: Path) -> None:
    """A zip of files, permissions kept."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for name, path in files:
            archive.write(path, name)


def upload(
    target: Mapping[str, Any], declared: Artifacts, base: Path, scratch: Path, credentials: Credentials,
    *, build: Mapping[str, Any], name: str,
) -> Uploaded:  # fmt: skip
    """Upload one artifact as the project's `artifacts` says.

    Args:
        target: a ProjectArtifacts of type S3 or CODEPIPELINE.
        name: the artifact's name, from project or buildspec.

    Raises:
        OutputError: nothing matches, or S3 refuses.
    """
    files = collect(declared, base)
    bucket = split_location(target["location"])[0]
    identifier = build["id"].partition(":")[2]
    parts = [
        declared.s3_prefix if target.get("namespaceType") == "BUILD_ID" else "",
        target.get("path", ""),
        identifier if target.get("namespaceType") == "BUILD_ID" else "",
        name,
    ]
    key = "/".join(part.strip("/") for part in parts if part.strip("/"))
    extra: dict[str, Any] = {"Metadata": {"codebuild-buildarn": build["arn"]}}
    kms = build["encryptionKey"]
    if not target.get("encryptionDisabled") and not kms.endswith("alias/aws/s3"):
        extra |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms}
    client = credentials.client("s3")
    location = f"arn:aws:s3:::{bucket}/{key}"
    try:
        if target["type"] == "CODEPIPELINE" or target.get("packaging") == "ZIP":
            archive = scratch / "artifact.zip"
            pack(files, archive)
            content = archive.read_bytes()
            archive.unlink()
            client.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/zip", **extra)
            return Uploaded(location, hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest())  # noqa: S324
        for relative, path in files:
            client.put_object(Bucket=bucket, Key=f"{key}/{relative}", Body=path.read_bytes(), **extra)
    except (ClientError, BotoCoreError, OSError) as error:
        raise OutputError(f"Failed to upload artifacts to s3://{bucket}/{key}: {error}") from error
    return Uploaded(location)


class S3Cache:
    """The cache of a project whose cache type is S3; what cannot be cached is told, and fails nothing."""

    def __init__(
        self, setting: Mapping[str, Any], declared: Cache, *, project: str, base: Path, home: Path, scratch: Path,
        credentials: Credentials, note: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._bucket, prefix = split_location(setting["location"])
        self._prefix = "/".join(part for part in (prefix.strip("/"), setting.get("cacheNamespace") or project) if part)
        self._declared = declared
        self._roots = {"source": base, "home": home}
        self._archive = scratch / "cache.zip"
        self._client = credentials.client("s3")
        self._note = note

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name or 'default'}.zip"

    def restore(self, key: str, fallback: tuple[str, ...]) -> None:
        """Unpack the cache of the key, or the newest whose key begins with a fallback key."""
        if self._declared.action == "save":
            return
        try:
            found = self._find(key, fallback)
            if found is None:
                self._note("No cache found")
                return
            self._client.download_file(self._bucket, found, str(self._archive))
            area = self._archive.with_suffix(".d")
            unzip(self._archive, area)
            for name, root in self._roots.items():
                if (area / name).is_dir():
                    shutil.copytree(area / name, root, dirs_exist_ok=True, symlinks=True)
            shutil.rmtree(area)
            self._note(f"Restored cache from s3://{self._bucket}/{found}")
        except (ClientError, BotoCoreError, OSError, ValueError, zipfile.BadZipFile) as error:
            self._note(f"Unable to restore the cache: {error}")
        finally:
            self._archive.unlink(missing_ok=True)

    def _find(self, key: str, fallback: tuple[str, ...]) -> str | None:
        listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix=f"{self._prefix}/").get("Contents", [])
        by_key = {item["Key"]: item["LastModified"] for item in listed}
        if self._key(key) in by_key:
            return self._key(key)
        for prefix in fallback if key else ():
            matching = [name for name in by_key if name.startswith(f"{self._prefix}/{prefix}")]
            if matching:
                return str(max(matching, key=lambda name: by_key[name]))
        return None

    def save(self, key: str) -> None:
        """Pack and upload what the buildspec's cache paths name."""
        if self._declared.action == "restore":
            return
        files = self._files()
        if not files:
            self._note("No files to cache")
            return
        try:
            pack(files, self._archive)
            self._client.upload_file(str(self._archive), self._bucket, self._key(key))
            self._note(f"Uploaded cache to s3://{self._bucket}/{self._key(key)}")
        except (ClientError, BotoCoreError, OSError) as error:
            self._note(f"Unable to upload the cache: {error}")
        finally:
            self._archive.unlink(missing_ok=True)

    def _files(self) -> list[tuple[str, Path]]:
        found: dict[str, Path] = {}
        for pattern in self._declared.paths:
            name, relative = "source", pattern
            for start in ("/root/", "~/", "$HOME/"):
                if pattern.startswith(start):
                    name, relative = "home", pattern.removeprefix(start)
            root = self._roots[name]
            if relative.startswith(f"{root}/"):
                relative = relative.removeprefix(f"{root}/")
            if relative.startswith("/"):
                self._note(f"The cache path {pattern} lies outside of source and HOME and is not cached")
                continue
            candidates = select(root, [relative]) if "*" in relative else self._plain(root, relative)
            found.update({f"{name}/{path}": root / path for path in candidates})
        return list(found.items())

    @staticmethod
    def _plain(root: Path, relative: str) -> list[str]:
        if (root / relative).is_dir():
            return [path for path in select(root, ["**/*"]) if matches(f"{relative.rstrip('/')}/**/*", path)]
        return [relative] if (root / relative).is_file() else []
