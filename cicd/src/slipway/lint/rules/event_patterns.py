"""An event pattern that never matches, which no service refuses."""

from __future__ import annotations

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

from slipway.lint.event_patterns import problems
from slipway.lint.templates import properties, resources


class EventPatterns(CloudFormationLintRule):
    """Fields, operators and the names that AWS's services give their events."""

    id = "E3907"
    shortdesc = "Event patterns can match"
    description = "An event pattern names fields of events, compares by known operators, and events that are sent"
    source_url = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html"
    tags = ["resources", "events"]  # noqa: RUF012

    def match(self, cfn: Any) -> list[RuleMatch]:
        """What is wrong with each pattern."""
        return [
            RuleMatch([*path, "Properties", "EventPattern"], f"{path[-1]}: {problem}")
            for _, resource, path in resources(cfn.template, "AWS::Events::Rule")
            if isinstance(properties(resource).get("EventPattern"), dict)
            for problem in problems(properties(resource)["EventPattern"])
        ]
