"""The audit as an administrator deploys it: it comes, changes and goes whole, and the guard ends what must not be.

Everything here is deployed by the repository's own templates and command; the guard runs as Lambda runs it.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.platform import deploy
from slipway.progress import Progress
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud, free_port
from tests.localcloud.sagemaker_support import Bench, unique, wait

REPOSITORY = Path(__file__).resolve().parents[2]
VPC = {"Subnets": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
LAYERS = {
    "Analyzer", "ConfigRecorder", "ConfigRules", "Findings", "Guard", "Store", "ThreatDetection", "Trail",
}  # fmt: skip


def bootstrap(cloud: LocalCloud, account: str, **parameters: str) -> str:
    """`make bootstrap` as the account's administrator. Returns what it said."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        for name, value in cloud.environment(account).items():
            environment.setenv(name, value)
        deployment = deploy.Deployment(boto3.Session(), "slipway", REPOSITORY, parameters)
        deploy.bootstrap(deployment, Progress(said))
    return said.getvalue()


def layers(cloud: LocalCloud, account: str) -> set[str]:
    """The nested stacks of the audit."""
    cloudformation = cloud.client("cloudformation", account)
    found = cloudformation.list_stack_resources(StackName="slipway-audit")["StackResourceSummaries"]
    return {item["LogicalResourceId"] for item in found if not item["ResourceStatus"].startswith("DELETE")}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud of its own: an account has one recorder, one detector, one audit."""
    cloud = LocalCloud(tmp_path_factory.mktemp("audited") / "home", free_port())
    cloud.start()
    bootstrap(cloud, TOOLING)
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def bench(audited: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(audited, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def project_key(audited: LocalCloud) -> str:
    """A project's key, tagged as the product tags it."""
    tags = [{"TagKey": "Namespace", "TagValue": "slipway"}, {"TagKey": "Project", "TagValue": "flights"}]
    return str(audited.client("kms").create_key(Tags=tags)["KeyMetadata"]["Arn"])


