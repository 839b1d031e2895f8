"""Projects: kept as given, checked as CodeBuild checks them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localcloud.core import Call, Conflict, Fault, Service, now, operation, paginate
from localcloud.services.codebuild import network

Document = dict[str, Any]
PROJECTS = "codebuild.project"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-_]{1,149}")
_RANGES = {"timeoutInMinutes": (5, 2160), "queuedTimeoutInMinutes": (5, 480)}
_LOCATED = ("CODECOMMIT", "GITHUB", "BITBUCKET", "GITHUB_ENTERPRISE", "GITLAB", "GITLAB_SELF_MANAGED", "S3")
_ORDERS = {"NAME": "name", "CREATED_TIME": "created", "LAST_MODIFIED_TIME": "lastModified"}


def invalid(message: str) -> Fault:
    """CodeBuild's answer to input that it does not take."""
    return Fault("InvalidInputException", message)


class ProjectOperations(Service):
    """CreateProject and its kin."""

    @operation("CreateProject")
    def create_project(self, call: Call) -> Document:
        """A project of a name that is free."""
        name = call.input["name"]
        if not _NAME.fullmatch(name):
            raise invalid(
                f"Project name '{name}' is not allowed: 2 to 150 letters, digits, hyphens and underscores, beginning "
                "with a letter or digit"
            )
        arn = f"arn:aws:codebuild:{call.region}:{call.account}:project/{name}"
        if self.cloud.store.table(PROJECTS).get(call.account, call.region, name):
            raise Fault("ResourceAlreadyExistsException", f"Project already exists: {arn}")
        moment = now()
        document: Document = {
            "name": name,
            "arn": arn,
            "description": "",
            "timeoutInMinutes": 60,
            "queuedTimeoutInMinutes": 480,
            "encryptionKey": f"arn:aws:kms:{call.region}:{call.account}:alias/aws/s3",
            "cache": {"type": "NO_CACHE"},
            "tags": [],
            "badge": {"badgeEnabled": False},
            "projectVisibility": "PRIVATE",
            "created": moment,
        }
        self._apply(document, call)
        try:
            self.cloud.store.table(PROJECTS).insert(call.account, call.region, name, document)
        except Conflict:
            raise Fault("ResourceAlreadyExistsException", f"Project already exists: {arn}") from None
        return {"project": document}

    @operation("UpdateProject")
    def update_project(self, call: Call) -> Document:
        """Replace the members that are given."""
        document = self.project(call, call.input["name"])
        self._apply(document, call)
        self.cloud.store.table(PROJECTS).put(call.account, call.region, document["name"], document)
        return {"project": document}

    def _apply(self, document: Document, call: Call) -> None:
        """Put the request's members into the document, in the form that CodeBuild answers with."""
        given = {key: value for key, value in call.input.items() if key not in ("name", "badgeEnabled")}
        role_changed = "serviceRole" in given and given["serviceRole"] != document.get("serviceRole")
        if "badgeEnabled" in call.input:
            document["badge"] = {"badgeEnabled": call.input["badgeEnabled"]}
        document.update(given)
        if document.get("concurrentBuildLimit") == -1:  # CodeBuild's way to say: no limit
            del document["concurrentBuildLimit"]
        if not document.get("vpcConfig", {}).get("vpcId"):
            document.pop("vpcConfig", None)
        environment = document["environment"] = {
            "privilegedMode": False, "imagePullCredentialsType": "CODEBUILD", **document["environment"],
        }  # fmt: skip
        environment["environmentVariables"] = [
            {"type": "PLAINTEXT", **item} for item in environment.get("environmentVariables", [])
        ]
        document["artifacts"] = normal_artifacts(document["artifacts"], document["name"])
        document["lastModified"] = now()
        check(document)
        if role_changed or "vpcConfig" in given:
            self._check_role(document, call)

    def _check_role(self, document: Document, call: Call) -> None:
        role = document["serviceRole"]
        if not role.startswith("arn:"):
            role = document["serviceRole"] = f"arn:aws:iam::{call.account}:role/{role}"
        try:
            credentials = self.cloud.assume(
                role, "AWSCodeBuild", region=call.region, service_principal="codebuild.amazonaws.com",
                source_arn=f"arn:aws:codebuild:{call.region}:{call.account}:project/{document['name']}",
            )  # fmt: skip
        except Fault as fault:
            raise invalid(
                f"CodeBuild is not authorized to perform: sts:AssumeRole on {role}: {fault.message}"
            ) from fault
        try:
            network.check(credentials, document.get("vpcConfig") or {})
        except network.NetworkError as error:
            raise invalid(str(error)) from error

    def project(self, call: Call, name: str) -> Document:
        """A project by name or ARN.

        Raises:
            Fault: ResourceNotFoundException.
        """
        plain = name.rsplit(":project/", 1)[-1]
        document = self.cloud.store.table(PROJECTS).get(call.account, call.region, plain)
        if document is None:
            arn = f"arn:aws:codebuild:{call.region}:{call.account}:project/{plain}"
            raise Fault("ResourceNotFoundException", f"Project cannot be found: {arn}")
        return document

    @operation("BatchGetProjects")
    def batch_get_projects(self, call: Call) -> Document:
        """Projects by name or ARN."""
        table = self.cloud.store.table(PROJECTS)
        found, missing = [], []
        for name in call.input["names"]:
            document = table.get(call.account, call.region, name.rsplit(":project/", 1)[-1])
            if document is None:
                missing.append(name)
            else:
                found.append(document)
        return {"projects": found, "projectsNotFound": missing or None}

    @operation("ListProjects")
    def list_projects(self, call: Call) -> Document:
        """Names, by name unless asked otherwise."""
        order = _ORDERS[call.input.get("sortBy", "NAME")]
        documents = sorted(self.cloud.store.table(PROJECTS).list(call.account, call.region), key=lambda d: d[order])
        names = [document["name"] for document in documents]
        if call.input.get("sortOrder") == "DESCENDING":
            names.reverse()
        page, token = paginate(names, call.input, error="InvalidInputException")
        return {"projects": page, "nextToken": token}

    @operation("DeleteProject")
    def delete_project(self, call: Call) -> Document:
        """Delete; deleting what does not exist is no error, as on AWS. Its builds remain."""
        name = call.input["name"].rsplit(":project/", 1)[-1]
        self.cloud.store.table(PROJECTS).delete(call.account, call.region, name)
        return {}

    @operation("InvalidateProjectCache")
    def invalidate_project_cache(self, call: Call) -> Document:
        """Later builds use another place in the cache."""
        document = self.project(call, call.input["projectName"])
        cache = document["cache"]
        cache["cacheNamespace"] = f"{document['name']}-{int(now().timestamp())}"
        self.cloud.store.table(PROJECTS).put(call.account, call.region, document["name"], document)
        return {}


