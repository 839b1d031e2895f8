"""The operations on executions."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Fault, Service, operation, paginate
from localcloud.services.codepipeline import views
from localcloud.services.codepipeline.actions.sources import REVISION_TYPES, allows_other_key
from localcloud.services.codepipeline.engine import Engine
from localcloud.services.codepipeline.records import Document, Place, Records
from localcloud.services.codepipeline.structure import source_actions


class ExecutionOperations(Service):
    """Start, stop, retry, override, and what there was."""

    records: Records
    engine: Engine

    def start_from_event(
        self, account: str, region: str, pipeline_name: str, payload: dict[str, Any] | None, rule_arn: str
    ) -> str:
        """Start a pipeline for an EventBridge rule.

        Args:
            payload: the target's transformed input: {"sourceRevisions": […], "variables": […]}, both optional; None or
                anything else starts the pipeline as it is.

        Raises:
            Fault: what StartPipelineExecution would answer.
        """
        place = Place(account, region, pipeline_name)
        given = payload if isinstance(payload, dict) else {}
        trigger = {"triggerType": "CloudWatchEvent", "triggerDetail": rule_arn}
        return self._start(place, trigger, given.get("variables"), given.get("sourceRevisions"))

    @operation("StartPipelineExecution")
    def start_pipeline_execution(self, call: Call) -> dict[str, Any]:
        """Start an execution, with variables and source revisions of the caller's choice."""
        place = Place(call.account, call.region, call.input["name"])
        trigger = {"triggerType": "StartPipelineExecution", "triggerDetail": call.principal}
        token = call.input.get("clientRequestToken")
        started = self._start(place, trigger, call.input.get("variables"), call.input.get("sourceRevisions"), token)
        return {"pipelineExecutionId": started}

    def _start(
        self,
        place: Place,
        trigger: Document,
        variables: list[Document] | None,
        revisions: list[Document] | None,
        token: str | None = None,
    ) -> str:
        declaration = self.records.pipeline(place)["declaration"]
        given = _variables(declaration, variables or [])
        _check_revisions(declaration, revisions or [])
        return self.engine.start(place, trigger, variables=given, overrides=revisions, token=token)

    @operation("StopPipelineExecution")
    def stop_pipeline_execution(self, call: Call) -> dict[str, Any]:
        """Stop and wait, or stop and abandon."""
        place = self._place(call)
        execution = call.input["pipelineExecutionId"]
        self.engine.stop(place, execution, bool(call.input.get("abandon")), call.input.get("reason", ""))
        return {"pipelineExecutionId": execution}

    @operation("RetryStageExecution")
    def retry_stage_execution(self, call: Call) -> dict[str, Any]:
        """Run the failed actions of a stage again, or all of them."""
        place = self._place(call)
        stage = self.records.require_stage(place, call.input["stageName"])["name"]
        self.engine.retry(place, stage, call.input["pipelineExecutionId"], call.input["retryMode"])
        return {"pipelineExecutionId": call.input["pipelineExecutionId"]}

    @operation("OverrideStageCondition")
    def override_stage_condition(self, call: Call) -> None:
        """Go on in spite of a condition."""
        place = self._place(call)
        stage = self.records.require_stage(place, call.input["stageName"])["name"]
        self.engine.override(place, stage, call.input["pipelineExecutionId"], call.input["conditionType"])

    def _place(self, call: Call) -> Place:
        place = Place(call.account, call.region, call.input["pipelineName"])
        self.records.pipeline(place)
        return place

    # -- what there was -------------------------------------------------------------------------------------------

    @operation("GetPipelineExecution")
    def get_pipeline_execution(self, call: Call) -> dict[str, Any]:
        """One execution."""
        place = self._place(call)
        found = self.records.require_execution(
            place, call.input["pipelineExecutionId"], "PipelineExecutionNotFoundException"
        )
        return {"pipelineExecution": views.detail(place, found)}

    @operation("ListPipelineExecutions")
    def list_pipeline_executions(self, call: Call) -> dict[str, Any]:
        """The executions, newest first."""
        place = self._place(call)
        stage = ((call.input.get("filter") or {}).get("succeededInStage") or {}).get("stageName")
        found = [
            views.summary(execution)
            for execution in reversed(self.records.list_executions(place))
            if not stage or execution["stages"].get(stage, {}).get("status") == "Succeeded"
        ]
        page, token = paginate(found, call.input, error="InvalidNextTokenException")
        return {"pipelineExecutionSummaries": page, "nextToken": token}

    @operation("ListActionExecutions")
    def list_action_executions(self, call: Call) -> dict[str, Any]:
        """The action executions, newest first."""
        place = self._place(call)
        found = self._filtered(place, call, self.records.list_actions(place), "action")
        page, token = paginate(found, call.input, error="InvalidNextTokenException")
        return {"actionExecutionDetails": [views.action_detail(action) for action in page], "nextToken": token}

    @operation("ListRuleExecutions")
    def list_rule_executions(self, call: Call) -> dict[str, Any]:
        """The rule executions, newest first."""
        place = self._place(call)
        found = self._filtered(place, call, self.records.list_rules(place), "rule")
        page, token = paginate(found, call.input, error="InvalidNextTokenException")
        return {"ruleExecutionDetails": [views.rule_detail(rule) for rule in page], "nextToken": token}

    def _filtered(self, place: Place, call: Call, documents: list[Document], name: str) -> list[Document]:
        wanted = call.input.get("filter") or {}
        latest = wanted.get("latestInPipelineExecution") or {}
        execution_id = wanted.get("pipelineExecutionId") or latest.get("pipelineExecutionId")
        found = list(reversed(documents))
        if execution_id:
            execution = self.records.require_execution(place, execution_id, "PipelineExecutionNotFoundException")
            found = [document for document in found if document["execution"] == execution["id"]]
        if latest:
            newest: dict[tuple[str, str], Document] = {}
            for document in found:
                newest.setdefault((document["stage"], document[name]), document)
            found = list(newest.values())
        return found


