"""Fetching what is to be built, with the service role: S3 objects, pipelines' artifacts, CodeCommit repositories."""

from __future__ import annotations

import shutil
import stat
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Credentials
from localcloud.services.git_http import HOSTED

SERVED = ("CODECOMMIT", "CODEPIPELINE", "S3", "NO_SOURCE")
_GIT_SECONDS = 300


class SourceError(Exception):
    """A source that could not be had. `code` is the phase's status code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Fetched:
    """A source in its directory."""

    directory: Path
    url: str = ""
    version: str = ""
    resolved: str = ""

    def variables(self) -> dict[str, str]:
        """As `environment.standard` takes it."""
        return {
            "directory": str(self.directory), "url": self.url, "version": self.version, "resolved": self.resolved,
        }  # fmt: skip


def fetch(source: Mapping[str, Any], version: str, directory: Path, credentials: Credentials) -> Fetched:
    """Fetch one source into a directory, which is created.

    Args:
        source: a ProjectSource.
        version: commit, branch or tag; version id of an S3 object; a pipeline's revision.

    Raises:
        SourceError: what cannot be had, and why.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kind, location = source["type"], source.get("location", "")
    if kind == "NO_SOURCE":
        return Fetched(directory)
    if kind in ("S3", "CODEPIPELINE"):
        return _from_s3(kind, location, version, directory, credentials)
    if kind == "CODECOMMIT":
        return _from_codecommit(source, version, directory, credentials)
    raise SourceError("CLIENT_ERROR", f"sources of type {kind} are not served by the local cloud; served: {SERVED}")


def split_location(location: str) -> tuple[str, str]:
    """Bucket and key of `bucket/key`, `s3://bucket/key` or `arn:aws:s3:::bucket/key`."""
    plain = location.removeprefix("s3://")
    if plain.startswith("arn:"):
        plain = plain.split(":", 5)[-1]
    bucket, _, key = plain.partition("/")
    return bucket, key


