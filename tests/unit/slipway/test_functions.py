"""The custom resource that runs a build: it always answers, and says why a build failed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from slipway.functions import build_runner
from slipway.functions.response import answer, send

from .fakes import Session

BUILD = "slipway-stamp:1234"
PROPERTIES = {"BuildProject": "slipway-stamp", "RunOn": "Create", "Variables": {"B": 1, "A": "x"}}


class Receiver(BaseHTTPRequestHandler):
    """CloudFormation's side: keeps what is PUT; the first request is refused once if told so."""

    got: list[dict[str, Any]] = []  # noqa: RUF012 - one list for the one server of a test
    refuse = 0

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == ""  # the address is signed for it
        if Receiver.refuse:
            Receiver.refuse -= 1
            self.send_response(500)
        else:
            Receiver.got.append(json.loads(content))
            self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Receiver.got, Receiver.refuse = [], 0
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/answer"
    server.shutdown()


def event(url: str, kind: str = "Create", **properties: Any) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": url,
        "StackId": "arn:stack",
        "RequestId": "r1",
        "LogicalResourceId": "SeedCode",
        "ResourceProperties": {**PROPERTIES, **properties},
        **({"PhysicalResourceId": "build/old"} if kind != "Create" else {}),
    }  # fmt: skip


CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:f",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 900_000,
)


def build(session: Session, *states: str, request: str = "Create", **more: Any) -> None:
    variables = [
        {"name": "A", "value": "x", "type": "PLAINTEXT"},
        {"name": "B", "value": "1", "type": "PLAINTEXT"},
        {"name": "STACK_REQUEST", "value": request, "type": "PLAINTEXT"},
    ]
    expected = {"projectName": "slipway-stamp", "environmentVariablesOverride": variables}
    session.stub("codebuild", "start_build", {"build": {"id": BUILD}}, expected)
    for state in states:
        session.stub("codebuild", "batch_get_builds", {"builds": [{"id": BUILD, "buildStatus": state, **more}]})


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    made = Session()
    monkeypatch.setattr("boto3.Session", lambda: made)
    monkeypatch.setattr("slipway.polling.SHORTEST_SECONDS", 0)
    return made


def test_a_build_that_succeeds(url: str, session: Session) -> None:
    build(
        session, "IN_PROGRESS", "SUCCEEDED", exportedEnvironmentVariables=[{"name": "BaseImage", "value": "b@sha256:1"}]
    )
    build_runner.handler(event(url), CONTEXT)
    assert Receiver.got[0]["Status"] == "SUCCESS"
    assert Receiver.got[0]["Data"] == {"BuildId": BUILD, "BaseImage": "b@sha256:1"}
    assert Receiver.got[0]["PhysicalResourceId"] == "build/slipway-stamp/r1"
    session.assert_all_called()


@pytest.mark.parametrize(
    ("kind", "run_on"), [("Delete", "Create"), ("Update", "Create"), ("Delete", "CreateAndUpdate")]
)
def test_what_needs_no_build_runs_none(url: str, session: Session, kind: str, run_on: str) -> None:
    build_runner.handler(event(url, kind, RunOn=run_on), CONTEXT)
    assert Receiver.got[0]["Status"] == "SUCCESS"
    assert Receiver.got[0]["PhysicalResourceId"] == "build/old"


def test_what_takes_back_runs_its_build_at_deletion_too(url: str, session: Session) -> None:
    """What a build put into another service goes with the stack; what was never made needs no taking back."""
    build(session, "SUCCEEDED", request="Delete")
    build_runner.handler(event(url, "Delete", RunOn="Create", RunOnDelete="true"), CONTEXT)
    assert Receiver.got[0]["Data"] == {"BuildId": BUILD}
    takes_back = {"BuildProject": "slipway-removal", "RunOnDelete": "true"}
    assert build_runner.wanted("Delete", takes_back, "build/old")
    assert not build_runner.wanted("Delete", takes_back, build_runner.NEVER_MADE + "1")
    assert not build_runner.wanted("Delete", {"BuildProject": "slipway-removal"}, "build/old")


NAMES = "/slipway/projects/delays/repository", "/slipway/projects/delays/source-provider"


def keeping(url: str, session: Session, kind: str, published: dict[str, str], *given: str) -> dict[str, Any]:
    """The answer for a resource that keeps where a project's repository is. `published`: parameters that there are."""
    found = [{"Name": name, "Value": value} for name, value in published.items()]
    session.stub("ssm", "get_parameters", {"Parameters": found}, {"Names": list(NAMES)})
    kept = [{"Parameter": name, "Value": value} for name, value in zip(NAMES, given, strict=True)]
    asked = event(url, kind)
    asked["ResourceProperties"] = {"Kept": kept, "KeptBecause": "Models name its commits."}
    build_runner.handler(asked, CONTEXT)
    session.assert_all_called()
    return Receiver.got[-1]


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_what_is_published_is_kept(url: str, session: Session, kind: str) -> None:
    """A project that is in CodeCommit is not updated to be elsewhere, by whichever release it was launched."""
    told = keeping(url, session, kind, dict(zip(NAMES, ("delays", "CodeCommit"), strict=True)), "acme/delays", "GitHub")
    assert told["Status"] == "FAILED"
    assert told["Reason"] == (
        "/slipway/projects/delays/repository is 'delays', given 'acme/delays'; "
        "/slipway/projects/delays/source-provider is 'CodeCommit', given 'GitHub'. "
        "Models name its commits. Nothing was changed."
    )
    old = keeping(url, session, kind, {NAMES[0]: "delays"}, "acme/delays", "GitHub")
    assert (old["Status"], "source-provider" in old["Reason"]) == ("FAILED", False)