def normal_artifacts(artifacts: Mapping[str, Any], project: str) -> Document:
    """Artifacts with CodeBuild's defaults."""
    found = dict(artifacts)
    if found["type"] == "S3":
        found = {"packaging": "NONE", "namespaceType": "NONE", "name": project, "encryptionDisabled": False, **found}
    elif found["type"] == "CODEPIPELINE":
        found = {"packaging": "NONE", "name": project, "encryptionDisabled": False, **found}
    return found


def check(document: Mapping[str, Any]) -> None:
    """Refuse a project that contradicts itself.

    Raises:
        Fault: InvalidInputException with the member, what was given and what is allowed.
    """
    for member, (low, high) in _RANGES.items():
        if not low <= document[member] <= high:
            raise invalid(f"Invalid {member}: {document[member]} given, {low} to {high} allowed")
    limit = document.get("concurrentBuildLimit")
    if limit is not None and limit < 1:
        raise invalid(f"Invalid concurrentBuildLimit: {limit} given, at least 1 allowed (-1 removes the limit)")
    check_source(document["source"], "source")
    _check_secondary(document)
    check_artifacts(document["artifacts"], "artifacts")
    source, artifacts = document["source"]["type"], document["artifacts"]["type"]
    if (source == "CODEPIPELINE") != (artifacts == "CODEPIPELINE"):
        raise invalid(
            f"Invalid project: source type {source} with artifacts type {artifacts}; "
            "CODEPIPELINE must be the type of both"
        )
    vpc = document.get("vpcConfig")
    if vpc and not (vpc.get("subnets") and vpc.get("securityGroupIds")):
        raise invalid("Invalid vpc config: a vpcId needs at least one of subnets and one of securityGroupIds")
    cache = document["cache"]
    if cache["type"] == "S3" and not cache.get("location"):
        raise invalid("Invalid cache: location of the form bucket/prefix is required for the type S3")
    _check_logs(document.get("logsConfig", {}))
    names = [item["name"] for item in document["environment"]["environmentVariables"]]
    for name in names:
        if name.startswith("CODEBUILD_"):
            raise invalid(
                f"Environment variable '{name}' is not allowed: names that begin with CODEBUILD_ are reserved"
            )
        if names.count(name) > 1:
            raise invalid(f"Duplicate environment variable in project: '{name}'")


def _check_secondary(document: Mapping[str, Any]) -> None:
    for member, key in (("secondarySources", "sourceIdentifier"), ("secondaryArtifacts", "artifactIdentifier")):
        items = document.get(member) or []
        identifiers = [item.get(key, "") for item in items]
        if not all(identifiers) or len(set(identifiers)) != len(identifiers):
            raise invalid(f"Invalid {member}: each needs a {key} of its own; given: {identifiers}")
        for item in items:
            (check_source if member == "secondarySources" else check_artifacts)(item, f"{member}/{item[key]}")


def _check_logs(config: Mapping[str, Any]) -> None:
    s3 = config.get("s3Logs", {})
    if s3.get("status") == "ENABLED" and not s3.get("location"):
        raise invalid("Invalid logsConfig: s3Logs needs a location of the form bucket/prefix when it is ENABLED")


def check_source(source: Mapping[str, Any], member: str) -> None:
    """Refuse a source without what its type needs."""
    kind, location = source["type"], source.get("location", "")
    if kind in _LOCATED and not location:
        raise invalid(f"Invalid project {member}: location is required for the source type {kind}")
    if kind == "S3" and "/" not in location:
        raise invalid(f"Invalid project {member}: location '{location}' is not of the form bucket/path")
    if kind == "NO_SOURCE" and member == "source":
        buildspec = source.get("buildspec", "")
        if not buildspec or ("\n" not in buildspec and not buildspec.startswith(("arn:", "{"))):
            raise invalid(
                "Invalid project source: the source type NO_SOURCE needs a buildspec, inline or as the "
                "ARN of an S3 object"
            )


def check_artifacts(artifacts: Mapping[str, Any], member: str) -> None:
    """Refuse artifacts without what their type needs."""
    if artifacts["type"] == "S3" and not artifacts.get("location"):
        raise invalid(f"Invalid {member}: location, the name of a bucket, is required for the type S3")
