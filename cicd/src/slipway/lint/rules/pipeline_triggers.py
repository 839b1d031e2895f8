"""A trigger that names no source: CodePipeline refuses it at deployment."""

from __future__ import annotations

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

from slipway.lint.templates import items, properties, resources


class PipelineTriggers(CloudFormationLintRule):
    """Triggers and variables exist in V2 pipelines alone, and a trigger names an action of category Source."""

    id = "E3904"
    shortdesc = "Pipeline triggers name a source action"
    description = "GitConfiguration.SourceActionName is an action of category Source, in a pipeline of type V2"
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/pipelines-filter.html"
    tags = ["resources", "codepipeline"]  # noqa: RUF012

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Triggers that name something else."""
        found = []
        for _, resource, path in resources(cfn.template, "AWS::CodePipeline::Pipeline"):
            given = properties(resource)
            sources = _sources(given)
            triggers = given.get("Triggers")
            for index, trigger in enumerate(triggers if isinstance(triggers, list) else []):
                git = trigger.get("GitConfiguration") if isinstance(trigger, dict) else None
                name = git.get("SourceActionName") if isinstance(git, dict) else None
                if isinstance(name, str) and name not in sources:
                    at = [*path, "Properties", "Triggers", index, "GitConfiguration", "SourceActionName"]
                    allowed = ", ".join(sorted(sources)) or "there is none"
                    found.append(
                        RuleMatch(at, f"trigger names '{name}', which is no source action; allowed: {allowed}")
                    )
            for key in ("Triggers", "Variables"):
                if given.get(key) and given.get("PipelineType") != "V2":
                    found.append(RuleMatch([*path, "Properties", key], f"{key} need PipelineType: V2"))
        return found


def _sources(given: dict[str, Any]) -> set[str]:
    return {
        action["Name"]
        for stage, _ in items(given.get("Stages"), [])
        for action, _ in items(stage.get("Actions"), [])
        if isinstance(action.get("Name"), str) and (action.get("ActionTypeId") or {}).get("Category") == "Source"
    }
