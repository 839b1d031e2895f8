"""CodeConnections through boto3, git and CodePipeline: a connection reaches bare repositories of this machine.

Nothing here writes into a repository but git: a push to the directory is a push at the provider.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest

from localcloud.services.codecommit import access
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud, free_port
from tests.localcloud.pipelines import Bench, action, approval, refused, until
from tests.localcloud.providers import Provider, connect, connected, connection, git, role, use


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """One that is killed, too."""
    running = LocalCloud(tmp_path_factory.mktemp("connections") / "home", free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path)


def status(cloud: LocalCloud, arn: str) -> str:
    found = cloud.client("codeconnections").get_connection(ConnectionArn=arn)["Connection"]
    return str(found["ConnectionStatus"])


# -- the API ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["codeconnections", "codestar-connections"])
def test_a_connection_is_pending_until_the_handshake(cloud: LocalCloud, provider: Provider, service: str) -> None:
    """Protects who waits for a person: made by API it cannot be used, and either name of the service knows it."""
    client = cloud.client(service)
    arn = connection(cloud, service, Namespace="slipway")
    assert arn.startswith(f"arn:aws:{service}:{REGION}:{TOOLING}:connection/")
    found = client.get_connection(ConnectionArn=arn)["Connection"]
    assert (found["ConnectionStatus"], found["ProviderType"], found["OwnerAccountId"]) == ("PENDING", "GitHub", TOOLING)
    assert arn in {one["ConnectionArn"] for one in client.list_connections(ProviderTypeFilter="GitHub")["Connections"]}
    assert arn not in {
        one["ConnectionArn"] for one in client.list_connections(ProviderTypeFilter="GitLab")["Connections"]
    }
    done = connect(cloud, arn, provider.folder)
    assert "is available" in done.stdout, done.stderr
    assert status(cloud, arn) == "AVAILABLE"
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    client.untag_resource(ResourceArn=arn, TagKeys=["Namespace"])
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    client.delete_connection(ConnectionArn=arn)
    for call in ("get_connection", "delete_connection"):
        refused("ResourceNotFoundException", getattr(client, call), ConnectionArn=arn)
    assert provider.bare.exists()


def test_what_cannot_be_connected_is_refused(cloud: LocalCloud, provider: Provider, tmp_path: Path) -> None:
    """Protects from a connection that leads nowhere, in one sentence each."""
    arn = connection(cloud)
    for given, directory, message in (
        (arn, tmp_path / "nowhere", "allowed the absolute path of a directory"),
        (arn[:-1] + "x", provider.folder, "there is no connection"),
    ):
        done = connect(cloud, given, directory)
        assert done.returncode == 1
        assert message in done.stderr, done.stderr
    assert status(cloud, arn) == "PENDING"
    client = cloud.client("codeconnections")
    name = client.get_connection(ConnectionArn=arn)["Connection"]["ConnectionName"]
    for wrong in (
        {"ConnectionName": name, "ProviderType": "GitHub"},
        {"ConnectionName": "nothing"},
        {"ConnectionName": "mine", "ProviderType": "GitHubEnterpriseServer"},
    ):
        refused("InvalidInputException", client.create_connection, **wrong)
    refused("NotImplemented", client.list_hosts)


def test_a_provider_that_is_away_is_an_error_until_it_is_back(cloud: LocalCloud, tmp_path: Path) -> None:
    """Protects from a look into a directory that was moved: the state says so, and mends itself."""
    provider = Provider(tmp_path / "there")
    arn = connected(cloud, provider)
    provider.folder.rename(tmp_path / "away")
    assert status(cloud, arn) == "ERROR"
    (tmp_path / "away").rename(provider.folder)
    assert status(cloud, arn) == "AVAILABLE"


@pytest.mark.parametrize("kind", ["CodeConnections", "CodeStarConnections"])
def test_a_stack_makes_changes_and_removes_a_connection(cloud: LocalCloud, kind: str) -> None:
    """Protects templates: the type has a life, and its connection is one that the API knows."""
    cloudformation, name = cloud.client("cloudformation"), f"hub-{uuid4().hex[:8]}"

    def body(**changes: Any) -> str:
        properties = {"ConnectionName": name, "ProviderType": "GitHub", **changes}
        resource = {"Type": f"AWS::{kind}::Connection", "Properties": properties}
        outputs = {"Arn": {"Value": {"Ref": "Hub"}}, "Status": {"Value": {"Fn::GetAtt": ["Hub", "ConnectionStatus"]}}}
        return json.dumps({"Resources": {"Hub": resource}, "Outputs": outputs})

    def outputs() -> dict[str, str]:
        until(lambda: not described()["StackStatus"].endswith("_IN_PROGRESS"))
        return {item["OutputKey"]: item["OutputValue"] for item in described()["Outputs"]}

    def described() -> dict[str, Any]:
        return dict(cloudformation.describe_stacks(StackName=name)["Stacks"][0])

    cloudformation.create_stack(StackName=name, TemplateBody=body(Tags=[{"Key": "Namespace", "Value": "slipway"}]))
    first = outputs()
    assert first["Status"] == "PENDING"
    cloudformation.update_stack(StackName=name, TemplateBody=body(Tags=[{"Key": "Namespace", "Value": "other"}]))
    assert outputs()["Arn"] == first["Arn"]
    tags = cloud.client("codeconnections").list_tags_for_resource(ResourceArn=first["Arn"])["Tags"]
    assert {"Key": "Namespace", "Value": "other"} in tags
    cloudformation.update_stack(StackName=name, TemplateBody=body(ConnectionName=f"{name}-2", ProviderType="GitLab"))
    second = outputs()["Arn"]
    assert second != first["Arn"]
    cloudformation.delete_stack(StackName=name)
    client = cloud.client("codeconnections")
    until(lambda: second not in str(client.list_connections()))
    assert first["Arn"] not in str(client.list_connections())


# -- the git endpoint -------------------------------------------------------------------------------------------------


def user(cloud: LocalCloud, allow: Any = None) -> dict[str, str]:
    """The keys of a person with a policy."""
    iam, name = cloud.client("iam"), f"user-{uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    if allow:
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **allow}]}
        iam.put_user_policy(UserName=name, PolicyName="use", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def address(cloud: LocalCloud, arn: str, name: str) -> str:
    return f"{cloud.endpoint}/git-http/{TOOLING}/{REGION}/{arn.rpartition('/')[2]}/{name}.git"


def signed(person: dict[str, str], url: str) -> tuple[str, str]:
    """git's option for the credentials that `aws codecommit credential-helper get` makes; a build's test runs that."""
    parts, stamp = urlsplit(url), time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    secret, host = person["AWS_SECRET_ACCESS_KEY"], str(parts.hostname)
    made = access.signature(secret, region=REGION, stamp=stamp, path=unquote(parts.path), host=host)
    answer = f"echo username={person['AWS_ACCESS_KEY_ID']}; echo password={stamp}Z{made}"
    return "-c", f"credential.helper=!f() {{ {answer}; }}; f"


def test_the_endpoint_serves_whom_policies_let_use_the_connection(cloud: LocalCloud, provider: Provider) -> None:
    """Protects repositories of others: who may use which connection for what decides, as IAM is asked on AWS."""
    arn = connected(cloud, provider, Namespace="slipway")
    head = provider.commit("one")
    use: dict[str, Any] = {"Action": "codeconnections:UseConnection", "Resource": arn}
    tagged = {"StringEquals": {"aws:ResourceTag/Namespace": "slipway"}}
    reads = {"StringEquals": {"codeconnections:ProviderAction": "GitPull"}}
    other = {"StringEquals": {"codeconnections:FullRepositoryId": "acme/other"}}
    url = address(cloud, arn, provider.name)

    def listed(person: dict[str, str], *, check: bool = True) -> str:
        return git(provider.folder, *signed(person, url), "ls-remote", url, check=check)

    assert head in listed(user(cloud, {**use, "Condition": tagged}))
    for condition in (None, {"StringEquals": {"aws:ResourceTag/Namespace": "other"}}, other):
        person = user(cloud, {**use, "Condition": condition} if condition else None)
        said = listed(person, check=False)
        assert "403" in said, said
    reader = user(cloud, {**use, "Condition": reads})
    assert head in listed(reader)
    git(provider.clone, "commit", "--quiet", "--allow-empty", "-m", "two")
    push = ("push", "--quiet", url, "HEAD:main")
    assert "403" in git(provider.clone, *signed(reader, url), *push, check=False)
    assert git(provider.bare, "rev-parse", "main") == head
    git(provider.clone, *signed(user(cloud, use), url), *push)
    assert git(provider.bare, "rev-parse", "main") == git(provider.clone, "rev-parse", "HEAD")


def test_the_endpoint_says_what_is_wrong(cloud: LocalCloud, provider: Provider, tmp_path: Path) -> None:
    """Protects who looks for the cause: no signature, a wrong secret, a pending connection, a repository not given."""
    arn, pending = connected(cloud, provider), connection(cloud)
    provider.commit("one")
    person = user(cloud, {"Action": "codeconnections:UseConnection", "Resource": "*"})
    url = address(cloud, arn, provider.name)

    def said(where: str, **more: str) -> str:
        return git(tmp_path, *signed({**person, **more}, where), "ls-remote", where, check=False)

    assert "could not read Username" in git(tmp_path, "ls-remote", url, check=False)
    assert "Authentication failed" in said(url, AWS_SECRET_ACCESS_KEY="wrong")
    assert "its status is PENDING" in said(address(cloud, pending, provider.name))
    assert "was given no repository acme/nothing" in said(address(cloud, arn, "acme/nothing"))
    for escape in ("acme/..", "../clone", "acme/%2e%2e/acme/delays"):
        assert said(address(cloud, arn, escape)).startswith("128 ")


# -- builds -----------------------------------------------------------------------------------------------------------

HOST = f"https://codeconnections.{REGION}.amazonaws.com"
SPEC = f"""\
version: 0.2
phases:
  build:
    commands:
      - git init --quiet here && cd here
      - git config credential.{HOST}.helper '!aws codecommit credential-helper $@'
      - git config credential.{HOST}.UseHttpPath true
      - git fetch --quiet "$URL" main && git checkout --quiet FETCH_HEAD
      - cat a.txt
      - GIT_AUTHOR_NAME=B GIT_AUTHOR_EMAIL=b@example.com GIT_COMMITTER_NAME=B GIT_COMMITTER_EMAIL=b@example.com
        git commit --quiet --allow-empty -m built && git push --quiet "$URL" HEAD:refs/heads/built
