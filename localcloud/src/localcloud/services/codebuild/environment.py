"""The variables of a build: what the machine lends, what CodeBuild sets, what project and buildspec ask for."""

from __future__ import annotations

import configparser
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Credentials

# What package clients on this machine need to reach their index; nothing else of the host is lent to a build.
_LENT = (
    "LANG", "LC_ALL", "LC_CTYPE", "TERM", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "HTTP_PROXY", "HTTPS_PROXY",
    "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip
_LENT_PREFIXES = ("PIP_", "UV_")
# Settings of the server's own virtual environment that would redirect a build's installs, and what builds get as
# files instead: as variables they would outvote what a build itself configures, e.g. by `aws codeartifact login`.
_KEPT_BACK = frozenset(
    {"UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_RUN_RECURSION_DEPTH", "PIP_TARGET", "PIP_PREFIX", "PIP_CONFIG_FILE",
     "PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_CONFIG_FILE"}
)  # fmt: skip
_CERTIFICATES = frozenset(
    {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO",
     "NODE_EXTRA_CA_CERTS", "PIP_CERT"}
)  # fmt: skip


class VariableError(Exception):
    """A variable that could not be read. `code` is the phase's status code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def lent(environ: Mapping[str, str], *, shares_files: bool = True) -> dict[str, str]:
    """What a build gets of the machine's environment.

    Args:
        environ: the server's environment.
        shares_files: whether the build sees the machine's files; if not, settings that are paths are left out.
    """
    found = {
        name: value
        for name, value in environ.items()
        if (name in _LENT or name.startswith(_LENT_PREFIXES)) and name not in _KEPT_BACK
    }
    local = "127.0.0.1,localhost"
    if any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in found):
        for name in ("NO_PROXY", "no_proxy"):
            found[name] = f"{found[name]},{local}" if found.get(name) else local
    if not shares_files:
        return {
            name: value
            for name, value in found.items()
            if name not in _CERTIFICATES and not value.startswith(("/", "file:"))
        }
    home = Path(environ.get("HOME") or "/nonexistent")
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    found.setdefault("PIP_CACHE_DIR", str(cache / "pip"))
    found.setdefault("UV_CACHE_DIR", str(cache / "uv"))
    return found


def settings_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The machine's own configuration of pip and uv, as files for the build's HOME: relative path → text.

    Copies, because `aws codeartifact login` writes into pip's, and because pip edits none that PIP_CONFIG_FILE names.
    """
    home = Path(environ.get("HOME") or "/nonexistent")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    pip = configparser.RawConfigParser()
    named = environ.get("PIP_CONFIG_FILE")
    pip.read([named] if named else [home / ".pip" / "pip.conf", config / "pip" / "pip.conf"])
    if environ.get("PIP_INDEX_URL"):
        if not pip.has_section("global"):
            pip.add_section("global")
        pip.set("global", "index-url", environ["PIP_INDEX_URL"])
    text = io.StringIO()
    pip.write(text)
    uv = Path(environ.get("UV_CONFIG_FILE") or config / "uv" / "uv.toml")
    lines = uv.read_text() if uv.is_file() else ""
    index = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or ""
    index = re.sub(r"^[A-Za-z0-9_.-]+=(?=[a-z]+://)", "", index)  # uv allows name=url
    if index and "index-url" not in lines:
        lines = f"index-url = {json.dumps(index)}\n{lines}"
    found = {".config/pip/pip.conf": text.getvalue(), ".config/uv/uv.toml": lines}
    return {name: content for name, content in found.items() if content.strip()}


def standard(
    build: Mapping[str, Any], *, sources: Mapping[str, Mapping[str, str]], home: Path, tmp: Path
) -> dict[str, str]:
    """CodeBuild's own variables.

    Args:
        build: the build's record.
        sources: source identifier ("" is the primary) → {directory, url, version, resolved}.
        home: the build's HOME.
        tmp: the build's TMPDIR.
    """
    variables = {
        "CODEBUILD_CI": "true",
        "CODEBUILD_BUILD_ARN": build["arn"],
        "CODEBUILD_BUILD_ID": build["id"],
        "CODEBUILD_BUILD_IMAGE": build["environment"]["image"],
        "CODEBUILD_BUILD_NUMBER": str(build["buildNumber"]),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": build["initiator"],
        "CODEBUILD_KMS_KEY_ID": build["encryptionKey"],
        "CODEBUILD_LOG_PATH": build["logs"].get("streamName", ""),
        "CODEBUILD_PROJECT_ARN": build["arn"].split(":build/")[0] + f":project/{build['projectName']}",
        "CODEBUILD_START_TIME": str(int(build["startTime"].timestamp() * 1000)),
        "HOME": str(home),
        "TMPDIR": str(tmp),
        # A source without a repository of its own must not find one above it.
        "GIT_CEILING_DIRECTORIES": str(home.parent),
    }
    for identifier, source in sources.items():
        suffix = f"_{identifier}" if identifier else ""
        for name, key in (
            ("SRC_DIR", "directory"),
            ("SOURCE_REPO_URL", "url"),
            ("SOURCE_VERSION", "version"),
            ("RESOLVED_SOURCE_VERSION", "resolved"),
        ):
            if source.get(key):
                variables[f"CODEBUILD_{name}{suffix}"] = source[key]
    return variables


class Resolver:
    """Reads variables of all types with the service role; remembers what must not appear in the log."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self.secrets: set[str] = set()
        if credentials.secret_key:
            self.secrets.update({credentials.secret_key, credentials.session_token or credentials.secret_key})

    def parameters(self, names: Mapping[str, str]) -> dict[str, str]:
        """Variable → value, from Parameter Store.

        Raises:
            VariableError: a parameter does not exist or may not be read.
        """
        if not names:
            return {}
        wanted = sorted(set(names.values()))
        values: dict[str, str] = {}
        client = self._credentials.client("ssm")
        try:
            for start in range(0, len(wanted), 10):
                answer = client.get_parameters(Names=wanted[start : start + 10], WithDecryption=True)
                values.update({item["Name"]: item["Value"] for item in answer["Parameters"]})
        except (ClientError, BotoCoreError) as error:
            raise VariableError("Decrypted Variables Error", str(error)) from error
        missing = [name for name in wanted if name not in values]
        if missing:
            raise VariableError("Decrypted Variables Error", f"parameter does not exist: {', '.join(missing)}")
        self.secrets.update(values.values())
        return {variable: values[name] for variable, name in names.items()}

    def secret(self, reference: str) -> str:
        """The value of `secret-id[:json-key[:version-stage[:version-id]]]`; the id may be an ARN.

        Raises:
            VariableError: the secret, its version or its key does not exist or may not be read.
        """
        parts = reference.split(":")
        length = 7 if reference.startswith("arn:") else 1
        identifier, rest = ":".join(parts[:length]), [*parts[length:], "", "", ""]
        key, stage, version = rest[0], rest[1], rest[2]
        request = {"SecretId": identifier}
        if stage:
            request["VersionStage"] = stage
        if version:
            request["VersionId"] = version
        try:
            text = str(self._credentials.client("secretsmanager").get_secret_value(**request).get("SecretString", ""))
        except (ClientError, BotoCoreError) as error:
            raise VariableError("Secrets Manager Error", str(error)) from error
        if key:
            try:
                found = json.loads(text)[key]
            except (ValueError, KeyError, TypeError):
                raise VariableError(
                    "Secrets Manager Error", f"the secret '{identifier}' has no key '{key}' in its JSON text"
                ) from None
            text = found if isinstance(found, str) else json.dumps(found)
        self.secrets.add(text)
        return text

    def project(self, variables: Sequence[Mapping[str, str]]) -> dict[str, str]:
        """The values of `environmentVariables`, whatever their types; a later one wins."""
        by_type = {item["name"]: item for item in variables}
        stored = {name: item["value"] for name, item in by_type.items() if item.get("type") == "PARAMETER_STORE"}
        found = self.parameters(stored)
        for name, item in by_type.items():
            if item.get("type") == "SECRETS_MANAGER":
                found[name] = self.secret(item["value"])
            elif name not in stored:
                found[name] = item["value"]
        return found
