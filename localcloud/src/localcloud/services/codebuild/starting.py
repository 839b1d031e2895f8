"""What StartBuild makes of a project and the call's overrides."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from localcloud.core import Call, now, uuid
from localcloud.services.codebuild import logs
from localcloud.services.codebuild.projects import (
    check,
    check_artifacts,
    check_source,
    invalid,
    normal_artifacts,
)
from localcloud.services.codebuild.record import PRIVATE
from localcloud.services.codebuild.sources import SERVED, split_location

Document = dict[str, Any]
_NOT_SERVED = (
    "WINDOWS_CONTAINER",
    "WINDOWS_SERVER_2019_CONTAINER",
    "WINDOWS_SERVER_2022_CONTAINER",
    "WINDOWS_EC2",
    "MAC_ARM",
)
_SOURCE = {
    "sourceTypeOverride": "type",
    "sourceLocationOverride": "location",
    "sourceAuthOverride": "auth",
    "gitCloneDepthOverride": "gitCloneDepth",
    "gitSubmodulesConfigOverride": "gitSubmodulesConfig",
    "buildspecOverride": "buildspec",
    "insecureSslOverride": "insecureSsl",
    "reportBuildStatusOverride": "reportBuildStatus",
    "buildStatusConfigOverride": "buildStatusConfig",
}
_ENVIRONMENT = {
    "environmentTypeOverride": "type",
    "imageOverride": "image",
    "computeTypeOverride": "computeType",
    "certificateOverride": "certificate",
    "privilegedModeOverride": "privilegedMode",
    "registryCredentialOverride": "registryCredential",
    "imagePullCredentialsTypeOverride": "imagePullCredentialsType",
    "fleetOverride": "fleet",
    "hostKernelOverride": "hostKernel",
}
_WHOLE = {
    "artifactsOverride": "artifacts",
    "secondaryArtifactsOverride": "secondaryArtifacts",
    "secondarySourcesOverride": "secondarySources",
    "secondarySourcesVersionOverride": "secondarySourceVersions",
    "cacheOverride": "cache",
    "serviceRoleOverride": "serviceRole",
    "timeoutInMinutesOverride": "timeoutInMinutes",
    "queuedTimeoutInMinutesOverride": "queuedTimeoutInMinutes",
    "encryptionKeyOverride": "encryptionKey",
    "logsConfigOverride": "logsConfig",
    "autoRetryLimitOverride": "autoRetryLimit",
    "sourceVersion": "sourceVersion",
}
_COPIED = (
    "source", "secondarySources", "secondarySourceVersions", "sourceVersion", "cache", "environment", "serviceRole",
    "timeoutInMinutes", "queuedTimeoutInMinutes", "encryptionKey", "vpcConfig", "fileSystemLocations",
)  # fmt: skip


def effective(project: Mapping[str, Any], given: Mapping[str, Any]) -> Document:
    """The project as the call's overrides make it.

    Raises:
        Fault: InvalidInputException when it cannot be built so.
    """
    found = copy.deepcopy(dict(project))
    for override, member in _WHOLE.items():
        if override in given:
            found[member] = given[override]
    found["source"] |= {member: given[key] for key, member in _SOURCE.items() if key in given}
    found["environment"] |= {member: given[key] for key, member in _ENVIRONMENT.items() if key in given}
    variables = {item["name"]: item for item in found["environment"]["environmentVariables"]}
    for item in given.get("environmentVariablesOverride", []):
        if item["name"].startswith("CODEBUILD_"):
            raise invalid(
                f"Environment variable '{item['name']}' is not allowed: names that begin with CODEBUILD_ are reserved"
            )
        variables[item["name"]] = {"type": "PLAINTEXT", **item}
    found["environment"]["environmentVariables"] = list(variables.values())
    found["artifacts"] = normal_artifacts(found["artifacts"], found["name"])
    if "sourceTypeOverride" in given and "artifactsOverride" not in given:
        check_source(found["source"], "source")
        check_artifacts(found["artifacts"], "artifacts")
    else:
        check(found)
    if given.get("debugSessionEnabled"):
        raise invalid("debugSessionEnabled is not served by the local cloud; leave it out")
    _served(found)
    return found


def _served(project: Mapping[str, Any]) -> None:
    environment = project["environment"]
    if environment["type"] in _NOT_SERVED:
        raise invalid(
            f"The environment type {environment['type']} is not served by the local cloud; use LINUX_CONTAINER or "
            "another type of Linux"
        )
    for member, value in (
        ("fileSystemLocations", project.get("fileSystemLocations")),
        ("fleet", environment.get("fleet")),
    ):
        if value:
            raise invalid(f"{member} is not served by the local cloud; remove it from the project {project['name']}")
    for source in (project["source"], *project.get("secondarySources", [])):
        if source.get("gitSubmodulesConfig", {}).get("fetchSubmodules"):
            raise invalid(
                "gitSubmodulesConfig is not served by the local cloud; remove it, or set fetchSubmodules to false"
            )
        if source["type"] not in SERVED:
            raise invalid(
                f"The source type {source['type']} is not served by the local cloud; served: {', '.join(SERVED)}"
            )
        if source["type"] == "CODEPIPELINE" and not source.get("location"):
            raise invalid(
                f"The project {project['name']} takes its source from CodePipeline: only a pipeline can start it, or a "
                "start with sourceTypeOverride, sourceLocationOverride and artifactsOverride"
            )


def initiator(call: Call) -> str:
    """Who started it: `codepipeline/<name>`, a user's name, or role name and session."""
    token = call.input.get("idempotencyToken", "")
    if call.input.get("sourceTypeOverride") == "CODEPIPELINE" and token.startswith("codepipeline/"):
        return "/".join(token.split("/")[:2])
    resource = call.principal.split(":", 5)[-1]
    return resource.removeprefix("assumed-role/").removeprefix("user/")


