"""Deploys the platform's stacks. It is idempotent: what has not changed is neither uploaded nor deployed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from slipway.errors import SlipwayError
from slipway.platform import assets, stacks
from slipway.progress import Progress

# An account's administrator deploys these, in this order, before the platform has any role of its own.
BOOTSTRAP = ("bootstrap", "guardrails", "deployer")


@dataclass(frozen=True)
class Deployment:
    """Something to be deployed in the account and region of `session`."""

    session: Any
    namespace: str
    repository: Path
    parameters: Mapping[str, str] = field(default_factory=dict)


def bootstrap(deployment: Deployment, progress: Progress) -> dict[str, str]:
    """The account's foundation, with the caller's own rights. Returns the outputs of all its stacks."""
    outputs: dict[str, str] = {}
    templates = {root: _template(deployment.repository, root) for root in BOOTSTRAP}
    _refuse_unknown(deployment.parameters, templates)
    for root, template in templates.items():
        outputs |= _deploy(deployment, root, template, {}, None, progress)
    return outputs


def release(
    deployment: Deployment, root: str, progress: Progress, packed: assets.Assets | None = None
) -> dict[str, str]:
    """A root stack: `platform` in the tooling account, `workload` in a staging or production account.

    Packs and uploads the assets (pass `packed` to pack once for several accounts), then deploys with the account's
    deployer role. Returns the stack's outputs.
    """
    stack = prepared(deployment, root, progress, packed)
    return stacks.deploy(deployment.session.client("cloudformation"), stack, progress)


def prepared(
    deployment: Deployment, root: str, progress: Progress, packed: assets.Assets | None = None
) -> stacks.Stack:
    """The root stack as it would be deployed, with its assets uploaded: templates of nested stacks are read there."""
    session, namespace = deployment.session, deployment.namespace
    template = _template(deployment.repository, root)
    _refuse_unknown(deployment.parameters, {root: template})
    identity = session.client("sts").get_caller_identity()
    partition, account = identity["Arn"].split(":")[1], identity["Account"]
    packed = packed or assets.collect(deployment.repository)
    bucket = f"{namespace}-assets-{account}-{session.region_name}"
    uploaded = assets.upload(session.client("s3"), bucket, packed)
    progress.say(f"assets {packed.digest}: {f'{uploaded} files uploaded' if uploaded else 'unchanged'}")
    given = {"AssetsBucket": bucket, "AssetsPrefix": packed.prefix}
    role = f"arn:{partition}:iam::{account}:role/{namespace}-platform-deployer"
    return _stack(deployment, root, template, given, role)


def _deploy(
    deployment: Deployment,
    root: str,
    template: str,
    given: Mapping[str, str],
    role_arn: str | None,
    progress: Progress,
) -> dict[str, str]:
    stack = _stack(deployment, root, template, given, role_arn)
    return stacks.deploy(deployment.session.client("cloudformation"), stack, progress)


def _stack(
    deployment: Deployment, root: str, template: str, given: Mapping[str, str], role_arn: str | None
) -> stacks.Stack:
    wanted = {"Namespace": deployment.namespace, **given, **deployment.parameters}
    known = _parameters(template)
    return stacks.Stack(
        name=f"{deployment.namespace}-{root}",
        template=template,
        parameters={name: value for name, value in wanted.items() if name in known},
        role_arn=role_arn,
        tags={"Namespace": deployment.namespace, "Project": "platform"},
        names=frozenset(known),
    )


def _template(repository: Path, root: str) -> str:
    path = repository / "cfn" / f"{root}.yaml"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SlipwayError(f"{path}: there is no such file: give the repository's root with --repository") from None
    assets.check_yaml(repository, {f"cfn/{root}.yaml": content})
    return content.decode()


def _parameters(template: str) -> set[str]:
    """The names of a template's parameters."""

    class Loader(yaml.SafeLoader):
        """Reads a template's short forms as nothing: only names are wanted."""

    Loader.add_multi_constructor("!", lambda *_: None)
    return set(yaml.load(template, Loader).get("Parameters", {}))  # noqa: S506 - it is a SafeLoader


def _refuse_unknown(given: Mapping[str, str], templates: Mapping[str, str]) -> None:
    known = set().union(*(_parameters(template) for template in templates.values()))
    if unknown := sorted(set(given) - known):
        files = ", ".join(f"cfn/{root}.yaml" for root in templates)
        raise SlipwayError(
            f"unknown parameter of {files}: given {', '.join(unknown)}, allowed {', '.join(sorted(known))}"
        )
