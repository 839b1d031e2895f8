"""Actions: begun by the flow, run on a thread of their own, ended here exactly once."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import string
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Cloud, Fault, now, uuid
from localcloud.core.store import is_full
from localcloud.services.codepipeline.actions import REGISTRY
from localcloud.services.codepipeline.actions.base import ActionError, Job, Outcome, StoppedError, failure
from localcloud.services.codepipeline.events import Events
from localcloud.services.codepipeline.records import Document, Place, Records
from localcloud.services.codepipeline.variables import UnresolvedError, resolve_all

logger = logging.getLogger("localcloud.codepipeline")
_ROOM_SECONDS = 1.0
_ALPHABET = string.ascii_letters + string.digits


def artifact_key(pipeline: str, artifact: str) -> str:
    """Where CodePipeline keeps an artifact: both names cut short, and a random part."""
    return f"{pipeline[:20]}/{artifact[:10]}/{''.join(secrets.choice(_ALPHABET) for _ in range(7))}"


class Runner:
    """Begins, runs and ends actions. `lock` orders everything that changes an execution."""

    def __init__(self, cloud: Cloud, records: Records) -> None:
        self.cloud = cloud
        self.records = records
        self.events = Events(cloud)
        self.lock = threading.RLock()

    def advance(self, place: Place) -> None:
        """Take every execution of the pipeline as far as it can go."""
        raise NotImplementedError

    # -- begin --------------------------------------------------------------------------------------------------

    def launch(self, place: Place, execution: Document, stage: str, declared: Document) -> Document:
        """Record an action execution and start its thread. Changes `execution`, which the caller keeps."""
        definition = execution["definition"]
        action: Document = {
            "id": uuid(),
            "execution": execution["id"],
            "version": execution["version"],
            "stage": stage,
            "action": declared["name"],
            "actionTypeId": declared["actionTypeId"],
            "configuration": declared["configuration"],
            "resolvedConfiguration": dict(declared["configuration"]),
            "roleArn": declared.get("roleArn"),
            "pipelineRole": definition["roleArn"],
            "region": declared.get("region") or place.region,
            "namespace": declared.get("namespace"),
            "timeoutInMinutes": declared.get("timeoutInMinutes"),
            "status": "InProgress",
            "started": now(),
            "updated": now(),
            "inputArtifacts": [],
            "outputArtifacts": [],
        }
        store = artifact_store(definition, action["region"], place.region)
        problem: ActionError | None = None
        try:
            action["resolvedConfiguration"] = resolve_all(declared["configuration"], self.namespaces(execution))
        except UnresolvedError as error:
            problem = ActionError(
                "InvalidVariableReference",
                "An action in this pipeline failed because one or more variables could not be resolved: Action name="
                f"{declared['name']}. This can result when a variable is referenced that does not exist. Validate the "
                f"pipeline action configuration. Not resolved: {', '.join('#{' + r + '}' for r in error.references)}",
            )
            execution["statusSummary"] = problem.message
        for artifact in declared["inputArtifacts"]:
            found = execution["artifacts"].get(artifact["name"])
            if found is None:
                problem = problem or ActionError(
                    "ConfigurationError",
                    f"Input artifact {artifact['name']} was not produced: the stage or action that produces it "
                    "did not run.",
                )
                continue
            action["inputArtifacts"].append({"name": artifact["name"], "s3location": found["s3location"]})
        for artifact in declared["outputArtifacts"]:
            location = {"bucket": store["location"], "key": artifact_key(place.pipeline, artifact["name"])}
            action["outputArtifacts"].append({"name": artifact["name"], "s3location": location})
        self.records.put_action(place, action)
        self.events.action(place, execution, action, "STARTED")
        if problem:
            self._end(place, execution, action, problem)
        else:
            self.cloud.task(f"codepipeline {place.pipeline} {declared['name']}", self.run, place, action["id"], False)
        return action

    def namespaces(self, execution: Document) -> dict[str, dict[str, str]]:
        """Everything that a reference can name at this point of the execution."""
        return {
            **execution["namespaces"],
            "codepipeline": {"PipelineExecutionId": execution["id"]},
            "variables": execution["variables"],
        }

    # -- run ----------------------------------------------------------------------------------------------------

    def run(self, place: Place, action_id: str, resumed: bool) -> None:
        """Run an action to its end; the body of its thread."""
        action = self.records.action(place, action_id)
        execution = self.records.execution(place, action["execution"]) if action else None
        if action is None or execution is None or action["status"] != "InProgress":
            return
        kind = action["actionTypeId"]
        provider = REGISTRY[(kind["category"], kind["provider"])]
        store = artifact_store(execution["definition"], action["region"], place.region)

        def change(identifier: str, members: Document) -> bool:
            return self.change_action(place, identifier, members)

        job = Job(self.cloud, place, execution, action, store, action["pipelineRole"], change)
        result: Outcome | ActionError | None
        try:
            result = provider.resume(job) if resumed else provider.start(job)
        except StoppedError:
            return
        except ActionError as error:
            result = error
        except (ClientError, Fault) as error:
            result = failure(error, f"Action {action['action']}", "JobFailed")
        except BotoCoreError as error:
            result = ActionError("SystemUnavailable", f"Action {action['action']}: {error}")
        except Exception as error:
            if not self.cloud.stopping.is_set():
                logger.exception("action %s of pipeline %s", action["action"], place.pipeline)
            result = ActionError("SystemUnavailable", f"The local cloud failed: {type(error).__name__}: {error}")
        # What fails because the local cloud stops is not the action's failure: it is resumed after the next start.
        if result is not None:
            self._finish_patiently(place, action_id, result)

    def _finish_patiently(self, place: Place, action_id: str, result: Outcome | ActionError) -> None:
        """End the action as soon as that can be written: on a full disk it would stay in progress for ever."""
        ended = False
        while not self.cloud.stopping.is_set():
            try:
                if ended:
                    self.advance(place)
                else:
                    self.finish(place, action_id, result)
                return
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
                logger.warning(
                    "the end of an action of pipeline %s cannot be written, and waits: %s", place.pipeline, error
                )
                action = self.records.action(place, action_id)
                ended = action is None or action["status"] != "InProgress"
            self.cloud.stopping.wait(_ROOM_SECONDS)

    def change_action(self, place: Place, action_id: str, members: Document) -> bool:
        """Set members of an action that is in progress; whether it still is."""
        with self.lock, self.records.store.transaction():
            action = self.records.action(place, action_id)
            if action is None or action["status"] != "InProgress":
                return False
            if members:
                self.records.put_action(place, {**action, **members, "updated": now()})
            return True

    # -- end ----------------------------------------------------------------------------------------------------

    def finish(
        self, place: Place, action_id: str, result: Outcome | ActionError, by: str | None = None, **members: Any
    ) -> bool:
        """End an action and go on with the pipeline. Only the first to end an action succeeds, and is told so."""
        with self.lock:
            with self.records.store.transaction():
                action = self.records.action(place, action_id)
                if action is None or action["status"] != "InProgress":
                    return False
                execution = self.records.execution(place, action["execution"])
                if execution is None:
                    return False
                action.update(members)
                if by:
                    action["updatedBy"] = by
                self._end(place, execution, action, result)
                execution["updated"] = now()
                self.records.put_execution(place, execution)
            self.advance(place)
        return True

    def abandon(self, place: Place, execution: Document, action: Document) -> None:
        """Let go of an action: what its provider does from now on is not awaited."""
        action.update(status="Abandoned", updated=now())
        self.records.put_action(place, action)
        self.events.action(place, execution, action, "ABANDONED")

    def _end(self, place: Place, execution: Document, action: Document, result: Outcome | ActionError) -> None:
        """Write the end of an action, and into `execution` what it has produced."""
        action["updated"] = now()
        for member, value in (
            ("externalExecutionId", result.external_id),
            ("externalExecutionUrl", result.external_url),
            ("summary", result.summary),
        ):
            if value:
                action[member] = value
        if isinstance(result, ActionError):
            action["status"] = "Failed"
            action["errorDetails"] = {"code": result.code, "message": result.message[:5000]}
            self.records.put_action(place, action)
            self.events.action(place, execution, action, "FAILED")
            return
        action["status"] = "Succeeded"
        action["outputVariables"] = {str(key): str(value) for key, value in result.variables.items()}
        if action.get("namespace"):
            execution["namespaces"][action["namespace"]] = action["outputVariables"]
        revision = dict(result.revision or {})
        for artifact in action["outputArtifacts"]:
            kept = {"s3location": artifact["s3location"], "revision": revision.get("revisionId")}
            execution["artifacts"][artifact["name"]] = {**kept, "clone": dict(result.clone) if result.clone else None}
        if revision:
            action["revision"] = revision
            name = action["outputArtifacts"][0]["name"]
            others = [known for known in execution["revisions"] if known["actionName"] != action["action"]]
            execution["revisions"] = [*others, {"actionName": action["action"], "name": name, **revision}]
        self.records.put_action(place, action)
        self.events.action(place, execution, action, "SUCCEEDED")


def artifact_store(definition: Document, region: str, home: str) -> Document:
    """The artifact store for actions in a Region."""
    many: dict[str, Document] = definition.get("artifactStores") or {}
    return dict(many.get(region) or many.get(home) or definition.get("artifactStore") or {})
