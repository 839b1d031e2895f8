"""A project whose repository is at GitHub: a directory of git repositories on this machine stands for the provider.

It is launched through a connection that somebody made, tagged and completed; stamped over the connection's git
endpoint; cloned, changed and pushed to at the provider with nothing but git; and built because of that push. Then come
those launches that must fail, a release of the platform, and the updates that may and may not be.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slipway_demo import watching
from slipway_demo.people import persona
from tests.localcloud.providers import Provider, git
from tests.loop import asked
from tests.loop.conftest import TOOLING, Loop
from tests.loop.deployed import Deployed
from tests.loop.judging import Judge
from tests.loop.projects import Project, launching

pytestmark = [pytest.mark.thorough, pytest.mark.slow, pytest.mark.xdist_group("loop")]

NAME, HUB = "flight-hub", "slipway-hub"
STAMP = f"slipway: stamp {NAME}"


@dataclass(frozen=True)
class Connected:
    """The project, its repository at the provider, the connection. `pending`: a launch before the handshake."""

    project: Project
    provider: Provider
    connection: str
    pending: dict[str, Any]

    @property
    def loop(self) -> Loop:
        return self.project.loop

    def head(self) -> str:
        return git(self.provider.bare, "rev-parse", "main")

    def push(self, message: str) -> str:
        """Commit everything and push it to the provider. Returns the commit."""
        git(self.provider.clone, "add", "--all")
        git(self.provider.clone, "commit", "--quiet", "--allow-empty", "-m", message)
        git(self.provider.clone, "push", "--quiet", "origin", "HEAD:main")
        return git(self.provider.clone, "rev-parse", "HEAD")

    def execution(self, commit: str) -> str:
        """The build's execution that a commit started."""
        return watching.execution_of(self.loop.admin(TOOLING).client("codepipeline"), self.project.build, commit)

    def source(self, execution: str) -> dict[str, Any]:
        """The source action of an execution of the build."""
        pipelines = self.loop.admin(TOOLING).client("codepipeline")
        wanted = {"pipelineName": self.project.build, "filter": {"pipelineExecutionId": execution}}
        details = pipelines.list_action_executions(**wanted)["actionExecutionDetails"]
        return dict(next(item for item in details if item["stageName"] == "Source"))


