"""A parameter that nobody explains."""

from __future__ import annotations

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch


class ParameterDescriptions(CloudFormationLintRule):
    """The console shows a parameter's description beside its field: whoever launches the template has nothing else."""

    id = "E2901"
    shortdesc = "Parameters are described"
    description = "Every parameter has a Description of at least three words"
    tags = ["parameters"]  # noqa: RUF012 (cfn-lint's own interface)

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Parameters without a description."""
        return [
            RuleMatch(["Parameters", name], f"Parameter {name} has no Description that explains it")
            for name, parameter in (cfn.template.get("Parameters") or {}).items()
            if isinstance(parameter, dict) and len(str(parameter.get("Description", "")).split()) < 3
        ]
