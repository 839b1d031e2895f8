"""Packing and deploying the platform."""

import datetime
import io
import re
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slipway.errors import SlipwayError
from slipway.platform import artifacts, assets, deploy, parameters, stacks
from slipway.progress import Progress

from .fakes import Session

REPOSITORY = Path(__file__).parents[3]
# Where the build image runs, whatever this machine is.
IMAGE = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux", "platform_system": "Linux",
         "platform_machine": "x86_64", "os_name": "posix"}  # fmt: skip
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
ARN = "arn:aws:cloudformation:eu-west-1:111111111111:stack/{}/0a1b"


@pytest.fixture(scope="module")
def packed() -> assets.Assets:
    return assets.collect(REPOSITORY)


def names(content: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(content)).namelist())


def test_the_same_repository_gives_the_same_assets(packed: assets.Assets) -> None:
    again = assets.collect(REPOSITORY)
    assert again.files == packed.files
    assert again.prefix == packed.prefix == f"releases/{packed.digest}"


def test_the_assets_are_whole(packed: assets.Assets) -> None:
    context = zipfile.ZipFile(io.BytesIO(packed.files["build-image.zip"]))
    wheel = next(name for name in context.namelist() if name.endswith(".whl"))
    version = wheel.split("-")[1]
    assert wheel == f"slipway-{version}-py3-none-any.whl"
    assert version.startswith("0.1.0.post")
    inside = zipfile.ZipFile(io.BytesIO(context.read(wheel)))
    assert f'__version__ = "{version}"' in inside.read("slipway/__init__.py").decode()
    assert "slipway/py.typed" in inside.namelist()
    assert {"cookiecutter.json", "hooks/pre_gen_project.py", "{{cookiecutter.project}}/.gitignore"} <= names(
        packed.files["seedcode.zip"]
    )
    assert names(packed.files["build-image.zip"]) == {"Dockerfile", "constraints.txt", "requirements.txt", wheel}
    assert "slipway/functions/build_runner.py" in names(packed.files["lambda.zip"])
    for name in ("cfn/platform.yaml", "service-catalog/project/product.yaml", "buildspecs/stamp.yaml"):
        assert name in packed.files
    assert not [name for name in packed.files if "__pycache__" in name]


def test_the_lambda_functions_need_nothing_but_what_is_packed_and_boto3(packed: assets.Assets, tmp_path: Path) -> None:
    import subprocess
    import sys

    zipfile.ZipFile(io.BytesIO(packed.files["lambda.zip"])).extractall(tmp_path)
    assert not list(tmp_path.rglob("*.so"))
    # What there is of Powertools is a part: the logger has to do all its work with it.
    check = (
        "import sys, boto3; sys.path.insert(0, sys.argv[1]); import importlib, pkgutil, types, slipway.functions as f;"
        "[importlib.import_module(f'slipway.functions.{found.name}') for found in pkgutil.iter_modules(f.__path__)];"
        "from aws_lambda_powertools import Logger; logger = Logger(service='x', stream=sys.stderr);"
        "names = ('function_name', 'memory_limit_in_mb', 'invoked_function_arn', 'aws_request_id');"
        "context = types.SimpleNamespace(**dict.fromkeys(names, 'y'));"
        "handler = lambda event, context: logger.info('said', extra=event);"
        "logger.inject_lambda_context(handler, log_event=True, correlation_id_path='id')({'id': 'z'}, context);"
        "print(sorted(n for n in ('pydantic', 'yaml', 'sagemaker') if n in sys.modules), f.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check, str(tmp_path)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["[]", str(tmp_path / "slipway" / "functions" / "__init__.py")]
    assert '"correlation_id":"z"' in done.stderr


def test_the_constraints_are_the_lock_without_hashes(packed: assets.Assets) -> None:
    text = packed.files["constraints.txt"].decode()
    assert "--hash" not in text
    assert "numpy==2.4.6 ; python_full_version < '3.12'\n" in text


def _requires(name: str) -> list[str]:
    try:
        return distribution(name).requires or []
    except PackageNotFoundError:  # this machine's Python or system does not need it
        return []


def test_the_build_image_holds_all_that_is_needed_with_hashes(packed: assets.Assets, tmp_path: Path) -> None:
    """It is installed without asking for dependencies: what `make lock` has not written down would be missing."""
    listed = {line for line in (REPOSITORY / "cicd/image/packages.txt").read_text().splitlines() if line[0] != "#"}
    waiting = [Requirement("slipway[deploy,pipelines]"), Requirement("awscli"), Requirement("uv")]
    needed: dict[str, set[str]] = {}
    while waiting:
        asked = waiting.pop()
        name, extras = canonicalize_name(asked.name), {"", *asked.extras}
        if extras <= needed.get(name, set()):
            continue
        needed.setdefault(name, set()).update(extras)
        for text in _requires(name):
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate(IMAGE | {"extra": extra}) for extra in extras):
                waiting.append(further)
    assert set(needed) - {"slipway"} == listed
    context = zipfile.ZipFile(io.BytesIO(packed.files["build-image.zip"]))
    pins = context.read("requirements.txt").decode()
    assert pins.count("==") >= len(listed)
    assert all(re.search(rf"^{name}==[^\n]+ \\\n +--hash=sha256:", pins, re.M) for name in listed)


