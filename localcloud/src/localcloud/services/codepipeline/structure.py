"""The structure of a pipeline: what CreatePipeline and UpdatePipeline refuse, and the defaults they fill in.

Rules and messages follow the "Pipeline structure reference" and the "Action structure reference" in the CodePipeline
User Guide. Shapes, lengths and patterns are the service model's and are checked before this module sees a declaration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from localcloud.core import Fault
from localcloud.services.codepipeline import stages, triggers
from localcloud.services.codepipeline.catalogue import NOT_SERVED, PROVIDERS, Provider, configuration
from localcloud.services.codepipeline.variables import EXECUTION_KEYS, RESERVED, references, split

Declaration = dict[str, Any]

MAX_STAGES = 50
MAX_ACTIONS = 50


def normalise(declaration: Declaration) -> Declaration:
    """The declaration with the defaults that AWS shows in every answer."""
    pipeline: Declaration = {**declaration}
    pipeline.setdefault("pipelineType", "V1")
    pipeline.setdefault("executionMode", "SUPERSEDED")
    pipeline["stages"] = [
        {**stage, "actions": [_with_defaults(action) for action in stage["actions"]]} for stage in pipeline["stages"]
    ]
    return pipeline


def _with_defaults(action: dict[str, Any]) -> dict[str, Any]:
    return {
        **action,
        "runOrder": action.get("runOrder", 1),
        "configuration": action.get("configuration") or {},
        "inputArtifacts": action.get("inputArtifacts") or [],
        "outputArtifacts": action.get("outputArtifacts") or [],
    }


def validate(pipeline: Declaration, region: str) -> None:
    """Refuse a declaration that AWS would refuse.

    Args:
        pipeline: a normalised declaration.
        region: where the pipeline is.

    Raises:
        Fault: InvalidStructureException, InvalidStageDeclarationException, InvalidActionDeclarationException or
            InvalidBlockerDeclarationException.
    """
    _check_type(pipeline)
    _check_stores(pipeline, region)
    _check_stages(pipeline)
    for stage in pipeline["stages"]:
        stages.validate(stage, pipeline)
        for action in stage["actions"]:
            _check_action(action, region)
    _check_artifacts(pipeline)
    _check_namespaces(pipeline)
    _check_references(pipeline)


def actions_of(pipeline: Declaration) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(stage, action) in declared order."""
    for stage in pipeline["stages"]:
        for action in stage["actions"]:
            yield stage, action


def source_actions(pipeline: Declaration) -> dict[str, dict[str, Any]]:
    """The first stage's actions by name."""
    return {action["name"]: action for action in pipeline["stages"][0]["actions"]}


def _structure(message: str) -> Fault:
    return Fault("InvalidStructureException", message)


def _action_fault(message: str) -> Fault:
    return Fault("InvalidActionDeclarationException", message)


def _check_type(pipeline: Declaration) -> None:
    variables = pipeline.get("variables") or []
    repeated = [name for name, count in Counter(v["name"] for v in variables).items() if count > 1]
    if repeated:
        raise _structure(f"Pipeline variable names must be unique. Declared more than once: {', '.join(repeated)}")
    if pipeline["pipelineType"] == "V2":
        triggers.validate(pipeline)
        return
    upgrade = "can only be used when pipelineType is set to V2. Please update the pipelineType to use this feature."
    if pipeline["executionMode"] != "SUPERSEDED":
        raise _structure(f"Execution mode {pipeline['executionMode']} {upgrade}")
    for member, title in (("variables", "Pipeline variables"), ("triggers", "Triggers")):
        if pipeline.get(member):
            raise _structure(f"{title} {upgrade}")
    for stage in pipeline["stages"]:
        if any(stage.get(member) for member in ("beforeEntry", "onSuccess", "onFailure")):
            raise _structure(f"Stage [{stage['name']}]: stage conditions and automatic retry {upgrade}")


def _check_stores(pipeline: Declaration, region: str) -> None:
    one, many = pipeline.get("artifactStore"), pipeline.get("artifactStores")
    if bool(one) == bool(many):
        raise _structure(
            "The pipeline must specify either artifactStore or artifactStores, and not both: artifactStore for actions "
            f"in {region} alone, artifactStores with one store for each Region that has an action."
        )
    if many and region not in many:
        raise _structure(f"artifactStores must have a store for the pipeline's Region {region}; it has {sorted(many)}.")
    served = set(many or {region: one})
    for stage, action in actions_of(pipeline):
        where = action.get("region")
        if where and where not in served:
            raise _structure(
                f"Action [{action['name']}] in stage [{stage['name']}] is in Region {where}, for which the "
                "pipeline has no "
                f"artifact store; there is one for {', '.join(sorted(served))}."
            )