"""
UNSIGNED = 'version: 0.2\nphases: {build: {commands: ["git ls-remote \\"$URL\\""]}}\n'


def test_a_build_reaches_the_endpoint_at_awss_own_address(cloud: LocalCloud, provider: Provider) -> None:
    """Protects the law of one path: git asks the host that AWS has, and signs in as it was told for that host."""
    arn = connected(cloud, provider)
    provider.commit("hello from main")
    url = f"{HOST}/git-http/{TOOLING}/{REGION}/{arn.rpartition('/')[2]}/{provider.name}.git"
    codebuild, name = cloud.client("codebuild"), f"reach-{uuid4().hex[:8]}"
    environment = {
        "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL",
        "environmentVariables": [{"name": "URL", "value": url}],
    }  # fmt: skip
    codebuild.create_project(
        name=name, serviceRole=role(cloud, "codebuild", use(arn)), environment=environment,
        source={"type": "NO_SOURCE", "buildspec": SPEC}, artifacts={"type": "NO_ARTIFACTS"},
    )  # fmt: skip
    for spec, expected in ((SPEC, "SUCCEEDED"), (UNSIGNED, "FAILED")):
        build = codebuild.start_build(projectName=name, buildspecOverride=spec)["build"]["id"]
        until(lambda build=build: codebuild.batch_get_builds(ids=[build])["builds"][0]["buildComplete"], 60)
        found = codebuild.batch_get_builds(ids=[build])["builds"][0]
        assert found["buildStatus"] == expected, log(cloud, found)
    assert git(provider.bare, "log", "-1", "--format=%s", "built") == "built"


def log(cloud: LocalCloud, build: dict[str, Any]) -> str:
    place = build["logs"]
    events = cloud.client("logs").get_log_events(logGroupName=place["groupName"], logStreamName=place["streamName"])
    return "\n".join(event["message"] for event in events["events"])


# -- pipelines --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(cloud: LocalCloud) -> Bench:
    return Bench(cloud)


def source(arn: str, name: str = "acme/delays", **configuration: str) -> dict[str, Any]:
    given = {"ConnectionArn": arn, "FullRepositoryId": name, "BranchName": "main", **configuration}
    outputs = [{"name": "Code"}]
    return action(
        "Source", "Source", "CodeStarSourceConnection", configuration=given, outputArtifacts=outputs, namespace="Source"
    )


def pipeline(bench: Bench, arn: str, *push: dict[str, Any], **configuration: str) -> str:
    """A pipeline with a connected source, and perhaps a trigger; its role may use the connection for that source."""
    declared = bench.declare(f"connected-{uuid4().hex[:6]}", [bench.deploy()])
    declared["stages"][0]["actions"] = [source(arn, **configuration)]
    condition = {"StringEqualsIfExists": {"codeconnections:FullRepositoryId": "acme/delays"}}
    declared["roleArn"] = role(bench.cloud, "codepipeline", use(arn, Condition=condition))
    if push:
        git_configuration = {"sourceActionName": "Source", "push": list(push)}
        declared["triggers"] = [{"providerType": "CodeStarSourceConnection", "gitConfiguration": git_configuration}]
    bench.pipelines.create_pipeline(pipeline=declared)
    return str(declared["name"])


def settled(bench: Bench, name: str, count: int) -> list[dict[str, Any]]:
    """The executions once there are so many, none of which goes on; oldest first."""

    def done() -> bool:
        found = bench.executions(name)
        return len(found) >= count and all(item["status"] != "InProgress" for item in found)

    until(done, what=bench.show(name))
    return bench.executions(name)


def said(bench: Bench, name: str) -> tuple[str, str]:
    """Code and message of the newest source action, which failed."""
    details = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    found = next(item for item in details if item["actionName"] == "Source")["output"]["executionResult"][
        "errorDetails"
    ]
    return found["code"], found["message"]


def test_a_source_hands_on_what_it_does_on_aws(bench: Bench, cloud: LocalCloud, provider: Provider) -> None:
    """Protects what stands behind a source: the tree, the revision and its variables."""
    arn = connected(cloud, provider)
    head = provider.commit("Say what & why")
    name = pipeline(bench, arn, DetectChanges="false")
    (execution,) = settled(bench, name, 1)
    assert execution["status"] == "Succeeded", bench.show(name)
    (revision,) = execution["sourceRevisions"]
    assert revision["revisionId"] == head
    assert json.loads(revision["revisionSummary"]) == {"ProviderType": "GitHub", "CommitMessage": "Say what & why"}
    assert (
        f"connectionArn={arn}&referenceType=COMMIT&FullRepositoryId=acme/delays&Commit={head}"
        in revision["revisionUrl"]
    )
    details = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    variables = next(item for item in details if item["actionName"] == "Source")["output"]["outputVariables"]
    assert variables.pop("AuthorDate").endswith("Z")
    assert variables == {
        "BranchName": "main",
        "CommitId": head,
        "CommitMessage": "Say what & why",
        "ConnectionArn": arn,
        "FullRepositoryName": "acme/delays",
        "ProviderType": "GitHub",
    }
    assert b"Say what & why" in bench.s3.get_object(Bucket=bench.store, Key="out/Deploy.zip")["Body"].read()
    provider.commit("not detected")
    time.sleep(2.5)
    assert len(bench.executions(name)) == 1


def test_a_source_that_cannot_be_had_says_why(bench: Bench, cloud: LocalCloud, provider: Provider) -> None:
    """Protects who reads the pipeline: the handshake, the repository, the branch or the permission is named."""
    arn, pending = connected(cloud, provider), connection(cloud)
    for given, configuration, code, message in (
        (pending, {}, "ConfigurationError", "is not available: its status is PENDING"),
        (arn, {}, "RevisionUnavailable", "[GitHub] No Branch [main] found for FullRepositoryName [acme/delays]"),
        (arn, {"FullRepositoryId": "acme/other"}, "PermissionError", "does not have sufficient permissions"),
        (arn[:-4] + "0000", {}, "ConfigurationError", "does not exist"),
    ):
        name = pipeline(bench, given, **configuration)
        settled(bench, name, 1)
        assert said(bench, name)[0] == code
        assert message in said(bench, name)[1]


def test_pull_requests_are_refused_by_name(bench: Bench, cloud: LocalCloud, provider: Provider) -> None:
    """Protects from a trigger that would silently never fire: a directory has no pull requests."""
    declared = bench.declare("pulled", [approval()])
    declared["stages"][0]["actions"] = [source(connected(cloud, provider))]
    filters = {"sourceActionName": "Source", "pullRequest": [{"events": ["OPEN"]}]}
    declared["triggers"] = [{"providerType": "CodeStarSourceConnection", "gitConfiguration": filters}]
    assert "pullRequest" in refused("InvalidStructureException", bench.pipelines.create_pipeline, pipeline=declared)


def test_a_push_starts_the_pipeline_whoever_pushed(bench: Bench, cloud: LocalCloud, provider: Provider) -> None:
    """Protects the trigger: branches, file paths and tags as filtered, with the commit that was pushed."""
    provider.commit("first")
    arn = connected(cloud, provider)
    by_path = {"branches": {"includes": ["main", "release/**"]}, "filePaths": {"excludes": ["docs/**", "*.md"]}}
    name = pipeline(bench, arn, by_path, {"tags": {"includes": ["v*"]}}, DetectChanges="false")
    settled(bench, name, 1)
    code = provider.commit("code", "src/a.py")
    (_, second) = settled(bench, name, 2)
    assert second["trigger"] == {"triggerType": "WebhookV2", "triggerDetail": arn}
    assert second["sourceRevisions"][0]["revisionId"] == code
    provider.commit("docs", "docs/deep/a.txt")
    provider.commit("readme", "README.md")
    provider.commit("mine", "src/b.py", "HEAD:mine")
    time.sleep(2.5)
    assert len(bench.executions(name)) == 2
    released = provider.commit("released", "src/c.py", "HEAD:release/1/a")
    assert settled(bench, name, 3)[-1]["sourceRevisions"][0]["revisionId"] == released
    git(provider.clone, "tag", "v1")
    git(provider.clone, "push", "--quiet", "origin", "v1", ":mine")
    assert settled(bench, name, 4)[-1]["sourceRevisions"][0]["revisionId"] == released


def test_without_a_trigger_its_branch_is_detected(bench: Bench, cloud: LocalCloud, provider: Provider) -> None:
    """Protects pipelines as the console makes them: DetectChanges is on unless it is said to be off."""
    provider.commit("first")
    name = pipeline(bench, connected(cloud, provider))
    settled(bench, name, 1)
    provider.commit("elsewhere", to="HEAD:elsewhere")
    head = provider.commit("second")
    assert settled(bench, name, 2)[-1]["sourceRevisions"][0]["revisionId"] == head


def test_a_clone_reference_is_cloned_by_the_build(bench: Bench, cloud: LocalCloud, provider: Provider) -> None:
    """Protects builds that need the history: CodeBuild clones over the connection with its own role."""
    arn = connected(cloud, provider)
    provider.commit("one")
    head = provider.commit("two")
    codebuild, name = cloud.client("codebuild"), f"clone-{uuid4().hex[:8]}"
    spec = (
        'version: 0.2\nphases: {build: {commands: ["test $(git rev-list --count HEAD) = 2", "git rev-parse HEAD"]}}\n'
    )
    environment = {
        "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL",
    }  # fmt: skip
    codebuild.create_project(
        name=name, serviceRole=role(cloud, "codebuild", use(arn)), environment=environment,
        source={"type": "CODEPIPELINE", "buildspec": spec}, artifacts={"type": "CODEPIPELINE"},
    )  # fmt: skip
    built = action(
        "Build", "Build", "CodeBuild", configuration={"ProjectName": name}, inputArtifacts=[{"name": "Code"}]
    )
    declared = bench.declare(f"cloned-{uuid4().hex[:6]}", [built])
    declared["stages"][0]["actions"] = [source(arn, OutputArtifactFormat="CODEBUILD_CLONE_REF")]
    declared["roleArn"] = role(cloud, "codepipeline", use(arn))
    bench.pipelines.create_pipeline(pipeline=declared)
    until(lambda: bench.executions(declared["name"])[0]["status"] != "InProgress", 60)
    (execution,) = bench.executions(declared["name"])
    assert execution["status"] == "Succeeded", bench.show(declared["name"])
    assert execution["sourceRevisions"][0]["revisionId"] == head


def test_pushes_while_the_server_is_down_are_not_lost(cloud: LocalCloud, provider: Provider) -> None:
    """Protects a restart after kill -9: the connection is as it was, and each reference is told of once."""
    bench = Bench(cloud)
    provider.commit("first")
    arn = connected(cloud, provider, Namespace="slipway")
    name = pipeline(bench, arn)
    settled(bench, name, 1)
    cloud.kill()
    provider.commit("second")
    head = provider.commit("third")
    cloud.start()
    assert status(cloud, arn) == "AVAILABLE"
    assert settled(bench, name, 2)[-1]["sourceRevisions"][0]["revisionId"] == head
    time.sleep(2.5)
    assert len(bench.executions(name)) == 2