def test_a_package_that_is_not_locked_is_told(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("a==1 \\\n    --hash=sha256:0\n")
    (tmp_path / "packages.txt").write_text("# these\na\n")
    assert assets._locked(tmp_path / "lock", tmp_path / "packages.txt") == b"a==1 \\\n    --hash=sha256:0\n"
    (tmp_path / "packages.txt").write_text("a\nb\n")
    with pytest.raises(SlipwayError, match=r"packages.txt: not in lock: b: run `make lock`"):
        assets._locked(tmp_path / "lock", tmp_path / "packages.txt")


def test_a_folder_that_is_no_platform_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="there is nothing: give the repository's root"):
        assets.collect(tmp_path)


def test_what_is_there_is_not_uploaded_again() -> None:
    session, some = Session(), assets.Assets({"a": b"1", "b": b"2"})
    session.refuse("s3", "head_object", "404", status=404)
    for _ in range(3):
        session.stub("s3", "put_object", {})
    assert assets.upload(session.client("s3"), "bucket", some) == 2
    session.stub("s3", "head_object", {})
    assert assets.upload(session.client("s3"), "bucket", some) == 0
    session.assert_all_called()


def status(session: Session, name: str, value: str | None, outputs: dict[str, str] | None = None) -> None:
    if value is None:
        session.refuse("cloudformation", "describe_stacks", "ValidationError", f"Stack with id {name} does not exist")
        return
    found = [{"OutputKey": key, "OutputValue": text} for key, text in (outputs or {}).items()]
    stack = {"StackName": name, "CreationTime": NOW, "StackStatus": value, "Outputs": found}
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack]})


def event(stack: str, resource: str, state: str, number: int, **more: Any) -> dict[str, Any]:
    physical = ARN.format(stack) if resource == stack else ""
    return {
        "StackId": ARN.format(stack),
        "EventId": f"{stack}-{number}",
        "StackName": stack,
        "LogicalResourceId": resource,
        "PhysicalResourceId": physical,
        "ResourceType": "AWS::CloudFormation::Stack" if resource == stack else "AWS::S3::Bucket",
        "Timestamp": NOW + datetime.timedelta(seconds=number),
        "ResourceStatus": state,
        **more,
    }


def events(session: Session, found: list[dict[str, Any]]) -> None:
    session.stub("cloudformation", "describe_stack_events", {"StackEvents": found[::-1]})


def change_set(session: Session, state: str = "CREATE_COMPLETE", reason: str = "") -> None:
    session.stub("cloudformation", "create_change_set", {"Id": "arn:change-set"})
    session.stub("cloudformation", "describe_change_set", {"Status": state, "StatusReason": reason})
    session.stub("cloudformation", "execute_change_set" if state != "FAILED" else "delete_change_set", {})


def bring(session: Session, out: io.StringIO | None = None) -> dict[str, str]:
    stack = stacks.Stack("s", "Resources: {}", {"Namespace": "slipway"}, "arn:aws:iam::111111111111:role/deployer")
    client = session.client("cloudformation")
    return stacks.deploy(client, stack, Progress(out or io.StringIO()), sleep=lambda _: None)


