"""Records as the API shows them."""

from __future__ import annotations

from typing import Any

from localcloud.services.codepipeline.records import Document, Place, Records


def _some(**members: Any) -> Document:
    """Members that have a value."""
    return {name: value for name, value in members.items() if value is not None}


def trigger(execution: Document) -> Document:
    """ExecutionTrigger."""
    return dict(execution["trigger"])


def summary(execution: Document) -> Document:
    """PipelineExecutionSummary."""
    stop = execution.get("stop")
    return _some(
        pipelineExecutionId=execution["id"],
        status=execution["status"],
        statusSummary=execution.get("statusSummary"),
        startTime=execution["started"],
        lastUpdateTime=execution["updated"],
        sourceRevisions=[
            _some(
                actionName=revision["actionName"],
                revisionId=revision["revisionId"],
                revisionSummary=revision.get("revisionSummary"),
                revisionUrl=revision.get("revisionUrl"),
            )
            for revision in execution["revisions"]
        ],
        trigger=trigger(execution),
        stopTrigger=_some(reason=stop.get("reason")) if stop else None,
        executionMode=execution["mode"],
        executionType="STANDARD",
    )


def detail(place: Place, execution: Document) -> Document:
    """PipelineExecution."""
    return _some(
        pipelineName=place.pipeline,
        pipelineVersion=execution["version"],
        pipelineExecutionId=execution["id"],
        status=execution["status"],
        statusSummary=execution.get("statusSummary"),
        artifactRevisions=[
            _some(
                name=revision["name"],
                revisionId=revision["revisionId"],
                revisionChangeIdentifier=revision.get("revisionChangeIdentifier"),
                revisionSummary=revision.get("revisionSummary"),
                created=revision.get("created"),
                revisionUrl=revision.get("revisionUrl"),
            )
            for revision in execution["revisions"]
        ],
        variables=[{"name": name, "resolvedValue": value} for name, value in execution["variables"].items()],
        trigger=trigger(execution),
        executionMode=execution["mode"],
        executionType="STANDARD",
    )


def action_detail(action: Document) -> Document:
    """ActionExecutionDetail."""
    result = _some(
        externalExecutionId=action.get("externalExecutionId"),
        externalExecutionSummary=action.get("summary"),
        externalExecutionUrl=action.get("externalExecutionUrl"),
        errorDetails=action.get("errorDetails"),
        logStreamARN=action.get("logStreamARN"),
    )
    return _some(
        pipelineExecutionId=action["execution"],
        actionExecutionId=action["id"],
        pipelineVersion=action["version"],
        stageName=action["stage"],
        actionName=action["action"],
        startTime=action["started"],
        lastUpdateTime=action["updated"],
        updatedBy=action.get("updatedBy"),
        status=action["status"],
        input=_some(
            actionTypeId=action["actionTypeId"],
            configuration=action["configuration"],
            resolvedConfiguration=action["resolvedConfiguration"],
            roleArn=action.get("roleArn"),
            region=action["region"],
            inputArtifacts=action["inputArtifacts"],
            namespace=action.get("namespace"),
        ),
        output={
            "outputArtifacts": action["outputArtifacts"] if action["status"] == "Succeeded" else [],
            "executionResult": result,
            "outputVariables": action.get("outputVariables") or {},
        },
    )


def rule_detail(rule: Document) -> Document:
    """RuleExecutionDetail."""
    return _some(
        pipelineExecutionId=rule["execution"],
        ruleExecutionId=rule["id"],
        pipelineVersion=rule["version"],
        stageName=rule["stage"],
        ruleName=rule["rule"],
        startTime=rule["started"],
        lastUpdateTime=rule["updated"],
        status=rule["status"],
        input=_some(
            ruleTypeId=rule["ruleTypeId"],
            configuration=rule["configuration"],
            resolvedConfiguration=rule["resolvedConfiguration"],
            roleArn=rule.get("roleArn"),
            region=rule["region"],
            inputArtifacts=[],
        ),
        output={
            "executionResult": _some(
                externalExecutionSummary=rule.get("summary"), errorDetails=rule.get("errorDetails")
            )
        },
    )


