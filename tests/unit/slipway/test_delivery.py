"""What the delivery pipeline's builds do: check, pack for every account, show."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import SlipwayError
from slipway.platform import assets, delivery, parameters
from slipway.progress import Progress

from .fakes import Session

TEMPLATE = "Parameters: {Namespace: {Type: String}, ZoneCount: {Type: Number}}\nResources: {}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that can be read: three roots, a product, a buildspec."""
    for root in delivery.ROOTS:
        put(tmp_path, f"cfn/{root}.yaml", TEMPLATE)
    put(tmp_path, "buildspecs/test.yaml", "version: 0.2\n")
    page = Path(__file__).parents[3] / "service-catalog" / "project" / "product.json"
    put(tmp_path, "service-catalog/project/product.json", page.read_text(encoding="utf-8"))
    return tmp_path


def put(repository: Path, name: str, text: str) -> None:
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text(text, encoding="utf-8")


def test_a_good_repository_passes(repository: Path) -> None:
    assert delivery.check(repository) == 5


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cfn/lake.yaml", "Resources:\n  A: {\n", r"cfn/lake\.yaml:\d: not YAML"),
        ("service-catalog/project/product.json", "{", r"project/product\.json: file: Invalid JSON"),
        ("service-catalog/project/product.json", "{}", r"project/product\.json: name: Field required"),
        ("cfn/parameters/platform.json", "{", r"platform\.json: not JSON"),
        ("cfn/parameters/platform.json", '{"ZoneCount": "3"}', r"platform\.json: given .* allowed"),
        (
            "cfn/parameters/staging.json",
            '{"Parameters": {}}',
            r"staging\.json: nobody reads it: allowed delivery\.json",
        ),
        ("cfn/parameters/platform-acme.json", "{}", r"platform-acme\.json: nobody reads it"),
        ("cfn/parameters/workload.json", '{"Parameters": {"Zones": "3"}}', r"unknown parameter of cfn/workload\.yaml"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_file(repository: Path, name: str, text: str, message: str) -> None:
    """The first thing that validation does; nothing is installed before it."""
    put(repository, name, text)
    with pytest.raises(SlipwayError, match=message):
        delivery.check(repository)


def test_an_accounts_own_parameters_win(repository: Path) -> None:
    """Staging and production take the same template, and may differ."""
    put(repository, "cfn/parameters/workload.json", '{"Parameters": {"Namespace": "a", "ZoneCount": 2}}')
    put(repository, "cfn/parameters/workload-123456789012.json", '{"Parameters": {"ZoneCount": 3}}')
    known = {"Namespace", "ZoneCount"}
    assert parameters.stated(repository, "workload", "123456789012", known) == {"Namespace": "a", "ZoneCount": "3"}
    assert parameters.stated(repository, "workload", "999999999999", known) == {"Namespace": "a", "ZoneCount": "2"}
    assert parameters.stated(repository, "platform", "123456789012", known) == {}


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Session]]:
    """Sessions of the workload accounts, by the role they are taken with."""
    found: dict[str, Session] = {}
    monkeypatch.setattr(delivery, "_as", lambda _, role: found[role])
    return found  # type: ignore[return-value]


