"""AWS::CodePipeline::Pipeline."""

from __future__ import annotations

from typing import Any

from localcloud.core import Created, ResourceContext, ResourceType
from localcloud.core.cfn import Properties
from localcloud.core.cfn import _fit as fit
from localcloud.core.model import load

_OUTER = ("Tags", "RestartExecutionOnUpdate", "DisableInboundStageTransitions", "ArtifactStores")


def _declaration(properties: Properties, name: str) -> dict[str, Any]:
    """The properties as the API's pipeline declaration."""
    shape = load("codepipeline").shape_for("PipelineDeclaration")
    given = {key: value for key, value in properties.items() if key not in _OUTER}
    given.pop("Version", None)
    declaration: dict[str, Any] = fit({**given, "Name": name}, shape)
    stores = properties.get("ArtifactStores")
    if stores:
        store = load("codepipeline").shape_for("ArtifactStore")
        declaration["artifactStores"] = {entry["Region"]: fit(entry["ArtifactStore"], store) for entry in stores}
    return declaration


def _tags(properties: Properties) -> list[dict[str, str]]:
    return [{"key": tag["Key"], "value": str(tag["Value"])} for tag in properties.get("Tags") or []]


def _transitions(context: ResourceContext, name: str, old: Properties, new: Properties) -> None:
    client = context.client("codepipeline")
    before = {entry["StageName"] for entry in old.get("DisableInboundStageTransitions") or []}
    after = {entry["StageName"]: entry["Reason"] for entry in new.get("DisableInboundStageTransitions") or []}
    for stage, reason in after.items():
        client.disable_stage_transition(pipelineName=name, stageName=stage, transitionType="Inbound", reason=reason)
    declared = {stage["Name"] for stage in new["Stages"]}
    for stage in (before - set(after)) & declared:
        client.enable_stage_transition(pipelineName=name, stageName=stage, transitionType="Inbound")


def _create(context: ResourceContext, properties: Properties) -> Created:
    name = properties.get("Name") or context.name(100)
    request: dict[str, Any] = {"pipeline": _declaration(properties, name)}
    tags = _tags(properties)
    if tags:
        request["tags"] = tags
    answer = context.client("codepipeline").create_pipeline(**request)
    _transitions(context, name, {}, properties)
    return Created(name, {"Version": str(answer["pipeline"]["version"])})


def _update(context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
    if new.get("Name") and new["Name"] != physical_id:
        return _create(context, new)
    client = context.client("codepipeline")
    answer = client.update_pipeline(pipeline=_declaration(new, physical_id))
    arn = f"arn:aws:codepipeline:{context.region}:{context.account}:{physical_id}"
    before, after = _tags(old), _tags(new)
    gone = {tag["key"] for tag in before} - {tag["key"] for tag in after}
    if gone:
        client.untag_resource(resourceArn=arn, tagKeys=sorted(gone))
    if after and after != before:
        client.tag_resource(resourceArn=arn, tags=after)
    _transitions(context, physical_id, old, new)
    if str(new.get("RestartExecutionOnUpdate", "")).lower() == "true":
        client.start_pipeline_execution(name=physical_id)
    return Created(physical_id, {"Version": str(answer["pipeline"]["version"])})


def _delete(context: ResourceContext, physical_id: str, _: Properties) -> None:
    context.client("codepipeline").delete_pipeline(name=physical_id)


PIPELINE = ResourceType(
    "AWS::CodePipeline::Pipeline",
    service="codepipeline",
    create=_create,
    update=_update,
    delete=_delete,
    attributes={"Version": "Version"},
)