class StateView:
    """GetPipelineState: the latest execution of each stage, action and rule.

    Executions in PARALLEL mode are independent of each other; the latest one to have touched a stage is shown.
    """

    def __init__(self, records: Records, place: Place) -> None:
        self.record = records.pipeline(place)
        self.place = place
        self.executions = sorted(records.list_executions(place), key=lambda execution: execution["number"])
        self.actions = {action["id"]: action for action in records.list_actions(place)}
        self.rules = {rule["id"]: rule for rule in records.list_rules(place)}

    def answer(self) -> Document:
        """GetPipelineStateOutput."""
        declaration = self.record["declaration"]
        return {
            "pipelineName": self.place.pipeline,
            "pipelineVersion": declaration["version"],
            "stageStates": [self._stage(stage) for stage in declaration["stages"]],
            "created": self.record["created"],
            "updated": self.record["updated"],
        }

    def _stage(self, stage: Document) -> Document:
        name = stage["name"]
        entered = [execution for execution in self.executions if name in execution["stages"]]
        latest = max(entered, key=lambda e: e["stages"][name].get("started"), default=None)
        state = latest["stages"][name] if latest else {}
        waiting = [
            {"pipelineExecutionId": execution["id"], "status": "InProgress", "type": "STANDARD"}
            for execution in self.executions
            if execution["status"] in ("InProgress", "Stopping")
            and execution["phase"] == "waiting"
            and execution["stage"] == name
        ]
        transition = self.record["transitions"].get(name, {"enabled": True})
        retry = _some(
            autoStageRetryAttempt=state.get("autoRetries"),
            manualStageRetryAttempt=state.get("manualRetries"),
            latestRetryTrigger=state.get("retryTrigger"),
        )
        answer = _some(
            stageName=name,
            inboundExecution=waiting[-1] if waiting else None,
            inboundTransitionState=_some(
                enabled=transition["enabled"],
                lastChangedBy=transition.get("lastChangedBy"),
                lastChangedAt=transition.get("lastChangedAt"),
                disabledReason=transition.get("disabledReason"),
            ),
            actionStates=[self._action(name, action, state) for action in stage["actions"]],
            retryStageMetadata=retry or None,
        )
        if waiting:
            answer["inboundExecutions"] = waiting
        if latest:
            answer["latestExecution"] = {
                "pipelineExecutionId": latest["id"],
                "status": self._status(latest, state),
                "type": "STANDARD",
            }
        for member in ("beforeEntry", "onSuccess", "onFailure"):
            if stage.get(member):
                answer[f"{member}ConditionState"] = self._conditions(stage, member, state)
        return answer

    @staticmethod
    def _status(execution: Document, state: Document) -> str:
        if state["status"] == "InProgress" and execution["status"] == "Stopping":
            return "Stopping"
        return str(state["status"])

    def _action(self, stage: str, declared: Document, state: Document) -> Document:
        identifier = (state.get("actions") or {}).get(declared["name"])
        action = self.actions.get(identifier or "")
        if action is None:  # not begun in the latest execution of the stage: what it last did is shown
            earlier = [a for a in self.actions.values() if a["stage"] == stage and a["action"] == declared["name"]]
            action = earlier[-1] if earlier else None
        answer: Document = {"actionName": declared["name"]}
        if action is None:
            return answer
        revision = action.get("revision")
        if revision:
            answer["currentRevision"] = {
                "revisionId": revision["revisionId"],
                "revisionChangeId": str(revision.get("revisionChangeIdentifier") or revision["revisionId"])[:100],
                "created": revision.get("created") or action["started"],
            }
            if revision.get("revisionUrl"):
                answer["revisionUrl"] = revision["revisionUrl"]
        entity = action["configuration"].get("ExternalEntityLink") or entity_url(action)
        if entity:
            answer["entityUrl"] = entity
        answer["latestExecution"] = _some(
            actionExecutionId=action["id"],
            status=action["status"],
            summary=action.get("summary"),
            lastStatusChange=action["updated"],
            token=action.get("token") if action["status"] == "InProgress" else None,
            lastUpdatedBy=action.get("updatedBy"),
            externalExecutionId=action.get("externalExecutionId"),
            externalExecutionUrl=action.get("externalExecutionUrl"),
            percentComplete=action.get("percentComplete"),
            errorDetails=action.get("errorDetails"),
            logStreamARN=action.get("logStreamARN"),
        )
        return answer

    def _conditions(self, stage: Document, member: str, state: Document) -> Document:
        outcome = (state.get("conditions") or {}).get(member)
        if outcome is None:
            return {}
        latest = _some(status=outcome["status"], summary=outcome.get("summary") or None)
        states = []
        for condition in outcome.get("conditions") or []:
            rules = [self.rules[rule] for rule in condition["rules"] if rule in self.rules]
            states.append(
                {
                    "latestExecution": {"status": condition["status"], "lastStatusChange": condition["updated"]},
                    "ruleStates": [
                        {
                            "ruleName": rule["rule"],
                            "latestExecution": _some(
                                ruleExecutionId=rule["id"],
                                status=rule["status"],
                                summary=rule.get("summary"),
                                lastStatusChange=rule["updated"],
                                errorDetails=rule.get("errorDetails"),
                            ),
                        }
                        for rule in rules
                    ],
                }
            )
        return {"latestExecution": latest, "conditionStates": states}


def entity_url(action: Document) -> str | None:
    """The console page of what an action works on."""
    region, given = action["region"], action["resolvedConfiguration"]
    console = f"https://{region}.console.aws.amazon.com"
    provider = action["actionTypeId"]["provider"]
    if provider == "CodeCommit":
        return (
            f"{console}/codesuite/codecommit/repositories/{given['RepositoryName']}/browse/refs/heads/"
            f"{given['BranchName']}?region={region}"
        )
    if provider == "CodeBuild":
        return f"{console}/codebuild/home?region={region}#/projects/{given['ProjectName']}/view"
    if provider == "CloudFormation":
        return f"{console}/cloudformation/home?region={region}#/stacks"
    if provider == "S3" and "S3Bucket" in given:
        return f"https://console.aws.amazon.com/s3/home?region={region}#"
    return None
