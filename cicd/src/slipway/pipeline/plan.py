"""Everything a pipeline's definition depends on, gathered before the SageMaker SDK is imported (that takes seconds)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slipway.configuration import ProjectFile, algorithm
from slipway.configuration.model import Bound, Champion

STEPS = ("Preprocess", "Train", "Evaluate")
REGISTER = "Register"
REPORT = "evaluation.json"
SAMPLES = "samples.json"
PAGE = "report.html"


@dataclass(frozen=True)
class Place:
    """Where the jobs of a project run: all of it from SSM."""

    name: str
    region: str
    role_arn: str
    bucket: str
    key_arn: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    model_package_group: str
    tags: Mapping[str, str] = field(default_factory=dict)
    repository: str = ""
    tracking_server: str = ""


@dataclass(frozen=True)
class Plan:
    """A pipeline to be: project.yaml, the place, and the three images, each pinned by digest."""

    project: ProjectFile
    place: Place
    images: Mapping[str, str]
    data_uri: str


def arguments(parameters: Mapping[str, bool | int | float | str]) -> list[str]:
    """`{test_share: 0.2}` → `["--test-share", "0.2"]`; a true parameter is a flag, a false one is left out."""
    words: list[str] = []
    for name, value in parameters.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not False:
            words += [flag, str(value)]
    return words


def as_text(value: bool | int | float | str) -> str:
    """A value as SageMaker takes hyperparameters: `true`, `0.1`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def hyperparameters(values: Mapping[str, bool | int | float | str]) -> dict[str, str]:
    """Hyperparameters as SageMaker takes them: all of them text."""
    return {name: as_text(value) for name, value in values.items()}


def hyperparameters_of_training(project: ProjectFile) -> dict[str, str]:
    """What the training is told: what project.yaml says, and what a built-in algorithm has to know of the problem."""
    training = project.training
    known = algorithm.defaults(project.problem) if training.algorithm is not None else {}
    return {**known, **hyperparameters(training.hyperparameters)}


def gate_sentence(metric: str, bound: Bound) -> tuple[str, str]:
    """What stands before and after the figure when a bound is missed."""
    side, limit, words = ("max", bound.max, "at most") if bound.max is not None else ("min", bound.min, "at least")
    return (
        f"quality gate not met: {metric} is ",
        f", {words} {limit} allowed (project.yaml: quality_gate.{metric}.{side})",
    )


def champion_sentence(champion: Champion) -> tuple[str, str, str, str]:
    """What stands around the figure of the candidate, the version of the champion and its figure."""
    metric = champion.metric
    return (
        f"champion not matched: {metric} of this model is ",
        ", that of ",
        " is ",
        f", {champion.tolerance} worse is allowed (project.yaml: champion.tolerance)",
    )


def asked(plan: Plan) -> list[str]:
    """The metrics that the report has to have: those that the gate and the champion ask for, in that order."""
    champion = plan.project.champion
    return list(dict.fromkeys([*plan.project.quality_gate, *([champion.metric] if champion else [])]))
