"""Invoke actions: Lambda functions, which report their result themselves, and Step Functions state machines."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from localcloud.core import now, uuid
from localcloud.services.codepipeline.actions.base import ActionError, Job, Outcome, archive, reporting
from localcloud.services.codepipeline.records import Records

LAMBDA_HOURS = 24


class LambdaInvoke:
    """Invokes the function with the job; PutJobSuccessResult or PutJobFailureResult ends the action.

    `state.phase` is "invoking" while the function runs, "waiting" when it has returned without a result, and
    "continue" when it asked to be invoked again with a continuation token.
    """

    def start(self, job: Job) -> Outcome | None:
        """Invoke, and wait for the function to return: an unhandled error fails the action at once."""
        given = job.configuration
        name = given["FunctionName"]
        job_id = uuid()
        token = job.state.get("continuation")
        members: dict[str, Any] = {"state": {"phase": "invoking", "job": job_id}, "externalExecutionId": job_id}
        if not job.action.get("expires"):
            members["expires"] = now() + timedelta(hours=LAMBDA_HOURS)
        job.update(**members)
        event = {"CodePipeline.job": {"id": job_id, "accountId": job.place.account, "data": self._data(job, token)}}
        Records(job.cloud).jobs.put(
            job.place.account,
            job.place.region,
            job_id,
            {
                "key": job_id,
                "pipeline": job.place.pipeline,
                "action": job.id,
                "data": event["CodePipeline.job"]["data"],
            },
        )
        with reporting(f"Lambda function {name}"):
            answer = job.client("lambda").invoke(
                FunctionName=name, InvocationType="RequestResponse", Payload=json.dumps(event).encode()
            )
        if answer.get("FunctionError"):
            said = answer["Payload"].read().decode(errors="replace")
            try:
                said = str(json.loads(said).get("errorMessage", said))
            except (ValueError, AttributeError):
                said = said or answer["FunctionError"]
            raise ActionError(
                "JobFailed",
                f"The AWS Lambda function {name} failed to return a result. Check the function to verify that it has "
                "permission to call the PutJobSuccessResult action and that it made a call to PutJobSuccessResult. "
                f"The function ended with an error: {said}",
                external_id=job_id,
            )
        self._wait(job, job_id)
        return None

    def _wait(self, job: Job, job_id: str) -> None:
        """Note that the function has returned, unless its result (or its wish to go on) came in the meantime."""
        records = Records(job.cloud)
        with records.store.transaction():
            action = records.action(job.place, job.id)
            state = (action or {}).get("state") or {}
            if action and action["status"] == "InProgress" and state == {"phase": "invoking", "job": job_id}:
                records.put_action(job.place, {**action, "state": {"phase": "waiting", "job": job_id}})

    def resume(self, job: Job) -> Outcome | None:
        """Invoke again for a continuation; a function that ran when the local cloud died cannot be picked up."""
        phase = job.state.get("phase")
        if phase == "continue":
            job.pause(1)
            return self.start(job)
        if phase == "waiting":
            return None
        raise ActionError(
            "SystemUnavailable",
            "The local cloud was stopped while the Lambda function ran, and its result is unknown; retry the stage.",
        )

    def _data(self, job: Job, token: str | None) -> dict[str, Any]:
        credentials = job.credentials
        data: dict[str, Any] = {
            "actionConfiguration": {"configuration": job.configuration},
            "inputArtifacts": [self._artifact(job, "inputArtifacts", a["name"]) for a in job.action["inputArtifacts"]],
            "outputArtifacts": [
                self._artifact(job, "outputArtifacts", a["name"]) for a in job.action["outputArtifacts"]
            ],
            "artifactCredentials": {
                "accessKeyId": credentials.access_key,
                "secretAccessKey": credentials.secret_key,
                "sessionToken": credentials.session_token,
            },
        }
        if token:
            data["continuationToken"] = token
        if job.store.get("encryptionKey"):
            data["encryptionKey"] = job.store["encryptionKey"]
        return data

    def _artifact(self, job: Job, member: str, name: str) -> dict[str, Any]:
        bucket, key = job.location(member, name)
        location = {"type": "S3", "s3Location": {"bucketName": bucket, "objectKey": key}}
        return {"name": name, "revision": None, "location": location}


class StepFunctionsInvoke:
    """Starts an execution; a standard one is waited for."""

    def start(self, job: Job) -> Outcome:
        """The execution's name is the action execution id, so that starting it twice starts one."""
        given = job.configuration
        machine, prefix = given["StateMachineArn"], given.get("ExecutionNamePrefix")
        client = job.client("stepfunctions")
        text = given.get("Input") or "{}"
        if given.get("InputType") == "FilePath":
            artifacts = job.action["inputArtifacts"]
            text = job.read_file(artifacts[0]["name"], given["Input"]).decode("utf-8", "replace")
        with reporting(f"State machine {machine}"):
            express = client.describe_state_machine(stateMachineArn=machine).get("type") == "EXPRESS"
            if express and job.action["outputArtifacts"]:
                raise ActionError("ConfigurationError", "An express state machine cannot have an output artifact.")
            name = f"{prefix}-{job.id}" if prefix else job.id
            arn = client.start_execution(stateMachineArn=machine, name=name[:80], input=text)["executionArn"]
            url = (
                f"https://{job.region}.console.aws.amazon.com/states/home?region={job.region}#/executions/details/{arn}"
            )
            job.update(externalExecutionId=arn, externalExecutionUrl=url, state={"executionArn": arn})
        if express:
            return Outcome(summary="Execution started", external_id=arn, variables={"StateMachineArn": machine})
        return self._finish(job, arn)

    def resume(self, job: Job) -> Outcome:
        """Step Functions knows the execution, and fails one that it could not carry on."""
        arn = job.state.get("executionArn")
        return self._finish(job, arn) if arn else self.start(job)

    def _finish(self, job: Job, arn: str) -> Outcome:
        client = job.client("stepfunctions")
        while True:
            with reporting(f"Execution {arn}", "JobFailed"):
                found = client.describe_execution(executionArn=arn)
            if found["status"] not in ("RUNNING", "PENDING_REDRIVE"):
                break
            job.pause(0.25)
        if found["status"] != "SUCCEEDED":
            reason = ": ".join(text for text in (found.get("error"), found.get("cause")) if text)
            raise ActionError(
                "JobFailed", f"State machine execution ended with status {found['status']}. {reason}", external_id=arn
            )
        if job.action["outputArtifacts"]:
            job.write(archive({"output.json": str(found.get("output", "{}")).encode()}))
        machine = job.configuration["StateMachineArn"]
        return Outcome(
            summary="Execution SUCCEEDED",
            external_id=arn,
            variables={"StateMachineArn": machine, "ExecutionArn": arn},
        )
