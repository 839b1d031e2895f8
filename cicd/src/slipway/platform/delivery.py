"""What the delivery pipeline's builds do: check a commit, pack it as a release for every account, show what it changes.

A packed release is a folder: for each stack that the pipeline deploys its root template and its configuration, and
`release.json`, which says what was deployed before.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from pydantic import ValidationError

from slipway import settings
from slipway.errors import SlipwayError
from slipway.platform import assets, parameters
from slipway.platform.products import ProductFile
from slipway.progress import Progress, table

ROOTS = ("delivery", "platform", "workload")
# More lines of a difference than a person reads are counted, not shown.
SHOWN_LINES = 400


@dataclass(frozen=True)
class Target:
    """A stack that the pipeline deploys: its configuration's name, its root template, and who may look at it."""

    name: str
    root: str
    account: str
    session: Any
    given: Mapping[str, str]


def check(repository: Path) -> int:
    """Whether everything that is packed can be read at all. Returns how many files were read. Raises SlipwayError."""
    files = {}
    for folder in assets.FOLDERS:
        for path in sorted((repository / folder).rglob("*")):
            if path.is_file():
                files[str(path.relative_to(repository))] = path.read_bytes()
    if not files:
        raise SlipwayError(f"{repository}: there is nothing: give the repository's root with --repository")
    assets.check_yaml(repository, files)
    for name, content in files.items():
        if name.endswith("/product.json"):
            _check_product(repository / name, content)
    known = {}
    for root in ROOTS:
        if f"cfn/{root}.yaml" not in files:
            raise SlipwayError(
                f"{repository / 'cfn' / root}.yaml: there is no such file: it is a root that is deployed"
            )
        known[root] = parameters.of_template(files[f"cfn/{root}.yaml"].decode())
    for path in sorted((repository / parameters.FOLDER).glob("*")):
        root, _, account = path.name.removesuffix(".json").partition("-")
        if root not in known or path.suffix != ".json" or not re.fullmatch(r"(\d{12})?", account):
            allowed = ", ".join(f"{name}.json, {name}-<account>.json" for name in ROOTS)
            raise SlipwayError(f"{path}: nobody reads it: allowed {allowed}")
        parameters.stated(repository, root, account, known[root])
    return len(files)


def _check_product(path: Path, content: bytes) -> None:
    try:
        ProductFile.model_validate_json(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors())
        raise SlipwayError(f"{path}: {problems}. Nothing was uploaded or deployed.") from None


# -- packing -----------------------------------------------------------------------------------------------------------


def pack(session: Any, namespace: str, repository: Path, output: Path, progress: Progress) -> str:
    """Pack the repository, lay it into every account's assets bucket and write what is deployed into `output`.

    Returns the release's prefix. Raises SlipwayError.
    """
    identity = session.client("sts").get_caller_identity()
    partition, tooling = identity["Arn"].split(":")[1], identity["Account"]
    contracts = settings.platform(session.client("ssm"), namespace)
    accounts = {"staging": contracts["accounts/staging"], "production": contracts["accounts/production"]}
    targets = [
        Target("delivery", "delivery", tooling, session, {}),
        Target("platform", "platform", tooling, session, _accounts(accounts) | {"PublishOn": "Create"}),
    ]
    for name, account in accounts.items():
        if account == tooling:  # the platform's own stack makes what serves here
            continue
        role = f"arn:{partition}:iam::{account}:role/{namespace}-delivery-uploader"
        given = {"ToolingAccountId": tooling, "Environment": name}
        targets.append(Target(name, "workload", account, _as(session, role), given))
    packed = assets.collect(repository)
    for target in {target.account: target for target in targets}.values():
        bucket = f"{namespace}-assets-{target.account}-{session.region_name}"
        uploaded = assets.upload(target.session.client("s3"), bucket, packed)
        progress.say(f"{bucket}: {packed.digest}: {f'{uploaded} files uploaded' if uploaded else 'there already'}")
    output.mkdir(parents=True, exist_ok=True)
    for target in targets:
        template = packed.files[f"cfn/{target.root}.yaml"].decode()
        (output / f"{target.root}.yaml").write_text(template, encoding="utf-8")
        _write(output / f"{target.name}.json", _configuration(target, namespace, repository, template, packed.prefix))
    before = contracts.get("assets/prefix")
    _write(output / "release.json", {"prefix": packed.prefix, "before": before, "bucket": contracts["assets/bucket"]})
    progress.say(f"release {packed.prefix}; deployed is {before or 'none'}")
    return packed.prefix


