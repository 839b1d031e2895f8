"""Conditions that compare with the account or the region: ministack takes a pseudo parameter for its own name there."""

from __future__ import annotations

from typing import Any


def install() -> None:
    """Let conditions know the pseudo parameters that stay the same for every stack of an account and region."""
    from ministack.core.responses import get_account_id, get_region
    from ministack.services.cloudformation import changesets, engine, handlers, stacks

    evaluate = engine._evaluate_conditions

    def evaluate_with_pseudo(template: dict[str, Any], params: dict[str, Any]) -> dict[str, bool]:
        pseudo = {
            "AWS::AccountId": get_account_id(),
            "AWS::Partition": "aws",
            "AWS::Region": get_region(),
            "AWS::URLSuffix": "amazonaws.com",
        }
        known = {name: {"Value": value} for name, value in pseudo.items()}
        held: dict[str, bool] = evaluate(template, {**known, **params})
        return held

    for module in (engine, changesets, handlers, stacks):
        module._evaluate_conditions = evaluate_with_pseudo
