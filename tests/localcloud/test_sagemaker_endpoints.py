"""Endpoints as boto3 and the `aws` command see them: real servers, real predictions, and updates that cannot hurt."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.sagemaker_support import STAGING, TOOLING, Bench, unique, wait

BUSY = ("Creating", "Updating", "Deleting")


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def shop(bench: Bench) -> Shop:
    return Shop(bench)


@pytest.fixture(scope="module")
def standing(shop: Shop) -> Iterator[str]:
    """An endpoint in service, for tests that only ask it."""
    name = shop.endpoint(shop.config(shop.model()))
    assert shop.settle(name)["EndpointStatus"] == "InService", shop.settle(name)
    yield name
    shop.sagemaker.delete_endpoint(EndpointName=name)


def refused(call: Any, **request: Any) -> dict[str, Any]:
    """The error that a call answers with."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return dict(caught.value.response)


class Shop:
    """Makes models, configurations and endpoints."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.sagemaker = bench.sagemaker
        self.runtime = bench.cloud.client("sagemaker-runtime", bench.account)
        self.data = self.archive({"model.json": "{}"})

    def archive(self, files: dict[str, str]) -> str:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        key = unique("model") + "/model.tar.gz"
        self.bench.s3.put_object(Bucket=self.bench.bucket, Key=key, Body=packed.getvalue())
        return f"s3://{self.bench.bucket}/{key}"

    def model(self, **environment: str) -> str:
        name = unique("model")
        container = {"Image": self.bench.image, "ModelDataUrl": self.data, "Environment": environment}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.bench.role, PrimaryContainer=container)
        return name

    def variant(self, model: str, name: str = "AllTraffic", weight: float = 1.0, **members: Any) -> dict[str, Any]:
        return {
            "VariantName": name, "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
            "InitialVariantWeight": weight, **members,
        }  # fmt: skip

    def config(self, *models: str, variants: list[dict[str, Any]] | None = None, **members: Any) -> str:
        name = unique("config")
        found = variants or [self.variant(model) for model in models]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=found, **members)
        return name

    def endpoint(self, config: str) -> str:
        name = unique("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        return name

    def settle(self, name: str) -> dict[str, Any]:
        """The endpoint once nothing is being done to it."""

        def idle() -> dict[str, Any] | None:
            found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
            return found if found["EndpointStatus"] not in BUSY else None

        return dict(wait(idle, what=f"{name} to settle"))

    def ask(self, name: str, body: str = "1,2", **members: Any) -> dict[str, Any]:
        answer = self.runtime.invoke_endpoint(EndpointName=name, Body=body, **members)
        return {**json.loads(answer["Body"].read()), "variant": answer["InvokedProductionVariant"], "raw": answer}

    def delete(self, name: str) -> None:
        self.sagemaker.delete_endpoint(EndpointName=name)


def test_an_endpoint_answers(shop: Shop, standing: str) -> None:
    """Body, content type, accept and custom attributes go to the container, and its answer comes back."""
    told = shop.ask(standing, "3,4", ContentType="text/csv", Accept="application/json", CustomAttributes="trace=7")
    assert (told["echo"], told["type"], told["accept"], told["model"]) == ("3,4", "text/csv", "application/json", True)
    assert told["variant"] == "AllTraffic"
    assert told["raw"]["ContentType"] == "application/json"
    assert told["raw"]["CustomAttributes"] == "trace=7"
    found = shop.settle(standing)
    variant = found["ProductionVariants"][0]
    assert variant["CurrentInstanceCount"] == 1
    image = variant["DeployedImages"][0]
    assert image["SpecifiedImage"] == shop.bench.image
    assert image["ResolvedImage"].startswith(shop.bench.image[:-2] + "@sha256:")


def test_the_aws_command(shop: Shop, standing: str, tmp_path: Path) -> None:
    """`aws sagemaker-runtime invoke-endpoint`, as the README has it; the wait command too."""
    common = {"env": shop.bench.cloud.environment(), "capture_output": True, "text": True, "check": False}
    done = subprocess.run(["aws", "sagemaker", "wait", "endpoint-in-service", "--endpoint-name", standing], **common)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        ["aws", "sagemaker-runtime", "invoke-endpoint", "--endpoint-name", standing, "--content-type", "text/csv",
         "--body", "1,2", str(tmp_path / "answer")],
        **common,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["InvokedProductionVariant"] == "AllTraffic"
    assert (tmp_path / "answer").exists()


def test_model_errors(shop: Shop, standing: str) -> None:
    """What the container refuses is a ModelError (424) with its status and words."""
    for body, status, words in (("bad", 415, "only text"), ("broken", 500, "a fault in the model")):
        answer = refused(shop.runtime.invoke_endpoint, EndpointName=standing, Body=body)
        assert answer["Error"]["Code"] == "ModelError"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert answer["OriginalStatusCode"] == status
        assert answer["OriginalMessage"] == words
        assert answer["LogStreamArn"].endswith(f"log-group:/aws/sagemaker/Endpoints/{standing}")


def test_invocations_that_are_refused(shop: Shop, standing: str) -> None:
    """No such endpoint, no such variant, a body that is too big, another account's endpoint."""
    invoke = shop.runtime.invoke_endpoint
    error = refused(invoke, EndpointName="none", Body="x")["Error"]
    assert error["Code"] == "ValidationError"
    assert error["Message"] == f"Endpoint none of account {TOOLING} not found."
    assert refused(invoke, EndpointName=standing, Body="x", TargetVariant="B")["Error"]["Code"] == "ValidationError"
    assert refused(invoke, EndpointName=standing, Body="x" * 6291457)["Error"]["Code"] == "ValidationError"
    other = shop.bench.cloud.client("sagemaker-runtime", STAGING)
    error = refused(other.invoke_endpoint, EndpointName=standing, Body="x")["Error"]
    assert error["Message"] == f"Endpoint {standing} of account {STAGING} not found."


