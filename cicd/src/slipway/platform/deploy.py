"""Deploys the platform: bootstrap ▸ assets ▸ stacks ▸ artefacts. Everything is idempotent: a re-run skips what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway import settings
from slipway.errors import SlipwayError
from slipway.platform import assets, builds, stacks
from slipway.progress import Progress


@dataclass(frozen=True)
class Deployment:
    """A platform, or a workload account's part of it, to be deployed with `session`'s account and region."""

    session: Any
    namespace: str
    repository: Path
    parameters: Mapping[str, str] = field(default_factory=dict)


def platform(deployment: Deployment, progress: Progress, packed: assets.Assets | None = None) -> dict[str, str]:
    """The tooling account: cfn/platform.yaml, then the base image, the wheel and the build image. Returns outputs."""
    outputs = _deploy(deployment, "platform", progress, packed)
    published = settings.platform(deployment.session.client("ssm"), deployment.namespace)
    artifacts(deployment, published, progress)
    return outputs


def workload(deployment: Deployment, progress: Progress, packed: assets.Assets | None = None) -> dict[str, str]:
    """A staging or production account: cfn/workload.yaml. Returns its outputs."""
    return _deploy(deployment, "workload", progress, packed)


def artifacts(deployment: Deployment, published: settings.Parameters, progress: Progress) -> None:
    """Run the artifacts build, unless it has already run for these assets."""
    codebuild = deployment.session.client("codebuild")
    project, prefix = published["builds/artifacts-project"], published["assets/prefix"]
    if _built(codebuild, project, prefix):
        progress.say(f"{project}: has run for {prefix} already")
        return
    builds.run(deployment.session, project, progress, {"SLIPWAY_ASSETS_PREFIX": prefix})


def _deploy(deployment: Deployment, root: str, progress: Progress, packed: assets.Assets | None) -> dict[str, str]:
    session, namespace = deployment.session, deployment.namespace
    cloudformation = session.client("cloudformation")
    account = session.client("sts").get_caller_identity()["Account"]
    packed = packed or assets.collect(deployment.repository)
    tags = {"slipway:namespace": namespace}
    bootstrap = stacks.Stack(
        name=f"{namespace}-bootstrap",
        template=packed.files["cfn/bootstrap.yaml"].decode(),
        parameters=_known(packed, "bootstrap", {"Namespace": namespace, **deployment.parameters}),
        tags=tags,
    )
    stacks.deploy(cloudformation, bootstrap, progress)
    bucket = f"{namespace}-assets-{account}-{session.region_name}"
    uploaded = assets.upload(session.client("s3"), bucket, packed)
    progress.say(f"assets {packed.digest}: {f'{uploaded} files uploaded' if uploaded else 'unchanged'}")
    dns = session.client("s3").meta.endpoint_url
    given = {
        "Namespace": namespace,
        "AssetsBucket": bucket,
        "AssetsPrefix": packed.prefix,
        **deployment.parameters,
    }
    stack = stacks.Stack(
        name=f"{namespace}-{root}",
        template_url=f"{dns.replace('://', f'://{bucket}.', 1)}/{packed.prefix}/cfn/{root}.yaml",
        parameters=_known(packed, root, given),
        tags=tags,
    )
    return stacks.deploy(cloudformation, stack, progress)


def _known(packed: assets.Assets, root: str, given: Mapping[str, str]) -> dict[str, str]:
    """The parameters that a template has. Raises SlipwayError for one that no root template has."""
    import yaml

    def names(template: str) -> set[str]:
        class Loader(yaml.SafeLoader):
            """Reads a template's short forms as nothing: only the names of parameters are wanted."""

        Loader.add_multi_constructor("!", lambda *_: None)
        return set(yaml.load(packed.files[f"cfn/{template}.yaml"], Loader).get("Parameters", {}))  # noqa: S506

    known = names(root)
    anywhere = {name for template in ("bootstrap", root) for name in names(template)}
    if unknown := sorted(set(given) - anywhere):
        raise SlipwayError(
            f"cfn/{root}.yaml has no parameter {', '.join(unknown)}; allowed: {', '.join(sorted(anywhere))}"
        )
    return {name: value for name, value in given.items() if name in known}


def _built(codebuild: Any, project: str, prefix: str) -> bool:
    ids = codebuild.list_builds_for_project(projectName=project, sortOrder="DESCENDING")["ids"][:20]
    for build in codebuild.batch_get_builds(ids=ids)["builds"] if ids else []:
        variables = {item["name"]: item["value"] for item in build["environment"].get("environmentVariables", [])}
        if build["buildStatus"] == "SUCCEEDED" and variables.get("SLIPWAY_ASSETS_PREFIX") == prefix:
            return True
    return False
