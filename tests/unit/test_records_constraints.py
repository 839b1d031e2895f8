"""The constraints of the service models, in AWS's words."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import regex

from localcloud.core.constraints import _SURROGATES, check, summary
from localcloud.core.model import load

OURS = (
    "codeartifact", "codebuild", "codecommit", "codepipeline", "ecr", "sagemaker", "sagemaker-runtime",
    "servicecatalog",
)  # fmt: skip
GIT = {"RepositoryUrl": "https://example.com/r.git", "Branch": "a b"}
ARN = "arn:aws:sagemaker:eu-west-1:111111111111:model/m"
IN = "failed to satisfy constraint:"


def problems(operation: str, **members: Any) -> list[str]:
    return check(load("sagemaker").operation_model(operation).input_shape, members)


@pytest.mark.parametrize(
    ("operation", "members", "told"),
    [
        ("DescribeModel", {}, "Value null at 'modelName' failed to satisfy constraint: Member must not be null"),
        (
            "DescribeModel", {"ModelName": "a" * 64},
            f"Value '{'a' * 64}' at 'modelName' {IN} Member must have length less than or equal to 63",
        ),
        (
            "CreateCodeRepository", {"CodeRepositoryName": "r", "GitConfig": GIT},
            "Value 'a b' at 'gitConfig.branch' failed to satisfy constraint: Member must satisfy regular expression "
            "pattern: [^ ~^:?*\\[]+",
        ),
        (
            "ListModels", {"MaxResults": 0},
            "Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            "ListModels", {"SortOrder": "Up"},
            f"Value 'Up' at 'sortOrder' {IN} Member must satisfy enum value set: [Ascending, Descending]",
        ),
        (
            "AddTags", {"ResourceArn": ARN, "Tags": [{"Key": "k", "Value": "\0"}]},
            "Value '\0' at 'tags.1.member.value' failed to satisfy constraint: Member must satisfy regular expression "
            "pattern: ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)",
        ),
        (
            "CreateModel",
            {"ModelName": "m", "VpcConfig": {"SecurityGroupIds": ["sg_1"], "Subnets": ["subnet-1"]}},
            f"Value '[sg_1]' at 'vpcConfig.securityGroupIds' {IN} Member must satisfy constraint: "
            "[Member must have length less than or equal to 32, Member must have length greater than or equal to 0, "
            "Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]",
        ),
    ],
)  # fmt: skip
def test_each_constraint_has_aws_words(operation: str, members: dict[str, Any], told: str) -> None:
    """Protects: errors read as AWS's do, down to the name of the member."""
    assert problems(operation, **members) == [told]


def test_constraints_on_a_maps_values_are_told_at_the_map() -> None:
    """Protects: the known message about hyperparameters that are too long."""
    told = problems(
        "CreateTrainingJob", TrainingJobName="t", RoleArn="arn:aws:iam::111111111111:role/r",
        OutputDataConfig={"S3OutputPath": "s3://b/p"}, HyperParameters={"a": "x" * 2501},
    )  # fmt: skip
    assert len(told) == 1
    assert (
        "at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must have"
        in told[0]
    )


def test_all_problems_are_told_at_once() -> None:
    """Protects: a request with two mistakes is mended in one go."""
    message = summary(problems("ListModels", SortOrder="Up", MaxResults=1000))
    assert message.startswith("2 validation errors detected: Value 'Up'")
    assert message.count("; Value '1000'") == 1


def test_what_is_allowed_passes() -> None:
    """Protects: letters of any language, and values at the bounds."""
    tags = [{"Key": "größe", "Value": "é 1"}]
    assert problems("AddTags", ResourceArn=ARN, Tags=tags) == []
    assert problems("DescribeModel", ModelName="a" * 63) == []


@pytest.mark.parametrize("service", OURS)
def test_every_pattern_of_the_models_can_be_read(service: str) -> None:
    """Protects: a pattern in a dialect that is not understood would constrain nothing, silently."""
    model = load(service)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in model.shape_names:
            pattern = model.shape_for(name).metadata.get("pattern")
            if pattern:
                regex.compile(pattern.replace(_SURROGATES, r"\U00010000-\U0010FFFF"))