def _check_stages(pipeline: Declaration) -> None:
    declared = pipeline["stages"]
    if not 2 <= len(declared) <= MAX_STAGES:
        raise _structure(
            f"Pipeline has {len(declared)} stage(s). A pipeline must contain at least 2 and at most "
            f"{MAX_STAGES} stages."
        )
    repeated = [name for name, count in Counter(stage["name"] for stage in declared).items() if count > 1]
    if repeated:
        raise _structure(f"Stage names must be unique within a pipeline. Used more than once: {', '.join(repeated)}")
    for stage in declared:
        actions = stage["actions"]
        if not 1 <= len(actions) <= MAX_ACTIONS:
            raise Fault(
                "InvalidStageDeclarationException",
                f"Stage [{stage['name']}] has {len(actions)} actions; a stage has at least 1 and at most "
                f"{MAX_ACTIONS}.",
            )
        if stage.get("blockers"):
            raise Fault(
                "InvalidBlockerDeclarationException",
                f"Stage [{stage['name']}]: blockers are reserved for future use.",
            )
        names = [name for name, count in Counter(action["name"] for action in actions).items() if count > 1]
        if names:
            raise Fault(
                "InvalidStageDeclarationException",
                f"Action names must be unique within a stage. Stage [{stage['name']}] uses more than once: "
                + ", ".join(names),
            )
    first, *others = declared
    if any(action["actionTypeId"]["category"] != "Source" for action in first["actions"]):
        raise _structure("Pipeline should start with a stage that only contains source actions")
    for stage in others:
        for action in stage["actions"]:
            if action["actionTypeId"]["category"] == "Source":
                raise _structure(
                    f"Stage [{stage['name']}] contains the source action [{action['name']}]. Only the first stage of a "
                    "pipeline can contain source actions."
                )


def provider_of(action: dict[str, Any]) -> Provider:
    """What the action runs on.

    Raises:
        Fault: InvalidActionDeclarationException for a provider that AWS does not have or that is not served.
    """
    kind = action["actionTypeId"]
    key = (kind["category"], kind["provider"])
    if kind["owner"] != "AWS" or key in NOT_SERVED:
        served = ", ".join("/".join(known) for known in PROVIDERS)
        raise _action_fault(
            f"Action [{action['name']}]: provider {kind['category']}/{kind['provider']} (owner {kind['owner']}) is not "
            f"served by the local cloud. Served are {served}, owner AWS."
        )
    if key not in PROVIDERS or kind["version"] != "1":
        raise _action_fault(
            f"ActionType (Category: '{kind['category']}', Provider: '{kind['provider']}', Owner: '{kind['owner']}', "
            f"Version: '{kind['version']}') in action '{action['name']}' is not available"
        )
    return PROVIDERS[key]


def _check_action(action: dict[str, Any], region: str) -> None:
    name = action["name"]
    provider = provider_of(action)
    given = configuration(action)
    for key in sorted(provider.required - set(given)):
        raise _action_fault(f"Action configuration for action '{name}' is missing required configuration '{key}'")
    for key in sorted(set(given) - provider.required - provider.optional):
        allowed = ", ".join(sorted(provider.required | provider.optional)) or "none"
        raise _action_fault(
            f"Action configuration for action '{name}' contains unknown configuration '{key}'. Allowed are: {allowed}"
        )
    for member, title, (low, high) in (
        ("inputArtifacts", "input", provider.inputs),
        ("outputArtifacts", "output", provider.outputs),
    ):
        count = len(action[member])
        if not low <= count <= high:
            span = str(low) if low == high else f"{low} to {high}"
            raise _action_fault(
                f"Action '{name}' has {count} {title} artifact(s); provider "
                f"{provider.category}/{provider.name} takes {span}"
            )
    for member, reason in (
        ("commands", "only Compute/Commands takes commands"),
        ("outputVariables", "only Compute/Commands takes outputVariables"),
        ("environmentVariables", "only Compute/Commands takes environmentVariables"),
    ):
        if action.get(member):
            raise _action_fault(f"Action '{name}' has {member}; {reason}, which is not served by the local cloud")
    if action.get("timeoutInMinutes") and provider.category != "Approval":
        raise _action_fault(
            f"Action '{name}' has timeoutInMinutes, which is available only to the manual approval action type"
        )
    if provider.category == "Source" and action.get("region") not in (None, region):
        raise _action_fault(f"Action '{name}': a source action must be in the pipeline's Region {region}")
    for problem in provider.check(action):
        raise _action_fault(f"Action '{name}': {problem}")


