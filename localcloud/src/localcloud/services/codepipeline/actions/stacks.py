"""Deploy with CloudFormation: stacks and change sets, in the account of the action's role."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from localcloud.services.codepipeline.actions.base import (
    ActionError,
    Job,
    Outcome,
    archive,
    failure,
    parse_json,
    reporting,
)

FAILED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
SUCCEEDED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
# Where nothing was to be done: the stack is what was asked for, whatever was undone before. CodePipeline, too, does not
# count these among the failed states.
AS_ASKED = (*SUCCEEDED, "UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
NOTHING_TO_DO = "No updates are to be performed"
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


class CloudFormationDeploy:
    """One action for all five action modes.

    What it keeps in `state`: `operation` ("apply", "delete", "replace", "changeset" or "execute") once CloudFormation
    has been asked, so that after a restart it looks at the stack instead of asking again.
    """

    def start(self, job: Job) -> Outcome | None:
        """Run the action mode to its end."""
        given = job.configuration
        mode, name = given["ActionMode"], given["StackName"]
        client = job.client("cloudformation")
        with reporting(f"Stack {name}", "JobFailed"):
            stack = _stack(client, name)
            if mode == "DELETE_ONLY":
                return self._delete(job, client, stack)
            if mode == "CHANGE_SET_EXECUTE":
                return self._execute(job, client)
            if mode == "CHANGE_SET_REPLACE":
                return self._change_set(job, client, stack)
            if mode == "REPLACE_ON_FAILURE" and stack and stack["StackStatus"] in FAILED:
                self._keep(job, "replace", stack)
                client.delete_stack(StackName=stack["StackId"], **_role(given))
                self._wait_deleted(job, client, stack["StackId"])
                stack = None
            return self._apply(job, client, stack)

    def resume(self, job: Job) -> Outcome | None:
        """Wait for what was begun; begin again where CloudFormation knows nothing of it."""
        operation = job.state.get("operation")
        client = job.client("cloudformation")
        name = job.configuration["StackName"]
        with reporting(f"Stack {name}", "JobFailed"):
            if operation == "delete":
                self._wait_deleted(job, client, job.state["stackId"])
                return Outcome(summary="Stack DELETE_COMPLETE")
            stack = _stack(client, name)
            begun = stack is not None and stack["StackStatus"] != job.state.get("before")
            if operation in ("apply", "execute") and begun:
                return self._finish(job, client, name)
        return self.start(job)

    # -- the modes ----------------------------------------------------------------------------------------------

    def _apply(self, job: Job, client: Any, stack: dict[str, Any] | None) -> Outcome:
        request = self._request(job)
        exists = stack is not None and stack["StackStatus"] != "REVIEW_IN_PROGRESS"
        self._keep(job, "apply", stack)
        try:
            answer = client.update_stack(**request) if exists else client.create_stack(**request)
        except ClientError as error:
            if exists and NOTHING_TO_DO in str(error):
                return self._finish(job, client, request["StackName"], AS_ASKED)
            raise failure(error, f"Stack {request['StackName']}", "JobFailed") from error
        self._show(job, answer["StackId"])
        return self._finish(job, client, answer["StackId"])

    def _delete(self, job: Job, client: Any, stack: dict[str, Any] | None) -> Outcome:
        if stack is None:
            return Outcome(summary="Stack does not exist")
        self._keep(job, "delete", stack)
        self._show(job, stack["StackId"])
        client.delete_stack(StackName=stack["StackId"], **_role(job.configuration))
        self._wait_deleted(job, client, stack["StackId"])
        return Outcome(summary="Stack DELETE_COMPLETE", external_id=stack["StackId"])

    def _change_set(self, job: Job, client: Any, stack: dict[str, Any] | None) -> Outcome:
        given = job.configuration
        request = self._request(job)
        policy = request.pop("StackPolicyBody", None)
        if policy and stack:
            client.set_stack_policy(StackName=given["StackName"], StackPolicyBody=policy)
        request["ChangeSetName"] = given["ChangeSetName"]
        new = stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS"
        request["ChangeSetType"] = "CREATE" if new else "UPDATE"
        self._keep(job, "changeset", stack)
        if stack is not None:
            try:
                client.delete_change_set(ChangeSetName=given["ChangeSetName"], StackName=given["StackName"])
            except ClientError as error:
                if "ChangeSetNotFound" not in str(error):
                    raise
        answer = client.create_change_set(**request)
        self._show(job, answer["Id"])
        while True:
            found = client.describe_change_set(ChangeSetName=given["ChangeSetName"], StackName=given["StackName"])
            if found["Status"] in ("CREATE_COMPLETE", "FAILED"):
                break
            job.pause(0.25)
        reason = str(found.get("StatusReason", ""))
        if found["Status"] == "FAILED" and not any(text in reason for text in NO_CHANGES):
            raise ActionError("JobFailed", f"Change set {given['ChangeSetName']} could not be created: {reason}")
        return Outcome(
            summary=f"Change set {given['ChangeSetName']} was created.",
            external_id=answer["Id"],
            variables={"StackName": given["StackName"], "ChangeSetName": given["ChangeSetName"]},
        )

    def _execute(self, job: Job, client: Any) -> Outcome:
        given = job.configuration
        name, change_set = given["StackName"], given["ChangeSetName"]
        found = client.describe_change_set(ChangeSetName=change_set, StackName=name)
        reason = str(found.get("StatusReason", ""))
        if found["Status"] == "FAILED" and any(text in reason for text in NO_CHANGES):
            return self._finish(job, client, name, AS_ASKED)
        self._keep(job, "execute", _stack(client, name))
        self._show(job, found["StackId"])
        client.execute_change_set(ChangeSetName=change_set, StackName=name)
        while (_stack(client, name) or {}).get("StackStatus") == "REVIEW_IN_PROGRESS":
            job.pause(0.3)
        return self._finish(job, client, name)

    # -- parts --------------------------------------------------------------------------------------------------

    def _keep(self, job: Job, operation: str, stack: dict[str, Any] | None) -> None:
        stack = stack or {}
        job.update(state={"operation": operation, "stackId": stack.get("StackId"), "before": stack.get("StackStatus")})

    def _show(self, job: Job, identifier: str) -> None:
        url = (
            f"https://{job.region}.console.aws.amazon.com/cloudformation/home?region={job.region}#/stacks/{identifier}"
        )
        job.update(externalExecutionId=identifier, externalExecutionUrl=url)

    def _request(self, job: Job) -> dict[str, Any]:
        given = job.configuration
        template, path = given["TemplatePath"].split("::", 1)
        request: dict[str, Any] = {
            "StackName": given["StackName"],
            "TemplateBody": job.read_file(template, path).decode("utf-8", "replace"),
            **_role(given),
        }
        if given.get("Capabilities"):
            request["Capabilities"] = [word.strip() for word in given["Capabilities"].split(",") if word.strip()]
        settings = _template_configuration(job)
        parameters = {**settings["Parameters"], **_overrides(job)}
        if parameters:
            request["Parameters"] = [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]
        if settings["Tags"]:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in settings["Tags"].items()]
        if settings["StackPolicy"]:
            request["StackPolicyBody"] = json.dumps(settings["StackPolicy"])
        return request

    def _finish(self, job: Job, client: Any, name: str, good: tuple[str, ...] = SUCCEEDED) -> Outcome:
        """Wait for the stack to come to rest in a `good` state; its outputs are the action's variables."""
        while True:
            stack = _stack(client, name)
            if stack is None:
                raise ActionError("JobFailed", f"Stack {name} does not exist any more.")
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            job.pause(0.25)
        status, identifier = stack["StackStatus"], stack["StackId"]
        if status not in good:
            raise ActionError(
                "JobFailed",
                f"Stack {stack['StackName']} is in state {status}. {_reason(client, stack)}".strip(),
                external_id=identifier,
            )
        outputs = {output["OutputKey"]: str(output["OutputValue"]) for output in stack.get("Outputs", [])}
        if job.action["outputArtifacts"]:
            content = json.dumps(outputs, indent=2).encode()
            job.write(archive({job.configuration["OutputFileName"]: content}))
        return Outcome(summary=f"Stack {status}", external_id=identifier, variables=outputs)

    def _wait_deleted(self, job: Job, client: Any, identifier: str) -> None:
        while True:
            stack = _stack(client, identifier)
            if stack is None or stack["StackStatus"] == "DELETE_COMPLETE":
                return
            if stack["StackStatus"] == "DELETE_FAILED":
                raise ActionError("JobFailed", f"Stack could not be deleted. {_reason(client, stack)}")
            job.pause(0.25)


