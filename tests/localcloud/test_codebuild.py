"""CodeBuild as boto3 and the `aws` command see it; builds run for real."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT, REGION = "111111111111", "eu-west-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
EVENTS = json.loads(json.dumps(TRUST).replace("codebuild", "events"))
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
STANDARD = {
    "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL",
}  # fmt: skip


def fails(code: str, call: Callable[..., Any], **request: Any) -> str:
    """The call fails with AWS's error code; the message is returned."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


def role(cloud: Any, trust: dict[str, Any] = TRUST) -> str:
    name = f"build-{uuid.uuid4().hex[:8]}"
    iam = cloud.client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(ALL))
    return str(arn)


@pytest.fixture(scope="module")
def service_role(cloud: Any) -> str:
    return role(cloud)


@pytest.fixture(scope="module")
def bucket(cloud: Any) -> str:
    name = f"codebuild-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


@pytest.fixture
def project(cloud: Any, service_role: str) -> Callable[..., str]:
    """Makes a project of an inline buildspec; returns its name."""

    def make(buildspec: str, **more: Any) -> str:
        name = f"p-{uuid.uuid4().hex[:8]}"
        request = {
            "name": name, "source": {"type": "NO_SOURCE", "buildspec": buildspec},
            "artifacts": {"type": "NO_ARTIFACTS"}, "environment": STANDARD, "serviceRole": service_role, **more,
        }  # fmt: skip
        cloud.client("codebuild").create_project(**request)
        return name

    return make


def wait(cloud: Any, identifier: str, seconds: float = 60) -> dict[str, Any]:
    client, deadline = cloud.client("codebuild"), time.monotonic() + seconds
    while time.monotonic() < deadline:
        build: dict[str, Any] = client.batch_get_builds(ids=[identifier])["builds"][0]
        if build["buildComplete"]:
            return build
        time.sleep(0.05)
    raise AssertionError(f"{identifier} is still in {build['currentPhase']}")


def run(cloud: Any, name: str, **overrides: Any) -> dict[str, Any]:
    return wait(cloud, cloud.client("codebuild").start_build(projectName=name, **overrides)["build"]["id"])


def log(cloud: Any, build: dict[str, Any]) -> str:
    logs = build["logs"]
    events = cloud.client("logs").get_log_events(
        logGroupName=logs["groupName"], logStreamName=logs["streamName"], startFromHead=True
    )["events"]
    return "\n".join(event["message"] for event in events)


def phases(build: dict[str, Any]) -> dict[str, str]:
    return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in build["phases"]}


def context(build: dict[str, Any], phase: str) -> tuple[str, str]:
    found = next(item for item in build["phases"] if item["phaseType"] == phase)["contexts"][0]
    return found["statusCode"], found["message"]


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, text in files.items():
            target.writestr(name, text)
    return buffer.getvalue()


# ---------------------------------------------------------------------- projects


def test_a_project_keeps_every_field_and_is_updated_listed_and_deleted(
    cloud: Any, project: Callable[..., str], bucket: str
) -> None:
    """Protects: what a template says of a project is what BatchGetProjects answers."""
    client = cloud.client("codebuild")
    given = {
        "description": "d",
        "cache": {"type": "S3", "location": f"{bucket}/cache"},
        "timeoutInMinutes": 10,
        "queuedTimeoutInMinutes": 20,
        "concurrentBuildLimit": 2,
        "encryptionKey": f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/key",
        "tags": [{"key": "a", "value": "b"}],
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED", "groupName": "/g"}, "s3Logs": {"status": "DISABLED"}},
    }
    name = project("version: 0.2\nphases: {build: {commands: [a]}}", **given)
    found = client.batch_get_projects(names=[name, "no-such"])
    assert found["projectsNotFound"] == ["no-such"]
    document = found["projects"][0]
    assert {key: document[key] for key in given} == given
    assert document["arn"] == f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{name}"
    assert document["environment"]["imagePullCredentialsType"] == "CODEBUILD"
    updated = client.update_project(name=name, description="new", concurrentBuildLimit=-1)["project"]
    assert (updated["description"], updated.get("concurrentBuildLimit"), updated["timeoutInMinutes"]) == (
        "new",
        None,
        10,
    )
    assert name in client.list_projects(sortBy="CREATED_TIME", sortOrder="DESCENDING")["projects"]
    request = {key: document[key] for key in ("name", "source", "artifacts", "environment", "serviceRole")}
    message = fails("ResourceAlreadyExistsException", client.create_project, **request)
    assert message == f"Project already exists: {document['arn']}"
    client.delete_project(name=name)
    client.delete_project(name=name)
    message = fails("ResourceNotFoundException", client.start_build, projectName=name)
    assert message == f"Project cannot be found: {document['arn']}"
    fails("ResourceNotFoundException", client.update_project, name=name, description="x")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"source": {"type": "S3"}}, "location is required for the source type S3"),
        ({"source": {"type": "NO_SOURCE"}}, "needs a buildspec, inline or as the ARN"),
        ({"source": {"type": "CODEPIPELINE"}}, "CODEPIPELINE must be the type of both"),
        ({"artifacts": {"type": "S3"}}, "Invalid artifacts: location"),
        ({"vpcConfig": {"vpcId": "vpc-1"}}, "a vpcId needs at least one of subnets"),
        ({"cache": {"type": "S3"}}, "Invalid cache: location"),
        ({"logsConfig": {"s3Logs": {"status": "ENABLED"}}}, "s3Logs needs a location"),
        ({"secondarySources": [{"type": "S3", "location": "b/k"}]}, "each needs a sourceIdentifier"),
        (
            {"environment": {**STANDARD, "environmentVariables": [{"name": "CODEBUILD_X", "value": "1"}]}},
            "names that begin with CODEBUILD_ are reserved",
        ),
    ],
)
def test_a_project_that_contradicts_itself_is_refused(
    cloud: Any, project: Callable[..., str], change: dict[str, Any], expected: str
) -> None:
    """Protects: a bad project fails when the stack is made, not when the first build runs."""
    with pytest.raises(ClientError) as caught:
        project("version: 0.2\nphases: {build: {commands: [a]}}", **change)
    assert caught.value.response["Error"]["Code"] == "InvalidInputException"
    assert expected in str(caught.value)