def read_object(credentials: Credentials, location: str) -> bytes:
    """The bytes of an object.

    Raises:
        SourceError: it cannot be read.
    """
    bucket, key = split_location(location)
    try:
        return bytes(credentials.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    except (ClientError, BotoCoreError) as error:
        raise SourceError("CLIENT_ERROR", f"{error} for s3://{bucket}/{key}") from error


def _from_s3(kind: str, location: str, version: str, directory: Path, credentials: Credentials) -> Fetched:
    bucket, key = split_location(location)
    if not bucket or not key:
        raise SourceError("CLIENT_ERROR", f"source location '{location}' is not of the form bucket/path")
    client = credentials.client("s3")
    url = f"s3://{bucket}/{key}"
    if key.endswith("/"):
        _folder(client, bucket, key, directory)
        return Fetched(directory, url if kind == "S3" else "", version)
    archive = directory.parent / f"{directory.name}.zip"
    extra = {"VersionId": version} if kind == "S3" and version and not version.startswith("arn:") else {}
    try:
        answer = client.get_object(Bucket=bucket, Key=key, **extra)
        with archive.open("wb") as target:
            shutil.copyfileobj(answer["Body"], target)
    except (ClientError, BotoCoreError) as error:
        raise SourceError("CLIENT_ERROR", f"{error} for primary source and source version {url}") from error
    try:
        unzip(archive, directory)
    except (zipfile.BadZipFile, ValueError) as error:
        raise SourceError("CLIENT_ERROR", f"the source {url} is no usable zip file: {error}") from error
    finally:
        archive.unlink(missing_ok=True)
    resolved = version if kind == "CODEPIPELINE" else str(answer.get("VersionId", ""))
    return Fetched(directory, url if kind == "S3" else "", version, "" if resolved == "null" else resolved)


def _folder(client: Any, bucket: str, prefix: str, directory: Path) -> None:
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                relative = item["Key"][len(prefix) :]
                if relative and not relative.endswith("/"):
                    target = inside(directory, relative)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    client.download_file(bucket, item["Key"], str(target))
    except (ClientError, BotoCoreError, ValueError) as error:
        raise SourceError("CLIENT_ERROR", f"{error} for source s3://{bucket}/{prefix}") from error


def inside(directory: Path, relative: str) -> Path:
    """A path below a directory.

    Raises:
        ValueError: it would lie outside.
    """
    target = (directory / relative).resolve()
    if not target.is_relative_to(directory.resolve()):
        raise ValueError(f"'{relative}' lies outside of the directory")
    return target


def unzip(archive: Path, directory: Path) -> None:
    """Extract a zip with the permissions it records.

    Raises:
        ValueError: an entry would lie outside of the directory.
        zipfile.BadZipFile: it is no zip file.
    """
    with zipfile.ZipFile(archive) as source:
        for item in source.infolist():
            target = inside(directory, item.filename)
            if item.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(item) as content, target.open("wb") as copy:
                shutil.copyfileobj(content, copy)
            mode = stat.S_IMODE(item.external_attr >> 16)
            if mode:
                target.chmod(mode | stat.S_IRUSR | stat.S_IWUSR)


def _from_codecommit(source: Mapping[str, Any], version: str, directory: Path, credentials: Credentials) -> Fetched:
    location = source["location"]
    url = clone_url(location, credentials.endpoint)
    # What is signed is the address that was asked: on this machine CodeCommit's, a connection's at AWS.
    username, password = _git_login(location if HOSTED in url else url, credentials)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(directory.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "SOURCE_USERNAME": username,
        "SOURCE_PASSWORD": password,
    }
    login = '!f() { echo "username=$SOURCE_USERNAME"; echo "password=$SOURCE_PASSWORD"; }; f'
    helper = ["-c", "credential.helper=", "-c", f"credential.helper={login}"]
    depth = int(source.get("gitCloneDepth") or 0)
    shallow = ["--depth", str(depth)] if depth and not version else []
    _git([*helper, "clone", "--quiet", *shallow, url, str(directory)], environment, location)
    if version:
        for candidate in (f"origin/{version}", version):
            if _git_succeeds(
                ["-C", str(directory), "rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}"], environment
            ):
                _git(["-C", str(directory), "checkout", "--quiet", "--detach", candidate], environment, location)
                break
        else:
            raise SourceError("GIT_CLONE_FAILED", f"git: '{version}' is no commit, branch or tag of {location}")
    head = _git(["-C", str(directory), "rev-parse", "HEAD"], environment, location).strip()
    return Fetched(directory, location, version or head, head)


def clone_url(location: str, endpoint: str) -> str:
    """The address of a repository: AWS's own host names mean the local cloud here."""
    parsed = urlsplit(location)
    if parsed.hostname and parsed.hostname.startswith(("codeconnections.", "codestar-connections.")):
        return endpoint.rstrip("/") + HOSTED + parsed.hostname + parsed.path
    if parsed.hostname and parsed.hostname.startswith("git-codecommit."):
        return endpoint.rstrip("/") + parsed.path
    return location


def _git_login(url: str, credentials: Credentials) -> tuple[str, str]:
    """User name and password as AWS's credential helper for git makes them: a signature of the repository's path."""
    parts = urlsplit(url)
    key = BotocoreCredentials(credentials.access_key, credentials.secret_key, credentials.session_token)
    signer = SigV4Auth(key, "codecommit", credentials.region)
    request = AWSRequest(method="GIT", url=url)
    request.context["timestamp"] = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    canonical = f"GIT\n{parts.path}\n\nhost:{parts.hostname}\n\nhost\n"
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    token = f"%{credentials.session_token}" if credentials.session_token else ""
    return f"{credentials.access_key}{token}", f"{request.context['timestamp']}Z{signature}"


def _git_succeeds(arguments: list[str], environment: Mapping[str, str]) -> bool:
    done = subprocess.run(
        ["git", *arguments], env=dict(environment), capture_output=True, timeout=_GIT_SECONDS, check=False
    )
    return done.returncode == 0


def _git(arguments: list[str], environment: Mapping[str, str], location: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], env=dict(environment), capture_output=True, text=True, timeout=_GIT_SECONDS,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError("GIT_CLONE_FAILED", f"git could not run for {location}: {error}") from error
    if done.returncode:
        raise SourceError("GIT_CLONE_FAILED", f"git clone of {location} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
