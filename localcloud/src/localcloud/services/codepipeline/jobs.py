"""Results that come from outside: approvals, and jobs that Lambda functions work on."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Fault, Service, now, operation
from localcloud.services.codepipeline.actions.base import ActionError, Outcome
from localcloud.services.codepipeline.engine import Engine
from localcloud.services.codepipeline.records import Document, Place, Records

MAX_VARIABLES_BYTES = 122_880


class JobOperations(Service):
    """PutApprovalResult, PutJobSuccessResult, PutJobFailureResult, GetJobDetails."""

    records: Records
    engine: Engine

    @operation("PutApprovalResult")
    def put_approval_result(self, call: Call) -> dict[str, Any]:
        """Approve or reject; of two answers to one request only the first counts."""
        given = call.input
        place = Place(call.account, call.region, given["pipelineName"])
        stage = self.records.require_stage(place, given["stageName"])
        declared = next((a for a in stage["actions"] if a["name"] == given["actionName"]), None)
        if declared is None:
            raise Fault(
                "ActionNotFoundException",
                f"Action '{given['actionName']}' does not exist in stage '{stage['name']}' of pipeline "
                f"'{place.pipeline}'.",
            )
        action = next(
            (
                found
                for found in reversed(self.records.list_actions(place))
                if found.get("token") == given["token"]
                and (found["stage"], found["action"]) == (stage["name"], declared["name"])
            ),
            None,
        )
        if action is None:
            raise Fault(
                "InvalidApprovalTokenException", "The approval token is invalid: no approval was asked for with it."
            )
        summary = given["result"].get("summary", "")
        result: Outcome | ActionError = Outcome(summary=summary)
        if given["result"]["status"] == "Rejected":
            result = ActionError("JobFailed", f"The approval action was rejected: {summary}", summary=summary)
        if not self.engine.complete(place, action["id"], result, call.principal):
            raise Fault(
                "ApprovalAlreadyCompletedException", "The approval action has already been approved or rejected."
            )
        return {"approvedAt": now()}

    def _job(self, call: Call) -> tuple[Place, Document, Document]:
        """The pipeline, the job and the action that it is for, while that waits for the job."""
        job_id = call.input["jobId"]
        job = self.records.jobs.get(call.account, call.region, job_id)
        if job is None:
            raise Fault("JobNotFoundException", f"Job {job_id} does not exist.")
        place = Place(call.account, call.region, job["pipeline"])
        action = self.records.action(place, job["action"])
        current = (action or {}).get("state", {}).get("job")
        if action is None or action["status"] != "InProgress" or current != job_id:
            raise Fault(
                "InvalidJobStateException",
                f"Job {job_id} is not in progress any more: its action has ended or was invoked again since.",
            )
        return place, job, action

    @operation("PutJobSuccessResult")
    def put_job_success_result(self, call: Call) -> None:
        """End a Lambda action, or ask with a continuation token to be invoked again."""
        place, _, action = self._job(call)
        given = call.input
        variables = {str(key): str(value) for key, value in (given.get("outputVariables") or {}).items()}
        if sum(len(key.encode()) + len(value.encode()) for key, value in variables.items()) > MAX_VARIABLES_BYTES:
            raise Fault(
                "OutputVariablesSizeExceededException",
                f"The output variables of an action can have at most {MAX_VARIABLES_BYTES} bytes.",
            )
        if given.get("continuationToken"):
            self.engine.go_on(place, action["id"], given["continuationToken"])
            return
        details = given.get("executionDetails") or {}
        outcome = Outcome(
            summary=details.get("summary", ""),
            external_id=details.get("externalExecutionId", ""),
            variables=variables,
        )
        if not self.engine.complete(place, action["id"], outcome):
            raise Fault("InvalidJobStateException", f"Job {given['jobId']} is not in progress any more.")

    @operation("PutJobFailureResult")
    def put_job_failure_result(self, call: Call) -> None:
        """Fail a Lambda action."""
        place, _, action = self._job(call)
        details = call.input["failureDetails"]
        error = ActionError(details["type"], details["message"], external_id=details.get("externalExecutionId", ""))
        if not self.engine.complete(place, action["id"], error):
            raise Fault("InvalidJobStateException", f"Job {call.input['jobId']} is not in progress any more.")

    @operation("GetJobDetails")
    def get_job_details(self, call: Call) -> dict[str, Any]:
        """What the function was given."""
        place, job, action = self._job(call)
        data = {
            **job["data"],
            "actionTypeId": action["actionTypeId"],
            "pipelineContext": {
                "pipelineName": place.pipeline,
                "stage": {"name": action["stage"]},
                "action": {"name": action["action"], "actionExecutionId": action["id"]},
                "pipelineArn": place.arn,
                "pipelineExecutionId": action["execution"],
            },
        }
        return {"jobDetails": {"id": job["key"], "accountId": call.account, "data": data}}