def _role(given: dict[str, str]) -> dict[str, str]:
    return {"RoleARN": given["RoleArn"]} if given.get("RoleArn") else {}


def _stack(client: Any, name: str) -> dict[str, Any] | None:
    try:
        stacks = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    found = [stack for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE" or name.startswith("arn:")]
    return dict(found[0]) if found else None


def _reason(client: Any, stack: dict[str, Any]) -> str:
    """The resource that failed first in the stack's last operation, and why."""
    failed = []
    try:
        events = client.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
    except ClientError:
        events = []
    for event in events:  # newest first; an operation begins with the stack's own …_IN_PROGRESS "User Initiated"
        if event["ResourceStatus"].endswith("_FAILED") and event.get("PhysicalResourceId") != stack["StackId"]:
            failed.append(event)
        own = event.get("LogicalResourceId") == stack["StackName"]
        if own and event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"):
            break
    causes = [event for event in failed if "cancelled" not in str(event.get("ResourceStatusReason", ""))]
    if causes:
        first = causes[-1]
        return f"{first['LogicalResourceId']} ({first['ResourceType']}): {first.get('ResourceStatusReason', '')}"
    return str(stack.get("StackStatusReason", ""))


def _strings(mapping: Any, what: str) -> dict[str, str]:
    if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
        raise ActionError("ConfigurationError", f"{what} must be a JSON object whose values are strings.")
    return dict(mapping)


def _template_configuration(job: Job) -> dict[str, Any]:
    settings: dict[str, Any] = {"Parameters": {}, "Tags": {}, "StackPolicy": {}}
    text = job.configuration.get("TemplateConfiguration")
    if not text:
        return settings
    artifact, path = text.split("::", 1)
    given = parse_json(job.read_file(artifact, path), f"Template configuration {text}")
    if not isinstance(given, dict) or set(given) - set(settings):
        raise ActionError(
            "ConfigurationError",
            f"Template configuration {text} must be a JSON object with Parameters, Tags and StackPolicy, and "
            "no others.",
        )
    settings |= given
    for member in ("Parameters", "Tags"):
        settings[member] = _strings(settings[member], f"{member} of template configuration {text}")
    return settings


def _overrides(job: Job) -> dict[str, str]:
    text = job.configuration.get("ParameterOverrides")
    if not text:
        return {}
    given = parse_json(text, "ParameterOverrides")
    if not isinstance(given, dict):
        raise ActionError("ConfigurationError", "ParameterOverrides must be a JSON object.")
    return _strings({key: _value(job, value) for key, value in given.items()}, "ParameterOverrides")


def _value(job: Job, value: Any) -> Any:
    """A parameter's value: text, Fn::GetArtifactAtt [artifact, attribute] or Fn::GetParam [artifact, file, key]."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    function, arguments = next(iter(value.items()))
    if function == "Fn::GetArtifactAtt" and isinstance(arguments, list) and len(arguments) == 2:
        bucket, key = job.location("inputArtifacts", arguments[0])
        attributes = {
            "ArtifactName": arguments[0],
            "BucketName": bucket,
            "ObjectKey": key,
            "URL": f"https://s3.{job.region}.amazonaws.com/{bucket}/{key}",
        }
        if arguments[1] in attributes:
            return attributes[arguments[1]]
        raise ActionError(
            "ConfigurationError", f"Fn::GetArtifactAtt has no attribute {arguments[1]}; it has {', '.join(attributes)}."
        )
    if function == "Fn::GetParam" and isinstance(arguments, list) and len(arguments) == 3:
        content = parse_json(job.read_file(arguments[0], arguments[1]), f"{arguments[1]} in artifact {arguments[0]}")
        if isinstance(content, dict) and arguments[2] in content:
            return content[arguments[2]]
        raise ActionError("ConfigurationError", f"{arguments[1]} in artifact {arguments[0]} has no key {arguments[2]}.")
    return value
