"""What CreatePipeline refuses, with AWS's error codes and the reason."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.core import Fault
from localcloud.services.codepipeline.catalogue import NOT_SERVED, PROVIDERS
from localcloud.services.codepipeline.structure import normalise, validate

STRUCTURE, STAGE, ACTION = (
    "InvalidStructureException",
    "InvalidStageDeclarationException",
    "InvalidActionDeclarationException",
)
Change = Callable[[dict[str, Any]], Any]


def action(name: str, category: str, provider: str, **more: Any) -> dict[str, Any]:
    kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": name, "actionTypeId": kind, **more}


def pipeline() -> dict[str, Any]:
    """A pipeline with one of nearly everything that is right."""
    source = action(
        "Source",
        "Source",
        "CodeCommit",
        configuration={"RepositoryName": "r", "BranchName": "main", "PollForSourceChanges": "false"},
        outputArtifacts=[{"name": "Code"}],
        namespace="Source",
    )
    environment = json.dumps([{"name": "COMMIT", "value": "#{Source.CommitId}", "type": "PLAINTEXT"}])
    build = action(
        "Build",
        "Build",
        "CodeBuild",
        configuration={"ProjectName": "p", "EnvironmentVariables": environment},
        inputArtifacts=[{"name": "Code"}],
        outputArtifacts=[{"name": "Built"}],
        namespace="Build",
    )
    deploy = action(
        "Deploy",
        "Deploy",
        "CloudFormation",
        runOrder=2,
        configuration={
            "ActionMode": "CREATE_UPDATE",
            "StackName": "s-#{variables.Suffix}",
            "RoleArn": "arn:aws:iam::111111111111:role/r",
            "TemplatePath": "Built::template.yaml",
        },
        inputArtifacts=[{"name": "Built"}],
    )
    rule = {
        "name": "Check",
        "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "VariableCheck", "version": "1"},
        "configuration": {"Variable": "#{Source.CommitMessage}", "Operator": "MATCHES", "Value": "x.*"},
    }
    return {
        "name": "p",
        "roleArn": "arn:aws:iam::111111111111:role/p",
        "artifactStore": {"type": "S3", "location": "bucket"},
        "pipelineType": "V2",
        "executionMode": "QUEUED",
        "variables": [{"name": "Suffix", "defaultValue": "x"}],
        "stages": [
            {"name": "Source", "actions": [source]},
            {
                "name": "Build",
                "actions": [build, deploy],
                "beforeEntry": {"conditions": [{"result": "SKIP", "rules": [rule]}]},
                "onFailure": {"result": "RETRY", "retryConfiguration": {"retryMode": "ALL_ACTIONS"}},
            },
        ],
    }


def test_a_right_pipeline_passes() -> None:
    """Everything that the cases below break is right to begin with."""
    validate(normalise(pipeline()), "eu-west-1")


def test_defaults_are_filled_in() -> None:
    """V1, SUPERSEDED, run order 1 and empty lists are what AWS answers with."""
    plain = pipeline()
    for member in ("pipelineType", "executionMode"):
        del plain[member]
    made = normalise(plain)
    assert (made["pipelineType"], made["executionMode"]) == ("V1", "SUPERSEDED")
    assert made["stages"][0]["actions"][0]["runOrder"] == 1
    assert made["stages"][1]["actions"][1]["outputArtifacts"] == []


def stages(p: dict[str, Any]) -> Any:
    return p["stages"]


def build(p: dict[str, Any]) -> Any:
    return p["stages"][1]["actions"][0]


def deploy(p: dict[str, Any]) -> Any:
    return p["stages"][1]["actions"][1]


def rule(p: dict[str, Any]) -> Any:
    return p["stages"][1]["beforeEntry"]["conditions"][0]["rules"][0]


CASES: list[tuple[str, str, Change]] = [
    (STRUCTURE, "at least 2", lambda p: stages(p).pop()),
    (STRUCTURE, "should start with a stage that only contains source", lambda p: stages(p).reverse()),
    (
        STRUCTURE,
        "Only the first stage",
        lambda p: stages(p)[1]["actions"].append(copy.deepcopy(stages(p)[0]["actions"][0])),
    ),
    (STRUCTURE, "Stage names must be unique", lambda p: stages(p)[1].update(name="Source")),
    (STRUCTURE, "either artifactStore or artifactStores", lambda p: p.pop("artifactStore")),
    (STRUCTURE, "and not both", lambda p: p.update(artifactStores={"eu-west-1": p["artifactStore"]})),
    (STRUCTURE, "no artifact store", lambda p: build(p).update(region="us-east-1")),
    (STRUCTURE, "pipelineType is set to V2", lambda p: p.update(pipelineType="V1")),
    (
        STRUCTURE,
        "CodeStarSourceConnection",
        lambda p: p.update(
            triggers=[{"providerType": "CodeStarSourceConnection", "gitConfiguration": {"sourceActionName": "Source"}}]
        ),
    ),
    (STRUCTURE, "variable names must be unique", lambda p: p["variables"].append({"name": "Suffix"})),
    (STAGE, "at least 1", lambda p: stages(p)[1].update(actions=[])),
    (STAGE, "unique within a stage", lambda p: deploy(p).update(name="Build")),
    (STAGE, "ROLLBACK is not served", lambda p: stages(p)[1]["onFailure"].update(result="ROLLBACK")),
    (
        STAGE,
        "allowed are FAIL",
        lambda p: stages(p)[1].update(onSuccess={"conditions": [{"result": "SKIP", "rules": []}]}),
    ),
    (STAGE, "needs RETRY", lambda p: stages(p)[1]["onFailure"].pop("result")),
    (STAGE, "not served", lambda p: rule(p)["ruleTypeId"].update(provider="DeploymentWindow")),
    (STAGE, "missing required configuration 'Value'", lambda p: rule(p)["configuration"].pop("Value")),
    (STAGE, "allowed are EQ, NE, CONTAINS, MATCHES", lambda p: rule(p)["configuration"].update(Operator="GT")),
    (STAGE, "no regular expression", lambda p: rule(p)["configuration"].update(Value="(")),
    (ACTION, "is not available", lambda p: build(p)["actionTypeId"].update(provider="Nothing")),
    (ACTION, "not served", lambda p: build(p)["actionTypeId"].update(owner="Custom", provider="Jenkins")),
    (ACTION, "missing required configuration 'ProjectName'", lambda p: build(p)["configuration"].pop("ProjectName")),
    (ACTION, "unknown configuration 'Projectname'", lambda p: build(p)["configuration"].update(Projectname="x")),
    (ACTION, "takes 1 to 5", lambda p: build(p).update(inputArtifacts=[])),
    (ACTION, "not declared as Output", lambda p: build(p).update(inputArtifacts=[{"name": "Nope"}])),
    (ACTION, "not declared as Output", lambda p: deploy(p).update(runOrder=1)),
    (ACTION, "must be unique within the pipeline", lambda p: build(p).update(outputArtifacts=[{"name": "Code"}])),
    (ACTION, "occur more than once", lambda p: build(p).update(namespace="Source")),
    (ACTION, "reserved", lambda p: build(p).update(namespace="codepipeline")),
    (ACTION, "conflict with artifact names", lambda p: build(p).update(namespace="Code")),
    (ACTION, "namespace that does not exist", lambda p: build(p)["configuration"].update(ProjectName="#{Nope.x}")),
    (ACTION, "namespace that does not exist", lambda p: build(p)["configuration"].update(ProjectName="#{Build.x}")),
    (ACTION, "variable that does not exist", lambda p: p.update(variables=[])),
    (ACTION, "separated by a period", lambda p: build(p)["configuration"].update(ProjectName="#{Source}")),
    (ACTION, "not JSON", lambda p: build(p)["configuration"].update(EnvironmentVariables="[")),
    (ACTION, "batch builds", lambda p: build(p)["configuration"].update(BatchEnabled="true")),
    (ACTION, "PrimarySource", lambda p: build(p)["configuration"].update(PrimarySource="Other")),
    (ACTION, "CREATE_UPDATE, DELETE_ONLY", lambda p: deploy(p)["configuration"].update(ActionMode="UPSERT")),
    (ACTION, "'RoleArn' is required", lambda p: deploy(p)["configuration"].pop("RoleArn")),
    (ACTION, "Artifactname::FileName", lambda p: deploy(p)["configuration"].update(TemplatePath="template.yaml")),
    (ACTION, "not an input artifact", lambda p: deploy(p)["configuration"].update(TemplatePath="Code::t.yaml")),
    (ACTION, "OutputFileName", lambda p: deploy(p).update(outputArtifacts=[{"name": "Out"}])),
    (ACTION, "manual approval", lambda p: build(p).update(timeoutInMinutes=5)),
    ("InvalidBlockerDeclarationException", "reserved", lambda p: stages(p)[1].update(blockers=[{"name": "b"}])),
]


@pytest.mark.parametrize(("code", "reason", "change"), CASES, ids=[f"{case[1]}-{i}" for i, case in enumerate(CASES)])
def test_a_wrong_pipeline_is_refused(code: str, reason: str, change: Change) -> None:
    """One thing wrong, AWS's code for it, and a message that says which thing."""
    wrong = pipeline()
    change(wrong)
    with pytest.raises(Fault) as caught:
        validate(normalise(wrong), "eu-west-1")
    assert caught.value.code == code
    assert reason in caught.value.message


