"""What is asked of executions from outside: start, stop, retry, approve, report, and pick up after a restart."""

from __future__ import annotations

from typing import Any

from localcloud.core import Cloud, Fault, now, uuid
from localcloud.services.codepipeline.actions.base import ActionError, Outcome
from localcloud.services.codepipeline.flow import Flow
from localcloud.services.codepipeline.records import TERMINAL, Document, Place, Records

CONCURRENT = 50
SECONDS_BETWEEN_LOOKS = 2.0


class Engine(Flow):
    """The running part of the service."""

    def __init__(self, cloud: Cloud, records: Records) -> None:
        super().__init__(cloud, records)
        self.checking: set[tuple[Any, ...]] = set()

    def start(
        self,
        place: Place,
        trigger: Document,
        *,
        variables: dict[str, str] | None = None,
        overrides: list[Document] | None = None,
        token: str | None = None,
    ) -> str:
        """Start an execution and return its id; the same token gives the same execution.

        Raises:
            Fault: PipelineNotFoundException or ConcurrentPipelineExecutionsLimitExceededException.
        """
        with self.lock:
            with self.records.store.transaction():
                pipeline = self.records.pipeline(place)
                key = f"{place.pipeline}/{token}"
                known = self.records.tokens.get(place.account, place.region, key) if token else None
                if known:
                    return str(known["execution"])
                declaration = pipeline["declaration"]
                mode = declaration["executionMode"]
                if mode != "SUPERSEDED" and len(self.records.live(place)) >= CONCURRENT:
                    raise Fault(
                        "ConcurrentPipelineExecutionsLimitExceededException",
                        f"The pipeline {place.pipeline} has reached the limit of {CONCURRENT} concurrent executions "
                        f"in {mode} mode.",
                    )
                defaults = {
                    v["name"]: v["defaultValue"] for v in declaration.get("variables") or [] if "defaultValue" in v
                }
                execution: Document = {
                    "id": uuid(),
                    "number": self.records.next_number(place),
                    "version": declaration["version"],
                    "definition": declaration,
                    "mode": mode,
                    "status": "InProgress",
                    "statusSummary": None,
                    "trigger": trigger,
                    "variables": {**defaults, **(variables or {})},
                    "overrides": overrides or [],
                    "started": now(),
                    "updated": now(),
                    "attempt": 1,
                    "stage": declaration["stages"][0]["name"],
                    "phase": "waiting",
                    "stages": {},
                    "artifacts": {},
                    "namespaces": {},
                    "revisions": [],
                    "stop": None,
                }
                self.records.put_execution(place, execution)
                if token:
                    record = {"key": key, "pipeline": place.pipeline, "execution": execution["id"]}
                    self.records.tokens.put(place.account, place.region, key, record)
            self.events.pipeline(place, execution, "STARTED")
            self.advance(place)
        return str(execution["id"])

    def stop(self, place: Place, execution_id: str, abandon: bool, reason: str) -> None:
        """Stop an execution, awaiting its running actions or letting go of them.

        Raises:
            Fault: PipelineExecutionNotStoppableException or DuplicatedStopRequestException.
        """
        with self.lock:
            with self.records.store.transaction():
                execution = self.records.require_execution(
                    place, execution_id, "PipelineExecutionNotStoppableException"
                )
                if execution["status"] in TERMINAL:
                    raise Fault(
                        "PipelineExecutionNotStoppableException",
                        f"The pipeline execution {execution_id} is in a {execution['status']} state and cannot "
                        "be stopped.",
                    )
                if execution["status"] == "Stopping" and not abandon:
                    raise Fault(
                        "DuplicatedStopRequestException",
                        f"The pipeline execution {execution_id} is already in a Stopping state. If you already "
                        "chose to "
                        "stop and wait, you cannot make that request again; you can choose to stop and abandon it.",
                    )
                execution["status"] = "Stopping"
                given = reason or (execution.get("stop") or {}).get("reason", "")
                execution["stop"] = {"reason": given, "abandon": abandon}
                self.save(place, execution)
            if self.running(place, execution):
                self.events.pipeline(place, execution, "STOPPING")
                self.events.stage(place, execution, execution["stage"], "STOPPING")
            self.advance(place)

    def retry(self, place: Place, stage_name: str, execution_id: str, mode: str) -> None:
        """Run a failed stage again.

        Raises:
            Fault: StageNotRetryableException, NotLatestPipelineExecutionException or ConflictException.
        """
        with self.lock:
            with self.records.store.transaction():
                execution = self.records.require_execution(place, execution_id, "StageNotRetryableException")
                state = execution["stages"].get(stage_name)
                failed = state is not None and state["status"] in ("Failed", "Stopped")
                if not failed or execution["stage"] != stage_name or execution["status"] not in ("Failed", "Stopped"):
                    raise Fault(
                        "StageNotRetryableException",
                        f"Stage '{stage_name}' of pipeline execution {execution_id} cannot be retried: the "
                        "execution is "
                        f"{execution['status']} and the stage is {state['status'] if state else 'not entered'}; "
                        "a stage can be retried when it has failed or was stopped.",
                    )
                assert state is not None
                self._latest(place, execution, stage_name)
                if mode == "FAILED_ACTIONS" and state["status"] == "Stopped":
                    unfinished = len(state["actions"]) < len(state["declared"]["actions"])
                    every = all(self._status(place, i) == "Succeeded" for i in state["actions"].values())
                    if every and not unfinished:
                        raise Fault(
                            "StageNotRetryableException", f"Stage '{stage_name}' has no failed actions to retry."
                        )
                if execution["mode"] != "PARALLEL":  # a retry runs what is declared now, as a new entry would
                    execution["definition"] = self.records.pipeline(place)["declaration"]
                    state["declared"] = self.records.require_stage(place, stage_name)
                state["manualRetries"] = state.get("manualRetries", 0) + 1
                state["retryTrigger"] = "ManualStageRetry"
                self.begin_again(place, execution, stage_name, mode)
            self.advance(place)

    def override(self, place: Place, stage_name: str, execution_id: str, condition: str) -> None:
        """Let an execution pass a condition that it failed.

        Raises:
            Fault: ConditionNotOverridableException, NotLatestPipelineExecutionException or ConflictException.
        """
        member = {"BEFORE_ENTRY": "beforeEntry", "ON_SUCCESS": "onSuccess"}[condition]
        with self.lock:
            with self.records.store.transaction():
                execution = self.records.require_execution(place, execution_id, "ConditionNotOverridableException")
                state = execution["stages"].get(stage_name) or {}
                outcome = (state.get("conditions") or {}).get(member) or {}
                at_fault = execution["status"] == "Failed" and execution["stage"] == stage_name
                if outcome.get("status") != "Failed" or outcome.get("result") == "SKIP" or not at_fault:
                    raise Fault(
                        "ConditionNotOverridableException",
                        f"The {condition} condition of stage '{stage_name}' in pipeline execution "
                        f"{execution_id} cannot be "
                        f"overridden: it is {outcome.get('status', 'not evaluated')}; only a condition that failed the "
                        "stage can be.",
                    )
                self._latest(place, execution, stage_name)
                state["conditions"][member] = {**outcome, "status": "Overridden", "updated": now()}
                state["status"] = "InProgress"
                phase = "entry" if member == "beforeEntry" else "success"
                execution.update(status="InProgress", phase=phase, statusSummary=None)
                execution["attempt"] += 1
                self.save(place, execution)
            self.events.pipeline(place, execution, "RESUMED")
            self.events.stage(place, execution, stage_name, "RESUMED")
            self.advance(place)

    def _latest(self, place: Place, execution: Document, stage_name: str) -> None:
        if execution["mode"] == "PARALLEL":
            return
        for other in self.records.list_executions(place):
            if other["id"] == execution["id"] or stage_name not in other["stages"]:
                continue
            if other["status"] not in TERMINAL and other["stage"] == stage_name and other["phase"] != "waiting":
                raise Fault(
                    "ConflictException",
                    f"Stage '{stage_name}' is locked: pipeline execution {other['id']} is in it.",
                )
            if other["number"] > execution["number"]:
                raise Fault(
                    "NotLatestPipelineExecutionException",
                    f"Stage '{stage_name}' was entered by the later pipeline execution {other['id']}; only the latest "
                    "execution of a stage can be retried.",
                )

    def transition(self, place: Place, stage: str, enabled: bool, by: str, reason: str | None = None) -> None:
        """Enable or disable the way into a stage."""
        with self.lock:
            record = self.records.pipeline(place)
            state = {"enabled": enabled, "lastChangedBy": by, "lastChangedAt": now(), "disabledReason": reason}
            self.records.change_pipeline(place, transitions={**record["transitions"], stage: state})
            self.advance(place)

    def go_on(self, place: Place, action_id: str, token: str) -> None:
        """A Lambda job asks to be invoked again."""
        action = self.records.action(place, action_id) or {}
        state = {**(action.get("state") or {}), "phase": "continue", "continuation": token}
        if self.change_action(place, action_id, {"state": state}):
            self.cloud.task(f"codepipeline {place.pipeline} continuation", self.run, place, action_id, True)

    def reconcile(self, place: Place) -> None:
        """After an update: executions inside a stage that is declared differently now are cancelled."""
        with self.lock:
            declared = {s["name"]: s for s in self.records.pipeline(place)["declaration"]["stages"]}
            for execution in self.records.live(place):
                if execution["mode"] == "PARALLEL" or execution["phase"] == "waiting":
                    continue
                name = execution["stage"]
                if declared.get(name) != execution["stages"][name]["declared"]:
                    with self.records.store.transaction():
                        self.cancel(place, execution)
            self.advance(place)

    # -- after a restart, and by the clock ------------------------------------------------------------------------

    def recover(self) -> None:
        """Pick up every action that was in progress, and let every execution go on."""
        for place in self.records.places():
            for action in self.records.list_actions(place):
                if action["status"] != "InProgress":
                    continue
                execution = self.records.execution(place, action["execution"])
                if execution is None or execution["status"] in TERMINAL:
                    action.update(status="Abandoned", updated=now())
                    self.records.put_action(place, action)
                    continue
                self.cloud.task(f"codepipeline {place.pipeline} resumes", self.run, place, action["id"], True)
            self.advance(place)
        self.cloud.task("codepipeline clock", self._clock)

    def _clock(self) -> None:
        while not self.cloud.stopping.wait(SECONDS_BETWEEN_LOOKS):
            self.expire()

    def expire(self) -> None:
        """Fail the actions that have waited too long for somebody's answer."""
        for place in list(self.records.places()):
            for action in self.records.list_actions(place) if self.records.live(place) else []:
                if action["status"] == "InProgress" and action.get("expires") and action["expires"] < now():
                    kind = action["actionTypeId"]["provider"]
                    reason = ActionError("JobFailed", f"The {kind} action timed out without a result.")
                    self.finish(place, action["id"], reason)

    def complete(self, place: Place, action_id: str, result: Outcome | ActionError, by: str | None = None) -> bool:
        """End an action that was waiting for somebody; whether this was the first to end it."""
        return self.finish(place, action_id, result, by)
