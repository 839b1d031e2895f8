"""Deploys the platform's stacks. It is idempotent: what has not changed is neither uploaded nor deployed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.platform import assets, parameters, stacks
from slipway.progress import Progress

# An account's administrator deploys these, in this order, before the platform has any role of its own.
BOOTSTRAP = ("bootstrap", "guardrails", "deployer-policies", "deployer")
# And this after them: what watches the platform, which who deploys the platform must not change.
AUDIT = "audit"


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
    templates = {root: _template(deployment.repository, root) for root in (*BOOTSTRAP, AUDIT)}
    _refuse_unknown(deployment.parameters, templates)
    packed = assets.audit(deployment.repository)
    for root in BOOTSTRAP:
        outputs |= _deploy(deployment, root, templates[root], {}, None, progress)
    bucket = outputs["AssetsBucket"]
    _upload(deployment, bucket, packed, progress)
    given = {"AssetsBucket": bucket, "AssetsPrefix": packed.prefix}
    return outputs | _deploy(deployment, AUDIT, templates[AUDIT], given, None, progress)


def release(
    deployment: Deployment, root: str, progress: Progress, packed: assets.Assets | None = None
) -> dict[str, str]:
    """A root stack: `platform` and `delivery` in the tooling account, `workload` in a staging or production account.

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
    _upload(deployment, bucket, packed, progress)
    given = {"AssetsBucket": bucket, "AssetsPrefix": packed.prefix}
    role = f"arn:{partition}:iam::{account}:role/{namespace}-platform-deployer"
    return _stack(deployment, root, template, given, role)


def upload(deployment: Deployment, progress: Progress) -> str:
    """Lay the release into the account's assets bucket, where whoever deploys by other means finds it.

    Returns its prefix, which is what the roots take as AssetsPrefix.
    """
    account = deployment.session.client("sts").get_caller_identity()["Account"]
    packed = assets.collect(deployment.repository)
    _upload(deployment, f"{deployment.namespace}-assets-{account}-{deployment.session.region_name}", packed, progress)
    return packed.prefix


def _upload(deployment: Deployment, bucket: str, packed: assets.Assets, progress: Progress) -> None:
    uploaded = assets.upload(deployment.session.client("s3"), bucket, packed)
    progress.say(f"assets {packed.digest}: {f'{uploaded} files uploaded' if uploaded else 'unchanged'}")


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
    known = parameters.of_template(template)
    account = deployment.session.client("sts").get_caller_identity()["Account"]
    stated = parameters.stated(deployment.repository, root, account, known)
    wanted = {
        "Namespace": deployment.namespace,
        **parameters.contracts(template, deployment.namespace),
        **given,
        **stated,
        **deployment.parameters,
    }
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


def _refuse_unknown(given: Mapping[str, str], templates: Mapping[str, str]) -> None:
    known = set().union(*(parameters.of_template(template) for template in templates.values()))
    if unknown := sorted(set(given) - known):
        files = ", ".join(f"cfn/{root}.yaml" for root in templates)
        raise SlipwayError(
            f"unknown parameter of {files}: given {', '.join(unknown)}, allowed {', '.join(sorted(known))}"
        )
