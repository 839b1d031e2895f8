"""How executions move through the stages: locks, execution modes, conditions, run order, retries.

An execution is at a stage in one of these phases: `waiting` in front of it, `entry` (its beforeEntry conditions run),
`actions`, `success` or `failure` (the conditions of that name run). All of it is in the store, and a step only looks
at the store, so after a restart the flow goes on from where it was.
"""

from __future__ import annotations

from typing import Any

from localcloud.core import now
from localcloud.services.codepipeline import stages
from localcloud.services.codepipeline.checking import MEMBERS, Checker
from localcloud.services.codepipeline.records import TERMINAL, Document, Place


class Flow(Checker):
    """Takes executions forward. Every step happens under the lock and in one transaction."""

    def advance(self, place: Place) -> None:
        """Take every execution of the pipeline as far as it can go without waiting for anything."""
        if self.cloud.stopping.is_set():
            return
        with self.lock:
            again = True
            while again:
                again = False
                if self.records.pipelines.get(place.account, place.region, place.pipeline) is None:
                    return
                for execution in self.records.live(place):
                    with self.records.store.transaction():
                        again = self._step(place, execution["id"]) or again

    def _step(self, place: Place, execution_id: str) -> bool:
        """One step of one execution; whether it moved."""
        execution = self.records.execution(place, execution_id)
        if execution is None or execution["status"] in TERMINAL:
            return False
        if execution["status"] == "Stopping":
            return self._stop(place, execution)
        phase = execution["phase"]
        if phase == "waiting":
            return self._enter(place, execution)
        if phase == "actions":
            return self._act(place, execution)
        return self._conditions(place, execution, phase)

    def save(self, place: Place, execution: Document) -> None:
        """Keep the execution."""
        execution["updated"] = now()
        self.records.put_execution(place, execution)

    # -- entering a stage -----------------------------------------------------------------------------------------

    def _enter(self, place: Place, execution: Document) -> bool:
        pipeline = self.records.pipeline(place)
        name = execution["stage"]
        if execution["mode"] != "PARALLEL":
            declared = {stage["name"]: stage for stage in pipeline["declaration"]["stages"]}
            if name not in declared:
                self.cancel(place, execution)
                return True
            if self._overtaken(place, execution) or self._held(place, execution, pipeline):
                return execution["status"] in TERMINAL
            # A stage runs as it was declared when the execution entered it; an update takes effect at the next one.
            execution["definition"] = pipeline["declaration"]
        stage = next(stage for stage in execution["definition"]["stages"] if stage["name"] == name)
        execution["phase"] = "entry" if stages.conditions(stage, "beforeEntry") else "actions"
        execution["stages"][name] = {"status": "InProgress", "actions": {}, "declared": stage, "started": now()}
        self.save(place, execution)
        self.events.stage(place, execution, name, "STARTED")
        return True

    def _overtaken(self, place: Place, execution: Document) -> bool:
        """SUPERSEDED: of those that wait in front of a stage only the newest stays."""
        if execution["mode"] != "SUPERSEDED":
            return False
        for other in self.records.live(place):
            waits = other["phase"] == "waiting" and other["stage"] == execution["stage"]
            if waits and other["mode"] == "SUPERSEDED" and other["number"] > execution["number"]:
                execution["status"] = "Superseded"
                execution["statusSummary"] = f"Superseded by pipeline execution {other['id']}"
                self._slim(execution)
                self.save(place, execution)
                self.events.pipeline(place, execution, "SUPERSEDED")
                return True
        return False

    def _held(self, place: Place, execution: Document, pipeline: Document) -> bool:
        """Whether the stage is locked, its transition is disabled, or (QUEUED) others wait in front."""
        stage = execution["stage"]
        if not pipeline["transitions"].get(stage, {}).get("enabled", True):
            return True
        for other in self.records.live(place):
            if other["id"] == execution["id"] or other["mode"] == "PARALLEL" or other["stage"] != stage:
                continue
            if other["phase"] != "waiting":
                return True
            if execution["mode"] == "QUEUED" and other["number"] < execution["number"]:
                return True
        return False

    # -- conditions -------------------------------------------------------------------------------------------------

    def _conditions(self, place: Place, execution: Document, phase: str) -> bool:
        name, member = execution["stage"], MEMBERS[phase]
        state = execution["stages"][name]
        stage = state["declared"]
        if stages.conditions(stage, member):
            outcome = (state.get("conditions") or {}).get(member)
            if outcome is None or outcome["status"] == "InProgress":
                self._begin_check(place, execution, stage, member)
                return False
        else:
            outcome = {"status": "Succeeded", "result": None}
        met = outcome["status"] in ("Succeeded", "Overridden")
        if phase == "entry":
            return self._entry(place, execution, outcome, met)
        if phase == "success":
            if not met:
                return self._fail(place, execution, f"Stage {name}: onSuccess: {outcome['summary']}")
            return self._pass(place, execution, "Succeeded")
        return self._failure(place, execution, stage, outcome, met)

    def _begin_check(self, place: Place, execution: Document, stage: Document, member: str) -> None:
        key = (*place, execution["id"], stage["name"], member, execution["attempt"])
        if key in self.checking:
            return
        self.checking.add(key)
        state = execution["stages"][stage["name"]]
        state.setdefault("conditions", {})[member] = {"status": "InProgress", "updated": now()}
        self.save(place, execution)
        self.cloud.task(
            f"codepipeline {place.pipeline} {member}", self.check, place, execution["id"], stage, member, key
        )

    def _entry(self, place: Place, execution: Document, outcome: Document, met: bool) -> bool:
        if met:
            execution["phase"] = "actions"
            self.save(place, execution)
            return True
        if outcome["result"] == "SKIP":
            return self._pass(place, execution, "Skipped")
        return self._fail(place, execution, f"Stage {execution['stage']}: beforeEntry: {outcome['summary']}")

    def _failure(self, place: Place, execution: Document, stage: Document, outcome: Document, met: bool) -> bool:
        """After a failed stage: its onFailure conditions have run (or there are none)."""
        block = stage.get("onFailure") or {}
        result = block.get("result") if met else outcome["result"]
        state = execution["stages"][stage["name"]]
        if result == "RETRY" and not state.get("autoRetries"):
            mode = (block.get("retryConfiguration") or {}).get("retryMode", "FAILED_ACTIONS")
            state["autoRetries"] = 1
            state["retryTrigger"] = "AutomatedStageRetry"
            self.begin_again(place, execution, stage["name"], mode)
            return True
        return self._fail(place, execution, "")

    # -- actions ------------------------------------------------------------------------------------------------------

    def _act(self, place: Place, execution: Document) -> bool:
        name = execution["stage"]
        state = execution["stages"][name]
        actions = state["declared"]["actions"]
        for order in sorted({action["runOrder"] for action in actions}):
            group = [action for action in actions if action["runOrder"] == order]
            fresh = [action for action in group if action["name"] not in state["actions"]]
            if fresh:
                for action in fresh:
                    begun = self.launch(place, execution, name, action)
                    state["actions"][action["name"]] = begun["id"]
                self.save(place, execution)
                return True
            statuses = {self._status(place, state["actions"][action["name"]]) for action in group}
            if "InProgress" in statuses:
                return False
            if statuses != {"Succeeded"}:
                execution["phase"] = "failure"
                self.save(place, execution)
                return True
        execution["phase"] = "success"
        self.save(place, execution)
        return True

    def _status(self, place: Place, action_id: str) -> str:
        action = self.records.action(place, action_id)
        return str(action["status"]) if action else "Abandoned"

    # -- leaving a stage ---------------------------------------------------------------------------------------------

    def _pass(self, place: Place, execution: Document, status: str) -> bool:
        """Leave the stage for the next one; after the last the execution has succeeded."""
        name = execution["stage"]
        execution["stages"][name]["status"] = status
        if status == "Succeeded":
            self.events.stage(place, execution, name, "SUCCEEDED")
        if execution["mode"] != "PARALLEL":
            execution["definition"] = self.records.pipeline(place)["declaration"]
        names = [stage["name"] for stage in execution["definition"]["stages"]]
        following = names[names.index(name) + 1 :] if name in names else []
        if name not in names:
            self.cancel(place, execution)
            return True
        if following:
            execution["stage"], execution["phase"] = following[0], "waiting"
            self.save(place, execution)
            return True
        execution["status"], execution["phase"] = "Succeeded", "done"
        self._slim(execution)
        self.save(place, execution)
        self.events.pipeline(place, execution, "SUCCEEDED")
        return True

    @staticmethod
    def _slim(execution: Document) -> None:
        """Drop the declarations from an execution that can never run again: long histories stay quick to read."""
        execution["definition"] = None
        for state in execution["stages"].values():
            state.pop("declared", None)

    def _fail(self, place: Place, execution: Document, summary: str) -> bool:
        name = execution["stage"]
        execution["stages"][name]["status"] = "Failed"
        execution["status"], execution["phase"] = "Failed", "done"
        if summary:
            execution["statusSummary"] = summary
        self.save(place, execution)
        self.events.stage(place, execution, name, "FAILED")
        self.events.pipeline(place, execution, "FAILED")
        return True

    def _stop(self, place: Place, execution: Document) -> bool:
        state = execution["stages"].get(execution["stage"]) if execution["phase"] != "waiting" else None
        running = self.running(place, execution)
        if running and not execution["stop"]["abandon"]:
            return False
        for action in running:
            self.abandon(place, execution, action)
        execution["status"], execution["phase"] = "Stopped", "done"
        if state:
            state["status"] = "Stopped"
            self.events.stage(place, execution, execution["stage"], "STOPPED")
        self.save(place, execution)
        self.events.pipeline(place, execution, "STOPPED")
        return True

    def cancel(self, place: Place, execution: Document) -> None:
        """The pipeline was changed under the execution."""
        for action in self.running(place, execution):
            self.abandon(place, execution, action)
        state = execution["stages"].get(execution["stage"])
        if state and execution["phase"] != "waiting":
            state["status"] = "Cancelled"
        execution["status"], execution["phase"] = "Cancelled", "done"
        execution["statusSummary"] = (
            "The pipeline's definition was updated before the pipeline execution could be completed."
        )
        self.save(place, execution)
        self.events.pipeline(place, execution, "CANCELED")

    def running(self, place: Place, execution: Document) -> list[Document]:
        """The execution's actions in progress."""
        state: dict[str, Any] = execution["stages"].get(execution["stage"]) or {}
        found = [self.records.action(place, action_id) for action_id in (state.get("actions") or {}).values()]
        return [action for action in found if action is not None and action["status"] == "InProgress"]

    def begin_again(self, place: Place, execution: Document, name: str, mode: str) -> None:
        """Put the execution back into a stage that failed: its failed actions, or all of them, run once more."""
        state = execution["stages"][name]
        outcomes = state.get("conditions") or {}
        entry = outcomes.get("beforeEntry")
        again = entry is not None and entry["status"] not in ("Succeeded", "Overridden")
        if mode == "ALL_ACTIONS":
            state["actions"] = {}
        else:
            kept = {n: i for n, i in state["actions"].items() if self._status(place, i) == "Succeeded"}
            state["actions"] = kept
        state["conditions"] = {} if again or entry is None else {"beforeEntry": entry}
        state["status"] = "InProgress"
        execution.update(status="InProgress", stage=name, phase="entry" if again else "actions", statusSummary=None)
        execution["attempt"] += 1
        execution["stop"] = None
        self.save(place, execution)
        self.events.pipeline(place, execution, "RESUMED")
        self.events.stage(place, execution, name, "RESUMED")