def test_a_server_that_dies_is_replaced(shop: Shop, standing: str) -> None:
    """kill -9 of the server: the next invocation is answered, by a new process; a crash in a request is told."""
    first = shop.ask(standing)["pid"]
    os.kill(first, signal.SIGKILL)
    second = shop.ask(standing)["pid"]
    assert second != first
    assert refused(shop.runtime.invoke_endpoint, EndpointName=standing, Body="crash")["Error"]["Code"] == "ModelError"
    assert shop.ask(standing)["pid"] not in (first, second)


def test_an_invocation_waits_for_a_server_that_is_being_replaced(shop: Shop) -> None:
    """Protects who asks while a server that died comes up again, which takes a real one seconds."""
    name = shop.endpoint(shop.config(shop.model(START="2")))
    assert shop.settle(name)["EndpointStatus"] == "InService"
    first = shop.ask(name)["pid"]
    os.kill(first, signal.SIGKILL)
    time.sleep(1.2)  # by now nobody's request, but the local cloud itself has begun to start another
    assert shop.ask(name)["pid"] != first
    shop.delete(name)


def test_metrics(shop: Shop, standing: str) -> None:
    """Invocations, errors and latencies are CloudWatch metrics of endpoint and variant."""
    shop.ask(standing)
    client = shop.bench.cloud.client("cloudwatch")
    dimensions = [{"Name": "EndpointName", "Value": standing}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def metrics() -> set[str]:
        found = client.list_metrics(Namespace="AWS/SageMaker", Dimensions=dimensions)["Metrics"]
        return {item["MetricName"] for item in found}

    names = wait(metrics, what="metrics")
    assert {"Invocations", "ModelLatency", "OverheadLatency", "Invocation4XXErrors", "Invocation5XXErrors"} <= names


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"CRASH": "1"}, "No module named|no module named 'model'"),
        ({"NEVER_HEALTHY": "1"}, "did not answer GET /ping with 200 within"),
    ],
)
def test_a_server_that_does_not_come_up(shop: Shop, environment: dict[str, str], told: str) -> None:
    """Failed, with the reason and the container's last words; it can only be deleted."""
    import re

    events = shop.bench.events("SageMaker Endpoint State Change")
    model = shop.model(**environment)
    # 60 is the least that the API takes; the container that never gets healthy is therefore slow to fail.
    config = shop.config(variants=[shop.variant(model, ContainerStartupHealthCheckTimeoutInSeconds=60)])
    name = shop.endpoint(config)
    if "NEVER_HEALTHY" in environment:
        assert refused(shop.runtime.invoke_endpoint, EndpointName=name, Body="x")["Error"]["Code"] == "ValidationError"
        assert "in-progress" in refused(shop.sagemaker.delete_endpoint, EndpointName=name)["Error"]["Message"]
        assert shop.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
        return
    found = shop.settle(name)
    assert found["EndpointStatus"] == "Failed"
    assert "variant AllTraffic did not pass the ping health check" in found["FailureReason"]
    assert re.search(told, found["FailureReason"])
    mine = wait(lambda: [e for e in events() if e["detail"]["EndpointName"] == name][1:], what="the event")
    assert mine[-1]["detail"]["EndpointStatus"] == "FAILED"
    assert refused(shop.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config)
    shop.delete(name)
    wait(lambda: name not in str(shop.sagemaker.list_endpoints(NameContains=name)["Endpoints"]))


