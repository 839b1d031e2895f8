"""A plan of a SageMaker pipeline for tests, and its definition taken apart."""

import json
from collections.abc import Iterator
from typing import Any

import boto3

from slipway.configuration import loads
from slipway.pipeline.plan import Place, Plan

REGISTRY = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/slipway/flight-delays"
TAGS = {"Namespace": "slipway", "Project": "flight-delays", "CostCenter": "ml"}
KEY = "arn:aws:kms:eu-west-1:111111111111:key/abc"


def plan(text: str) -> Plan:
    """The plan of a project.yaml."""
    place = Place(
        name="slipway-flight-delays",
        region="eu-west-1",
        role_arn="arn:aws:iam::111111111111:role/slipway-flight-delays-execution",
        bucket="slipway-flight-delays",
        key_arn=KEY,
        subnets=("subnet-1", "subnet-2"),
        security_groups=("sg-1",),
        model_package_group="slipway-flight-delays",
        tags=TAGS,
    )
    images = {name: f"{REGISTRY}/{name}@sha256:{'0' * 64}" for name in ("preprocessing", "training", "inference")}
    return Plan(loads(text), place, images, "s3://lake/curated/flights/2013-q1/")


def session() -> Any:
    """A session that nobody answers."""
    return boto3.Session(aws_access_key_id="x", aws_secret_access_key="y", region_name="eu-west-1")


def steps(definition: str) -> dict[str, dict[str, Any]]:
    """Every step by name, those inside conditions, too."""

    def walk(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for step in found:
            yield step
            yield from walk(step["Arguments"].get("IfSteps", []) + step["Arguments"].get("ElseSteps", []))

    return {step["Name"]: step for step in walk(json.loads(definition)["Steps"])}


def resolved(value: Any) -> Any:
    """References and functions become texts, so that the rest can be held against the service's shapes."""
    if isinstance(value, dict):
        if set(value) & {"Get", "Std:Join", "Std:JsonGet"}:
            return "s3://bucket/key"
        return {name: resolved(item) for name, item in value.items()}
    return [resolved(item) for item in value] if isinstance(value, list) else value