def test_a_new_stack_is_created_and_every_event_said() -> None:
    session, out = Session(), io.StringIO()
    status(session, "s", None)
    change_set(session)
    begun = [event("s", "s", "CREATE_IN_PROGRESS", 0), event("s", "Bucket", "CREATE_IN_PROGRESS", 1)]
    status(session, "s", "CREATE_IN_PROGRESS")
    events(session, begun)
    status(session, "s", "CREATE_COMPLETE")
    events(session, [*begun, event("s", "Bucket", "CREATE_COMPLETE", 4), event("s", "s", "CREATE_COMPLETE", 5)])
    status(session, "s", "CREATE_COMPLETE", {"Release": "abc"})
    assert bring(session, out) == {"Release": "abc"}
    assert "s: Bucket create_complete in 3.0 s" in out.getvalue()
    session.assert_all_called()


def test_a_stack_that_would_not_change_is_left_alone() -> None:
    session, out = Session(), io.StringIO()
    status(session, "s", "CREATE_COMPLETE")
    events(session, [])
    change_set(session, "FAILED", "The submitted information didn't contain changes.")
    status(session, "s", "CREATE_COMPLETE", {"Release": "abc"})
    assert bring(session, out) == {"Release": "abc"}
    assert "s: unchanged" in out.getvalue()
    session.assert_all_called()


def test_a_failure_is_told_by_the_first_reason_deep_inside() -> None:
    session = Session()
    status(session, "s", "UPDATE_ROLLBACK_COMPLETE")
    events(session, [event("s", "Old", "CREATE_FAILED", 0, ResourceStatusReason="an old story")])
    change_set(session)
    nested = {"ResourceType": "AWS::CloudFormation::Stack", "PhysicalResourceId": ARN.format("network")}
    happened = [
        event("s", "Old", "CREATE_FAILED", 0, ResourceStatusReason="an old story"),
        event("s", "s", "UPDATE_IN_PROGRESS", 1),
        event("s", "Network", "UPDATE_FAILED", 2, ResourceStatusReason="Embedded stack was not updated", **nested),
        event("s", "Lake", "UPDATE_FAILED", 3, ResourceStatusReason="Resource update cancelled"),
        event("s", "s", "UPDATE_ROLLBACK_IN_PROGRESS", 4),
    ]
    status(session, "s", "UPDATE_ROLLBACK_COMPLETE")
    events(session, happened)
    events(session, happened)
    inside = [
        event("network", "network", "UPDATE_IN_PROGRESS", 1),
        event("network", "Vpc", "CREATE_FAILED", 2, ResourceStatusReason="the CIDR is taken"),
        event("network", "network", "UPDATE_ROLLBACK_COMPLETE", 3),
    ]
    events(session, inside)
    with pytest.raises(SlipwayError) as caught:
        bring(session)
    assert str(caught.value) == "stack s ended as UPDATE_ROLLBACK_COMPLETE: Network ▸ Vpc: the CIDR is taken"
    session.assert_all_called()


def test_a_first_failure_is_told_although_the_rollback_has_deleted_the_stack_it_was_in() -> None:
    """Protects first deployments: the parent's rollback deletes what it nested, and the reason lies before that."""
    session = Session()
    status(session, "s", None)
    change_set(session)
    nested = {"ResourceType": "AWS::CloudFormation::Stack", "PhysicalResourceId": ARN.format("people")}
    happened = [
        event("s", "s", "CREATE_IN_PROGRESS", 1),
        event("s", "People", "CREATE_FAILED", 2, ResourceStatusReason="Embedded stack was not created", **nested),
        event("s", "s", "ROLLBACK_IN_PROGRESS", 3),
        event("s", "s", "ROLLBACK_COMPLETE", 7),
    ]
    status(session, "s", "ROLLBACK_COMPLETE")
    events(session, happened)
    events(session, happened)
    inside = [
        event("people", "people", "CREATE_IN_PROGRESS", 1),
        event("people", "Role", "CREATE_FAILED", 2, ResourceStatusReason="the name is taken"),
        event("people", "people", "ROLLBACK_COMPLETE", 3),
        event("people", "people", "DELETE_IN_PROGRESS", 4),
        event("people", "people", "DELETE_COMPLETE", 5),
    ]
    events(session, inside)
    with pytest.raises(SlipwayError) as caught:
        bring(session)
    assert str(caught.value) == "stack s ended as ROLLBACK_COMPLETE: People ▸ Role: the name is taken"
    session.assert_all_called()


