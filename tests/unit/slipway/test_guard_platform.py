"""The guard leaves the platform's own work alone: what pipelines and releases make is as it must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from slipway.guard.facts import Facts
from slipway.guard.kinds import BY_TITLE
from slipway.pipeline.definition import definition
from tests.templates.library import REPOSITORY, Template

from .plans import KEY, plan, session
from .test_pipeline_definition import TEXT

KINDS = {"Processing": "processing job", "Training": "training job"}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the SDK


def steps() -> dict[str, list[dict[str, Any]]]:
    """The arguments of every job that a project's pipeline makes, by kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "y")
        body = json.loads(definition(plan(TEXT), session()))
    waiting = list(body["Steps"])
    while waiting:
        step = waiting.pop()
        waiting += [*step.get("Arguments", {}).get("IfSteps", []), *step.get("Arguments", {}).get("ElseSteps", [])]
        if step["Type"] in KINDS:
            found.setdefault(KINDS[step["Type"]], []).append(step["Arguments"])
    return found


def nothing(title: str, name: str) -> Mapping[str, Any] | None:
    return None


def test_the_jobs_of_a_projects_pipeline_are_sound() -> None:
    """Every key is the project's own, and every job is in the VPC: the guard would stop any other."""
    made = steps()
    assert set(made) == set(KINDS.values())
    for title, jobs in made.items():
        for arguments in jobs:
            facts = BY_TITLE[title].facts(arguments, nothing)
            assert facts == Facts([], dict.fromkeys(facts.keys, KEY))
            assert facts.keys


def test_what_a_release_makes_is_sound() -> None:
    """The endpoint's template, as CloudFormation asks SageMaker for it."""
    path = REPOSITORY / "service-catalog" / "project" / "endpoint.yaml"
    template = Template("endpoint.yaml", path.read_text(encoding="utf-8"))
    models = {name: dict(properties) for name, properties in template.of("AWS::SageMaker::Model")}
    assert models
    for properties in models.values():
        assert not BY_TITLE["model"].facts(properties, nothing).outside
    for _, properties in template.of("AWS::SageMaker::EndpointConfig"):
        variants = [
            {**variant, "ModelName": next(iter(models))} | {"InstanceType": "ml.m5.large"}
            for variant in properties["ProductionVariants"]
        ]
        config = {**properties, "ProductionVariants": variants}
        facts = BY_TITLE["endpoint configuration"].facts(config, lambda title, name: models.get(name))
        assert not facts.outside
        assert all(facts.keys.values())
        assert facts.keys
