"""CodePipeline's stage conditions: entry, success, failure, and overriding them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

HELPERS = runpy.run_path(str(Path(__file__).with_name("pipelines.py")))
Bench, approval, refused = (HELPERS[name] for name in ("Bench", "approval", "refused"))


@pytest.fixture(scope="module")
def bench(cloud: Any) -> Any:
    return Bench(cloud)


def check(result: str | None, operator: str, value: str) -> dict[str, Any]:
    rule = {
        "name": "Check",
        "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "VariableCheck", "version": "1"},
        "configuration": {"Variable": "#{Source.ObjectKey}", "Operator": operator, "Value": value},
    }
    return {"conditions": [{**({"result": result} if result else {}), "rules": [rule]}]}


def test_entry_condition_skips_or_fails(bench: Any) -> None:
    """A stage whose entry condition is not met is skipped or fails; a condition that is met changes nothing."""
    skipped = {"name": "Skipped", "actions": [approval()], "beforeEntry": check("SKIP", "NE", "app.zip")}
    entered = {"name": "Entered", "actions": [bench.deploy()], "beforeEntry": check("FAIL", "MATCHES", "app.*zip")}
    name = bench.create(skipped, entered)
    bench.ends(name, bench.executions(name)[0]["pipelineExecutionId"], "Succeeded")
    state = bench.stage(name, "Skipped")
    assert state["latestExecution"]["status"] == "Skipped"
    assert state["beforeEntryConditionState"]["latestExecution"]["status"] == "Failed"
    (rule,) = state["beforeEntryConditionState"]["conditionStates"][0]["ruleStates"]
    assert rule["latestExecution"]["status"] == "Failed"
    found = bench.pipelines.list_rule_executions(pipelineName=name)["ruleExecutionDetails"]
    assert [(entry["stageName"], entry["status"]) for entry in found] == [
        ("Entered", "Succeeded"),
        ("Skipped", "Failed"),
    ]


def test_a_failed_condition_can_be_overridden(bench: Any) -> None:
    """OverrideStageCondition lets an execution pass that its entry condition had failed, and nothing else."""
    name = bench.create(
        {"name": "Guarded", "actions": [bench.deploy()], "beforeEntry": check("FAIL", "EQ", "x")},
        {"name": "After", "actions": [bench.deploy("B")], "onSuccess": check("FAIL", "CONTAINS", ".tar")},
    )
    execution = bench.executions(name)[0]["pipelineExecutionId"]
    failed = bench.ends(name, execution, "Failed")
    assert "Check" in failed["statusSummary"]
    assert "latestExecution" not in bench.stage(name, "Guarded")["actionStates"][0]
    which = {"pipelineName": name, "pipelineExecutionId": execution}
    override = bench.pipelines.override_stage_condition
    refused("ConditionNotOverridableException", override, **which, stageName="After", conditionType="ON_SUCCESS")
    override(**which, stageName="Guarded", conditionType="BEFORE_ENTRY")
    bench.ends(name, execution, "Failed")
    assert bench.stage(name, "Guarded")["latestExecution"]["status"] == "Succeeded"
    override(**which, stageName="After", conditionType="ON_SUCCESS")
    bench.ends(name, execution, "Succeeded")


def test_a_failed_stage_is_retried_once_by_itself(bench: Any) -> None:
    """onFailure RETRY runs the failed actions one more time, not for ever."""
    again = {"result": "RETRY", "retryConfiguration": {"retryMode": "FAILED_ACTIONS"}}
    bad = bench.deploy("Bad", bucket=f"never-{bench.id}")
    name = bench.create({"name": "Try", "actions": [bad], "onFailure": again})
    bench.ends(name, bench.executions(name)[0]["pipelineExecutionId"], "Failed")
    found = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    assert [entry["actionName"] for entry in found] == ["Bad", "Bad", "Source"]
    assert bench.stage(name, "Try")["retryStageMetadata"]["latestRetryTrigger"] == "AutomatedStageRetry"


def test_a_variable_that_was_never_produced_fails_the_action(bench: Any) -> None:
    """The reason names the action and the reference."""
    name = bench.create([bench.deploy(configuration={"ObjectKey": "#{Source.Nope}"})])
    ended = bench.ends(name, bench.executions(name)[0]["pipelineExecutionId"], "Failed")
    assert "Action name=Deploy" in ended["statusSummary"]
    assert "#{Source.Nope}" in ended["statusSummary"]


def test_an_alarm_keeps_executions_out(cloud: Any, bench: Any) -> None:
    """CloudWatchAlarm fails while the alarm is in ALARM, and passes when it is not."""
    alarm = f"alarm-{bench.id}"
    watch = cloud.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName=alarm,
        MetricName="m",
        Namespace="n",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    watch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="test")
    rule = {
        "name": "Quiet",
        "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "CloudWatchAlarm", "version": "1"},
        "configuration": {"AlarmName": alarm},
    }
    guarded = {
        "name": "Guarded",
        "actions": [bench.deploy()],
        "beforeEntry": {"conditions": [{"result": "FAIL", "rules": [rule]}]},
    }
    name = bench.create(guarded)
    execution = bench.executions(name)[0]["pipelineExecutionId"]
    bench.ends(name, execution, "Failed")
    watch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="test")
    bench.pipelines.retry_stage_execution(
        pipelineName=name, stageName="Guarded", pipelineExecutionId=execution, retryMode="FAILED_ACTIONS"
    )
    bench.ends(name, execution, "Succeeded")