def test_a_model_that_is_gone(shop: Shop) -> None:
    """Model data deleted after the model was made: Failed, naming the URL."""
    data, shop.data = shop.data, shop.archive({"model.json": "{}"})
    try:
        model = shop.model()
        bucket, _, key = shop.data.removeprefix("s3://").partition("/")
        shop.bench.s3.delete_object(Bucket=bucket, Key=key)
        found = shop.settle(shop.endpoint(shop.config(model)))
        assert found["EndpointStatus"] == "Failed"
        assert (
            f'Failed to download model data for container "container_1" from URL: "{shop.data}"'
            in (found["FailureReason"])
        )
    finally:
        shop.data = data


def test_an_update_never_leaves_a_gap(shop: Shop) -> None:
    """Blue/green: while the new servers come up the old ones answer, and then the new ones do."""
    name = shop.endpoint(shop.config(shop.model(MARK="old")))
    shop.settle(name)
    events = shop.bench.events("SageMaker Endpoint State Change")
    marks, errors, done = [], [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                marks.append(shop.ask(name)["mark"])
            except ClientError as error:
                errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    config = shop.config(shop.model(MARK="new"))
    shop.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    found = shop.settle(name)
    wait(lambda: marks and marks[-1] == "new")
    done.set()
    thread.join()
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == config
    assert errors == []
    assert marks == sorted(marks, reverse=True)  # first "old", then "new", never back

    def states() -> set[str]:
        return {event["detail"]["EndpointStatus"] for event in events() if event["detail"]["EndpointName"] == name}

    wait(lambda: states() == {"UPDATING", "IN_SERVICE"}, what="both events")
    shop.delete(name)


def test_an_update_that_fails_changes_nothing(shop: Shop) -> None:
    """The old servers go on serving; the endpoint is InService with the reason, and the old configuration."""
    config = shop.config(shop.model(MARK="old"))
    name = shop.endpoint(config)
    shop.settle(name)
    pid = shop.ask(name)["pid"]
    shop.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=shop.config(shop.model(CRASH="1")))
    found = shop.settle(name)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", config)
    assert "did not pass the ping health check" in found["FailureReason"]
    assert shop.ask(name)["pid"] == pid
    shop.delete(name)


def test_variants_and_weights(shop: Shop) -> None:
    """Traffic follows the weights, TargetVariant goes past them."""
    one, two = shop.model(MARK="1"), shop.model(MARK="2")
    name = shop.endpoint(shop.config(variants=[shop.variant(one, "one", 1.0), shop.variant(two, "two", 0.0)]))
    shop.settle(name)
    assert {shop.ask(name)["mark"] for _ in range(10)} == {"1"}
    assert shop.ask(name, TargetVariant="two")["mark"] == "2"
    shop.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "one", "DesiredWeight": 0}, {"VariantName": "two", "DesiredWeight": 3}
        ],
    )  # fmt: skip
    found = shop.settle(name)
    assert {item["VariantName"]: item["CurrentWeight"] for item in found["ProductionVariants"]} == {"one": 0, "two": 3}
    assert {shop.ask(name)["variant"] for _ in range(10)} == {"two"}
    shop.delete(name)