def _variables(declaration: Document, given: list[Document]) -> dict[str, str]:
    declared = {variable["name"]: variable for variable in declaration.get("variables") or []}
    values = {str(variable["name"]): str(variable["value"]) for variable in given}
    unknown = [name for name in values if name not in declared]
    if unknown:
        raise Fault(
            "ValidationException",
            f"Pipeline {declaration['name']} declares no variable {', '.join(unknown)}; it declares "
            f"{', '.join(declared) or 'none'}.",
        )
    missing = [name for name, variable in declared.items() if name not in values and "defaultValue" not in variable]
    if missing:
        raise Fault(
            "ValidationException",
            f"A value is required for the pipeline variable(s) {', '.join(missing)}, which have no default value.",
        )
    return values


def _check_revisions(declaration: Document, revisions: list[Document]) -> None:
    sources = source_actions(declaration)
    seen: set[tuple[str, str]] = set()
    for revision in revisions:
        name, kind = revision.get("actionName"), revision.get("revisionType")
        if not name or not kind or not revision.get("revisionValue"):
            raise Fault(
                "ValidationException", "A source revision override needs actionName, revisionType and revisionValue."
            )
        action = sources.get(name)
        if action is None:
            raise Fault(
                "ValidationException",
                f"Source revision override names the action '{name}', which is not a source action of pipeline "
                f"{declaration['name']}; it has {', '.join(sources)}.",
            )
        provider = action["actionTypeId"]["provider"]
        allowed = REVISION_TYPES.get(provider, ())
        if kind not in allowed:
            raise Fault(
                "ValidationException",
                f"Revision type {kind} does not fit source action '{name}' of provider {provider}; allowed: "
                f"{', '.join(allowed)}.",
            )
        if kind == "S3_OBJECT_KEY" and not allows_other_key(action):
            raise Fault(
                "ValidationException",
                f"Source action '{name}' does not allow another object key: set AllowOverrideForS3ObjectKey to "
                "true in its "
                "configuration.",
            )
        if (name, kind) in seen:
            raise Fault("ValidationException", f"There is more than one {kind} override for source action '{name}'.")
        seen.add((name, kind))
