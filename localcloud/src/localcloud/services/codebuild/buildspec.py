"""The build specification: a YAML text read into dataclasses, every mistake told with its line.

Versions 0.1 and 0.2 as in AWS's "Build specification reference for CodeBuild". Messages follow the ones CodeBuild puts
behind the status code YAML_FILE_ERROR; where CodeBuild would only say that something is wrong, they also say what is
allowed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml
from yaml.nodes import Node

from localcloud.services.codebuild.nodes import (
    BuildspecError,
    entries,
    flag,
    mapping,
    scalar,
    strings,
    where,
)

__all__ = ["Artifacts", "Buildspec", "BuildspecError", "Cache", "Env", "OnFailure", "Phase", "Report", "parse"]

PHASES = ("install", "pre_build", "build", "post_build")
RUNTIMES = ("android", "docker", "dotnet", "golang", "java", "nodejs", "php", "python", "ruby")
REPORT_FORMATS = ("JUNITXML",)
REPORT_FORMATS_NOT_SERVED = (
    "CUCUMBERJSON", "NUNITXML", "NUNIT3XML", "TESTNGXML", "VISUALSTUDIOTRX", "CLOVERXML", "COBERTURAXML", "JACOCOXML",
    "SIMPLECOV",
)  # fmt: skip
SHELLS = ("bash", "/bin/sh", "sh")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RETRY = re.compile(r"RETRY(?:-(?P<count>\d+))?(?:-(?P<regex>.+))?", re.DOTALL)
_TOP = ("version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache")


@dataclass(frozen=True)
class OnFailure:
    """What happens when a phase fails. An empty action is CodeBuild's default for the phase."""

    action: str = ""
    count: int = 3
    regex: str = ".*"


@dataclass(frozen=True)
class Phase:
    """The commands of one phase."""

    commands: tuple[str, ...] = ()
    finally_commands: tuple[str, ...] = ()
    on_failure: OnFailure = OnFailure()
    runtime_versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Env:
    """Environment variables by where they come from, and how the shell is set up."""

    shell: str = "/bin/sh"
    variables: dict[str, str] = field(default_factory=dict)
    parameter_store: dict[str, str] = field(default_factory=dict)
    secrets_manager: dict[str, str] = field(default_factory=dict)
    exported: tuple[str, ...] = ()
    git_credential_helper: bool = False


@dataclass(frozen=True)
class Artifacts:
    """Which files are the output."""

    files: tuple[str, ...] = ()
    name: str = ""
    discard_paths: bool = False
    base_directory: str = ""
    exclude_paths: tuple[str, ...] = ()
    s3_prefix: str = ""
    secondary: dict[str, Artifacts] = field(default_factory=dict)


@dataclass(frozen=True)
class Cache:
    """What is kept between builds."""

    paths: tuple[str, ...] = ()
    key: str = ""
    fallback_keys: tuple[str, ...] = ()
    action: str = ""


@dataclass(frozen=True)
class Report:
    """Where the test results of one report group lie."""

    group: str
    files: tuple[str, ...]
    base_directory: str = ""
    discard_paths: bool = False
    file_format: str = "JUNITXML"


@dataclass(frozen=True)
class Buildspec:
    """A build specification that is in order."""

    version: str
    env: Env = Env()
    phases: dict[str, Phase] = field(default_factory=dict)
    artifacts: Artifacts | None = None
    cache: Cache = Cache()
    reports: tuple[Report, ...] = ()


def parse(text: str) -> Buildspec:
    """Read a build specification.

    Raises:
        BuildspecError: with the line, the key, what was given and what is allowed.
    """
    root = _compose(text)
    top = mapping(root, "buildspec", _TOP)
    version = _version(top, root)
    for name in ("proxy", "batch"):
        if name in top:
            raise BuildspecError(
                f"'{name}' {where(top[name])} is not served by the local cloud; remove the section '{name}'"
            )
    _run_as(top)
    if "phases" not in top:
        raise BuildspecError("Expected the section 'phases': a buildspec needs at least one of " + ", ".join(PHASES))
    phases = {
        name: _phase(name, node) for name, node in mapping(top["phases"], "phases", PHASES).items() if name in PHASES
    }
    return Buildspec(
        version=version,
        env=_env(top["env"]) if "env" in top else Env(),
        phases=phases,
        artifacts=_artifacts(top["artifacts"], "artifacts") if "artifacts" in top else None,
        cache=_cache(top["cache"]) if "cache" in top else Cache(),
        reports=_reports(top["reports"]) if "reports" in top else (),
    )


