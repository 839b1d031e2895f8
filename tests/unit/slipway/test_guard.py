"""The guard: what is found is ended once and reported; what passes by itself is tried again; people are told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY

from slipway.functions import guard as function
from slipway.guard.guard import DUE, MARK, Guard, Settings

from .fakes import Session

ACCOUNT, REGION = "123456789012", "eu-west-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:slipway-audit-findings"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0d9d6f2e-0000-4000-8000-000000000000"
JOB = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/j"
ENDPOINT = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e-point"
CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
EVENT_ID = "0d9d6f2e-1111-4000-8000-000000000000"


def call(name: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "detail-type": "AWS API Call via CloudTrail",
        "account": ACCOUNT,
        "region": REGION,
        "time": "2026-01-01T00:00:00Z",
        "detail": {
            "eventName": name,
            "eventID": EVENT_ID,
            "eventTime": "2026-01-01T00:00:00Z",
            "sourceIPAddress": "10.0.0.7",
            "userIdentity": {
                "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/slipway-DataScientist/ann",
                "sessionContext": {"sessionIssuer": {"userName": "slipway-DataScientist"}},
            },
            "requestParameters": parameters,
            **more,
        },
    }


def state_change(kind: str, **detail: str) -> dict[str, Any]:
    return {
        "id": "2",
        "detail-type": f"SageMaker {kind} State Change",
        "account": ACCOUNT,
        "region": REGION,
        "detail": detail,
    }


def job(status: str = "InProgress", key: str = "", vpc: bool = False) -> dict[str, Any]:
    return {
        "TrainingJobName": "j",
        "TrainingJobArn": JOB,
        "TrainingJobStatus": status,
        "SecondaryStatus": "Starting",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/m"},
        "StoppingCondition": {},
        "CreationTime": 0,
        "ResourceConfig": {**CLUSTER, **({"VolumeKmsKeyId": key} if key else {})},
        "OutputDataConfig": {"S3OutputPath": "s3://b/o", **({"KmsKeyId": key} if key else {})},
        **({"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}} if vpc else {}),
    }


def tags(session: Session, arn: str, **found: str) -> None:
    listed = [{"Key": key, "Value": value} for key, value in found.items()]
    session.stub("sagemaker", "list_tags", {"Tags": listed}, {"ResourceArn": arn})


def key(session: Session, **found: str) -> None:
    session.stub("kms", "describe_key", {"KeyMetadata": {"KeyId": KEY.rsplit("/", 1)[1], "Arn": KEY}})
    listed = [{"TagKey": name, "TagValue": value} for name, value in found.items()]
    session.stub("kms", "list_resource_tags", {"Tags": listed}, {"KeyId": KEY})
    session.client("ssm")
    session.refuse("ssm", "get_parameter", "ParameterNotFound")


def reports(session: Session, arn: str, *marks: str) -> None:
    expected = {"TopicArn": TOPIC, "Subject": ANY, "Message": ANY, "MessageAttributes": ANY}
    session.stub("sns", "publish", {"MessageId": "1"}, expected)
    expected = {"ResourceArn": arn, "Tags": [{"Key": mark, "Value": ANY} for mark in (MARK, *marks)]}
    session.stub("sagemaker", "add_tags", {"Tags": []}, expected)


def handle(session: Session, event: dict[str, Any], ends: bool = True) -> Any:
    for service in ("sagemaker", "sns", "kms", "ssm"):
        session.client(service)
    report = Guard(session, Settings("slipway", TOPIC, ends)).handle(event)
    session.assert_all_called()
    return report


TRAIN = call("CreateTrainingJob", {"trainingJobName": "j"}, responseElements={"trainingJobArn": JOB})


def test_a_job_outside_is_stopped_and_reported_with_who_what_where_and_why() -> None:
    """The control as a whole: one stop, one message that a person can act on."""
    session = Session()
    session.stub("sagemaker", "describe_training_job", job())
    tags(session, JOB)
    session.stub("sagemaker", "stop_training_job", {}, {"TrainingJobName": "j"})
    reports(session, JOB)
    report = handle(session, TRAIN)
    assert report.subject == "SageMaker training-job j: stopped"
    said = json.loads(report.message)
    assert said["who"]["principal"].endswith("assumed-role/slipway-DataScientist/ann")
    assert said["who"]["role"] == "slipway-DataScientist"
    assert said["what"] == {"call": "CreateTrainingJob", "resource": JOB}
    assert said["where"] == {"account": ACCOUNT, "region": REGION}
    wanting = ("VpcConfig", "ResourceConfig.VolumeKmsKeyId", "OutputDataConfig.KmsKeyId")
    assert said["why"] == [f"{where}: it has none" for where in wanting]
    assert (said["done"], said["event"]) == ("stopped", EVENT_ID)


def test_a_job_as_it_must_be_is_left_alone() -> None:
    session = Session()
    session.stub("sagemaker", "describe_training_job", job(key=KEY, vpc=True))
    tags(session, JOB, Project="flights")
    key(session, Namespace="slipway", Project="flights")
    assert handle(session, TRAIN) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"Namespace": "slipway", "Project": "other"}, "is the key of the project other, not of flights"),
        ({"Namespace": "slipway", "Project": "platform"}, "is no project's key"),
        ({"Namespace": "elsewhere", "Project": "flights"}, "is no project's key"),
        ({}, "is no project's key"),
    ],
)
def test_another_key_is_as_bad_as_none(found: dict[str, str], expected: str) -> None:
    session = Session()
    session.stub("sagemaker", "describe_training_job", job(key=KEY, vpc=True))
    tags(session, JOB, Project="flights")
    key(session, **found)
    session.stub("sagemaker", "stop_training_job", {})
    reports(session, JOB)
    assert all(expected in reason for reason in handle(session, TRAIN).why)


def test_a_key_of_another_account_is_no_key() -> None:
    session = Session()
    session.stub("sagemaker", "describe_training_job", job(key=KEY, vpc=True))
    tags(session, JOB)
    session.refuse("kms", "describe_key", "AccessDeniedException")
    session.stub("sagemaker", "stop_training_job", {})
    reports(session, JOB)
    assert handle(session, TRAIN).why[0].endswith("is no key of this account")


def test_the_release_key_of_the_account_serves() -> None:
    """Protects releases: endpoints of staging and production are under the account's release key."""
    session = Session()
    session.stub("sagemaker", "describe_training_job", job(key=KEY, vpc=True))
    tags(session, JOB, Project="flights")
    session.stub("kms", "describe_key", {"KeyMetadata": {"KeyId": "k", "Arn": KEY}})
    session.stub("kms", "list_resource_tags", {"Tags": [{"TagKey": "Project", "TagValue": "platform"}]})
    session.stub(
        "ssm", "get_parameter", {"Parameter": {"Value": KEY}}, {"Name": "/slipway/platform/release/key-arn"}
    )  # fmt: skip
    assert handle(session, TRAIN) is None


