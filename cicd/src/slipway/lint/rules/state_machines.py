"""State machines, which cfn-lint reads only where they are plain JSON."""

from __future__ import annotations

import json
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

from slipway.lint.templates import Path, properties, resolved, resources, text


class StateMachines(CloudFormationLintRule):
    """Dangling targets and misspelt fields, found by statelint, also inside Fn::Sub and Fn::Join."""

    id = "E3903"
    shortdesc = "State machines are sound"
    description = "Every state that is named exists, and every field is one of the Amazon States Language"
    source_url = "https://states-language.net/spec.html"
    tags = ["resources", "stepfunctions"]  # noqa: RUF012

    def match(self, cfn: Any) -> list[RuleMatch]:
        """What statelint says of each state machine."""
        return [
            RuleMatch(at, f"{path[-1]}: {problem}")
            for _, resource, path in resources(cfn.template, "AWS::StepFunctions::StateMachine")
            for at, problem in _problems(properties(resource), path)
        ]


def _problems(given: dict[str, Any], path: Path) -> list[tuple[Path, str]]:
    from statelint.config import Config  # type: ignore[import-untyped]
    from statelint.linter import Linter  # type: ignore[import-untyped]

    if "Definition" in given:
        at, definition = [*path, "Properties", "Definition"], resolved(given["Definition"])
    elif "DefinitionString" in given:
        at = [*path, "Properties", "DefinitionString"]
        written = text(given["DefinitionString"])
        if written is None:
            return []  # a parameter: known at deployment alone
        for name, value in (given.get("DefinitionSubstitutions") or {}).items():
            written = written.replace(f"${{{name}}}", value if isinstance(value, str) else f"arn:aws:states:::{name}")
        try:
            definition = json.loads(written)
        except ValueError as error:
            return [(at, f"the definition is not JSON: {error}")]
    else:
        return []  # an object in S3
    if not isinstance(definition, dict):
        return [(at, "the definition is no object")]
    return [(at, str(problem)) for problem in Linter.validate(definition, Config())]