def test_a_role_that_codebuild_may_not_assume_is_refused(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: the trust policy of a service role counts."""
    lambda_only = json.loads(json.dumps(TRUST).replace("codebuild", "lambda"))
    for arn in (role(cloud, lambda_only), f"arn:aws:iam::{ACCOUNT}:role/no-such-role"):
        with pytest.raises(ClientError, match="CodeBuild is not authorized to perform: sts:AssumeRole on"):
            project("version: 0.2\nphases: {build: {commands: [a]}}", serviceRole=arn)


# ---------------------------------------------------------------------- commands and phases


def test_a_build_runs_its_commands_in_one_shell_as_the_service_role(
    cloud: Any, project: Callable[..., str], service_role: str
) -> None:
    """Protects: directory and variables persist over commands and phases; identity is the role's; HOME is its own."""
    name = project(
        """
version: 0.2
env:
  variables: {GREETING: from-buildspec, OTHER: kept}
  exported-variables: [RESULT]
phases:
  install:
    runtime-versions: {python: 3.11}
    commands: [mkdir deep, cd deep, PLAIN=plain]
  build:
    commands:
      - echo "in $(basename $PWD) with $PLAIN $GREETING $OTHER"
      - export RESULT="r-$PLAIN"
      - python -c "import boto3" || echo "no foreign packages"
      - python -c "import os; print('keys', sorted(k for k in os.environ if k.startswith('LOCALCLOUD')))"
      - echo "$CODEBUILD_BUILD_ID|$CODEBUILD_BUILD_NUMBER|$CODEBUILD_INITIATOR|$CODEBUILD_BUILD_SUCCEEDING|$AWS_REGION"
      - test "$HOME" = "$(dirname "$TMPDIR")/home" && test ! -e "$HOME/.aws" && test ! -e "$HOME/.ssh" && echo own-home
      - echo "$(git rev-parse --show-toplevel 2>&1 | head -1)"
      - docker info || true
  post_build:
    commands: [echo still in $(basename $PWD)]
""",
        environment={**STANDARD, "environmentVariables": [{"name": "GREETING", "value": "from-project"}]},
    )
    build = run(cloud, name, environmentVariablesOverride=[{"name": "OTHER", "value": "from-call"}])
    text = log(cloud, build)
    assert build["buildStatus"] == "SUCCEEDED", text
    assert "in deep with plain from-project from-call" in text
    assert "still in deep" in text
    assert "no foreign packages" in text
    assert "keys []" in text
    assert f"{build['id']}|1|root|1|{REGION}" in text
    assert "\nown-home\n" in text
    assert "not a git repository" in text
    assert "Cannot connect to the Docker daemon" in text
    assert build["exportedEnvironmentVariables"] == [{"name": "RESULT", "value": "r-plain"}]
    assert list(phases(build)) == [
        "SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD",
        "UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED",
    ]  # fmt: skip
    assert build["serviceRole"] == service_role
    assert build["logs"]["groupName"] == f"/aws/codebuild/{name}"
    ids = cloud.client("codebuild").list_builds_for_project(projectName=name)["ids"]
    assert ids == [build["id"]]


def test_the_identity_of_a_build_is_its_role(cloud: Any, project: Callable[..., str], service_role: str) -> None:
    """Protects: a build never acts with the server's own rights; its keys do not appear in the log."""
    name = project("version: 0.2\nphases: {build: {commands: [aws sts get-caller-identity, env]}}")
    build = run(cloud, name)
    text = log(cloud, build)
    session = f"{service_role.rsplit('/', 1)[-1]}/AWSCodeBuild-{build['id'].split(':')[1]}"
    assert f"arn:aws:sts::{ACCOUNT}:assumed-role/{session}" in text
    assert "AWS_SECRET_ACCESS_KEY=***" in text


def test_a_failing_command_ends_its_phase_and_post_build_knows(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: CodeBuild's transitions: finally runs, post_build runs after a failed build, the context tells why."""
    name = project("""
version: 0.2
phases:
  build:
    commands: [echo one, sh -c "exit 7", echo never-printed]
    finally: [echo finally]
  post_build:
    commands: ['echo "succeeding: $CODEBUILD_BUILD_SUCCEEDING"']
""")
    build = run(cloud, name)
    text = log(cloud, build)
    assert build["buildStatus"] == "FAILED"
    assert (phases(build)["BUILD"], phases(build)["POST_BUILD"]) == ("FAILED", "SUCCEEDED")
    message = 'Error while executing command: sh -c "exit 7". Reason: exit status 7'
    assert context(build, "BUILD") == ("COMMAND_EXECUTION_ERROR", message)
    assert "\nfinally\n" in text
    assert "succeeding: 0" in text
    assert "\nnever-printed\n" not in text
    assert f"Phase context status code: COMMAND_EXECUTION_ERROR Message: {message}" in text


def test_on_failure_says_what_follows(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: ABORT skips post_build, CONTINUE goes on, RETRY runs the phase again, a failed install ends it."""
    text = "version: 0.2\nphases:\n  {}: {{commands: ['{}'], on-failure: {}}}\n  post_build: {{commands: [echo]}}"
    aborted = run(cloud, project(text.format("build", "exit 1", "ABORT")))
    assert (aborted["buildStatus"], "POST_BUILD" in phases(aborted)) == ("FAILED", False)
    continued = run(cloud, project(text.format("install", "exit 1", "CONTINUE")))
    assert (phases(continued)["INSTALL"], phases(continued)["POST_BUILD"]) == ("FAILED", "SUCCEEDED")
    retried = run(cloud, project(text.format("pre_build", "echo x >> t; test $(wc -l < t) = 3", "RETRY-2")))
    assert retried["buildStatus"] == "SUCCEEDED"
    tired = run(cloud, project(text.format("pre_build", "exit 9", "RETRY-1-never")))
    assert (tired["buildStatus"], "BUILD" in phases(tired)) == ("FAILED", False)


def test_version_one_commands_share_nothing(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: version 0.1 runs each command in a shell of its own."""
    build = run(cloud, project("version: 0.1\nphases: {build: {commands: [cd /, X=1, 'echo \"[$X] $PWD\"']}}"))
    assert "[] /tmp" in log(cloud, build)


def test_a_malformed_buildspec_fails_before_any_command(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: the status code and message by which a person finds the line."""
    build = run(cloud, project("version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b"))
    code, message = context(build, "DOWNLOAD_SOURCE")
    assert code == "YAML_FILE_ERROR"
    assert message.startswith("Expected Commands[0] to be of string type: found subkeys instead at line 5")
    assert (build["buildStatus"], "BUILD" in phases(build)) == ("FAILED", False)


# ---------------------------------------------------------------------- sources, artifacts, variables


def test_source_and_artifacts_go_through_s3(cloud: Any, project: Callable[..., str], bucket: str) -> None:
    """Protects: a zip from S3 is built and its output lies where the project says, with its digests."""
    s3 = cloud.client("s3")
    spec = """
version: 0.2
phases: {build: {commands: [mkdir -p out/sub, cp in.txt out/sub/a.txt, touch out/b.pyc]}}
artifacts:
  base-directory: out
  files: ['**/*']
  exclude-paths: ['**/*.pyc']
  name: named-$CODEBUILD_BUILD_NUMBER
  secondary-artifacts:
    flat: {files: ['**/*.txt'], discard-paths: yes}
"""
    s3.put_object(Bucket=bucket, Key="in/source.zip", Body=archive({"in.txt": "hello", "ci/spec.yml": spec}))
    s3.put_object(Bucket=bucket, Key="in/second.zip", Body=archive({"x": "y"}))
    name = project(
        "",
        source={"type": "S3", "location": f"{bucket}/in/source.zip", "buildspec": "ci/spec.yml"},
        secondarySources=[{"type": "S3", "location": f"{bucket}/in/second.zip", "sourceIdentifier": "second"}],
        artifacts={"type": "S3", "location": bucket, "path": "out", "packaging": "ZIP", "overrideArtifactName": True},
        secondaryArtifacts=[
            {"type": "S3", "location": bucket, "path": "two", "name": "f", "artifactIdentifier": "flat"}
        ],
    )
    build = run(cloud, name)
    assert build["buildStatus"] == "SUCCEEDED", log(cloud, build)
    assert build["artifacts"]["location"] == f"arn:aws:s3:::{bucket}/out/named-1"
    sent = s3.get_object(Bucket=bucket, Key="out/named-1")
    assert sent["Metadata"]["codebuild-buildarn"] == build["arn"]
    with zipfile.ZipFile(io.BytesIO(sent["Body"].read())) as found:
        assert found.namelist() == ["sub/a.txt"]
    assert s3.get_object(Bucket=bucket, Key="two/f/a.txt")["Body"].read() == b"hello"
    assert len(build["artifacts"]["sha256sum"]) == 64
    missing = run(cloud, name, buildspecOverride="nowhere.yml")
    assert context(missing, "DOWNLOAD_SOURCE")[1] == "YAML file does not exist: nowhere.yml is not in the source"
    gone = run(cloud, name, sourceLocationOverride=f"{bucket}/in/gone.zip")
    assert context(gone, "DOWNLOAD_SOURCE")[0] == "CLIENT_ERROR"
    empty = run(
        cloud, name, buildspecOverride="version: 0.2\nphases: {build: {commands: [a=1]}}\nartifacts: {files: [z]}"
    )
    assert context(empty, "UPLOAD_ARTIFACTS") == ("CLIENT_ERROR", "no matching artifact paths found: z in the source")
    assert empty["buildStatus"] == "FAILED"


def test_a_pipeline_starts_a_build_with_its_own_artifacts(cloud: Any, project: Callable[..., str], bucket: str) -> None:
    """Protects: how CodePipeline hands over input and output, and that nobody else can start such a project bare."""
    s3, client = cloud.client("s3"), cloud.client("codebuild")
    s3.put_object(Bucket=bucket, Key="pipe/Source/abc", Body=archive({"a.txt": "1"}))
    spec = "version: 0.2\nphases: {build: {commands: ['env | grep ^CODEBUILD_ || true']}}\nartifacts: {files: [a.txt]}"
    name = project("", source={"type": "CODEPIPELINE", "buildspec": spec}, artifacts={"type": "CODEPIPELINE"})
    assert "takes its source from CodePipeline" in fails("InvalidInputException", client.start_build, projectName=name)
    build = run(
        cloud, name, sourceTypeOverride="CODEPIPELINE", sourceLocationOverride=f"{bucket}/pipe/Source/abc",
        sourceVersion="0123abcd", idempotencyToken=f"codepipeline/my-pipe/{uuid.uuid4()}",
        artifactsOverride={"type": "CODEPIPELINE", "location": bucket, "path": "pipe/Built", "name": "xyz"},
    )  # fmt: skip
    text = log(cloud, build)
    assert build["buildStatus"] == "SUCCEEDED", text
    assert (build["initiator"], build["resolvedSourceVersion"]) == ("codepipeline/my-pipe", "0123abcd")
    assert "CODEBUILD_INITIATOR=codepipeline/my-pipe" in text
    assert "CODEBUILD_RESOLVED_SOURCE_VERSION=0123abcd" in text
    with zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=bucket, Key="pipe/Built/xyz")["Body"].read())) as found:
        assert found.namelist() == ["a.txt"]
    fails("InvalidInputException", client.retry_build, id=build["id"])


def test_a_codecommit_repository_is_cloned_at_the_asked_version(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: a commit, a branch, and git with the role's credentials inside of the build."""
    name = f"r-{uuid.uuid4().hex[:8]}"
    code = cloud.client("codecommit")
    code.create_repository(repositoryName=name)
    spec = (
        b"version: 0.2\nenv: {git-credential-helper: yes}\nphases: {build: {commands: [cat f, git fetch && echo ok]}}"
    )
    first = code.create_commit(
        repositoryName=name, branchName="main",
        putFiles=[{"filePath": "f", "fileContent": b"one\n"}, {"filePath": "buildspec.yml", "fileContent": spec}],
    )["commitId"]  # fmt: skip
    code.create_commit(
        repositoryName=name, branchName="main", parentCommitId=first,
        putFiles=[{"filePath": "f", "fileContent": b"two\n"}],
    )  # fmt: skip
    url = f"https://git-codecommit.{REGION}.amazonaws.com/v1/repos/{name}"
    made = project("", source={"type": "CODECOMMIT", "location": url})
    build = run(cloud, made, sourceVersion=first)
    text = log(cloud, build)
    assert (build["buildStatus"], build["resolvedSourceVersion"]) == ("SUCCEEDED", first), text
    assert "\none\n" in text
    assert "\nok\n" in text
    absent = run(cloud, made, sourceVersion="no-such-branch")
    code_, message = context(absent, "DOWNLOAD_SOURCE")
    assert (code_, "'no-such-branch' is no commit, branch or tag" in message) == ("GIT_CLONE_FAILED", True)


def test_variables_come_from_all_stores_and_stay_out_of_the_log(
    cloud: Any, project: Callable[..., str], bucket: str
) -> None:
    """Protects: Parameter Store and Secrets Manager, from buildspec (here an object in S3) and project."""
    tag = uuid.uuid4().hex[:8]
    cloud.client("ssm").put_parameter(Name=f"/{tag}/p", Value="parameter-value", Type="SecureString")
    cloud.client("secretsmanager").create_secret(Name=f"{tag}-s", SecretString=json.dumps({"k": "secret-value"}))
    spec = f"""
version: 0.2
env:
  parameter-store: {{P: /{tag}/p}}
  secrets-manager: {{S: "{tag}-s:k"}}
phases:
  build:
    commands: ['echo "P is $P, S is $S, T is $T"', 'test $P-$S-$T = parameter-value-secret-value-parameter-value']
"""
    cloud.client("s3").put_object(Bucket=bucket, Key=f"{tag}.yml", Body=spec.encode())
    variables = [{"name": "T", "value": f"/{tag}/p", "type": "PARAMETER_STORE"}]
    name = project(f"arn:aws:s3:::{bucket}/{tag}.yml", environment={**STANDARD, "environmentVariables": variables})
    build = run(cloud, name)
    assert build["buildStatus"] == "SUCCEEDED", log(cloud, build)
    assert "P is ***, S is ***, T is ***" in log(cloud, build)
    cloud.client("ssm").delete_parameter(Name=f"/{tag}/p")
    missing = context(run(cloud, name), "DOWNLOAD_SOURCE")
    assert missing == ("Decrypted Variables Error", f"parameter does not exist: /{tag}/p")


def test_logs_go_to_s3_and_the_cache_comes_back(cloud: Any, project: Callable[..., str], bucket: str) -> None:
    """Protects: s3Logs, and a cache that the next build finds."""
    tag = uuid.uuid4().hex[:8]
    name = project(
        """
version: 0.2
phases: {build: {commands: ['ls kept || echo nothing-kept', 'mkdir -p kept && echo hi > kept/f']}}
cache: {key: "k-$CODEBUILD_CI", paths: ['kept/**/*']}
""",
        cache={"type": "S3", "location": f"{bucket}/{tag}-cache"},
        logsConfig={
            "cloudWatchLogs": {"status": "DISABLED"},
            "s3Logs": {"status": "ENABLED", "location": f"{bucket}/{tag}-logs"},
        },
    )
    texts = []
    for _ in range(2):
        build = run(cloud, name)
        assert build["buildStatus"] == "SUCCEEDED"
        key = build["logs"]["s3LogsArn"].split(":::")[1].partition("/")[2]
        texts.append(gzip.decompress(cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()).decode())
    assert "\nnothing-kept\n" in texts[0]
    assert "\nnothing-kept\n" not in texts[1]
    assert "\nf\n" in texts[1]


# ---------------------------------------------------------------------- reports, events


JUNIT = """<testsuites><testsuite name="s"><testcase classname="c" name="good" time="0.5"/>
<testcase classname="c" name="bad" time="1"><failure message="no">why</failure></testcase>
<testcase name="left"><skipped/></testcase></testsuite></testsuites>"""


def test_junit_results_become_a_report(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: tests of a build can be read, failed ones with their message, also when the build failed."""
    client = cloud.client("codebuild")
    name = project(f"""
version: 0.2
phases:
  build:
    commands:
      - |
        cat > r.xml <<'END'
        {JUNIT.replace(chr(10), chr(10) + "        ")}
        END
      - exit 1
reports:
  unit: {{files: [r.xml]}}
  none: {{files: [absent.xml]}}
""")
    build = run(cloud, name)
    reports = {
        item["reportGroupArn"].rsplit("-", 1)[-1]: item
        for item in client.batch_get_reports(reportArns=build["reportArns"])["reports"]
    }
    unit = reports["unit"]
    assert unit["reportGroupArn"] == f"arn:aws:codebuild:{REGION}:{ACCOUNT}:report-group/{name}-unit"
    assert (unit["status"], reports["none"]["status"], unit["executionId"]) == ("FAILED", "INCOMPLETE", build["arn"])
    assert unit["testSummary"]["total"] == 3
    assert unit["testSummary"]["statusCounts"] == {"SUCCEEDED": 1, "FAILED": 1, "ERROR": 0, "SKIPPED": 1, "UNKNOWN": 0}
    cases = client.describe_test_cases(reportArn=unit["arn"], filter={"status": "FAILED"})["testCases"]
    assert [(case["name"], case["message"]) for case in cases] == [("bad", "no\nwhy")]
    assert client.list_reports_for_report_group(reportGroupArn=unit["reportGroupArn"])["reports"] == [unit["arn"]]
    fails("InvalidInputException", client.delete_report_group, arn=unit["reportGroupArn"])
    client.delete_report_group(arn=unit["reportGroupArn"], deleteReports=True)


def test_events_have_the_documented_shape(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: EventBridge rules on a build's state and phases."""
    name = project("version: 0.2\nphases: {build: {commands: [exit 4]}}")
    events, queues = cloud.client("events"), cloud.client("sqs")
    queue = queues.create_queue(QueueName=name)["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.codebuild"], "detail": {"project-name": [name]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": arn}])
    build = run(cloud, name)
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 20
    while len(found) < 12 and time.monotonic() < deadline:
        for message in queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
            "Messages", []
        ):
            found.append(json.loads(message["Body"]))
            queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    states = {
        item["detail"]["build-status"]: item for item in found if item["detail-type"] == "CodeBuild Build State Change"
    }
    assert set(states) == {"IN_PROGRESS", "FAILED"}
    detail = states["FAILED"]["detail"]
    assert states["FAILED"]["resources"] == [build["arn"]]
    assert (detail["build-id"], detail["current-phase"], detail["version"]) == (build["arn"], "COMPLETED", "1")
    more = detail["additional-information"]
    assert (more["build-complete"], more["environment"]["image"]) == (True, STANDARD["image"])
    assert more["logs"]["group-name"] == f"/aws/codebuild/{name}"
    failed = [item["detail"] for item in found if item["detail"].get("completed-phase-status") == "FAILED"]
    assert [(item["completed-phase"], item["completed-phase-context"]) for item in failed] == [
        ("BUILD", "[COMMAND_EXECUTION_ERROR: Error while executing command: exit 4. Reason: exit status 4]")
    ]


# ---------------------------------------------------------------------- stopping, queueing, restarting


def test_a_rule_of_eventbridge_starts_a_build(cloud: Any, project: Callable[..., str]) -> None:
    """A project is a target: the target's input overrides the build, and the rule is its initiator."""
    spec = "version: 0.2\nphases: {build: {commands: ['echo said $WORD']}}\n"
    name = project(spec)
    codebuild, events = cloud.client("codebuild"), cloud.client("events")
    arn = codebuild.batch_get_projects(names=[name])["projects"][0]["arn"]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    given = {"environmentVariablesOverride": [{"name": "WORD", "value": "hello"}]}
    target = {"Id": "build", "Arn": arn, "RoleArn": role(cloud, EVENTS), "Input": json.dumps(given)}
    events.put_targets(Rule=name, Targets=[target])
    events.put_events(Entries=[{"Source": name, "DetailType": "Test", "Detail": "{}"}])
    (identifier,) = until(lambda: codebuild.list_builds_for_project(projectName=name)["ids"])
    build = wait(cloud, identifier)
    assert (build["buildStatus"], build["initiator"]) == ("SUCCEEDED", f"rule/{name}")
    assert "said hello" in log(cloud, build)
    events.remove_targets(Rule=name, Ids=["build"])
    events.delete_rule(Name=name)


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come true")


def processes(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes().decode(errors="replace").split("\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_stop_ends_every_process_of_a_build(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: StopBuild leaves nothing running, and the build is STOPPED."""
    mark = f"1{uuid.uuid4().int % 10**6 + 10**6}"
    client = cloud.client("codebuild")
    name = project(f"version: 0.2\nphases: {{build: {{commands: ['sleep {mark} & sleep {mark}']}}}}")
    identifier = client.start_build(projectName=name)["build"]["id"]
    until(lambda: len(processes(mark)) == 2)
    client.stop_build(id=identifier)
    build = wait(cloud, identifier)
    assert (build["buildStatus"], phases(build)["BUILD"]) == ("STOPPED", "STOPPED")
    until(lambda: not processes(mark))
    assert client.stop_build(id=identifier)["build"]["buildStatus"] == "STOPPED"
    fails("ResourceNotFoundException", client.stop_build, id=f"{name}:none")


def test_a_project_runs_no_more_builds_than_its_limit(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: concurrentBuildLimit; a waiting build is QUEUED, can be stopped there, and comes next."""
    client = cloud.client("codebuild")
    name = project(
        "version: 0.2\nphases: {build: {commands: ['while ! test -e \"$GO\"; do sleep 0.05; done']}}",
        concurrentBuildLimit=1,
    )
    go = Path(f"/tmp/{name}")
    variables = [{"name": "GO", "value": str(go)}]
    ids = [
        client.start_build(projectName=name, environmentVariablesOverride=variables)["build"]["id"] for _ in range(3)
    ]
    try:
        until(lambda: client.batch_get_builds(ids=ids[:1])["builds"][0]["currentPhase"] == "BUILD")
        assert [build["currentPhase"] for build in client.batch_get_builds(ids=ids[1:])["builds"]] == [
            "QUEUED",
            "QUEUED",
        ]
        client.stop_build(id=ids[1])
        assert wait(cloud, ids[1])["buildStatus"] == "STOPPED"
    finally:
        go.touch()
    assert [wait(cloud, identifier)["buildStatus"] for identifier in (ids[0], ids[2])] == ["SUCCEEDED", "SUCCEEDED"]
    go.unlink()


def test_a_build_is_retried_and_a_token_starts_it_once(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: RetryBuild repeats the call's overrides; idempotencyToken makes a repeated call harmless."""
    client = cloud.client("codebuild")
    name = project("version: 0.2\nphases: {build: {commands: ['echo \"[$A]\"']}}")
    request = {
        "projectName": name, "environmentVariablesOverride": [{"name": "A", "value": "a"}], "idempotencyToken": "t-1",
    }  # fmt: skip
    first = client.start_build(**request)["build"]["id"]
    assert client.start_build(**request)["build"]["id"] == first
    fails("InvalidInputException", client.start_build, projectName=name, idempotencyToken="t-1")
    wait(cloud, first)
    again = wait(cloud, client.retry_build(id=first)["build"]["id"])
    assert again["buildNumber"] == 2
    assert "[a]" in log(cloud, again)
    assert len(client.list_builds_for_project(projectName=name)["ids"]) == 2


def test_a_failed_build_is_retried_as_often_as_the_project_says(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: autoRetryLimit, and that a retry knows which build it repeats."""
    client = cloud.client("codebuild")
    name = project("version: 0.2\nphases: {build: {commands: [exit 1]}}", autoRetryLimit=1)
    first = run(cloud, name)
    ids = until(lambda: len(found := client.list_builds_for_project(projectName=name)["ids"]) == 2 and found)
    second = wait(cloud, ids[0])
    assert second["autoRetryConfig"] == {"autoRetryLimit": 1, "autoRetryNumber": 1, "previousAutoRetry": first["arn"]}
    time.sleep(0.3)
    assert len(client.list_builds_for_project(projectName=name)["ids"]) == 2
    until(
        lambda: (
            client.batch_get_builds(ids=ids[1:])["builds"][0]["autoRetryConfig"].get("nextAutoRetry") == second["arn"]
        )
    )


def test_what_is_not_served_is_refused_by_name(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: nothing is silently left out of a build."""
    client, spec = cloud.client("codebuild"), "version: 0.2\nphases: {build: {commands: [a]}}"
    windows = project(spec, environment={**STANDARD, "type": "WINDOWS_SERVER_2022_CONTAINER"})
    assert "WINDOWS_SERVER_2022_CONTAINER is not" in fails(
        "InvalidInputException", client.start_build, projectName=windows
    )
    hub = project(spec, source={"type": "GITHUB", "location": "https://example.com/a.git"})
    assert "GITHUB is not served" in fails("InvalidInputException", client.start_build, projectName=hub)
    plain = project(spec)
    fails("InvalidInputException", client.start_build, projectName=plain, debugSessionEnabled=True)
    fails("NotImplemented", client.start_build_batch, projectName=plain)
    absent = run(cloud, project(spec, environment={**STANDARD, "image": "some/image:1"}))
    assert context(absent, "PROVISIONING")[0] == "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE"


def test_after_a_power_cut_a_build_is_at_fault_and_nothing_runs(own_cloud: Any) -> None:
    """Protects: no build stays IN_PROGRESS for ever, no process survives it, and the next build works."""
    client, mark = own_cloud.client("codebuild"), f"2{uuid.uuid4().int % 10**6 + 10**6}"
    spec = f"version: 0.2\nphases: {{build: {{commands: [sleep {mark}]}}}}"
    client.create_project(
        name="cut", source={"type": "NO_SOURCE", "buildspec": spec}, artifacts={"type": "NO_ARTIFACTS"},
        environment=STANDARD, serviceRole=role(own_cloud),
    )  # fmt: skip
    identifier = client.start_build(projectName="cut")["build"]["id"]
    until(lambda: processes(mark))
    own_cloud.kill()
    own_cloud.start()
    build = wait(own_cloud, identifier)
    assert build["buildStatus"] == "FAULT"
    assert context(build, "BUILD") == ("INTERNAL_SERVICE_ERROR", "The local cloud was stopped while the build ran")
    until(lambda: not processes(mark))
    override = "version: 0.2\nphases: {build: {commands: [echo again]}}"
    assert run(own_cloud, "cut", buildspecOverride=override)["buildStatus"] == "SUCCEEDED"


def test_a_session_ends_at_its_deadline(tmp_path: Path) -> None:
    """Protects: a build's timeout ends the command that runs."""
    from localcloud.services.codebuild.session import Session

    started: list[subprocess.Popen[bytes]] = []

    def body(arguments: list[str], on_line: Callable[[str], None]) -> int:
        started.append(subprocess.Popen(arguments, start_new_session=True, stdout=subprocess.PIPE))
        assert started[0].stdout is not None
        for line in started[0].stdout:
            on_line(line.decode().rstrip("\n"))
        return started[0].wait()

    def stop() -> None:
        os.killpg(started[0].pid, signal.SIGKILL)

    lines: list[str] = []
    session = Session(tmp_path / "c", tmp_path, shell="/bin/sh", run=body, stop=stop, on_line=lines.append)
    assert session.run("printf 'no newline'") == 0
    with pytest.raises(TimeoutError):
        session.run("sleep 60", deadline=time.monotonic() + 0.2)
    session.close()
    assert lines == ["no newline"]
    assert started[0].wait(5) != 0


# ---------------------------------------------------------------------- network, the command, CloudFormation


def test_a_vpc_configuration_is_checked_and_used(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: parts of a VPC that do not exist or do not fit are refused; a build in a VPC has its interface."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=f"g-{vpc}", Description="d", VpcId=vpc)["GroupId"]
    spec = "version: 0.2\nphases: {build: {commands: [echo]}}"
    config = {"vpcId": vpc, "subnets": [subnet], "securityGroupIds": [group]}
    for bad in ({"subnets": ["subnet-12345678"]}, {"securityGroupIds": ["sg-12345678"]}, {"vpcId": "vpc-12345678"}):
        with pytest.raises(ClientError, match="VPC error"):
            project(spec, vpcConfig={**config, **bad})
    build = run(cloud, project(spec, vpcConfig=config))
    assert build["buildStatus"] == "SUCCEEDED", build["phases"]
    assert build["vpcConfig"] == config
    assert build["networkInterface"]["subnetId"] == subnet


def test_the_aws_command_starts_a_build(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: the commands that a person types."""
    name = project("version: 0.2\nphases: {build: {commands: [echo]}}")
    done = subprocess.run(
        [sys.executable, "-m", "awscli", "codebuild", "start-build", "--project-name", name],
        env=cloud.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    build = json.loads(done.stdout)["build"]
    assert (build["buildStatus"], build["projectName"]) == ("IN_PROGRESS", name)
    assert wait(cloud, build["id"])["buildStatus"] == "SUCCEEDED"


TEMPLATE = """
Parameters: {{Description: {{Type: String, Default: first}}}}
Resources:
  Project:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: {name}
      Description: !Ref Description
      ServiceRole: {role}
      TimeoutInMinutes: "15"
      Source:
        Type: NO_SOURCE
        BuildSpec: |
          version: 0.2
          phases: {{build: {{commands: [echo $A]}}}}
      Artifacts: {{Type: NO_ARTIFACTS}}
      Environment:
        Type: LINUX_CONTAINER
        Image: aws/codebuild/standard:7.0
        ComputeType: BUILD_GENERAL1_SMALL
        PrivilegedMode: "false"
        EnvironmentVariables: [{{Name: A, Value: from-template}}]
      LogsConfig: {{CloudWatchLogs: {{Status: ENABLED, GroupName: /logs/{name}}}}}
      Tags: [{{Key: k, Value: v}}]
{extra}
Outputs:
  Name: {{Value: !Ref Project}}
  Arn: {{Value: !GetAtt Project.Arn}}
"""


def test_cloudformation_makes_changes_and_removes_a_project(cloud: Any, service_role: str) -> None:
    """Protects: the type as templates use it: texts become numbers, a dropped property is reset, the end is clean."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    stacks, client = cloud.client("cloudformation"), cloud.client("codebuild")
    body = TEMPLATE.format(name=name, role=service_role, extra="      ConcurrentBuildLimit: 1")
    stacks.create_stack(StackName=name, TemplateBody=body)
    patience = {"Delay": 1, "MaxAttempts": 30}
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=patience)
    outputs = {
        item["OutputKey"]: item["OutputValue"]
        for item in stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    }
    assert outputs == {"Name": name, "Arn": f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{name}"}
    made = client.batch_get_projects(names=[name])["projects"][0]
    assert (made["timeoutInMinutes"], made["concurrentBuildLimit"]) == (15, 1)
    assert made["environment"]["privilegedMode"] is False
    assert {"key": "k", "value": "v"} in made["tags"]
    build = run(cloud, name)
    assert "from-template" in log(cloud, build)
    stacks.update_stack(
        StackName=name, TemplateBody=TEMPLATE.format(name=name, role=service_role, extra=""),
        Parameters=[{"ParameterKey": "Description", "ParameterValue": "second"}],
    )  # fmt: skip
    stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig=patience)
    changed = client.batch_get_projects(names=[name])["projects"][0]
    assert (changed["description"], changed.get("concurrentBuildLimit")) == ("second", None)
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=patience)
    assert client.batch_get_projects(names=[name])["projects"] == []


# ---------------------------------------------------------------------- images


IMAGE_BUILD = """
version: 0.2
phases:
  build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin $REGISTRY
      - mkdir context && cd context && echo "from-the-image" > hello.txt
      - printf 'FROM python:3.11-slim\\nENV FROM_IMAGE=yes\\nCOPY hello.txt /opt/app/hello.txt\\n' > Dockerfile
      - docker build -t $REGISTRY/$REPOSITORY:one .
      - docker push $REGISTRY/$REPOSITORY:one
"""


def test_an_image_is_built_pushed_and_then_builds_run_in_it(cloud: Any, project: Callable[..., str]) -> None:
    """Protects: docker in a privileged build, and environment.image from ECR with its own PATH and variables."""
    registry, repository = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com", f"image-{uuid.uuid4().hex[:8]}"
    cloud.client("ecr").create_repository(repositoryName=repository)
    variables = [{"name": "REGISTRY", "value": registry}, {"name": "REPOSITORY", "value": repository}]
    privileged = {**STANDARD, "privilegedMode": True, "environmentVariables": variables}
    build = run(cloud, project(IMAGE_BUILD, environment=privileged))
    assert build["buildStatus"] == "SUCCEEDED", log(cloud, build)
    uri = f"{registry}/{repository}:one"
    environment = {**STANDARD, "image": uri, "imagePullCredentialsType": "SERVICE_ROLE"}
    spec = """
version: 0.2
phases:
  install:
    commands: ['echo "variable: $FROM_IMAGE"', python3 --version, X=kept]
  build:
    commands: ['echo "$X in $(basename $(dirname $CODEBUILD_SRC_DIR))"', 'docker ps || true', 'echo out > made.txt']
"""
    build = run(cloud, project(spec, environment=environment))
    text = log(cloud, build)
    assert build["buildStatus"] == "SUCCEEDED", text
    assert "variable: yes" in text
    assert "kept in src" in text
    assert "Cannot connect to the Docker daemon" in text
    missing = run(cloud, project(spec, environment={**environment, "image": f"{registry}/{repository}:absent"}))
    code, message = context(missing, "PROVISIONING")
    assert code == "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE"
    assert message.startswith("Unable to pull customer's container image. CannotPullContainerError:")


# ---------------------------------------------------------------------- what the machine lends


def test_the_machine_lends_its_index_but_a_build_may_choose_another(tmp_path: Path) -> None:
    """Protects: builds reach packages as the machine does, and `aws codeartifact login` still has the last word."""
    from localcloud.services.codebuild.environment import lent, settings_files

    (tmp_path / "uv.toml").write_text("[pip]\nstrict = true\n")
    environ = {
        "HOME": str(tmp_path), "PATH": "/bin", "SECRET": "x", "AWS_ACCESS_KEY_ID": "x", "PIP_TIMEOUT": "9",
        "PIP_INDEX_URL": "http://pip/simple", "UV_DEFAULT_INDEX": "corp=http://uv/simple",
        "UV_CONFIG_FILE": str(tmp_path / "uv.toml"), "HTTPS_PROXY": "http://proxy",
    }  # fmt: skip
    found = lent(environ)
    assert not {"SECRET", "AWS_ACCESS_KEY_ID", "PIP_INDEX_URL", "UV_DEFAULT_INDEX"} & set(found)
    assert (found["PIP_TIMEOUT"], found["HTTPS_PROXY"]) == ("9", "http://proxy")
    assert found["NO_PROXY"] == "127.0.0.1,localhost"
    assert found["UV_CACHE_DIR"] == str(tmp_path / ".cache/uv")
    files = settings_files(environ)
    assert "index-url = http://pip/simple" in files[".config/pip/pip.conf"]
    assert files[".config/uv/uv.toml"] == 'index-url = "http://uv/simple"\n[pip]\nstrict = true\n'
    assert "UV_CACHE_DIR" not in lent(environ, shares_files=False)
