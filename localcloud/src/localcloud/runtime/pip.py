"""pip's commands, done by uv: the same index settings, the same meaning, hard links instead of copies."""

from __future__ import annotations

import configparser
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from localcloud.runtime.types import RuntimeFault

_DROPPED = {
    "--no-cache-dir", "--no-cache", "--disable-pip-version-check", "--no-input", "-q", "--quiet", "-qq", "-v",
    "--verbose", "--prefer-binary", "--no-warn-script-location", "--no-warn-conflicts", "--no-compile", "--isolated",
    "--break-system-packages", "--no-color", "--no-python-version-warning", "--system",
}  # fmt: skip
_DROPPED_WITH_VALUE = {"--root-user-action", "--progress-bar", "--retries", "--cache-dir", "--log", "--python", "-p"}
_PLAIN = {
    "--no-deps": "--no-deps", "--no-index": "--no-index", "--pre": "--prerelease=allow", "-U": "--upgrade",
    "--upgrade": "--upgrade", "--require-hashes": "--require-hashes", "--force-reinstall": "--reinstall",
    "-I": "--reinstall", "--ignore-installed": "--reinstall", "--compile": "--compile-bytecode",
    "--compile-bytecode": "--compile-bytecode", "--no-build-isolation": "--no-build-isolation", "--strict": "--strict",
    "-y": "", "--yes": "", "--no-build": "--no-build",
}  # fmt: skip
_WITH_VALUE = {
    "-r": "-r", "--requirement": "-r", "--requirements": "-r", "-c": "-c", "--constraint": "-c", "--constraints": "-c",
    "-i": "--default-index", "--index-url": "--default-index", "--default-index": "--default-index",
    "--extra-index-url": "--index", "--index": "--index", "-f": "--find-links", "--find-links": "--find-links",
    "--trusted-host": "--allow-insecure-host", "--timeout": "", "--only-binary": "--only-binary",
    "--no-binary": "--no-binary", "-e": "-e", "--editable": "-e", "--upgrade-package": "-P", "-P": "-P",
    "--upgrade-strategy": "", "--index-strategy": "--index-strategy",
}  # fmt: skip
_PATHS = {"-r", "-c", "-e", "--find-links"}
VERBS = ("check", "freeze", "install", "list", "uninstall")
_CERTIFICATES = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "HTTP_PROXY", "HTTPS_PROXY",
    "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE", "trusted-host": "UV_INSECURE_HOST", "constraint": "UV_CONSTRAINT",
    "no-index": "UV_NO_INDEX", "require-hashes": "UV_REQUIRE_HASHES", "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}  # fmt: skip
_PLACES = ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
IMAGE_PLACES = ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", "/root/.pip/pip.conf", "/root/.config/pip/pip.conf")


class PipRefused(ValueError):
    """An option or command that is not served; the message names it and what is allowed."""


def find_uv() -> str:
    """The uv executable.

    Raises:
        RuntimeFault: there is none.
    """
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise RuntimeFault("uv was not found: image builds need it; install it (pip install uv) or put it on PATH")
    return found


def translate(verb: str, options: Sequence[str], path: Callable[[str], str]) -> list[str]:
    """uv's arguments for `pip VERB OPTIONS`, without the environment to act on.

    Args:
        path: container path → path here.

    Raises:
        PipRefused: with the option's name.
    """
    if verb not in VERBS:
        raise PipRefused(f"pip {verb} is not served; allowed: pip {', '.join(VERBS)}")
    made = ["pip", verb]
    rest = list(options)
    while rest:
        item = rest.pop(0)
        name, equals, value = item.partition("=")
        if not name.startswith("-"):
            made.append(path(item))
        elif name[:2] in ("-r", "-c", "-e", "-i", "-f") and len(name) > 2 and not name.startswith("--"):
            rest[:0] = [item[:2], item[2:]]
        elif name in _DROPPED:
            continue
        elif name in _PLAIN:
            made += [_PLAIN[name]] if _PLAIN[name] else []
        elif name in _WITH_VALUE or name in _DROPPED_WITH_VALUE:
            if not equals:
                if not rest:
                    raise PipRefused(f"pip {verb}: {name} needs a value")
                value = rest.pop(0)
            option = _WITH_VALUE.get(name)
            if option:
                made += [option, path(value) if option in _PATHS else value]
        else:
            allowed = sorted(_DROPPED | _DROPPED_WITH_VALUE | set(_PLAIN) | set(_WITH_VALUE))
            raise PipRefused(f"pip {verb}: the option {name} is not served; allowed: {' '.join(allowed)}")
    return made


def settings(variables: Mapping[str, str], config_files: Iterable[Path] = ()) -> dict[str, str]:
    """uv's variables for pip's variables (PIP_…) and pip's configuration files, in pip's order of precedence."""
    found: dict[str, str] = {}
    for file in config_files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file)
        except configparser.Error as error:
            raise PipRefused(f"{file} is not a configuration of pip: {error}") from None
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= _translated(dict(parser.items(section)))
    given = {key[4:].lower().replace("_", "-"): value for key, value in variables.items() if key.startswith("PIP_")}
    found |= _translated(given)
    found |= {key: value for key, value in variables.items() if key.startswith("UV_")}
    if "UV_INDEX" in found:
        # pip takes the best version of all indexes; uv would stop at the first index that knows the name.
        found.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return found


def _translated(given: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, value in given.items():
        variable = _SETTINGS.get(name.replace("_", "-"))
        if variable == "UV_FIND_LINKS":
            found[variable] = ",".join(value.split())
        elif variable and value.strip():
            found[variable] = " ".join(value.split())
    return found


_CONNECTION = (*_CERTIFICATES, "UV_CACHE_DIR", "UV_HTTP_TIMEOUT", "UV_OFFLINE", "UV_LINK_MODE", "PATH", "HOME")


def machine() -> dict[str, str]:
    """How this machine reaches packages: its pip and uv settings as uv's variables, certificates, proxies, cache."""
    files = [Path(place).expanduser() for place in _PLACES]
    if os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(os.environ["PIP_CONFIG_FILE"]))
    found = {name: os.environ[name] for name in _CONNECTION if os.environ.get(name)}
    found |= settings(dict(os.environ), [file for file in files if file.is_file()])
    found.setdefault("PATH", os.defpath)
    found.setdefault("HOME", str(Path.home()))
    caches = os.environ.get("XDG_CACHE_HOME") or f"{found['HOME']}/.cache"
    found.setdefault("UV_CACHE_DIR", f"{caches}/uv")
    found.setdefault("LOCALCLOUD_BYTECODE", f"{caches}/localcloud/bytecode")
    return {name: value for name, value in found.items() if name not in ("UV_PYTHON", "UV_PROJECT_ENVIRONMENT")}


def environment(
    variables: Mapping[str, str], config_files: Iterable[Path], machine: Mapping[str, str]
) -> dict[str, str]:
    """The variables uv runs with: the image's own index settings, or the machine's where the image names none.

    Args:
        variables: what the RUN sees: ENV, ARG and secrets.
        config_files: pip.conf files in the image or mounted into the build.
        machine: what `machine` found. Certificates, proxies and the cache are used in either case.
    """
    own = settings(variables, config_files)
    names_index = {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_NO_INDEX", "UV_FIND_LINKS"} & set(own)
    kept = {name: value for name, value in machine.items() if not names_index or name in _CONNECTION}
    return {**kept, **own, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": machine["UV_CACHE_DIR"]}
