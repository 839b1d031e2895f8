"""The quality gate: the bounds of project.yaml in their order, then the champion. The first that is missed fails."""

from __future__ import annotations

from typing import Any

from slipway.configuration import ProjectFile
from slipway.configuration.model import METRICS, REPORT_KEYS, Bound, Champion
from slipway.pipeline.plan import Plan, champion_sentence, gate_sentence

NOBODY = "none"
# No figure is beyond it, and it is a number in every JSON parser.
_BEYOND = 1e308


def no_limit(project: ProjectFile) -> float:
    """The limit that every candidate keeps: for when there is no champion."""
    return _BEYOND if lower_is_better(project) else -_BEYOND


def champion_limit(project: ProjectFile, figure: float) -> float:
    """The worst figure that a candidate may have beside a champion of this figure."""
    tolerance = project.champion.tolerance if project.champion else 0.0
    return figure + tolerance if lower_is_better(project) else figure - tolerance


def lower_is_better(project: ProjectFile) -> bool:
    """Whether less is better of the metric that candidate and champion are compared by."""
    return project.champion is not None and METRICS[project.problem][project.champion.metric] == "lower"


def gate(plan: Plan, parameters: dict[str, Any], evaluate: Any, report: Any, register: Any) -> Any:
    """One condition inside the other, in the order of project.yaml: the first bound that is missed gives the reason."""
    project = plan.project
    inner = register
    if project.champion is not None:
        inner = _beside_the_champion(project, project.champion, parameters, evaluate, report, inner)
    for metric, bound in reversed(project.quality_gate.items()):
        inner = _within(project, metric, bound, evaluate, report, inner)
    return inner


def figure(project: ProjectFile, metric: str, evaluate: Any, report: Any) -> Any:
    """What the evaluation measured."""
    from sagemaker.core.workflow.functions import JsonGet

    path = f"{REPORT_KEYS[project.problem]}.{metric}.value"
    return JsonGet(step_name=evaluate.name, property_file=report, json_path=path)


def _within(project: ProjectFile, metric: str, bound: Bound, evaluate: Any, report: Any, inner: Any) -> Any:
    from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo, ConditionLessThanOrEqualTo

    found = figure(project, metric, evaluate, report)
    before, after = gate_sentence(metric, bound)
    condition = (
        ConditionLessThanOrEqualTo(left=found, right=bound.max)
        if bound.max is not None
        else ConditionGreaterThanOrEqualTo(left=found, right=bound.min)
    )
    return _step(metric, condition, [before, found, after], inner)


def _beside_the_champion(
    project: ProjectFile, champion: Champion, parameters: dict[str, Any], evaluate: Any, report: Any, inner: Any
) -> Any:
    from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo, ConditionLessThanOrEqualTo

    found = figure(project, champion.metric, evaluate, report)
    kind = ConditionLessThanOrEqualTo if lower_is_better(project) else ConditionGreaterThanOrEqualTo
    condition = kind(left=found, right=parameters["ChampionLimit"])
    first, second, third, last = champion_sentence(champion)
    words = [first, found, second, parameters["ChampionVersion"], third, parameters["ChampionFigure"], last]
    return _step("champion", condition, words, inner)


def _step(name: str, condition: Any, words: list[Any], inner: Any) -> Any:
    from sagemaker.core.workflow.functions import Join
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep

    refuse = FailStep(name=f"Refuse-{name}", error_message=Join(on="", values=words))
    return ConditionStep(name=f"Gate-{name}", conditions=[condition], if_steps=[inner], else_steps=[refuse])