def _compose(text: str) -> Node:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" at line {mark.line + 1}" if mark else ""
        raise BuildspecError(f"{error.problem or error.context or 'not YAML'}{line}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BuildspecError(f"the buildspec is not YAML: {error}".split("\n")[0]) from error
    if node is None:
        raise BuildspecError("the buildspec is empty; expected the keys 'version' and 'phases'")
    return node


def _version(top: dict[str, Node], root: Node) -> str:
    if "version" not in top:
        raise BuildspecError(f"Expected the key 'version' {where(root)}; allowed values: 0.1, 0.2")
    version = scalar(top["version"], "version")
    if version not in ("0.1", "0.2"):
        raise BuildspecError(f"Unknown buildspec version '{version}' {where(top['version'])}; allowed values: 0.1, 0.2")
    return version


def _run_as(keys: dict[str, Node]) -> None:
    if "run-as" in keys and (user := scalar(keys["run-as"], "run-as")) != "root":
        raise BuildspecError(
            f"'run-as: {user}' {where(keys['run-as'])} is not served by the local cloud, whose builds run as one user; "
            "allowed value: root"
        )


def _phase(name: str, node: Node) -> Phase:
    allowed = ("run-as", "on-failure", "commands", "finally", *(("runtime-versions",) if name == "install" else ()))
    keys = mapping(node, name, allowed)
    _run_as(keys)
    runtimes: dict[str, str] = {}
    if "runtime-versions" in keys:
        for runtime, value in entries(keys["runtime-versions"], "runtime-versions"):
            if runtime not in RUNTIMES:
                raise BuildspecError(
                    f"Unknown runtime named '{runtime}' {where(value)}. This build image has the following runtimes: "
                    + ", ".join(RUNTIMES)
                )
            runtimes[runtime] = scalar(value, runtime)
    commands = strings(keys["commands"], "Commands") if "commands" in keys else ()
    if not commands and not runtimes and "finally" not in keys:
        raise BuildspecError(f"Expected the key 'commands' in the phase '{name}' {where(node)}; found no command")
    return Phase(
        commands=commands,
        finally_commands=strings(keys["finally"], "Finally") if "finally" in keys else (),
        on_failure=_on_failure(keys["on-failure"]) if "on-failure" in keys else OnFailure(),
        runtime_versions=runtimes,
    )


def _on_failure(node: Node) -> OnFailure:
    value = scalar(node, "on-failure")
    if value in ("ABORT", "CONTINUE"):
        return OnFailure(value)
    allowed = "ABORT, CONTINUE, RETRY, RETRY-<count>, RETRY-<regex>, RETRY-<count>-<regex>, with a count of 0 to 100"
    found = _RETRY.fullmatch(value)
    if found is None or int(found["count"] or 0) > 100:
        raise BuildspecError(f"Unknown on-failure '{value}' {where(node)}; allowed: {allowed}")
    regex = found["regex"] or ".*"
    try:
        re.compile(regex)
    except re.error as error:
        raise BuildspecError(f"on-failure {where(node)}: '{regex}' is no regular expression: {error}") from error
    return OnFailure("RETRY", int(found["count"] or 3), regex)


def _env(node: Node) -> Env:
    keys = mapping(
        node,
        "env",
        ("shell", "variables", "parameter-store", "secrets-manager", "exported-variables", "git-credential-helper"),
    )
    shell = scalar(keys["shell"], "shell") if "shell" in keys else "/bin/sh"
    if shell not in SHELLS:
        raise BuildspecError(f"Unknown shell '{shell}' {where(keys['shell'])}; allowed: {', '.join(SHELLS)}")
    exported = strings(keys["exported-variables"], "exported-variables") if "exported-variables" in keys else ()
    secret = {
        name: _variables(keys[name], name) if name in keys else {} for name in ("parameter-store", "secrets-manager")
    }
    for name in exported:
        at = where(keys["exported-variables"])
        if name.startswith("AWS_") or name in secret["parameter-store"] or name in secret["secrets-manager"]:
            raise BuildspecError(
                f"The variable '{name}' in exported-variables {at} cannot be exported: neither can variables whose "
                "name begins with AWS_ nor those of parameter-store and secrets-manager"
            )
        _variable_name(name, keys["exported-variables"], "exported-variables")
    return Env(
        shell="/bin/sh" if shell == "sh" else shell,
        variables=_variables(keys["variables"], "variables") if "variables" in keys else {},
        parameter_store=secret["parameter-store"],
        secrets_manager=secret["secrets-manager"],
        exported=tuple(exported),
        git_credential_helper=flag(keys.get("git-credential-helper"), "git-credential-helper"),
    )


def _variables(node: Node, section: str) -> dict[str, str]:
    values = {}
    for name, value in entries(node, section):
        _variable_name(name, value, section)
        if name.startswith("CODEBUILD_"):
            raise BuildspecError(
                f"The variable '{name}' in {section} {where(value)}: names that begin with CODEBUILD_ are reserved"
            )
        values[name] = scalar(value, name)
    return values


def _variable_name(name: str, node: Node, section: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise BuildspecError(
            f"'{name}' in {section} {where(node)} is no name of an environment variable; "
            "allowed: letters, digits and underscores, not beginning with a digit"
        )


def _artifacts(node: Node, section: str) -> Artifacts:
    secondary = section != "artifacts"
    own = (
        "files", "name", "discard-paths", "base-directory", "exclude-paths", "enable-symlinks", "s3-prefix",
    )  # fmt: skip
    keys = mapping(node, section, own if secondary else (*own, "secondary-artifacts"))
    if flag(keys.get("enable-symlinks"), "enable-symlinks"):
        raise BuildspecError(
            f"'enable-symlinks: yes' {where(keys['enable-symlinks'])} is not served by the local cloud; allowed: no"
        )
    others: dict[str, Artifacts] = {}
    for name, value in (
        entries(keys["secondary-artifacts"], "secondary-artifacts") if "secondary-artifacts" in keys else ()
    ):
        others[name] = _artifacts(value, f"secondary-artifacts/{name}")
    if "files" not in keys and not others:
        raise BuildspecError(f"Expected the key 'files' in '{section}' {where(node)}")
    return Artifacts(
        files=strings(keys["files"], "files") if "files" in keys else (),
        name=scalar(keys["name"], "name") if "name" in keys else "",
        discard_paths=flag(keys.get("discard-paths"), "discard-paths"),
        base_directory=scalar(keys["base-directory"], "base-directory") if "base-directory" in keys else "",
        exclude_paths=strings(keys["exclude-paths"], "exclude-paths") if "exclude-paths" in keys else (),
        s3_prefix=scalar(keys["s3-prefix"], "s3-prefix") if "s3-prefix" in keys else "",
        secondary=others,
    )


def _cache(node: Node) -> Cache:
    keys = mapping(node, "cache", ("paths", "key", "fallback-keys", "action"))
    action = scalar(keys["action"], "action") if "action" in keys else ""
    if action not in ("", "restore", "save"):
        raise BuildspecError(f"Unknown cache action '{action}' {where(keys['action'])}; allowed: restore, save")
    fallback: Sequence[str] = strings(keys["fallback-keys"], "fallback-keys") if "fallback-keys" in keys else ()
    if len(fallback) > 5:
        raise BuildspecError(f"fallback-keys {where(keys['fallback-keys'])}: {len(fallback)} given, at most 5 allowed")
    if "paths" not in keys:
        raise BuildspecError(f"Expected the key 'paths' in 'cache' {where(node)}")
    return Cache(
        paths=strings(keys["paths"], "paths"),
        key=scalar(keys["key"], "key") if "key" in keys else "",
        fallback_keys=tuple(fallback),
        action=action,
    )


def _reports(node: Node) -> tuple[Report, ...]:
    found = []
    for group, value in entries(node, "reports"):
        keys = mapping(value, f"reports/{group}", ("files", "file-format", "base-directory", "discard-paths"))
        if "files" not in keys:
            raise BuildspecError(f"Expected the key 'files' in 'reports/{group}' {where(value)}")
        form = scalar(keys["file-format"], "file-format").upper() if "file-format" in keys else "JUNITXML"
        if form not in REPORT_FORMATS:
            known = "is not served by the local cloud" if form in REPORT_FORMATS_NOT_SERVED else "is unknown"
            raise BuildspecError(
                f"The file-format '{form}' {where(keys['file-format'])} {known}; allowed: {', '.join(REPORT_FORMATS)}"
            )
        found.append(
            Report(
                group=group,
                files=strings(keys["files"], "files"),
                base_directory=scalar(keys["base-directory"], "base-directory") if "base-directory" in keys else "",
                discard_paths=flag(keys.get("discard-paths"), "discard-paths"),
                file_format=form,
            )
        )
    if len(found) > 5:
        raise BuildspecError(f"reports {where(node)}: {len(found)} report groups given, at most 5 allowed")
    return tuple(found)