@pytest.mark.parametrize("kind", sorted(NOT_SERVED))
def test_providers_that_are_not_served_are_refused_by_name(kind: tuple[str, str]) -> None:
    """No pipeline is kept that could not run; the message names the provider and lists those that run."""
    wrong = pipeline()
    target = stages(wrong)[0]["actions"][0] if kind[0] == "Source" else build(wrong)
    target["actionTypeId"].update(category=kind[0], provider=kind[1])
    with pytest.raises(Fault) as caught:
        validate(normalise(wrong), "eu-west-1")
    assert "/".join(kind) in caught.value.message
    assert "Build/CodeBuild" in caught.value.message


def test_every_served_provider_can_run() -> None:
    """The catalogue and the registry of what runs name the same action types."""
    from localcloud.services.codepipeline.actions import REGISTRY

    assert set(REGISTRY) == set(PROVIDERS)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=6))
def test_artifacts_flow_forward_only(plan: list[tuple[int, int]]) -> None:
    """An action may read what an earlier run order or stage has written, and nothing else, whatever the arrangement.

    `plan` gives for each action its run order and the number of the action whose artifact it reads.
    """
    made = pipeline()
    actions = []
    for index, (order, reads) in enumerate(plan):
        source = "Code" if reads == 0 else f"A{(reads - 1) % len(plan)}"
        actions.append(
            action(
                f"B{index}",
                "Build",
                "CodeBuild",
                runOrder=order,
                configuration={"ProjectName": "p"},
                inputArtifacts=[{"name": source}],
                outputArtifacts=[{"name": f"A{index}"}],
            )
        )
    made["stages"][1] = {"name": "Build", "actions": actions}
    right = all(reads == 0 or plan[(reads - 1) % len(plan)][0] < order for order, reads in plan)
    if right:
        validate(normalise(made), "eu-west-1")
        return
    with pytest.raises(Fault) as caught:
        validate(normalise(made), "eu-west-1")
    assert caught.value.code == ACTION