def _check_artifacts(pipeline: Declaration) -> None:
    produced: set[str] = set()
    for stage in pipeline["stages"]:
        for order in sorted({action["runOrder"] for action in stage["actions"]}):
            group = [action for action in stage["actions"] if action["runOrder"] == order]
            for action in group:
                for artifact in action["inputArtifacts"]:
                    if artifact["name"] not in produced:
                        raise _action_fault(
                            f"Input Artifact Bundle {artifact['name']} in action {action['name']} is not declared as "
                            "Output Artifact Bundle in any of the preceding actions"
                        )
            for action in group:
                for artifact in action["outputArtifacts"]:
                    if artifact["name"] in produced:
                        raise _action_fault(
                            "Output Artifact Bundle name must be unique within the pipeline. "
                            f"{artifact['name']} has been used more than once"
                        )
                    produced.add(artifact["name"])


def _check_namespaces(pipeline: Declaration) -> None:
    artifacts = {artifact["name"] for _, action in actions_of(pipeline) for artifact in action["outputArtifacts"]}
    seen: set[str] = set()
    for stage, action in actions_of(pipeline):
        namespace = action.get("namespace")
        if namespace is None:
            continue
        where = f"StageName=[{stage['name']}], ActionName=[{action['name']}], Namespace=[{namespace}]"
        if namespace in RESERVED:
            raise _action_fault(f"Namespaces {' and '.join(RESERVED)} are reserved. {where}")
        if namespace in seen:
            raise _action_fault(
                "Namespaces must be unique across the pipeline definition. The following occur more than once in the "
                f"pipeline. {where}"
            )
        if namespace in artifacts:
            raise _action_fault(f"Namespaces cannot conflict with artifact names. {where}")
        seen.add(namespace)


def _check_references(pipeline: Declaration) -> None:
    """Every reference must name a namespace whose action is sure to have run before, or a declared variable."""
    variables = {variable["name"] for variable in pipeline.get("variables") or []}
    known: set[str] = set()
    for stage in pipeline["stages"]:
        for rule in stages.rules(stage, "beforeEntry"):
            _check_texts(rule["configuration"], known, variables, stage["name"], f"rule {rule['name']}")
        for order in sorted({action["runOrder"] for action in stage["actions"]}):
            group = [action for action in stage["actions"] if action["runOrder"] == order]
            for action in group:
                _check_texts(action["configuration"], known, variables, stage["name"], action["name"])
            known |= {action["namespace"] for action in group if action.get("namespace")}
        for member in ("onSuccess", "onFailure"):
            for rule in stages.rules(stage, member):
                _check_texts(rule["configuration"], known, variables, stage["name"], f"rule {rule['name']}")


def _check_texts(texts: dict[str, str], known: set[str], variables: set[str], stage: str, action: str) -> None:
    for key, text in texts.items():
        for reference in references(text):
            parts = split(reference)
            where = (
                f"StageName=[{stage}], ActionName=[{action}], ActionConfigurationKey=[{key}], "
                f"VariableReferenceText=[{reference}]"
            )
            if parts is None:
                raise _action_fault(
                    "Valid format for a pipeline execution variable reference is a namespace and a key separated by a "
                    f"period (.). {where}"
                )
            namespace, name = parts
            if namespace == "variables" and name in variables:
                continue
            if namespace == "codepipeline" and name in EXECUTION_KEYS:
                continue
            if namespace in RESERVED:
                raise _action_fault(
                    "The following pipeline execution variables are referencing a variable that does not "
                    f"exist. {where}"
                )
            if namespace not in known:
                raise _action_fault(
                    "Valid format for a pipeline execution variable reference is a namespace and a key separated by a "
                    "period (.). The following pipeline execution variables are referencing a namespace that does not "
                    f"exist. {where}"
                )