def made(loop: Loop, name: str, tags: dict[str, str]) -> str:
    """A connection to GitHub, made by CloudFormation and tagged, as a person deploys it. Returns its ARN."""
    cloudformation = loop.admin(TOOLING).client("cloudformation")
    properties = {
        "ConnectionName": name,
        "ProviderType": "GitHub",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    body = {
        "Resources": {"Hub": {"Type": "AWS::CodeConnections::Connection", "Properties": properties}},
        "Outputs": {"Arn": {"Value": {"Ref": "Hub"}}},
    }
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    outputs = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    return str(outputs[0]["OutputValue"])


def connect(loop: Loop, connection: str, provider: Path) -> None:
    """The handshake, which is a page of the console on AWS."""
    command = [sys.executable, "-m", "localcloud", "--home", str(loop.cloud.home), "connect", connection, str(provider)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def elsewhere(connection: str, repository: str) -> dict[str, str]:
    return {"SourceProvider": "GitHub", "ConnectionArn": connection, "RepositoryId": repository}


def launched(loop: Loop, name: str, connection: str, repository: str) -> dict[str, Any]:
    """The record of a launch, however it ended."""
    return launching(loop, name, ProjectName=name, **elsewhere(connection, repository))()


@pytest.fixture(scope="module")
def connected(loop: Loop) -> Connected:
    """Launched through a connection; the launch before its handshake has failed."""
    provider = Provider(loop.folder / "provider", "acme/flights")
    connection = made(loop, HUB, {"Namespace": "slipway"})
    pending = launched(loop, "flight-pending", connection, "acme/flights")
    connect(loop, connection, provider.folder)
    record = launched(loop, NAME, connection, "acme/flights")
    assert record["Status"] == "SUCCEEDED", record["RecordErrors"]
    return Connected(Project(loop, NAME), provider, connection, pending)


def reasons(loop: Loop, name: str) -> str:
    """Why the stacks of a launch or an update failed, as a person reads it in their events."""
    cloudformation, found = loop.admin(TOOLING).client("cloudformation"), []
    for stack in cloudformation.get_paginator("list_stacks").paginate().search("StackSummaries[]"):
        catalogued = stack["StackName"].startswith("SC-")
        if not catalogued:
            continue
        for event in cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]:
            if event["ResourceStatus"].endswith("_FAILED"):
                found.append(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}")
    return "\n".join(line for line in found if name in line)


def nothing_left(loop: Loop, name: str) -> None:
    """A launch that failed has left no pipeline, parameter, bucket or role."""
    tooling = loop.admin(TOOLING)
    assert not tooling.client("ssm").get_parameters_by_path(Path=f"/slipway/projects/{name}/")["Parameters"]
    pipelines = tooling.client("codepipeline").list_pipelines()["pipelines"]
    assert not [item for item in pipelines if name in item["name"]]
    assert not [item for item in tooling.client("s3").list_buckets()["Buckets"] if name in item["Name"]]
    roles = tooling.client("iam").get_paginator("list_roles").paginate().search("Roles[].RoleName")
    assert not [role for role in roles if name in role]


# -- the loop ---------------------------------------------------------------------------------------------------------


def test_the_first_commit_is_pushed_over_the_connection(connected: Connected) -> None:
    """Protects the launch: the empty repository has the seed code, and its stamp is read and not trained."""
    assert git(connected.provider.bare, "log", "--format=%s", "main") == STAMP
    files = git(connected.provider.bare, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert {"project.yaml", "training/train.py", ".cruft.json"} <= set(files)
    execution = connected.execution(connected.head())
    assert connected.loop.wait(execution, connected.project.build) == "Succeeded"
    assert connected.source(execution)["output"]["outputVariables"]["CommitMessage"] == STAMP
    assert connected.project.packages() == []
    assert connected.project.parameter("repository") == "acme/flights"
    assert connected.project.parameter("source-provider") == "GitHub"


def test_a_push_at_the_provider_makes_a_model(connected: Connected) -> None:
    """Protects the Data Scientist elsewhere: clone, edit and push with plain git, and the model is registered."""
    git(connected.provider.clone, "pull", "--quiet", "origin", "main")
    with (connected.provider.clone / "README.md").open("a") as readme:
        readme.write("\nIt lives at GitHub.\n")
    commit = connected.push("Say where it lives")
    execution = connected.execution(commit)
    pipelines = connected.loop.admin(TOOLING).client("codepipeline")
    found = pipelines.get_pipeline_execution(pipelineName=connected.project.build, pipelineExecutionId=execution)
    assert found["pipelineExecution"]["trigger"] == {
        "triggerType": "WebhookV2",
        "triggerDetail": connected.connection,
    }
    model = connected.project.built(execution)["CustomerMetadataProperties"]
    assert (model["commit"], model["cause"], model["version"]) == (commit, "merge", "V1.0.0")


def test_what_was_done_over_the_connection_is_allowed_on_aws(connected: Connected) -> None:
    """Protects deployments to AWS: stamp, pipeline and launch role may do all that they did with the connection."""
    people = connected.loop.admin(TOOLING)
    deployed = Deployed(lambda _, service: people.client(service))
    found = [
        question
        for question in asked.questions(connected.loop.cloud.home, deployed)
        if question.resource == connected.connection and question.role
    ]
    judge = Judge(deployed)
    assert not [reason for reason in map(judge.reason, found) if reason]
    assert not judge.unanswered
    seen = {
        (question.role.name, question.action, str(question.keys.get("codeconnections:ProviderAction")))
        for question in found
        if question.role
    }
    use = "codeconnections:UseConnection"
    assert {
        ("slipway-stamp", use, "GitPull"),
        ("slipway-stamp", use, "GitPush"),
        (f"slipway-{NAME}-pipeline", use, "StartUploadArchiveToS3"),
        ("slipway-launch-project", "codeconnections:PassConnection", "None"),
    } <= seen


# -- launches that must fail ------------------------------------------------------------------------------------------


def test_a_connection_that_waits_for_its_handshake_fails_the_launch(connected: Connected) -> None:
    """Protects who forgot the console: the launch says what is wrong with the connection, and leaves nothing."""
    assert connected.pending["Status"] == "FAILED"
    said = reasons(connected.loop, "acme/flights cannot be read over its connection")
    assert "its status is PENDING" in said, said
    nothing_left(connected.loop, "flight-pending")


def test_somebody_elses_repository_is_left_as_it_is(connected: Connected, tmp_path: Path) -> None:
    """Protects repositories with a history of their own: nothing is pushed, and the launch fails with the reason."""
    other = Provider(tmp_path, "acme/other")
    head = other.commit("Somebody's work")
    target = connected.provider.folder / "acme" / "other.git"
    other.bare.rename(target)
    record = launched(connected.loop, "flight-other", connected.connection, "acme/other")
    assert record["Status"] == "FAILED"
    assert "acme/other is not empty and does not begin with" in reasons(connected.loop, "acme/other")
    assert git(target, "for-each-ref", "--format=%(refname) %(objectname)") == f"refs/heads/main {head}"
    nothing_left(connected.loop, "flight-other")


def test_a_connection_that_was_not_given_to_the_platform_is_refused(connected: Connected, tmp_path: Path) -> None:
    """Protects other teams' connections: without the platform's tag no launch uses one, whoever names it."""
    other = Provider(tmp_path, "acme/untagged")
    connection = made(connected.loop, "another-teams-hub", {"Team": "another"})
    connect(connected.loop, connection, other.folder)
    record = launched(connected.loop, "flight-untagged", connection, "acme/untagged")
    assert record["Status"] == "FAILED"
    said = reasons(connected.loop, "acme/untagged")
    assert "is not authorized to use connection" in said, said
    assert git(other.bare, "for-each-ref") == ""
    nothing_left(connected.loop, "flight-untagged")


# -- releases and updates ---------------------------------------------------------------------------------------------


def test_an_offer_of_new_seed_code_names_the_project_and_goes_on(connected: Connected) -> None:
    """Protects the others: a project elsewhere is told of, is left as it is, and fails nothing."""
    codebuild, head = connected.loop.admin(TOOLING).client("codebuild"), connected.head()
    build = codebuild.start_build(projectName="slipway-template-update")["build"]["id"]
    deadline = time.monotonic() + 120
    while not (found := codebuild.batch_get_builds(ids=[build])["builds"][0])["buildComplete"]:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    log = connected.loop.build_log("slipway-template-update")
    assert found["buildStatus"] == "SUCCEEDED", log
    assert f"{NAME}: acme/flights is not in CodeCommit" in log, log
    assert "flight-delays: " in log, log
    assert connected.head() == head


def updated(connected: Connected, **parameters: str) -> dict[str, Any]:
    """The record of an update of the project's product by the Data Science Admin, however it ended."""
    catalogue = persona(connected.loop.place, "DataScienceAdmin").client("servicecatalog")
    product = catalogue.describe_provisioned_product(Name=NAME)["ProvisionedProductDetail"]
    record: dict[str, Any] = catalogue.update_provisioned_product(
        ProvisionedProductId=product["Id"], ProductId=product["ProductId"],
        ProvisioningArtifactId=product["ProvisioningArtifactId"], UpdateToken=str(time.time_ns()),
        PathId=catalogue.list_launch_paths(ProductId=product["ProductId"])["LaunchPathSummaries"][0]["Id"],
        ProvisioningParameters=[
            {"Key": key, "UsePreviousValue": True}
            for key in ("ProjectName", "SourceProvider", "ConnectionArn", "RepositoryId") if key not in parameters
        ] + [{"Key": key, "Value": value} for key, value in parameters.items()],
    )["RecordDetail"]  # fmt: skip
    return finished(catalogue, record)


def finished(catalogue: Any, record: dict[str, Any]) -> dict[str, Any]:
    """The record of an update or a termination, once it has ended."""
    deadline = time.monotonic() + 300
    while record["Status"] not in ("SUCCEEDED", "FAILED"):
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.3)
        record = catalogue.describe_record(Id=record["RecordId"])["RecordDetail"]
    return record


MOVES = [
    (
        {"SourceProvider": "CodeCommit", "ConnectionArn": "", "RepositoryId": ""},
        f"/repository is 'acme/flights', given '{NAME}'",
    ),
    ({"RepositoryId": "acme/moved"}, "/repository is 'acme/flights', given 'acme/moved'"),
    ({"SourceProvider": "GitLab"}, "/source-provider is 'GitHub', given 'GitLab'"),
]


@pytest.mark.parametrize(("move", "changed"), MOVES, ids=["to CodeCommit", "to another repository", "to GitLab"])
def test_a_project_is_not_moved_by_an_update(connected: Connected, move: dict[str, str], changed: str) -> None:
    """Protects the proof of where models come from: the update is refused by name, and the project goes on."""
    pipelines = connected.loop.admin(TOOLING).client("codepipeline")
    before = pipelines.get_pipeline(name=connected.project.build)["pipeline"]
    record = updated(connected, **move)
    assert record["Status"] == "FAILED", record
    said = record["RecordErrors"][0]["Description"]
    assert f"{changed}. A project keeps its repository" in said, said
    assert pipelines.get_pipeline(name=connected.project.build)["pipeline"] == before
    assert connected.project.parameter("repository") == "acme/flights"
    assert connected.project.parameter("source-provider") == "GitHub"
    product = persona(connected.loop.place, "DataScienceAdmin").client("servicecatalog").describe_provisioned_product
    assert product(Name=NAME)["ProvisionedProductDetail"]["Status"] == "TAINTED"


def test_a_connection_can_be_replaced(connected: Connected) -> None:
    """Protects a project whose connection has to go: another that reaches the same repository takes its place."""
    another = made(connected.loop, "slipway-hub-2", {"Namespace": "slipway"})
    connect(connected.loop, another, connected.provider.folder)
    record = updated(connected, ConnectionArn=another)
    assert record["Status"] == "SUCCEEDED", record["RecordErrors"]
    execution = connected.execution(connected.push("Over another connection"))
    source = connected.source(execution)
    assert (source["status"], source["output"]["outputVariables"]["ConnectionArn"]) == ("Succeeded", another)
    assert connected.loop.wait(execution, connected.project.build) == "Succeeded"


def test_a_project_that_ends_leaves_the_providers_repository(connected: Connected) -> None:
    """Protects the history, which is not the platform's: the pipelines go, the repository is as it was."""
    head = connected.head()
    catalogue = persona(connected.loop.place, "DataScienceAdmin").client("servicecatalog")
    record = catalogue.terminate_provisioned_product(
        ProvisionedProductName=NAME, TerminateToken=str(time.time_ns())
    )["RecordDetail"]  # fmt: skip
    ended = finished(catalogue, record)
    assert ended["Status"] == "SUCCEEDED", ended["RecordErrors"]
    pipelines = connected.loop.admin(TOOLING).client("codepipeline").list_pipelines()["pipelines"]
    assert not [item for item in pipelines if NAME in item["name"]]
    assert connected.head() == head
    assert git(connected.provider.bare, "fsck", "--strict") == ""
