"""Step arguments against the service model: what the create call of a step would refuse is refused with the definition.

Expressions stand where values will be, so the walk takes an expression for any value of a kind that it can yield.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from localcloud.core import model
from localcloud.services.sagemaker.pipeline_functions import EvaluationError, is_function, path_tokens


@dataclass(frozen=True)
class StepKind:
    """What a step of one type makes, and by which operations.

    Args:
        create, describe: operations of SageMaker's model.
        name: the request member that Pipelines fills in with a name of its own, or "" where there is none.
        arn: the member of the create answer that names what was made.
        metadata: the member of PipelineExecutionStepMetadata.
        describe_by: the member by which the describe operation names it.
        stop: the operation that stops it, or "".
        record: the kind of record, where it is not called as `metadata` is.
        listed: an operation whose answer's lists are properties of the step too, as (operation, member, further input).
        limit: how long the name may be.
    """

    create: str
    describe: str
    name: str
    arn: str
    metadata: str
    describe_by: str
    stop: str = ""
    record: str = ""
    listed: tuple[str, str, Mapping[str, Any]] | None = None
    limit: int = 63

    @property
    def kind(self) -> str:
        """The kind of record."""
        return self.record or self.metadata


KINDS: Mapping[str, StepKind] = {
    "Processing": StepKind(
        "CreateProcessingJob", "DescribeProcessingJob", "ProcessingJobName", "ProcessingJobArn", "ProcessingJob",
        "ProcessingJobName", "StopProcessingJob",
    ),
    "Training": StepKind(
        "CreateTrainingJob", "DescribeTrainingJob", "TrainingJobName", "TrainingJobArn", "TrainingJob",
        "TrainingJobName", "StopTrainingJob",
    ),
    # TrainingJobSummaries are the best fifty, the best first: Steps.<name>.TrainingJobSummaries[0] is the top model.
    "Tuning": StepKind(
        "CreateHyperParameterTuningJob", "DescribeHyperParameterTuningJob", "HyperParameterTuningJobName",
        "HyperParameterTuningJobArn", "TuningJob", "HyperParameterTuningJobName", "StopHyperParameterTuningJob",
        record="HyperParameterTuningJob", limit=32,
        listed=(
            "ListTrainingJobsForHyperParameterTuningJob", "TrainingJobSummaries",
            {"SortBy": "FinalObjectiveMetricValue", "MaxResults": 50},
        ),
    ),
    "Transform": StepKind(
        "CreateTransformJob", "DescribeTransformJob", "TransformJobName", "TransformJobArn", "TransformJob",
        "TransformJobName", "StopTransformJob",
    ),
    "Model": StepKind("CreateModel", "DescribeModel", "ModelName", "ModelArn", "Model", "ModelName"),
    "RegisterModel": StepKind(
        "CreateModelPackage", "DescribeModelPackage", "", "ModelPackageArn", "RegisterModel", "ModelPackageName"
    ),
}  # fmt: skip

_NUMBERS = ("integer", "long", "float", "double")
_FITS = {
    "String": ("string",),
    "Integer": _NUMBERS,
    "Float": ("float", "double"),
    "Boolean": ("boolean",),
}


def request_shape(kind: StepKind) -> Shape:
    """The shape of the create call's request."""
    shape: Shape = model.load("sagemaker").operation_model(kind.create).input_shape
    return shape


def answer_shape(kind: StepKind) -> Shape:
    """The shape of what the describe call answers: a step's properties."""
    shape: Shape = model.load("sagemaker").operation_model(kind.describe).output_shape
    return shape


def property_shape(kind: StepKind, path: str, tokens: list[str | int]) -> Shape:
    """The shape at a property's path.

    Raises:
        EvaluationError: what the step makes has no such property.
    """
    shape = answer_shape(kind)
    if kind.listed and tokens[:1] == [kind.listed[1]]:
        shape = model.load("sagemaker").operation_model(kind.listed[0]).output_shape
    for token in tokens:
        if isinstance(shape, StructureShape) and token in shape.members:
            shape = shape.members[token]
        elif isinstance(shape, ListShape):
            shape = shape.member
        elif isinstance(shape, MapShape):
            shape = shape.value
        else:
            known = f"; known are {', '.join(shape.members)}" if isinstance(shape, StructureShape) else ""
            raise EvaluationError(f"'{path}' names no property of {kind.describe}: there is no '{token}'{known}")
    return shape