def _accounts(accounts: Mapping[str, str]) -> dict[str, str]:
    return {"StagingAccountId": accounts["staging"], "ProductionAccountId": accounts["production"]}


def _as(session: Any, role: str) -> Any:
    """A session of that role."""
    import boto3

    try:
        taken = session.client("sts").assume_role(RoleArn=role, RoleSessionName="delivery")["Credentials"]
    except ClientError as error:
        raise SlipwayError(
            f"{role} cannot be assumed: {error.response['Error']['Message']}. Deploy cfn/workload.yaml in that account "
            "once by hand (make workload), of a release that has cfn/delivery-target.yaml."
        ) from None
    return boto3.Session(
        taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"], region_name=session.region_name
    )


def _configuration(
    target: Target, namespace: str, repository: Path, template: str, prefix: str
) -> dict[str, dict[str, str]]:
    """A CodePipeline template configuration: what is deployed, over it what the repository states, and the release.

    CodePipeline takes a template's default for a parameter that is not given, never the value it had: so all are given.
    """
    known = parameters.of_template(template)
    bucket = f"{namespace}-assets-{target.account}-{target.session.region_name}"
    wanted = {
        **_deployed(target, f"{namespace}-{target.root}"),
        **target.given,
        **parameters.stated(repository, target.root, target.account, known),
        "Namespace": namespace,
        "AssetsBucket": bucket,
        "AssetsPrefix": prefix,
    }
    return {
        "Parameters": {name: value for name, value in sorted(wanted.items()) if name in known},
        "Tags": {"Namespace": namespace, "Project": "platform"},
    }


def _deployed(target: Target, stack: str) -> dict[str, str]:
    try:
        found = target.session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return {}
        raise
    return {item["ParameterKey"]: item["ParameterValue"] for item in found.get("Parameters", [])}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


# -- showing -----------------------------------------------------------------------------------------------------------


def changes(session: Any, namespace: str, folder: Path, change_set: str) -> Iterator[str]:
    """Lines that say what the change set does, and what the release changes below it. Raises SlipwayError."""
    try:
        release = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SlipwayError(f"{folder}: there is no release.json: give a packed release with --release") from None
    found = session.client("cloudformation").describe_change_set(
        ChangeSetName=change_set, StackName=f"{namespace}-platform"
    )
    rows = [_row(change["ResourceChange"]) for change in found.get("Changes", []) if "ResourceChange" in change]
    yield f"Change set {change_set} of {namespace}-platform: {found['Status']} {found.get('StatusReason', '')}".rstrip()
    if rows:
        yield table(rows, ("action", "resource", "type", "replacement"))
    yield ""
    yield f"{release['before'] or 'nothing'} ▸ {release['prefix']}"
    yield from _differences(session.client("s3"), release)


def _row(change: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return (
        change["Action"],
        change["LogicalResourceId"],
        change["ResourceType"].removeprefix("AWS::"),
        change.get("Replacement", ""),
    )


def _differences(s3: Any, release: Mapping[str, str]) -> Iterator[str]:
    before = _files(s3, release["bucket"], release["before"]) if release["before"] else {}
    after = _files(s3, release["bucket"], release["prefix"])
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if not names:
        yield "no template, product or buildspec differs"
    room = SHOWN_LINES
    for name in names:
        lines = list(
            difflib.unified_diff(
                before.get(name, "").splitlines(), after.get(name, "").splitlines(), name, name, n=1, lineterm=""
            )
        )
        yield from lines[:room]
        if len(lines) > room:
            yield f"{name}: {len(lines) - room} more lines differ"
        room = max(0, room - len(lines))


def _files(s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    found = {}
    for folder in assets.FOLDERS:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/{folder}/"):
            for item in page.get("Contents", []):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                found[item["Key"].removeprefix(f"{prefix}/")] = body.decode(errors="replace")
    return found
