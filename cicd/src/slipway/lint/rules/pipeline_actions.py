"""An action's configuration, which CloudFormation passes on unread."""

from __future__ import annotations

import difflib
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

from slipway.lint.pipeline_actions import ACTIONS
from slipway.lint.templates import items, properties, resources


class PipelineActions(CloudFormationLintRule):
    """CodePipeline refuses an unknown key, and a missing one, at deployment."""

    id = "E3905"
    shortdesc = "Pipeline actions are configured with keys that exist"
    description = "Configuration has the keys that the action's provider requires, and no others than it takes"
    source_url = "https://docs.aws.amazon.com/codepipeline/latest/userguide/structure-configuration-examples.html"
    tags = ["resources", "codepipeline"]  # noqa: RUF012

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Unknown and missing keys."""
        found = []
        for _, resource, path in resources(cfn.template, "AWS::CodePipeline::Pipeline"):
            for stage, where in items(properties(resource).get("Stages"), [*path, "Properties", "Stages"]):
                for action, at in items(stage.get("Actions"), [*where, "Actions"]):
                    found += [RuleMatch([*at, *below], message) for below, message in _problems(action)]
        return found


def _problems(action: dict[str, Any]) -> list[tuple[list[str | int], str]]:
    kind = action.get("ActionTypeId") or {}
    known = ACTIONS.get((str(kind.get("Category")), str(kind.get("Provider"))))
    given = action.get("Configuration") or {}
    if known is None or kind.get("Owner") != "AWS" or not isinstance(given, dict):
        return []
    name = f"action '{action.get('Name')}' ({kind['Category']}, {kind['Provider']})"
    allowed = known.required | known.optional
    found: list[tuple[list[str | int], str]] = []
    for key in given:
        if key not in allowed:
            near = difflib.get_close_matches(key, sorted(allowed), 1)
            hint = f"; do you mean {near[0]}?" if near else f"; allowed: {', '.join(sorted(allowed))}"
            found.append((["Configuration", key], f"{name} takes no configuration '{key}'{hint}"))
    for key in sorted(known.required - set(given)):
        found.append((["Configuration"] if given else [], f"{name} lacks the configuration '{key}'"))
    return found
