"""EventBridge Scheduler: a due schedule calls an API as its role; what it cannot deliver goes to its queue."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import pytest

from slipway import retraining
from tests.localcloud.calls import awaited, record
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud
from tests.localcloud.pipelines import Bench, until

TARGET = "arn:aws:scheduler:::aws-sdk:codepipeline:startPipelineExecution"
GROUP = f"arn:aws:scheduler:{REGION}:{TOOLING}:schedule-group/default"


@pytest.fixture(scope="module")
def bench(cloud: LocalCloud) -> Bench:
    return Bench(cloud)


def role(bench: Bench, service: str = "scheduler.amazonaws.com") -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return bench.make_role(f"schedule-{uuid.uuid4().hex[:8]}", {"Version": "2012-10-17", "Statement": [statement]})


def schedule(cloud: LocalCloud, target: dict[str, Any], **more: Any) -> str:
    """A schedule that is due at once, or what `more` says."""
    name = f"s-{uuid.uuid4().hex[:8]}"
    now = datetime.datetime.now(datetime.UTC)
    cloud.client("scheduler").create_schedule(
        Name=name,
        **{"ScheduleExpression": f"at({now:%Y-%m-%dT%H:%M:%S})", **more},
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": TARGET, **target},
    )
    return name


def test_a_schedule_starts_a_pipeline_as_its_role_with_a_variable(cloud: LocalCloud, bench: Bench) -> None:
    """Protects: a retraining by schedule says that it is one; the trust policy is asked with the schedule's group."""
    name = bench.create([bench.deploy()], variables=[{"name": "Cause", "defaultValue": "merge"}])
    given = {"Name": name, "Variables": [{"Name": "Cause", "Value": "schedule"}]}
    by = role(bench)
    schedule(cloud, {"RoleArn": by, "Input": json.dumps(given)})
    until(lambda: len(bench.executions(name)) == 2, 40)
    ended = bench.ends(name, bench.executions(name)[1]["pipelineExecutionId"], "Succeeded")
    assert ended["variables"] == [{"name": "Cause", "resolvedValue": "schedule"}]
    taken = awaited(lambda: record(cloud, principal="scheduler.amazonaws.com", resource=by))[0]
    assert taken["context"]["keys"] == {"aws:SourceAccount": TOOLING, "aws:SourceArn": GROUP}


def test_what_a_schedule_cannot_deliver_is_kept_with_the_reason(cloud: LocalCloud, bench: Bench) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=f"undelivered-{bench.id}")["QueueUrl"]
    queue = f"arn:aws:sqs:{REGION}:{TOOLING}:undelivered-{bench.id}"
    given = json.dumps({"Name": "no-such-pipeline"})
    name = schedule(cloud, {"RoleArn": role(bench), "Input": given, "DeadLetterConfig": {"Arn": queue}})

    def look() -> Any:
        return sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages")

    message = until(look, 40)[0]
    told = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert told["ERROR_CODE"] == "PipelineNotFoundException"
    assert told["SCHEDULE_ARN"].endswith(f"schedule/default/{name}")
    assert message["Body"] == given


def test_the_build_keeps_a_schedule_as_the_project_file_says(cloud: LocalCloud, bench: Bench) -> None:
    """Protects: on, changed, the same again, off; what the product made of the schedule stays."""
    client = cloud.client("scheduler")
    target = {"RoleArn": role(bench), "Input": "{}"}
    name = schedule(cloud, target, ScheduleExpression="rate(365 days)", State="DISABLED", Description="d")

    def look() -> tuple[str, str, str, Any]:
        found = client.get_schedule(Name=name)
        return found["State"], found["ScheduleExpression"], found["Description"], found["Target"]

    kept = ("d", {"Arn": TARGET, **target})
    assert retraining.apply(client, name, None) == "no schedule"
    assert retraining.apply(client, name, "rate(7 days)") == f"schedule {name} is rate(7 days) (UTC)"
    assert look() == ("ENABLED", "rate(7 days)", *kept)
    assert retraining.apply(client, name, "rate(7 days)") == f"schedule {name} stays rate(7 days)"
    retraining.apply(client, name, "cron(0 3 ? * MON *)")
    assert look() == ("ENABLED", "cron(0 3 ? * MON *)", *kept)
    assert retraining.apply(client, name, None) == f"schedule {name} is off"
    assert look() == ("DISABLED", "cron(0 3 ? * MON *)", *kept)
    with pytest.raises(Exception, match=r"the schedule gone is gone: ask the Data Science Admin"):
        retraining.apply(client, "gone", "rate(7 days)")