def test_a_model_from_a_package_of_another_account(shop: Shop, tmp_path: Path) -> None:
    """The release account serves a package of the tooling account, with a role of its own."""
    bench, group = shop.bench, unique("group")
    bench.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    package = bench.sagemaker.create_model_package(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": bench.image, "ModelDataUrl": shop.data}],
            "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]  # fmt: skip
    trusted = {"AWS": f"arn:aws:iam::{STAGING}:root"}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Staging", "Effect": "Allow", "Principal": trusted,
                "Action": ["sagemaker:DescribeModelPackage", "sagemaker:CreateModel"],
                "Resource": [package, package.rsplit("/", 1)[0] + "/*"],
            }
        ],
    }  # fmt: skip
    bench.sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy=json.dumps(policy))
    statement = {"Sid": "s", "Effect": "Allow", "Principal": trusted, "Action": "*"}
    bench.s3.put_bucket_policy(
        Bucket=bench.bucket,
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {**statement, "Resource": [f"arn:aws:s3:::{bench.bucket}", f"arn:aws:s3:::{bench.bucket}/*"]}
                ],
            }
        ),
    )
    bench.cloud.client("ecr").set_repository_policy(
        repositoryName=bench.image.partition("/")[2].partition(":")[0],
        policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    there = object.__new__(Bench)
    there.cloud, there.account = bench.cloud, STAGING
    there.sagemaker, there.s3 = bench.cloud.client("sagemaker", STAGING), bench.cloud.client("s3", STAGING)
    there.bucket, there.image = bench.bucket, bench.image
    there.role = there.make_role(unique("release"))
    model = unique("model")
    there.sagemaker.create_model(
        ModelName=model, ExecutionRoleArn=there.role,
        PrimaryContainer={"ModelPackageName": package, "Environment": {"MARK": "released"}},
    )  # fmt: skip
    other = object.__new__(Shop)
    other.bench, other.sagemaker = there, there.sagemaker
    other.runtime = bench.cloud.client("sagemaker-runtime", STAGING)
    name = other.endpoint(other.config(model))
    assert other.settle(name)["EndpointStatus"] == "InService", other.settle(name)["FailureReason"]
    assert other.ask(name)["mark"] == "released"
    other.delete(name)


def test_what_is_not_served_is_refused_by_name(shop: Shop) -> None:
    """Shadows, serverless, canaries: never half done."""
    model = shop.model()
    create: Callable[..., Any] = shop.sagemaker.create_endpoint
    shadow = shop.config(variants=[shop.variant(model)], ShadowProductionVariants=[shop.variant(model, "Shadow")])
    serverless = shop.config(
        variants=[
            {
                "VariantName": "v", "ModelName": model,
                "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1},
            }
        ]
    )  # fmt: skip
    canary = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY", "WaitIntervalInSeconds": 1,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            }
        }
    }  # fmt: skip
    for config, members, told in (
        (shadow, {}, "ShadowProductionVariants"),
        (serverless, {}, "ServerlessConfig"),
        (shop.config(model), {"DeploymentConfig": canary}, "CANARY"),
    ):
        error = refused(create, EndpointName="refused", EndpointConfigName=config, **members)["Error"]
        assert error["Code"] == "NotImplemented"
        assert told in error["Message"]
    assert refused(create, EndpointName="refused", EndpointConfigName="none")["Error"]["Code"] == "ValidationException"


def test_a_restart_serves_again(own_cloud: Any, tmp_path: Path) -> None:
    """kill -9 of the local cloud: endpoints in service serve again, without the old processes."""
    shop = Shop(Bench(own_cloud, tmp_path))
    name = shop.endpoint(shop.config(shop.model(MARK="kept")))
    shop.settle(name)
    pid = shop.ask(name)["pid"]
    own_cloud.kill()
    own_cloud.start()
    told = shop.ask(name)
    assert told["mark"] == "kept"
    assert told["pid"] != pid
    wait(lambda: not _runs(pid), what="the end of the old process")
    shop.delete(name)
    assert wait(lambda: refused_or_none(shop, name)) == "ValidationException"


