"""The pure parts of SageMaker Pipelines: expressions, conditions, definitions, caching and retries."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from localcloud.services.sagemaker import pipeline_policies
from localcloud.services.sagemaker.pipeline_definition import DefinitionError, parse
from localcloud.services.sagemaker.pipeline_functions import EvaluationError, Scope, path_tokens, references
from localcloud.services.sagemaker.pipeline_steps import made_name

ROLE = "arn:aws:iam::111111111111:role/pipeline"


def processing(name: str, **members: Any) -> dict[str, Any]:
    arguments = {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {"ImageUri": "111111111111.dkr.ecr.eu-west-1.amazonaws.com/x:1"},
        "RoleArn": ROLE,
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "train",
                    "S3Output": {
                        "S3Uri": "s3://bucket/train",
                        "LocalPath": "/opt/ml/processing/train",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        **members.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **members}


def definition(*steps: dict[str, Any], **members: Any) -> str:
    return json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": list(steps), **members})


def refused(text: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        parse(text)
    return str(caught.value)


# ---- expressions


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        ("a.b.c", ["a", "b", "c"]),
        ("Outputs['train'].S3Output", ["Outputs", "train", "S3Output"]),
        ('a["b.c"][0]', ["a", "b.c", 0]),
        ("$.metrics.rmse", ["metrics", "rmse"]),
        ("$['a b']", ["a b"]),
    ],
)
def test_paths(path: str, tokens: list[Any]) -> None:
    """Both SDKs' ways to write a path are read: dots, quotes, numbers, JSONPath's dollar."""
    assert path_tokens(path) == tokens


@pytest.mark.parametrize("path", ["", "a..b", "a[", "a[x]", "['a'"])
def test_bad_paths(path: str) -> None:
    """A path that cannot be read is an error, not an empty value."""
    with pytest.raises(EvaluationError):
        path_tokens(path)


SCOPE = Scope(
    parameters={"rate": 0.5, "n": 3, "name": "x", "on": True},
    variables={"PipelineName": "p", "PipelineExecutionId": "abc"},
    outputs={
        "Prep": {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "train", "S3Output": {"S3Uri": "s3://b/t"}}]}},
        "Train": {"FinalMetricDataList": [{"MetricName": "rmse", "Value": 16.5}]},
    },
    property_file=lambda step, name: {"m": {"rmse": {"value": 31.2}}, "list": [1, 2]},
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Get": "Parameters.n"}, 3),
        ({"Get": "Execution.PipelineName"}, "p"),
        ({"Get": "Steps.Prep.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"}, "s3://b/t"),
        ({"Get": "Steps.Prep.ProcessingOutputConfig.Outputs[0].OutputName"}, "train"),
        ({"Get": "Steps.Train.FinalMetricDataList['rmse'].Value"}, 16.5),
        (
            {"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Parameters.name"}, {"Get": "Parameters.n"}]}},
            "s3://x/3",
        ),
        ({"Std:Join": {"On": "", "Values": [{"Get": "Parameters.on"}]}}, "true"),
        (
            {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Eval.PropertyFiles.report"}, "Path": "m.rmse.value"}},
            31.2,
        ),
        ({"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Eval.PropertyFiles.r"}, "Path": "$.list[1]"}}, 2),
        ({"a": [{"Get": "Parameters.n"}, "b"]}, {"a": [3, "b"]}),
        ({"Get": "x", "Other": 1}, {"Get": "x", "Other": 1}),
    ],
)
def test_expressions(expression: Any, value: Any) -> None:
    """What AWS evaluates is evaluated, wherever it stands; an object that only looks like one is left."""
    assert SCOPE.resolve(expression) == value


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ({"Get": "Parameters.zzz"}, "Parameters.zzz"),
        ({"Get": "Steps.Later.Arn"}, "step Later has not run"),
        ({"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}, "no 'ModelArtifacts'"),
        ({"Std:JsonGet": {"PropertyFile": {"Get": "Steps.E.PropertyFiles.r"}, "Path": "m.mae"}}, "no 'mae' among rmse"),
    ],
)
def test_missing_values(expression: Any, told: str) -> None:
    """A value that is missing names the path and what there is."""
    with pytest.raises(EvaluationError, match=told):
        SCOPE.resolve(expression)


def compare(kind: str, left: Any, right: Any) -> dict[str, Any]:
    return {"Type": kind, "LeftValue": left, "RightValue": right}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (compare("Equals", {"Get": "Parameters.n"}, 3), True),
        (compare("Equals", 3.0, 3), True),
        (compare("GreaterThan", 2, 2), False),
        (compare("GreaterThanOrEqualTo", 2, 2), True),
        (compare("LessThan", "a", "b"), True),
        (compare("LessThanOrEqualTo", 3, 2.5), False),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.name"}, "Values": ["y", "x"]}, True),
        ({"Type": "Not", "Condition": compare("Equals", 1, 1)}, False),
        ({"Type": "Not", "Expression": compare("Equals", 1, 2)}, True),
        ({"Type": "Or", "Conditions": [compare("Equals", 1, 2), compare("Equals", 1, 1)]}, True),
        ({"Type": "And", "Conditions": [compare("Equals", 1, 1), compare("Equals", 1, 2)]}, False),
    ],
)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    """Every type of condition."""
    assert SCOPE.condition(condition) is holds


@pytest.mark.parametrize(("left", "right"), [("3", 3), (None, 1), ({"a": 1}, 2), (float("nan"), "x")])
def test_conditions_of_different_types_are_errors(left: Any, right: Any) -> None:
    """A gate must not pass, or fail, because two things of different types were compared."""
    with pytest.raises(EvaluationError, match="cannot compare"):
        SCOPE.condition(compare("LessThan", left, right))


def test_references() -> None:
    """Data dependencies are found at any depth, those of property files too."""
    value = {"a": [{"Std:Join": {"On": "", "Values": [{"Get": "Steps.A.x"}]}}], "b": {"Get": "Parameters.p"}}
    assert sorted(references(value)) == ["Parameters.p", "Steps.A.x"]


# ---- definitions


def test_dependencies_are_explicit_implicit_and_nested() -> None:
    """DependsOn, expressions, and the Condition step around a nested step all order the steps."""
    gate = {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [compare("Equals", {"Get": "Steps.A.ProcessingJobStatus"}, "Completed")],
            "IfSteps": [processing("C", DependsOn=["B"])],
            "ElseSteps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
        },
    }
    found = parse(definition(processing("A"), processing("B", DependsOn=["A"]), gate)).steps
    assert {name: set(step.needs) for name, step in found.items()} == {
        "A": set(),
        "B": {"A"},
        "Gate": {"A"},
        "C": {"B", "Gate"},
        "Stop": {"Gate"},
    }
    assert found["C"].branch == ("Gate", True)
    assert found["Stop"].branch == ("Gate", False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        (json.dumps({"Version": "1", "Steps": []}), "Version is '1'"),
        (definition(), "at least one step"),
        (definition(processing("A"), processing("A")), "Step A is defined twice"),
        (definition(processing("A b")), "must match"),
        (definition(processing("A", DependsOn=["Z"])), "Step A: depends on step Z, which does not exist; steps are A"),
        (definition(processing("A", DependsOn=["B"]), processing("B", DependsOn=["A"])), "in a circle"),
        (definition({"Name": "T", "Type": "EMR", "Arguments": {}}), "Step T is of type EMR, which is not served"),
        (definition({"Name": "T", "Type": "Zzz", "Arguments": {}}), "Step T has Type 'Zzz'"),
        (definition(processing("A", arguments={"RoleArn": {"Get": "Parameters.role"}})), "no such parameter"),
        (definition(processing("A", arguments={"RoleArn": {"Get": "Execution.Zzz"}})), "no such variable"),
        (definition(processing("A", arguments={"Rolearn": "x"})), "Step A: Arguments.Rolearn is not known"),
        (definition(processing("A", arguments={"RoleArn": 5})), "Arguments.RoleArn must be a string"),
        (definition(processing("A", arguments={"RoleArn": "short"})), "characters"),
        (definition(processing("A", arguments={"AppSpecification": {}})), "AppSpecification.ImageUri is required"),
        (
            definition(
                processing("A"),
                processing("B", arguments={"Environment": {"X": {"Get": "Steps.A.Zzz.Y"}}}),
            ),
            "names no property of DescribeProcessingJob",
        ),
        (
            definition(processing("A", arguments={"Environment": {"X": {"Get": "Parameters.n"}}}),
                       Parameters=[{"Name": "n", "Type": "Integer", "DefaultValue": 1}]),
            "Std:Join",
        ),
        (
            definition(processing("A", PropertyFiles=[{"PropertyFileName": "f", "OutputName": "z", "FilePath": "f"}])),
            "outputs are train",
        ),
        (definition(processing("A", CacheConfig={"Enabled": True, "ExpireAfter": "soon"})), "ISO 8601"),
        (definition(processing("A", RetryPolicies=[{"ExceptionType": ["Zzz"]}])), "allowed are Step.SERVICE_FAULT"),
        (
            definition({"Name": "G", "Type": "Condition", "Arguments": {"Conditions": [{"Type": "Zzz"}]}}),
            "Arguments.Conditions\\[0\\].Type is 'Zzz'",
        ),
        (
            definition({"Name": "G", "Type": "Condition", "Arguments": {"Conditions": [{"Type": "Equals"}]}}),
            "LeftValue is required",
        ),
        (definition(processing("A"), Parameters=[{"Name": "p", "Type": "Text"}]), "needs a Name and a Type"),
        (
            definition(processing("A"), Parameters=[{"Name": "p", "Type": "Integer", "DefaultValue": "1"}]),
            "its DefaultValue '1' is not",
        ),
    ],
)  # fmt: skip
def test_bad_definitions(text: str, told: str) -> None:
    """A definition that cannot run is refused before anything is made of it, with step, place and constraint."""
    import re

    assert re.search(told, refused(text)), refused(text)


def test_parameters_are_typed() -> None:
    """Values come as text and leave typed; defaults fill in."""
    found = parse(
        definition(
            processing("A"),
            Parameters=[
                {"Name": "s", "Type": "String", "EnumValues": ["a", "b"], "DefaultValue": "a"},
                {"Name": "i", "Type": "Integer"},
                {"Name": "f", "Type": "Float", "DefaultValue": 1.5},
                {"Name": "b", "Type": "Boolean", "DefaultValue": False},
            ],
        )
    )
    given = [{"Name": "i", "Value": "7"}, {"Name": "b", "Value": "true"}]
    assert found.bind(given) == {"s": "a", "i": 7, "f": 1.5, "b": True}
    for bad, told in (
        ([], "must be given: i"),
        ([{"Name": "i", "Value": "x"}], "is of type Integer"),
        ([*given, {"Name": "s", "Value": "c"}], "allowed are a, b"),
        ([*given, {"Name": "z", "Value": "c"}], "not declared"),
        ([*given, given[0]], "given twice"),
    ):
        with pytest.raises(DefinitionError, match=told):
            found.bind(bad)


# ---- caching, retries, names


@pytest.mark.parametrize(
    ("text", "delta"),
    [
        ("P30D", timedelta(days=30)), ("30d", timedelta(days=30)), ("T16m", timedelta(minutes=16)),
        ("PT1H", timedelta(hours=1)), ("30dT5h", timedelta(days=30, hours=5)), ("5y", timedelta(days=1825)),
        ("P1W", timedelta(weeks=1)),
    ],
)  # fmt: skip
def test_durations(text: str, delta: timedelta) -> None:
    """The forms that AWS documents for ExpireAfter."""
    assert pipeline_policies.duration(text) == delta


@pytest.mark.parametrize("text", ["", "P", "PT", "soon", "3", "P-1D"])
def test_bad_durations(text: str) -> None:
    """What is no duration is not "for ever"."""
    with pytest.raises(ValueError, match="ISO 8601"):
        pipeline_policies.duration(text)


def test_signature_has_what_aws_documents() -> None:
    """Inputs and code decide; where outputs go, or on which machine it runs, does not."""
    base = {"AppSpecification": {"ImageUri": "a"}, "Environment": {"x": "1"}, "ProcessingOutputConfig": {"Outputs": []}}
    same = {**base, "ProcessingOutputConfig": {"Outputs": ["other"]}, "ProcessingJobName": "n"}
    other = {**base, "Environment": {"x": "2"}}
    assert pipeline_policies.signature("Processing", base) == pipeline_policies.signature("Processing", same)
    assert pipeline_policies.signature("Processing", base) != pipeline_policies.signature("Processing", other)
    assert pipeline_policies.signature("RegisterModel", base) == ""


def test_retries_back_off_and_end() -> None:
    """Exponential, bounded by attempts or by time; an error that no policy covers is not retried."""
    error = "SageMaker.JOB_INTERNAL_ERROR"
    policy = {"ExceptionType": [error], "IntervalSeconds": 2, "BackoffRate": 3, "MaxAttempts": 2}
    delays = [pipeline_policies.retry_delay([policy], error, {error: n}, 0) for n in range(3)]
    assert delays == [2, 6, None]
    assert pipeline_policies.retry_delay([policy], "", {}, 0) is None
    assert pipeline_policies.retry_delay([], "Step.THROTTLING", {}, 0) == 1
    timed = {"ExceptionType": ["Step.THROTTLING"], "ExpireAfterMin": 1}
    assert pipeline_policies.retry_delay([timed], "Step.THROTTLING", {"Step.THROTTLING": 50}, 61) is None


@pytest.mark.parametrize("step", ["A", "Train_Model", "X" * 64, "a--b"])
def test_job_names(step: str) -> None:
    """pipelines-<execution>-<step>-<random>, always a name that SageMaker takes."""
    import re

    name = made_name("abcdefghijkl", step)
    assert name.startswith("pipelines-abcdefghijkl-")
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name), name
    assert made_name("abcdefghijkl", step, "my-prefix").startswith("my-prefix-abcdefghijkl-")