def test_the_same_event_again_says_nothing_again() -> None:
    """EventBridge delivers at least once."""
    session = Session()
    session.stub("sagemaker", "describe_training_job", job("Stopped"))
    tags(session, JOB, **{MARK: EVENT_ID})
    assert handle(session, TRAIN) is None


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopping", "Stopped"])
def test_a_job_that_has_ended_is_reported_all_the_same(status: str) -> None:
    session = Session()
    session.stub("sagemaker", "describe_training_job", job(status))
    tags(session, JOB)
    reports(session, JOB)
    assert handle(session, TRAIN).done == f"was {status} already"


def test_a_job_that_ends_while_it_is_being_stopped() -> None:
    """The race of every stop: SageMaker refuses, and the job is not the problem any more."""
    session = Session()
    session.stub("sagemaker", "describe_training_job", job())
    tags(session, JOB)
    session.refuse("sagemaker", "stop_training_job", "ValidationException", "the training job is in status Completed")
    session.stub("sagemaker", "describe_training_job", job("Completed"))
    reports(session, JOB)
    assert handle(session, TRAIN).done == "was Completed already"


def test_what_cannot_be_stopped_is_said() -> None:
    """Protects people: a guard without the right to stop must not be silent."""
    session = Session()
    session.stub("sagemaker", "describe_training_job", job())
    tags(session, JOB)
    session.refuse("sagemaker", "stop_training_job", "AccessDeniedException")
    session.stub("sagemaker", "describe_training_job", job())
    reports(session, JOB)
    assert handle(session, TRAIN).done == "could not be stopped, do it by hand: AccessDeniedException"


@pytest.mark.parametrize(
    ("method", "code", "status"), [("describe_training_job", "ThrottlingException", 400), ("list_tags", "Oops", 500)]
)
def test_what_passes_by_itself_is_raised_so_that_lambda_tries_again(method: str, code: str, status: int) -> None:
    session = Session()
    if method == "list_tags":
        session.stub("sagemaker", "describe_training_job", job())
    session.refuse("sagemaker", method, code, status=status)
    with pytest.raises(ClientError):
        handle(session, TRAIN)


def test_a_throttled_stop_is_tried_again_before_anything_is_said() -> None:
    session = Session()
    session.stub("sagemaker", "describe_training_job", job())
    tags(session, JOB)
    session.refuse("sagemaker", "stop_training_job", "ThrottlingException")
    with pytest.raises(ClientError):
        handle(session, TRAIN)


def test_what_is_gone_is_judged_by_what_was_asked() -> None:
    """Someone who deletes the traces in the same second is reported none the less."""
    event = call(
        "CreateModel", {"modelName": "m", "executionRoleArn": "r"},
        responseElements={"modelArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/m"},
    )  # fmt: skip
    session = Session()
    session.refuse("sagemaker", "describe_model", "ValidationException", 'Could not find model "m".')
    session.stub("sns", "publish", {"MessageId": "1"})
    report = handle(session, event)
    assert (report.done, report.why) == ("had gone already", ["VpcConfig: it has none"])
    assert report.resource.endswith(":model/m")