def _runs(pid: int) -> bool:
    """Whether a process runs; one that is dead and only waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_restart_in_the_middle_of_an_update(own_cloud: Any, tmp_path: Path) -> None:
    """kill -9 while the new servers come up: the old configuration serves again, and the endpoint says what happened;
    an endpoint that was being created goes on being created."""
    shop = Shop(Bench(own_cloud, tmp_path))
    config = shop.config(shop.model(MARK="old"))
    name = shop.endpoint(config)
    shop.settle(name)
    never = shop.config(shop.model(NEVER_HEALTHY="1"))
    shop.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=never)
    error = refused(shop.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config)["Error"]
    assert "Cannot update in-progress endpoint" in error["Message"]
    created = shop.endpoint(never)
    own_cloud.kill()
    own_cloud.start()
    assert shop.ask(name)["mark"] == "old"
    found = shop.settle(name)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", config)
    assert "the local cloud was restarted" in found["FailureReason"]
    assert shop.sagemaker.describe_endpoint(EndpointName=created)["EndpointStatus"] == "Creating"


def refused_or_none(shop: Shop, name: str) -> str:
    try:
        shop.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def template(shop: Shop, mark: str, **environment: str) -> str:
    """A stack with model, configuration and endpoint, whose names CloudFormation makes."""
    container = {"Image": shop.bench.image, "ModelDataUrl": shop.data, "Environment": {"MARK": mark, **environment}}
    variant = {
        "VariantName": "AllTraffic", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
        "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", "InitialVariantWeight": 1,
    }  # fmt: skip
    config = {"Fn::GetAtt": [f"Config{mark}", "EndpointConfigName"]}
    return json.dumps(
        {
            "Resources": {
                "Model": {
                    "Type": "AWS::SageMaker::Model",
                    "Properties": {"ExecutionRoleArn": shop.bench.role, "PrimaryContainer": container},
                },
                f"Config{mark}": {
                    "Type": "AWS::SageMaker::EndpointConfig",
                    "Properties": {"ProductionVariants": [variant]},
                },
                "Endpoint": {"Type": "AWS::SageMaker::Endpoint", "Properties": {"EndpointConfigName": config}},
            },
            "Outputs": {"Name": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}},
        }
    )


def test_cloudformation_waits_for_the_endpoint(shop: Shop) -> None:
    """A stack is complete when its endpoint serves; an update whose server does not come up is rolled back with the
    reason, and the old model has served all the time."""
    client, stack = shop.bench.cloud.client("cloudformation"), unique("stack")

    def settled() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_stacks(StackName=stack)["Stacks"][0]
        return None if found["StackStatus"].endswith("IN_PROGRESS") else found

    client.create_stack(StackName=stack, TemplateBody=template(shop, "One"))
    found = wait(settled, 60)
    assert found["StackStatus"] == "CREATE_COMPLETE", found
    name = found["Outputs"][0]["OutputValue"]
    assert shop.ask(name)["mark"] == "One"
    client.update_stack(StackName=stack, TemplateBody=template(shop, "Two"))
    assert wait(settled, 60)["StackStatus"] == "UPDATE_COMPLETE"
    assert shop.ask(name)["mark"] == "Two"
    client.update_stack(StackName=stack, TemplateBody=template(shop, "Bad", CRASH="1"))
    assert wait(settled, 60)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert shop.ask(name)["mark"] == "Two"
    events = client.describe_stack_events(StackName=stack)["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in events if event["LogicalResourceId"] == "Endpoint"]
    assert any("did not pass the ping health check" in reason for reason in reasons), reasons
    client.delete_stack(StackName=stack)

    def gone() -> bool:
        return not shop.sagemaker.list_endpoints(NameContains=name)["Endpoints"]

    wait(gone, 60)
