"""The model card of a version, in the schema of model packages, as a text into which the execution puts what it knows.

The schema is AWS's (SageMaker Developer Guide, "Model package model card schema").
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slipway.configuration.model import METRICS
from slipway.pipeline import gate, jobs
from slipway.pipeline.plan import Plan, asked, hyperparameters_of_training


@dataclass(frozen=True)
class Number:
    """A reference to a figure: in JSON it stands without quotes."""

    reference: Any


@dataclass(frozen=True)
class Text:
    """A text with references in it."""

    parts: tuple[Any, ...]


def card(plan: Plan, parameters: dict[str, Any], evaluate: Any, report: Any, page: Any) -> Any:
    """The whole card. `page` is where the report lies that people read."""
    from sagemaker.core.workflow.functions import Join

    project = plan.project
    metrics = METRICS[project.problem]
    content = {
        "model_overview": {"model_creator": project.project},
        "intended_uses": {
            "purpose_of_model": plain(project.description) or project.project,
            "intended_uses": f"{project.problem}: {project.data.target} of rows like those of {project.data.dataset}",
            "risk_rating": "Unknown",
        },
        "training_details": _training(plan, parameters),
        "evaluation_details": [
            {
                "name": "test data",
                "evaluation_observation": "measured on rows that neither training nor validation has seen",
                "datasets": [parameters["DataUri"]],
                "metadata": {"report": page},
                "metric_groups": [
                    {
                        "name": project.problem,
                        "metric_data": [
                            {
                                "name": metric,
                                "notes": f"{metrics[metric]} is better",
                                "type": "number",
                                "value": Number(gate.figure(project, metric, evaluate, report)),
                            }
                            for metric in asked(plan)
                        ],
                    }
                ],
            }
        ],
        "additional_information": {
            "custom_details": {
                "version": parameters["ModelVersion"],
                "data version": parameters["DataVersion"],
                "framework": project.framework or "not said",
                **{f"{name} image": image for name, image in sorted(plan.images.items())},
            }
        },
    }
    return Join(on="", values=list(_joined(written(content))))


def _training(plan: Plan, parameters: dict[str, Any]) -> dict[str, Any]:
    training = plan.project.training
    found: dict[str, Any] = {
        "training_observations": Text(("commit ", parameters["CommitId"], ", cause ", parameters["Cause"])),
        "training_job_details": {
            "training_datasets": [parameters["DataUri"]],
            "training_environment": {"container_image": [jobs.training_image(plan)]},
            "user_provided_hyper_parameters": [
                {"name": name, "value": plain(value)[:255]}
                for name, value in hyperparameters_of_training(plan.project).items()
            ],
        },
    }
    if training.tuning is not None:
        metric = training.tuning.objective.metric
        objective = jobs.objective_type(plan.project.problem, metric)
        found["objective_function"] = {"function": objective, "facet": metric}
    return found


def plain(text: str) -> str:
    """A text in one line and without control characters: what the registry's patterns take."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def written(value: Any) -> Iterator[Any]:
    """JSON in pieces: texts, and references between them. References hold no quotes (addresses, versions, figures)."""
    if isinstance(value, dict):
        yield "{"
        for number, (name, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{json.dumps(name)}: "
            yield from written(item)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield ", " if number else ""
            yield from written(item)
        yield "]"
    elif isinstance(value, Number):
        yield value.reference
    elif isinstance(value, Text):
        yield '"'
        yield from (json.dumps(part)[1:-1] if isinstance(part, str) else part for part in value.parts)
        yield '"'
    elif isinstance(value, str):
        yield json.dumps(value)
    else:
        yield from ('"', value, '"')


def _joined(pieces: Iterator[Any]) -> Iterator[Any]:
    """Neighbouring texts as one."""
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield text
        yield piece
        text = ""
    if text:
        yield text