def test_a_refused_call_made_nothing() -> None:
    assert handle(Session(), call("CreateTrainingJob", {"trainingJobName": "j"}, errorCode="AccessDenied")) is None


def test_other_calls_are_none_of_its_business() -> None:
    assert handle(Session(), call("CreateDomain", {"domainName": "d"})) is None


def test_report_only() -> None:
    """An organisation may want to look on for a while before anything is stopped."""
    session = Session()
    session.stub("sagemaker", "describe_training_job", job())
    tags(session, JOB)
    reports(session, JOB)
    assert handle(session, TRAIN, ends=False).done == "reported, left as it is"


# ---- endpoints: they cannot be deleted while they are being made


def endpoint(session: Session, status: str) -> None:
    found = {"EndpointName": "e-point", "EndpointArn": ENDPOINT, "EndpointConfigName": "c", "EndpointStatus": status}
    session.stub("sagemaker", "describe_endpoint", {**found, "CreationTime": 0, "LastModifiedTime": 0})


def config(session: Session) -> None:
    found = {"EndpointConfigName": "c", "EndpointConfigArn": "a" * 20, "CreationTime": 0, "ProductionVariants": []}
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}
    session.stub("sagemaker", "describe_endpoint_config", {**found, "ProductionVariants": [variant]})
    session.stub("sagemaker", "describe_model", {"ModelName": "m", "CreationTime": 0, "ModelArn": "a" * 20})


def test_an_endpoint_is_reported_at_once_and_deleted_when_it_can_be() -> None:
    session = Session()
    endpoint(session, "Creating")
    tags(session, ENDPOINT)
    config(session)
    reports(session, ENDPOINT, DUE)
    report = handle(session, call("CreateEndpoint", {"endpointName": "e-point", "endpointConfigName": "c"}))
    assert report.done == "is Creating: it will be deleted when that is over"
    assert report.subject.startswith("SageMaker endpoint e-point")
    session = Session()
    endpoint(session, "InService")
    tags(session, ENDPOINT, **{MARK: EVENT_ID, DUE: "deletion"})
    config(session)
    session.stub("sagemaker", "delete_endpoint", {}, {"EndpointName": "e-point"})
    reports(session, ENDPOINT)
    report = handle(session, state_change("Endpoint", EndpointName="e-point", EndpointStatus="IN_SERVICE"))
    assert report.done == "deleted"


def test_a_serving_endpoint_that_is_updated_is_reported_and_never_deleted() -> None:
    """Protects production: an update is no creation; people decide."""
    session = Session()
    endpoint(session, "Updating")
    tags(session, ENDPOINT)
    config(session)
    reports(session, ENDPOINT)  # without the mark by which a change of state would delete it
    report = handle(session, call("UpdateEndpoint", {"endpointName": "e-point", "endpointConfigName": "c"}))
    assert report.done == "reported, left as it is"


@pytest.mark.parametrize("status", ["Creating", "Deleting"])
def test_a_change_of_state_that_changes_nothing_for_the_guard(status: str) -> None:
    session = Session()
    endpoint(session, status)
    tags(session, ENDPOINT, **{MARK: EVENT_ID, DUE: "deletion"})
    config(session)
    assert handle(session, state_change("Endpoint", EndpointName="e-point", EndpointStatus=status)) is None


def test_an_endpoint_that_nobody_reported_is_left_alone_when_its_state_changes() -> None:
    session = Session()
    endpoint(session, "InService")
    tags(session, ENDPOINT, **{MARK: "that of an update"})
    assert handle(session, state_change("Endpoint", EndpointName="e-point", EndpointStatus="IN_SERVICE")) is None


def test_a_notebook_that_is_started_again_is_stopped_again() -> None:
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/n"
    session = Session()
    found = {"NotebookInstanceName": "n", "NotebookInstanceArn": arn, "NotebookInstanceStatus": "InService"}
    session.stub("sagemaker", "describe_notebook_instance", {**found, "DirectInternetAccess": "Enabled"})
    tags(session, arn, **{MARK: "an earlier one"})
    session.stub("sagemaker", "stop_notebook_instance", {})
    reports(session, arn)
    report = handle(session, state_change("Notebook Instance", NotebookInstanceName="n"))
    assert report.done == "stopped"
    assert len(report.why) == 3


# ---- the function


def test_the_function_takes_its_settings_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(function_name="f", memory_limit_in_mb=1, invoked_function_arn="a", aws_request_id="1")
    session = Session()
    session.stub("sagemaker", "describe_training_job", job())
    tags(session, JOB)
    reports(session, JOB)
    monkeypatch.setattr("boto3.Session", lambda: session)
    for name, value in (("NAMESPACE", "slipway"), ("TOPIC_ARN", TOPIC), ("RESPONSE", "report")):
        monkeypatch.setenv(name, value)
    function.handler(TRAIN, context)
    session.assert_all_called()
