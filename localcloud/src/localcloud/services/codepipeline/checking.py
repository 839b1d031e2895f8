"""Stage conditions: runs their rules, keeps what came out, and says whether the condition is met."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Fault, now, uuid
from localcloud.services.codepipeline import stages
from localcloud.services.codepipeline.actions.base import ActionError
from localcloud.services.codepipeline.records import Document, Place
from localcloud.services.codepipeline.running import Runner
from localcloud.services.codepipeline.variables import UnresolvedError, resolve_all

MEMBERS = {"entry": "beforeEntry", "success": "onSuccess", "failure": "onFailure"}


class Checker(Runner):
    """Evaluates conditions on threads of their own, since a rule may wait for minutes."""

    def check(self, place: Place, execution_id: str, stage: Document, member: str, key: tuple[Any, ...]) -> None:
        """Evaluate a stage's conditions and note the result for the flow; the body of a thread."""
        execution = self.records.execution(place, execution_id)
        if execution is None:
            return
        outcome: Document = {"status": "Succeeded", "result": None, "summary": "", "conditions": []}
        for condition in stages.conditions(stage, member):
            states = [self._rule(place, execution, stage, member, rule) for rule in condition["rules"]]
            failed = [state for state in states if state["status"] != "Succeeded"]
            status = "Failed" if failed else "Succeeded"
            outcome["conditions"].append(
                {"status": status, "rules": [state["id"] for state in states], "updated": now()}
            )
            if failed:
                names = ", ".join(state["rule"] for state in failed)
                default = (stage.get(member) or {}).get("result") or "FAIL"
                outcome["status"], outcome["result"] = "Failed", condition.get("result") or default
                outcome["summary"] = f"Rule(s) not met: {names}"
        if self.cloud.stopping.is_set():
            return
        with self.lock:
            self.note(place, execution_id, stage["name"], member, outcome)
            self.checking.discard(key)
            self.advance(place)

    checking: set[tuple[Any, ...]]

    def note(self, place: Place, execution_id: str, stage: str, member: str, outcome: Document) -> None:
        """Keep a condition's result in the execution."""
        with self.records.store.transaction():
            execution = self.records.execution(place, execution_id)
            if execution is not None and stage in execution["stages"]:
                execution["stages"][stage].setdefault("conditions", {})[member] = {**outcome, "updated": now()}
                self.records.put_execution(place, execution)

    def _rule(self, place: Place, execution: Document, stage: Document, member: str, declared: Document) -> Document:
        given = declared.get("configuration") or {}
        rule: Document = {
            "id": uuid(),
            "execution": execution["id"],
            "version": execution["version"],
            "stage": stage["name"],
            "member": member,
            "rule": declared["name"],
            "ruleTypeId": declared["ruleTypeId"],
            "configuration": given,
            "resolvedConfiguration": dict(given),
            "roleArn": declared.get("roleArn"),
            "region": declared.get("region") or place.region,
            "status": "InProgress",
            "started": now(),
            "updated": now(),
        }
        self.records.put_rule(place, rule)
        try:
            resolved = resolve_all(given, self.namespaces(execution))
            rule["resolvedConfiguration"] = resolved
            passed, summary = self._evaluate(place, execution, rule, resolved)
            rule.update(status="Succeeded" if passed else "Failed", summary=summary)
        except UnresolvedError as error:
            missing = ", ".join("#{" + reference + "}" for reference in error.references)
            problem = ("InvalidVariableReference", f"Variable(s) could not be resolved: {missing}")
            rule.update(status="Failed", errorDetails={"code": problem[0], "message": problem[1]}, summary=problem[1])
        except ActionError as error:
            rule.update(status="Failed", errorDetails={"code": error.code, "message": error.message})
        except (ClientError, BotoCoreError, Fault, re.error) as error:
            rule.update(status="Failed", errorDetails={"code": "ConfigurationError", "message": str(error)})
        rule["updated"] = now()
        self.records.put_rule(place, rule)
        return rule

    def _evaluate(self, place: Place, execution: Document, rule: Document, given: dict[str, str]) -> tuple[bool, str]:
        if rule["ruleTypeId"]["provider"] == "VariableCheck":
            operator, variable, value = given["Operator"], given["Variable"], given["Value"]
            passed = stages.variable_check(operator, variable, value)
            return passed, f"Variable '{variable[:200]}' {operator} '{value[:200]}': {'met' if passed else 'not met'}"
        return self._alarm(place, execution, rule, given)

    def _alarm(self, place: Place, execution: Document, rule: Document, given: dict[str, str]) -> tuple[bool, str]:
        """CloudWatchAlarm fails when the alarm is in one of AlarmStates (ALARM) at any time during WaitTime minutes."""
        role = rule.get("roleArn") or execution["definition"]["roleArn"]
        credentials = self.cloud.assume(
            execution["definition"]["roleArn"],
            str(int(now().timestamp() * 1000)),
            region=rule["region"],
            service_principal="codepipeline.amazonaws.com",
            source_arn=place.arn,
        )
        if role != execution["definition"]["roleArn"]:
            credentials = self.cloud.assume(role, "rule", region=rule["region"], by=credentials)
        client = credentials.client("cloudwatch", rule["region"])
        states = [state.strip() for state in given.get("AlarmStates", "ALARM").split(",")]
        until = now().timestamp() + 60 * float(given.get("WaitTime", "0") or 0)
        while True:
            found = client.describe_alarms(
                AlarmNames=[given["AlarmName"]], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
            alarms = [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
            if not alarms:
                raise ActionError("ConfigurationError", f"There is no alarm named {given['AlarmName']}.")
            state = alarms[0]["StateValue"]
            if state in states:
                return False, f"Alarm {given['AlarmName']} is in state {state}"
            if now().timestamp() >= until or self.cloud.stopping.wait(5):
                return True, f"Alarm {given['AlarmName']} is in state {state}"