def check_arguments(
    kind: StepKind, arguments: Mapping[str, Any], type_of: Callable[[str], str | None]
) -> list[tuple[str, str]]:
    """What the create call would refuse, as (path, constraint).

    Args:
        type_of: the type that a `Get` path yields ("String", "Integer", …), or None where it may be anything.
    """
    shape = request_shape(kind)
    assert isinstance(shape, StructureShape)
    problems = list(_walk(shape, arguments, "", type_of))
    return [problem for problem in problems if problem != (kind.name, "is required and missing")]


def _walk(shape: Shape, value: Any, path: str, type_of: Callable[[str], str | None]) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if is_function(value):
        yield from _function(shape, value, path, type_of)
    elif isinstance(shape, StructureShape):
        if not isinstance(value, Mapping):
            yield path, f"must be an object, not {_short(value)}"
            return
        for name in shape.required_members:
            if value.get(name) is None:
                yield _join(path, name), "is required and missing"
        for name, item in value.items():
            if name not in shape.members:
                yield _join(path, name), f"is not known; known are {', '.join(shape.members)}"
            else:
                yield from _walk(shape.members[name], item, _join(path, name), type_of)
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            yield path, f"must be a list, not {_short(value)}"
            return
        yield from _length(shape, len(value), path, "elements")
        for index, item in enumerate(value):
            yield from _walk(shape.member, item, f"{path}[{index}]", type_of)
    elif isinstance(shape, MapShape):
        if not isinstance(value, Mapping):
            yield path, f"must be an object, not {_short(value)}"
            return
        yield from _length(shape, len(value), path, "entries")
        for name, item in value.items():
            yield from _walk(shape.value, item, f"{path}['{name}']", type_of)
    else:
        yield from _scalar(shape, value, path)


def _function(
    shape: Shape, value: Mapping[str, Any], path: str, type_of: Callable[[str], str | None]
) -> Iterator[tuple[str, str]]:
    kind = "String" if "Std:Join" in value else type_of(str(value["Get"])) if "Get" in value else None
    if kind in _FITS and shape.type_name not in _FITS[kind]:
        mend = "; join it into a text with Std:Join (to_string() in the SDK)" if shape.type_name == "string" else ""
        yield path, f"must be of type {shape.type_name}, but {_short(value)} is of type {kind}{mend}"


def _scalar(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str]]:
    kind = shape.type_name
    if kind == "string":
        if not isinstance(value, str):
            yield path, f"must be a string, not {_short(value)}"
            return
        yield from _length(shape, len(value), path, "characters")
        allowed = shape.enum if isinstance(shape, StringShape) else []
        if allowed and value not in allowed:
            yield path, f"is '{value}'; allowed are {', '.join(allowed)}"
        pattern = _compiled(str(shape.metadata.get("pattern", "")))
        if pattern and not pattern.fullmatch(value):
            yield path, f"is '{value}'; it must match {shape.metadata['pattern']}"
    elif kind == "boolean" and not isinstance(value, bool):
        yield path, f"must be true or false, not {_short(value)}"
    elif kind in _NUMBERS:
        whole = kind in ("integer", "long")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            yield path, f"must be {'an integer' if whole else 'a number'}, not {_short(value)}"
            return
        least, most = shape.metadata.get("min", value), shape.metadata.get("max", value)
        if not least <= value <= most:
            yield path, f"is {value}; the {'minimum' if value < least else 'maximum'} is {min(most, max(least, value))}"


def _length(shape: Shape, length: int, path: str, unit: str) -> Iterator[tuple[str, str]]:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", length)
    if not least <= length <= most:
        yield path, f"has {length} {unit}; allowed are {least} to {shape.metadata.get('max', 'any number')}"


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern else None
    except re.error:  # Java's \p{…} classes, which Python's engine does not know
        return None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def lambda_output(path: str, outputs: Mapping[str, str]) -> str:
    """The type of a Lambda step's output that `Steps.<step>.OutputParameters['<name>']` reads.

    Raises:
        EvaluationError: the step declares no such output.
    """
    tokens = path_tokens(path.removeprefix("Steps."))[1:]
    if len(tokens) != 2 or tokens[0] != "OutputParameters" or str(tokens[1]) not in outputs:
        declared = ", ".join(outputs) or "none"
        raise EvaluationError(f"'{path}' names no output of the Lambda step; declared are {declared}")
    return outputs[str(tokens[1])]