@pytest.mark.parametrize("published", [{}, {NAMES[0]: "acme/delays"}, {NAMES[0]: "acme/delays", NAMES[1]: "GitHub"}])
def test_what_is_new_or_the_same_is_let_through(url: str, session: Session, published: dict[str, str]) -> None:
    """A launch, an update, and the rollback of one that was refused; no build is run for any of them."""
    assert keeping(url, session, "Update", published, "acme/delays", "GitHub")["Status"] == "SUCCESS"


def test_a_deletion_asks_for_nothing_that_is_kept(url: str, session: Session) -> None:
    asked = event(url, "Delete")
    asked["ResourceProperties"] = {"Kept": [{"Parameter": NAMES[0], "Value": "x"}]}
    build_runner.handler(asked, CONTEXT)
    assert Receiver.got[0]["Status"] == "SUCCESS"


def test_a_failed_creation_bears_an_identifier_that_needs_no_deletion(url: str, session: Session) -> None:
    """Or else the rollback would run the very build that has just failed."""
    session.refuse("codebuild", "start_build", "AccessDeniedException", "no")
    build_runner.handler(event(url), CONTEXT)
    assert Receiver.got[0]["PhysicalResourceId"].startswith(build_runner.NEVER_MADE)


def test_a_build_that_fails_says_why(url: str, session: Session) -> None:
    phase = {
        "phaseType": "BUILD",
        "phaseStatus": "FAILED",
        "contexts": [{"message": "Error while executing command: slipway project stamp. Reason: exit status 1"}],
    }
    build(session, "FAILED", phases=[phase], logs={"groupName": "g", "streamName": "s"})
    lines = ["project: given 'X', allowed 3 to 24", "[Container] 2026/01/01 Phase complete: BUILD State: FAILED"]
    session.stub("logs", "get_log_events", {"events": [{"message": f"{line}\n"} for line in lines]})
    build_runner.handler(event(url), CONTEXT)
    assert Receiver.got[0]["Status"] == "FAILED"
    assert Receiver.got[0]["Reason"].splitlines() == [
        f"build {BUILD} ended as FAILED",
        "BUILD: Error while executing command: slipway project stamp. Reason: exit status 1",
        "project: given 'X', allowed 3 to 24",
    ]


def test_whatever_happens_cloudformation_is_answered(url: str, session: Session) -> None:
    session.refuse("codebuild", "start_build", "AccessDeniedException", "no")
    build_runner.handler(event(url), CONTEXT)
    assert Receiver.got[0]["Status"] == "FAILED"
    assert "AccessDeniedException" in Receiver.got[0]["Reason"]


def test_a_build_that_never_ends_is_given_up(session: Session) -> None:
    build(session, "IN_PROGRESS", "IN_PROGRESS")
    moments = iter([0.0, 10.0, 99.0])
    with pytest.raises(build_runner.BuildFailed, match="has not ended after 60 seconds"):
        build_runner.run(
            session, event("")["ResourceProperties"], 60, "Create", sleep=lambda _: None, clock=lambda: next(moments)
        )


def test_the_answer_is_sent_again_if_it_did_not_arrive(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    Receiver.refuse = 1
    body = answer(event(url), "FAILED", "p", reason="é" * 4000)
    send(event(url), body)
    assert len(Receiver.got) == 1
    assert len(json.dumps(Receiver.got[0], ensure_ascii=False).encode()) < 4096


def versions(session: Session, *keys: str) -> None:
    found = [{"Key": key, "VersionId": f"v{number}"} for number, key in enumerate(keys)]
    session.stub("s3", "list_object_versions", {"Versions": found, "IsTruncated": False})


def test_a_bucket_that_only_a_failed_launch_used_is_emptied(
    url: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the rollback of a launch: CloudFormation deletes no bucket that still holds the empty release."""
    monkeypatch.setenv("NAMESPACE", "slipway")
    versions(session, "releases/none.zip", "slipway-alpha-deploy/Release/a1b2c3")
    deleted = [
        {"Key": "releases/none.zip", "VersionId": "v0"},
        {"Key": "slipway-alpha-deploy/Release/a1b2c3", "VersionId": "v1"},
    ]
    session.stub("s3", "delete_objects", {}, {"Bucket": "b", "Delete": {"Objects": deleted, "Quiet": True}})
    build_runner.handler(event(url, "Delete", EmptyIfUnused="b"), CONTEXT)
    assert Receiver.got[0]["Status"] == "SUCCESS"
    session.assert_all_called()


@pytest.mark.parametrize("kept", ["releases/1.zip", "models/model.tar.gz", "data/rows.csv"])
def test_a_bucket_that_a_project_used_is_left_alone(
    url: str, session: Session, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    """Protects the data of a project that is terminated: one object of its own keeps the whole bucket."""
    monkeypatch.setenv("NAMESPACE", "slipway")
    versions(session, "releases/none.zip", kept)
    build_runner.handler(event(url, "Delete", EmptyIfUnused="b"), CONTEXT)
    assert Receiver.got[0]["Status"] == "SUCCESS"
    session.assert_all_called()


def test_a_bucket_that_is_gone_needs_no_emptying(url: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the deletion of a stack whose bucket somebody has removed by hand."""
    monkeypatch.setenv("NAMESPACE", "slipway")
    session.refuse("s3", "list_object_versions", "NoSuchBucket", status=404)
    build_runner.handler(event(url, "Delete", EmptyIfUnused="b"), CONTEXT)
    assert Receiver.got[0]["Status"] == "SUCCESS"