def test_a_release_is_laid_in_every_account_and_keeps_what_is_deployed(
    repository: Path, accounts: dict[str, Session], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CodePipeline takes a template's default for what a configuration leaves out: what is deployed would be lost."""
    files = {f"cfn/{root}.yaml": TEMPLATE.encode() for root in delivery.ROOTS}
    monkeypatch.setattr(assets, "collect", lambda _: assets.Assets(files))
    put(repository, "cfn/parameters/platform.json", '{"Parameters": {"ZoneCount": "3"}}')
    session = Session()
    session.stub("sts", "get_caller_identity", {"Account": "111111111111", "Arn": "arn:aws:sts::111111111111:x"})
    contracts = {
        "accounts/staging": "222222222222", "accounts/production": "333333333333",
        "assets/bucket": "slipway-assets-111111111111-eu-west-1", "assets/prefix": "releases/before",
    }  # fmt: skip
    session.parameters("/slipway/platform/", contracts)
    for account, name in (("222222222222", "staging"), ("333333333333", "production")):
        other = accounts[f"arn:aws:iam::{account}:role/slipway-delivery-uploader"] = Session()
        other.stub("s3", "head_object", {}, {"Bucket": f"slipway-assets-{account}-eu-west-1", "Key": complete(files)})
        deployed(other, "slipway-workload", {"ZoneCount": "2", "Gone": name})
    session.stub("s3", "head_object", {})
    session.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack slipway-delivery does not exist")
    deployed(session, "slipway-platform", {"ZoneCount": "1"})
    delivery.pack(session, "slipway", repository, tmp_path / "out", Progress(io.StringIO()))
    said = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}
    assert said["platform"]["Parameters"] == {"Namespace": "slipway", "ZoneCount": "3"}
    assert said["staging"]["Parameters"] == {"Namespace": "slipway", "ZoneCount": "2"}
    assert said["delivery"]["Parameters"] == {"Namespace": "slipway"}
    assert said["release"]["before"] == "releases/before"
    assert {path.name for path in (tmp_path / "out").glob("*.yaml")} == {f"{root}.yaml" for root in delivery.ROOTS}


def test_what_serves_in_the_tooling_account_is_delivered_with_the_platform(
    repository: Path, accounts: dict[str, Session], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One account for all: no other role is taken and no workload packed, since the pipeline has no stage for it."""
    files = {f"cfn/{root}.yaml": TEMPLATE.encode() for root in delivery.ROOTS}
    monkeypatch.setattr(assets, "collect", lambda _: assets.Assets(files))
    session = Session()
    session.stub("sts", "get_caller_identity", {"Account": "111111111111", "Arn": "arn:aws:sts::111111111111:x"})
    own = dict.fromkeys(("accounts/staging", "accounts/production"), "111111111111")
    session.parameters("/slipway/platform/", {**own, "assets/bucket": "slipway-assets-111111111111-eu-west-1"})
    session.stub("s3", "head_object", {})
    session.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack slipway-delivery does not exist")
    deployed(session, "slipway-platform", {})
    delivery.pack(session, "slipway", repository, tmp_path / "out", Progress(io.StringIO()))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "delivery.json", "delivery.yaml", "platform.json", "platform.yaml", "release.json",
    }  # fmt: skip
    session.assert_all_called()


def complete(files: dict[str, bytes]) -> str:
    return f"{assets.Assets(files).prefix}/complete"


def deployed(session: Session, stack: str, values: dict[str, str]) -> None:
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
    found = {"StackName": stack, "CreationTime": 0, "StackStatus": "CREATE_COMPLETE", "Parameters": given}
    session.stub("cloudformation", "describe_stacks", {"Stacks": [found]}, {"StackName": stack})


def test_changes_name_resources_and_lines(tmp_path: Path) -> None:
    """Who approves sees what the nested templates change, which the root's change set does not say."""
    release = {"prefix": "releases/b", "before": "releases/a", "bucket": "assets"}
    put(tmp_path, "release.json", json.dumps(release))
    session = Session()
    change = {"Action": "Modify", "LogicalResourceId": "Lake", "ResourceType": "AWS::CloudFormation::Stack"}
    answer = {"Status": "CREATE_COMPLETE", "Changes": [{"Type": "Resource", "ResourceChange": change}]}
    session.stub("cloudformation", "describe_change_set", answer)
    for prefix, days in (("releases/a", 90), ("releases/b", 30)):
        for folder in assets.FOLDERS:
            key = f"{prefix}/{folder}/lake.yaml"
            listed: dict[str, Any] = {"Contents": [{"Key": key}]} if folder == "cfn" else {}
            session.stub("s3", "list_objects_v2", listed)
            if listed:
                session.stub("s3", "get_object", {"Body": io.BytesIO(f"Days: {days}\n".encode())})
    text = "\n".join(delivery.changes(session, "slipway", tmp_path, "delivery"))
    assert "Modify  Lake" in text
    assert "-Days: 90\n+Days: 30" in text
    assert "--- cfn/lake.yaml" in text