@pytest.fixture(scope="module")
def scientist(audited: LocalCloud) -> Any:
    """A person who may create jobs: a client of SageMaker as an assumed role."""
    trust = {"Effect": "Allow", "Principal": {"AWS": TOOLING}, "Action": "sts:AssumeRole"}
    audited.client("iam").create_role(
        RoleName="Careless", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    found = audited.client("sts").assume_role(RoleArn=f"arn:aws:iam::{TOOLING}:role/Careless", RoleSessionName="ann")
    keys = found["Credentials"]
    return audited.client(
        "sagemaker", access_key=keys["AccessKeyId"], secret_key=keys["SecretAccessKey"], token=keys["SessionToken"]
    )


@pytest.fixture(scope="module")
def reports(audited: LocalCloud) -> Callable[[], list[dict[str, Any]]]:
    """What comes out of the topic: a queue is subscribed to it, as a ticket system would be."""
    sns, sqs = audited.client("sns"), audited.client("sqs")
    queue = sqs.create_queue(QueueName="findings")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = audited.client("ssm").get_parameter(Name="/slipway/platform/audit/topic-arn")["Parameter"]["Value"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    caught: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            caught.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return caught

    return read


def about(reports: Callable[[], list[dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    """The guard's reports on a resource."""
    return [found for found in reports() if found.get("what", {}).get("resource", "").endswith(f"/{name}")]


def training(bench: Bench, key: str | None = None, **members: Any) -> dict[str, Any]:
    """CreateTrainingJob that takes its time; with a key it is under it wholly."""
    request = bench.training_arguments(HyperParameters={"sleep": "30"}, **members)
    if key:
        request["ResourceConfig"]["VolumeKmsKeyId"] = request["OutputDataConfig"]["KmsKeyId"] = key
    return request


# ---- the guard


def test_a_job_outside_the_vpc_is_stopped_and_reported(bench: Bench, scientist: Any, reports: Any) -> None:
    """The control as a whole: who, what, where, why; and the job is over."""
    name = unique("outside")
    scientist.create_training_job(TrainingJobName=name, **training(bench))
    assert bench.trained(name)["TrainingJobStatus"] == "Stopped"
    (report,) = wait(lambda: about(reports, name), what="the report")
    assert report["who"]["principal"] == f"arn:aws:sts::{TOOLING}:assumed-role/Careless/ann"
    assert report["what"]["call"] == "CreateTrainingJob"
    assert report["where"] == {"account": TOOLING, "region": REGION}
    assert any(reason.startswith("VpcConfig") for reason in report["why"])
    assert report["done"] == "stopped"


def test_a_job_under_another_key_is_stopped_and_one_as_it_must_be_is_left_alone(
    bench: Bench, scientist: Any, reports: Any, project_key: str
) -> None:
    """Protects projects from one another, and everybody from a guard that stops too much."""
    project = [{"Key": "Project", "Value": "flights"}]
    good, bad = unique("sound"), unique("foreign")
    other = bench.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    scientist.create_training_job(
        TrainingJobName=good,
        **training(bench, project_key, VpcConfig=VPC, Tags=project),
    )
    scientist.create_training_job(TrainingJobName=bad, **training(bench, other, VpcConfig=VPC, Tags=project))
    assert bench.trained(bad)["TrainingJobStatus"] == "Stopped"
    (report,) = wait(lambda: about(reports, bad), what="the report")
    assert all("is no project's key" in reason for reason in report["why"])
    assert bench.sagemaker.describe_training_job(TrainingJobName=good)["TrainingJobStatus"] == "InProgress"
    assert not about(reports, good)
    bench.sagemaker.stop_training_job(TrainingJobName=good)


def test_a_processing_job_that_has_ended_already_is_reported(bench: Bench, scientist: Any, reports: Any) -> None:
    """A job may be faster than the guard: that it was there is told all the same."""
    name = unique("quick")
    request = bench.processing_arguments(f"s3://{bench.bucket}/{name}")
    scientist.create_processing_job(ProcessingJobName=name, **request)
    (report,) = wait(lambda: about(reports, name), what="the report")
    assert report["done"] == "stopped" or report["done"].startswith("was ")
    assert report["why"][0].startswith("NetworkConfig.VpcConfig")


def test_a_model_outside_is_deleted_before_it_serves(bench: Bench, scientist: Any, reports: Any) -> None:
    """Models carry the network of endpoints and transform jobs."""
    name = unique("outside")
    scientist.create_model(ModelName=name, PrimaryContainer={"Image": bench.image}, ExecutionRoleArn=bench.role)
    (report,) = wait(lambda: about(reports, name), what="the report")
    assert report["done"] == "deleted"
    with pytest.raises(ClientError, match="Could not find model"):
        bench.sagemaker.describe_model(ModelName=name)


def test_an_endpoint_outside_is_deleted_as_soon_as_that_is_possible(
    bench: Bench, scientist: Any, reports: Any, project_key: str
) -> None:
    """An endpoint cannot be deleted while it is being made: the guard comes back to it."""
    guard = bench.cloud.client("events")
    model, config, endpoint = unique("m"), unique("c"), unique("e")
    # Made while nobody looked: otherwise the model would be gone before there is an endpoint.
    guard.disable_rule(Name="slipway-audit-made")
    scientist.create_model(ModelName=model, PrimaryContainer={"Image": bench.image}, ExecutionRoleArn=bench.role)
    variant = {"VariantName": "v", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    scientist.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant], KmsKeyId=project_key)
    time.sleep(0.5)
    guard.enable_rule(Name="slipway-audit-made")
    scientist.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)

    def gone() -> bool:
        try:
            bench.sagemaker.describe_endpoint(EndpointName=endpoint)
        except ClientError:
            return True
        return False

    wait(gone, what="the deletion of the endpoint")
    wait(lambda: any(report["done"] == "deleted" for report in about(reports, endpoint)), what="the report")
    first = about(reports, endpoint)[0]
    assert first["why"] == [f"model {model}: it has none"]


def test_the_function_leaves_nothing_in_the_queue_of_losses(audited: LocalCloud, reports: Any) -> None:
    """Protects the tests above: a guard that fails and is tried again would hide here."""
    sqs = audited.client("sqs")
    url = sqs.get_queue_url(QueueName="slipway-audit-lost")["QueueUrl"]
    assert not sqs.receive_message(QueueUrl=url).get("Messages")


def matches(cloud: LocalCloud, rule: str, source: str, kind: str, detail: dict[str, Any]) -> bool:
    """Whether a rule of the audit, as deployed, takes an event."""
    event = {
        "id": "1", "account": TOOLING, "source": source, "time": "2026-01-01T00:00:00Z", "region": REGION,
        "resources": [], "detail-type": kind, "detail": detail,
    }  # fmt: skip
    events = cloud.client("events")
    found = events.describe_rule(Name=f"slipway-audit-{rule}")
    assert found["State"] == "ENABLED"
    (target,) = events.list_targets_by_rule(Rule=f"slipway-audit-{rule}")["Targets"]
    assert target["Arn"].endswith(":slipway-audit-findings")
    return bool(events.test_event_pattern(EventPattern=found["EventPattern"], Event=json.dumps(event))["Result"])


API_CALL = "AWS API Call via CloudTrail"


def test_tampering_with_the_trail_is_reported_by_a_rule(audited: LocalCloud) -> None:
    """Protects the watchers: the pattern of the rule matches what CloudTrail writes of StopLogging."""
    detail = {"eventSource": "cloudtrail.amazonaws.com", "eventName": "StopLogging"}
    assert matches(audited, "tampering", "aws.cloudtrail", API_CALL, detail)
    assert not matches(audited, "tampering", "aws.cloudtrail", API_CALL, {**detail, "eventName": "LookupEvents"})


def test_root_use_is_reported(audited: LocalCloud, reports: Any) -> None:
    """Root's calls are told of, those of services in its name are not; here seen through to the queue."""
    detail = {"eventType": "AwsApiCall", "userIdentity": {"type": "Root"}}
    assert matches(audited, "root-use", "aws.iam", API_CALL, detail)
    by_service = {**detail, "userIdentity": {"type": "Root", "invokedBy": "support.amazonaws.com"}}
    assert not matches(audited, "root-use", "aws.iam", API_CALL, by_service)
    assert not matches(audited, "root-use", "aws.iam", API_CALL, {**detail, "userIdentity": {"type": "AssumedRole"}})
    name = unique("by-root")
    audited.client("codecommit").create_repository(repositoryName=name)

    def told() -> bool:
        parameters = [found.get("detail", {}).get("requestParameters") or {} for found in reports()]
        return any(given.get("repositoryName") == name for given in parameters)

    wait(told, what="the report")


@pytest.mark.parametrize(
    ("rule", "source", "kind", "detail", "other"),
    [
        ("threats", "aws.guardduty", "GuardDuty Finding", {"severity": 5.3}, {"severity": 2}),
        ("open-doors", "aws.access-analyzer", "Access Analyzer Finding", {"status": "ACTIVE"}, {"status": "RESOLVED"}),
        (
            "deviations", "aws.config", "Config Rules Compliance Change",
            {"configRuleName": "slipway-audit-TrailOn", "newEvaluationResult": {"complianceType": "NON_COMPLIANT"}},
            {"configRuleName": "slipway-audit-TrailOn", "newEvaluationResult": {"complianceType": "COMPLIANT"}},
        ),
    ],
)  # fmt: skip
def test_findings_of_awss_services_reach_people(
    audited: LocalCloud, rule: str, source: str, kind: str, detail: dict[str, Any], other: dict[str, Any]
) -> None:
    """What AWS finds, in the shape AWS documents, goes to the topic; what is no news does not."""
    assert matches(audited, rule, source, kind, detail)
    assert not matches(audited, rule, source, kind, other)


def test_the_door_of_people_is_chosen_by_parameter(own_cloud: LocalCloud) -> None:
    """SAML without a provider is refused before anything is made; with one, the account's principals stay outside."""
    with pytest.raises((ClientError, SlipwayError), match="SamlProviderArn"):
        bootstrap(own_cloud, TOOLING, SignIn="saml")
    iam = own_cloud.client("iam")
    assert not [role for role in iam.list_roles()["Roles"] if role["RoleName"].startswith("slipway-")]
    provider = f"arn:aws:iam::{TOOLING}:saml-provider/company"
    bootstrap(own_cloud, TOOLING, SignIn="saml", SamlProviderArn=provider)
    role = iam.get_role(RoleName="slipway-FullStackDeveloper")["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Federated": provider}
    assert statement["Action"] == ["sts:AssumeRoleWithSAML", "sts:TagSession"]


# ---- deployment


def test_the_audit_is_whole_and_a_second_run_changes_nothing(audited: LocalCloud) -> None:
    """Idempotent, as every command of the platform."""
    assert layers(audited, TOOLING) == LAYERS
    trail = audited.client("cloudtrail").get_trail(Name="slipway-audit")["Trail"]
    assert trail["IsMultiRegionTrail"]
    assert trail["LogFileValidationEnabled"]
    assert trail["KmsKeyId"]
    assert audited.client("cloudtrail").get_trail_status(Name="slipway-audit")["IsLogging"]
    rules = audited.client("config").describe_config_rules()["ConfigRules"]
    assert len(rules) > 20
    said = bootstrap(audited, TOOLING)
    assert "slipway-audit: unchanged" in said
    assert "unchanged" in said.split("assets ")[1].splitlines()[0]


def test_what_the_organisation_has_is_left_out_and_added_later(own_cloud: LocalCloud) -> None:
    """An existing recorder, detector or trail must not break the deployment; parameters change it in place."""
    account = "333333333333"
    bootstrap(
        own_cloud, account, CloudTrail="existing", Config="none", GuardDuty="existing", AccessAnalyzer="none",
        GuardResponse="report",
    )  # fmt: skip
    assert layers(own_cloud, account) == {"Findings", "Guard", "Store"}
    assert own_cloud.client("cloudtrail", account).describe_trails()["trailList"] == []
    function = own_cloud.client("lambda", account).get_function_configuration(FunctionName="slipway-audit-guard")
    assert function["Environment"]["Variables"]["RESPONSE"] == "report"
    bootstrap(
        own_cloud, account, CloudTrail="create", Config="create", GuardDuty="create", AccessAnalyzer="open-to-others",
        GuardResponse="stop",
    )  # fmt: skip
    assert layers(own_cloud, account) == LAYERS
    function = own_cloud.client("lambda", account).get_function_configuration(FunctionName="slipway-audit-guard")
    assert function["Environment"]["Variables"]["RESPONSE"] == "stop"
    # And it goes: nothing watches any more.
    cloudformation = own_cloud.client("cloudformation", account)
    cloudformation.delete_stack(StackName="slipway-audit")

    def deleted() -> bool:
        try:
            found = cloudformation.describe_stacks(StackName="slipway-audit")["Stacks"][0]["StackStatus"]
        except ClientError:
            return True
        assert found != "DELETE_FAILED"
        return bool(found == "DELETE_COMPLETE")

    wait(deleted, what="the deletion")
    assert own_cloud.client("cloudtrail", account).describe_trails()["trailList"] == []
    assert own_cloud.client("events", account).list_rules()["Rules"] == []
    assert own_cloud.client("lambda", account).list_functions()["Functions"] == []
    assert own_cloud.client("sns", account).list_topics()["Topics"] == []


def test_a_recorder_that_exists_fails_the_audit_with_its_reason_and_nothing_is_left(own_cloud: LocalCloud) -> None:
    """The most common surprise in a company's account: said by name, rolled back, deployable again with a parameter."""
    account = "222222222222"
    config = own_cloud.client("config", account)
    role = f"arn:aws:iam::{account}:role/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig"
    config.put_configuration_recorder(ConfigurationRecorder={"name": "default", "roleARN": role})
    with pytest.raises(SlipwayError, match=r"(?i)recorder"):
        bootstrap(own_cloud, account)
    bootstrap(own_cloud, account, Config="rules-only")
    assert layers(own_cloud, account) == LAYERS - {"ConfigRecorder"}
    assert [item["name"] for item in config.describe_configuration_recorders()["ConfigurationRecorders"]] == ["default"]


def test_an_unknown_parameter_is_refused_before_anything_is_made(own_cloud: LocalCloud) -> None:
    """A typo must not deploy the default."""
    with pytest.raises(SlipwayError, match=r"given GuardDutty, allowed .*GuardDuty"):
        bootstrap(own_cloud, TOOLING, GuardDutty="existing")
    assert own_cloud.client("cloudformation").describe_stacks()["Stacks"] == []