def test_what_a_failed_creation_left_is_removed_first() -> None:
    session = Session()
    status(session, "s", "ROLLBACK_COMPLETE")
    session.stub(
        "cloudformation", "delete_stack", {}, {"StackName": "s", "RoleARN": "arn:aws:iam::111111111111:role/deployer"}
    )
    status(session, "s", None)
    change_set(session, "FAILED", "Transform failed")
    with pytest.raises(SlipwayError, match="stack s cannot be changed: Transform failed"):
        bring(session)
    session.assert_all_called()


def test_a_creation_that_stopped_half_way_is_rolled_back_before_it_is_removed() -> None:
    """A deletion spares what is RetainExceptOnCreate, such as the lake; the next creation would find its name taken."""
    session = Session()
    role = {"StackName": "s", "RoleARN": "arn:aws:iam::111111111111:role/deployer"}
    status(session, "s", "CREATE_FAILED")
    session.stub("cloudformation", "rollback_stack", {}, role)
    status(session, "s", "ROLLBACK_COMPLETE")
    events(session, [event("s", "s", "ROLLBACK_COMPLETE", 1)])
    session.stub("cloudformation", "delete_stack", {}, role)
    status(session, "s", None)
    change_set(session, "FAILED", "Transform failed")
    with pytest.raises(SlipwayError, match="stack s cannot be changed: Transform failed"):
        bring(session)
    session.assert_all_called()


def test_a_stack_in_motion_is_waited_for_before_it_is_touched() -> None:
    """Protects whoever interrupted a deployment and deploys again while CloudFormation still works on the first."""
    session, out = Session(), io.StringIO()
    moving = [event("s", "s", "UPDATE_IN_PROGRESS", 0)]
    status(session, "s", "UPDATE_IN_PROGRESS")
    events(session, moving)
    status(session, "s", "UPDATE_IN_PROGRESS")
    events(session, moving)
    status(session, "s", "UPDATE_COMPLETE")
    events(session, moving)
    events(session, moving)
    change_set(session, "FAILED", "The submitted information didn't contain changes.")
    status(session, "s", "UPDATE_COMPLETE", {"Release": "abc"})
    assert bring(session, out) == {"Release": "abc"}
    assert "waiting for its end" in out.getvalue()
    session.assert_all_called()


def test_a_root_reads_the_contracts_of_its_own_namespace() -> None:
    """Protects the second platform of an account: bootstrap.yaml's successors would read the first one's boundary."""
    template = (REPOSITORY / "cfn" / "deployer.yaml").read_text(encoding="utf-8")
    assert parameters.contracts(template, "ml") == {"BoundaryArn": "/ml/platform/guardrails/boundary-arn"}
    assert parameters.contracts((REPOSITORY / "cfn" / "platform.yaml").read_text(encoding="utf-8"), "ml") == {}


def test_an_unknown_parameter_is_told(tmp_path: Path) -> None:
    wanted = deploy.Deployment(Session(), "slipway", REPOSITORY, {"StagingAcountId": "1"})
    with pytest.raises(
        SlipwayError, match=r"unknown parameter of cfn/platform\.yaml: given StagingAcountId, allowed .*Staging"
    ):
        deploy.release(wanted, "platform", Progress(io.StringIO()))
    with pytest.raises(SlipwayError, match=r"bootstrap\.yaml: there is no such file"):
        deploy.bootstrap(deploy.Deployment(Session(), "slipway", tmp_path), Progress(io.StringIO()))


def test_artifacts_that_are_there_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("slipway.images.command", lambda words, **_: ran.append(words))
    session = Session()
    login = {"authorizationData": [{"authorizationToken": "QVdTOnNlY3JldA=="}]}
    session.stub("ecr", "get_authorization_token", login)
    for _ in range(3):
        session.stub("ecr", "describe_images", {"imageDetails": [{"imageDigest": "sha256:abc"}]})
    session.parameters("/slipway/platform/", {"packages/domain": "dom", "packages/repository": "rep"})
    session.stub("codeartifact", "describe_package_version", {"packageVersion": {}})
    registry = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/slipway"
    wanted = artifacts.Artifacts(
        "abc", "python:3.11", f"{registry}/base/python", f"{registry}/build", Path("slipway-1.0-py3-none-any.whl"),
        tmp_path, tmp_path / "pip.conf",
    )  # fmt: skip
    artifacts.make(session, "slipway", wanted, Progress(io.StringIO()))
    assert [words[:2] for words in ran] == [["docker", "login"]]
    session.assert_all_called()
