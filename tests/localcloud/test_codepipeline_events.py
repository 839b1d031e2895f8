"""CodePipeline among other services: approval messages, events, EventBridge as a trigger, the CloudFormation type."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.localcloud.calls import awaited, record

ACCOUNT, REGION = "111111111111", "eu-west-1"
HELPERS = runpy.run_path(str(Path(__file__).with_name("pipelines.py")))
Bench, approval, refused, until, zipped = (
    HELPERS[name] for name in ("Bench", "approval", "refused", "until", "zipped")
)


@pytest.fixture(scope="module")
def bench(cloud: Any) -> Any:
    return Bench(cloud)


def first(bench: Any, name: str) -> str:
    return str(bench.executions(name)[0]["pipelineExecutionId"])


def latest(bench: Any, name: str, action_name: str) -> dict[str, Any]:
    """The newest execution of an action, as ListActionExecutions shows it."""
    found = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    return next(entry for entry in found if entry["actionName"] == action_name)


def queue(cloud: Any, name: str) -> tuple[str, str]:
    """(URL, ARN) of a queue."""
    url = cloud.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def drain(cloud: Any, url: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What has arrived so far, in all."""
    client = cloud.client("sqs")
    for message in client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found.append(json.loads(message["Body"]))
        client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_approval_message_and_events(cloud: Any, bench: Any) -> None:
    """SNS gets AWS's JSON; EventBridge gets pipeline, stage and action events in AWS's shape."""
    url, arn = queue(cloud, f"events-{bench.id}")
    asked_url, asked_arn = queue(cloud, f"asked-{bench.id}")
    name = f"told-{bench.id}"
    events, sns = cloud.client("events"), cloud.client("sns")
    pattern = {"source": ["aws.codepipeline"], "detail": {"pipeline": [name]}}
    events.put_rule(Name=f"told-{bench.id}", EventPattern=json.dumps(pattern))
    events.put_targets(Rule=f"told-{bench.id}", Targets=[{"Id": "1", "Arn": arn}])
    topic = sns.create_topic(Name=f"asked-{bench.id}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked_arn)
    given = {"NotificationArn": topic, "CustomData": "of #{Source.ObjectKey}", "ExternalEntityLink": "http://x.example"}
    bench.create([approval(configuration=given)], name=name)
    token = bench.token(name)
    asked: list[dict[str, Any]] = []
    until(lambda: drain(cloud, asked_url, asked))
    message = json.loads(asked[0]["Message"])
    assert message["region"] == REGION
    assert message["approval"]["token"] == token
    assert message["approval"]["customData"] == "of app.zip"
    assert message["approval"]["approvalReviewLink"].endswith(f"/{name}/Stage1/Approve/approve/{token}")
    bench.answer(name, token)
    execution = first(bench, name)
    bench.ends(name, execution, "Succeeded")
    found: list[dict[str, Any]] = []
    until(lambda: len(drain(cloud, url, found)) >= 10, what=str(found))
    kinds = sorted((event["detail-type"].split()[1], event["detail"]["state"]) for event in found)
    assert kinds == sorted(
        [("Pipeline", "STARTED"), ("Pipeline", "SUCCEEDED")]
        + [("Stage", "STARTED"), ("Stage", "SUCCEEDED"), ("Action", "STARTED"), ("Action", "SUCCEEDED")] * 2
    )
    begun = next(e for e in found if e["detail-type"] == "CodePipeline Pipeline Execution State Change")
    assert begun["resources"] == [f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{name}"]
    assert begun["detail"]["execution-id"] == execution
    assert begun["detail"]["execution-trigger"]["trigger-type"] == "CreatePipeline"
    ended = next(e for e in found if e["detail"].get("action") == "Source" and e["detail"]["state"] == "SUCCEEDED")
    assert ended["detail"]["type"] == {"owner": "AWS", "provider": "S3", "category": "Source", "version": "1"}
    assert ended["detail"]["output-artifacts"][0]["s3location"]["bucket"] == bench.store


def test_eventbridge_starts_a_pipeline(cloud: Any, bench: Any) -> None:
    """A rule's target starts the pipeline, with the revision and variables that its input transformer gives."""
    bench.s3.put_object(Bucket=bench.source, Key="releases/7.zip", Body=zipped(a__txt="seven"))
    declaration = bench.declare(
        f"ruled-{bench.id}", [bench.deploy()], variables=[{"name": "Cause", "defaultValue": "-"}]
    )
    declaration["stages"][0]["actions"] = [bench.source_action(AllowOverrideForS3ObjectKey="true")]
    bench.pipelines.create_pipeline(pipeline=declaration)
    name = declaration["name"]
    role = bench.make_role(
        f"events-{bench.id}", json.loads(json.dumps(HELPERS["TRUST"]).replace("codepipeline", "events"))
    )
    override = '{"actionName": "Source", "revisionType": "S3_OBJECT_KEY", "revisionValue": "releases/<v>.zip"}'
    transformer = {
        "InputPathsMap": {"v": "$.detail.version"},
        "InputTemplate": f'{{"sourceRevisions": [{override}], "variables": [{{"name": "Cause", "value": "data"}}]}}',
    }
    events = cloud.client("events")
    rule = events.put_rule(Name=f"start-{bench.id}", EventPattern=json.dumps({"source": [f"test.{bench.id}"]}))
    arn = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{name}"
    events.put_targets(
        Rule=f"start-{bench.id}", Targets=[{"Id": "1", "Arn": arn, "RoleArn": role, "InputTransformer": transformer}]
    )
    entry = {"Source": f"test.{bench.id}", "DetailType": "New", "Detail": json.dumps({"version": 7})}
    events.put_events(Entries=[entry])
    until(lambda: len(bench.executions(name)) == 2)
    started = bench.executions(name)[1]
    assert started["trigger"] == {"triggerType": "CloudWatchEvent", "triggerDetail": rule["RuleArn"]}
    ended = bench.ends(name, started["pipelineExecutionId"], "Succeeded")
    assert ended["variables"] == [{"name": "Cause", "resolvedValue": "data"}]
    assert latest(bench, name, "Source")["output"]["outputVariables"]["ObjectKey"] == "releases/7.zip"
    by_role = awaited(lambda: record(cloud, action="codepipeline:StartPipelineExecution", resource=arn))
    assert [call["principal"] for call in by_role] == [f"arn:aws:sts::{ACCOUNT}:assumed-role/events-{bench.id}/events"]
    taken = awaited(lambda: record(cloud, principal="events.amazonaws.com", resource=role))[0]
    assert taken["context"]["keys"] == {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": rule["RuleArn"]}


def pascal(value: Any, inside: str = "") -> Any:
    """The API's declaration as a template writes it."""
    if isinstance(value, dict) and inside != "Configuration":
        return {k[:1].upper() + k[1:]: pascal(v, k[:1].upper() + k[1:]) for k, v in value.items()}
    return [pascal(item) for item in value] if isinstance(value, list) else value


def test_cloudformation_type(cloud: Any, bench: Any) -> None:
    """A template makes, changes, restarts and deletes a pipeline; Ref is its name, Version grows; a wrong structure
    fails the stack with CodePipeline's reason and leaves nothing."""
    client, stack_name = cloud.client("cloudformation"), f"typed-{bench.id}"
    name = f"typed-{bench.id}"

    def template(*stages: Any, **more: Any) -> str:
        properties = {**pascal(bench.declare(name, *stages)), **more}
        resource = {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties}
        outputs = {"Name": {"Value": {"Ref": "P"}}, "Version": {"Value": {"Fn::GetAtt": ["P", "Version"]}}}
        return json.dumps({"Resources": {"P": resource}, "Outputs": outputs})

    def outputs() -> dict[str, str]:
        (found,) = client.describe_stacks(StackName=stack_name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}

    tags = [{"Key": "Project", "Value": "p"}]
    held = [{"StageName": "Stage1", "Reason": "frozen"}]
    client.create_stack(
        StackName=stack_name, TemplateBody=template([bench.deploy()], Tags=tags, DisableInboundStageTransitions=held)
    )
    client.get_waiter("stack_create_complete").wait(StackName=stack_name, WaiterConfig={"Delay": 1})
    assert outputs() == {"Name": name, "Version": "1"}
    assert bench.stage(name, "Stage1")["inboundTransitionState"]["enabled"] is False
    body = template([bench.deploy("New")], Tags=[], RestartExecutionOnUpdate=True)
    client.update_stack(StackName=stack_name, TemplateBody=body)
    client.get_waiter("stack_update_complete").wait(StackName=stack_name, WaiterConfig={"Delay": 1})
    assert outputs()["Version"] == "2"
    assert len(bench.executions(name)) == 2
    arn = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{name}"
    left = {tag["key"] for tag in bench.pipelines.list_tags_for_resource(resourceArn=arn)["tags"]}
    assert left == {f"aws:cloudformation:{part}" for part in ("stack-name", "stack-id", "logical-id")}
    client.delete_stack(StackName=stack_name)
    client.get_waiter("stack_delete_complete").wait(StackName=stack_name, WaiterConfig={"Delay": 1})
    refused("PipelineNotFoundException", bench.pipelines.get_pipeline, name=name)
    wrong = template([bench.source_action()])
    client.create_stack(StackName=f"wrong-{bench.id}", TemplateBody=wrong)
    until(
        lambda: client.describe_stacks(StackName=f"wrong-{bench.id}")["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE"
    )
    events = client.describe_stack_events(StackName=f"wrong-{bench.id}")["StackEvents"]
    assert any("Only the first stage" in str(event.get("ResourceStatusReason")) for event in events)