def new_build(project: Mapping[str, Any], call: Call, number: int) -> Document:
    """The record of a build that is about to be queued."""
    name, identifier = project["name"], uuid()
    arn = f"arn:aws:codebuild:{call.region}:{call.account}:build/{name}:{identifier}"
    moment = now()
    artifacts = project["artifacts"]
    answered = {
        key: artifacts[key]
        for key in ("overrideArtifactName", "encryptionDisabled", "artifactIdentifier")
        if key in artifacts
    }
    if artifacts.get("location"):  # a pipeline's action without output artifacts names no place
        bucket = split_location(artifacts["location"])[0]
        unique = identifier if artifacts.get("namespaceType") == "BUILD_ID" else ""
        parts = (artifacts.get("path", "").strip("/"), unique, artifacts.get("name", ""))
        answered["location"] = f"arn:aws:s3:::{'/'.join(part for part in (bucket, *parts) if part)}"
    role = project["serviceRole"]
    document: Document = {
        "id": f"{name}:{identifier}",
        "arn": arn,
        "buildNumber": number,
        "startTime": moment,
        "currentPhase": "QUEUED",
        "buildStatus": "IN_PROGRESS",
        "projectName": name,
        "phases": [],
        **{key: copy.deepcopy(project[key]) for key in _COPIED if project.get(key)},
        "serviceRole": role if role.startswith("arn:") else f"arn:aws:iam::{call.account}:role/{role}",
        "artifacts": answered,
        "logs": logs.locations(
            project.get("logsConfig", {}), project=name, build_uuid=identifier, account=call.account, region=call.region
        ),
        "buildComplete": False,
        "initiator": initiator(call),
        PRIVATE: {
            "artifacts": artifacts,
            "secondaryArtifacts": project.get("secondaryArtifacts", []),
            "concurrentBuildLimit": project.get("concurrentBuildLimit"),
            "request": {key: value for key, value in call.input.items() if key != "idempotencyToken"},
        },
    }
    if project.get("autoRetryLimit"):
        document["autoRetryConfig"] = {"autoRetryLimit": project["autoRetryLimit"], "autoRetryNumber": 0}
    return document
