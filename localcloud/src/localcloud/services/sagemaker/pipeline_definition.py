"""A pipeline's definition: read from JSON and checked whole before anything is made from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from localcloud.services.sagemaker import pipeline_policies, pipeline_shapes
from localcloud.services.sagemaker.pipeline_functions import (
    COMPARISONS,
    CONDITIONS,
    EXECUTION_VARIABLES,
    EvaluationError,
    path_tokens,
    property_file_of,
    references,
)

VERSION = "2020-12-01"
STEP_TYPES = (*pipeline_shapes.KINDS, "Condition", "Fail", "Lambda")
# What AWS runs and the local cloud does not yet: refused by name, with the definition.
REFUSED_TYPES = (
    "AutoML", "Callback", "ClarifyCheck", "Cleanup", "EMR", "EMRServerless", "Endpoint", "EndpointConfig", "ForEach",
    "InferenceComponent", "Job", "Lineage", "NotebookJob", "QualityCheck",
)  # fmt: skip
_PARAMETER_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "String": str, "Integer": int, "Float": (int, float), "Boolean": bool,
}  # fmt: skip
_TYPE_OF_SHAPE = {
    "string": "String", "integer": "Integer", "long": "Integer", "float": "Float", "double": "Float",
    "boolean": "Boolean",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")


class DefinitionError(Exception):
    """A definition, or parameters for it, that cannot be run. The text says where and why."""


@dataclass(frozen=True)
class Parameter:
    """A declared parameter of a pipeline."""

    name: str
    type: str
    default: Any = None
    allowed: Sequence[Any] = ()

    def read(self, text: str) -> Any:
        """The typed value of the text that StartPipelineExecution was given.

        Raises:
            DefinitionError: it is not of the type, or not among the allowed values.
        """
        value: Any = text
        try:
            if self.type == "Integer":
                value = int(text)
            elif self.type == "Float":
                value = float(text)
            elif self.type == "Boolean":
                value = {"true": True, "false": False}[text.lower()]
        except (ValueError, KeyError):
            raise DefinitionError(f"Parameter {self.name} is of type {self.type}; '{text}' is not.") from None
        if self.allowed and value not in self.allowed:
            listed = ", ".join(map(str, self.allowed))
            raise DefinitionError(f"Parameter {self.name} is '{text}'; allowed are {listed}.")
        return value


@dataclass(frozen=True)
class Step:
    """One step, nested ones too.

    Args:
        needs: every step that must have succeeded before: by DependsOn, by what expressions read, by nesting.
        branch: (Condition step, outcome) under which the step runs, or None at the top.
    """

    name: str
    type: str
    arguments: Mapping[str, Any]
    needs: frozenset[str]
    branch: tuple[str, bool] | None
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def property_files(self) -> dict[str, tuple[str, str]]:
        """Property file → (output, path in the output)."""
        files = self.raw.get("PropertyFiles") or []
        return {item["PropertyFileName"]: (item["OutputName"], item["FilePath"]) for item in files}

    @property
    def lambda_outputs(self) -> dict[str, str]:
        """Output → type of a Lambda step."""
        return {item["OutputName"]: item["OutputType"] for item in self.raw.get("OutputParameters") or []}

    @property
    def retry_policies(self) -> Sequence[Mapping[str, Any]]:
        """The step's retry policies."""
        return self.raw.get("RetryPolicies") or []

    @property
    def cache(self) -> str | None:
        """ExpireAfter of a step with caching on ("" for no limit), or None."""
        config = self.raw.get("CacheConfig") or {}
        return str(config.get("ExpireAfter") or "") if config.get("Enabled") else None


@dataclass(frozen=True)
class Definition:
    """A checked definition."""

    parameters: Mapping[str, Parameter]
    steps: Mapping[str, Step]
    experiment: Mapping[str, Any]

    def bind(self, given: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """Typed values of all parameters: those given, and defaults for the others.

        Raises:
            DefinitionError: one is unknown, missing, given twice or has a bad value.
        """
        values = {name: item.default for name, item in self.parameters.items()}
        seen: set[str] = set()
        for item in given:
            name = item["Name"]
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise DefinitionError(f"Parameter {name} is not declared by the pipeline; declared are {known}.")
            if name in seen:
                raise DefinitionError(f"Parameter {name} is given twice.")
            seen.add(name)
            values[name] = self.parameters[name].read(item["Value"])
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise DefinitionError(f"Parameters without a default must be given: {', '.join(missing)}.")
        return values


def parse(text: str) -> Definition:
    """Read and check a definition.

    Raises:
        DefinitionError: with every problem found.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DefinitionError(f"Unable to parse pipeline definition. It is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise DefinitionError("Unable to parse pipeline definition. It must be a JSON object.")
    problems: list[str] = []
    if document.get("Version") != VERSION:
        problems.append(f"Version is {document.get('Version')!r}; it must be '{VERSION}'")
    parameters = _parameters(document.get("Parameters") or [], problems)
    steps = _steps(document, problems)
    if not problems:
        for step in steps.values():
            problems += _Checker(steps, parameters).check(step)
        problems += _order_problems(steps)
    if problems:
        raise DefinitionError("Unable to parse pipeline definition. " + "; ".join(problems) + ".")
    return Definition(parameters, steps, document.get("PipelineExperimentConfig") or {})


def _parameters(items: Any, problems: list[str]) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for index, item in enumerate(items if isinstance(items, list) else [items]):
        given = item if isinstance(item, dict) else {}
        name, kind = str(given.get("Name") or ""), str(given.get("Type"))
        if not name or kind not in _PARAMETER_TYPES:
            problems.append(f"Parameters[{index}] needs a Name and a Type of {', '.join(_PARAMETER_TYPES)}")
            continue
        if name in found:
            problems.append(f"Parameter {name} is declared twice")
        default, allowed = item.get("DefaultValue"), item.get("EnumValues") or ()
        typed = isinstance(default, _PARAMETER_TYPES[kind]) and (kind == "Boolean" or not isinstance(default, bool))
        if default is not None and not typed:
            problems.append(f"Parameter {name} is of type {kind}; its DefaultValue {default!r} is not")
        elif default is not None and allowed and default not in allowed:
            problems.append(f"Parameter {name} has DefaultValue {default!r}; its EnumValues are {allowed}")
        found[name] = Parameter(name, kind, default, tuple(allowed))
    return found


def _steps(document: Mapping[str, Any], problems: list[str]) -> dict[str, Step]:
    raw = list(_flatten(document.get("Steps"), None, "Steps", problems))
    if not raw and not problems:
        problems.append("Steps is empty; a pipeline has at least one step")
    steps: dict[str, Step] = {}
    for item, branch in raw:
        name = item["Name"]
        if name in steps:
            problems.append(f"Step {name} is defined twice; step names must be unique")
        needs = {str(needed).split(".")[0] for needed in item.get("DependsOn") or []}
        try:
            read = _own_arguments(item)
            needs |= {str(path_tokens(path)[1]) for path in references(read) if path.startswith("Steps.")}
        except (EvaluationError, IndexError) as error:
            problems.append(f"Step {name}: {error}")
        if branch:
            needs.add(branch[0])
        steps[name] = Step(name, item["Type"], item.get("Arguments") or {}, frozenset(needs), branch, item)
    return steps


def _flatten(
    items: Any, branch: tuple[str, bool] | None, where: str, problems: list[str]
) -> Iterator[tuple[dict[str, Any], tuple[str, bool] | None]]:
    if not isinstance(items, list):
        problems.append(f"{where} must be a list of steps")
        return
    for index, item in enumerate(items):
        name = item.get("Name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(f"{where}[{index}].Name is {name!r}; it must match {_NAME.pattern}")
            continue
        kind = item.get("Type")
        if kind in REFUSED_TYPES:
            problems.append(f"Step {name} is of type {kind}, which is not served by the local cloud")
        elif kind not in STEP_TYPES:
            problems.append(f"Step {name} has Type {kind!r}; known are {', '.join((*STEP_TYPES, *REFUSED_TYPES))}")
        if not isinstance(item.get("Arguments", {}), dict) or ("Arguments" not in item and kind != "Lambda"):
            problems.append(f"Step {name} has no object Arguments")
            continue
        yield item, branch
        if kind == "Condition":
            for key, outcome in (("IfSteps", True), ("ElseSteps", False)):
                nested = item["Arguments"].get(key) or []
                yield from _flatten(nested, (name, outcome), f"{name}.Arguments.{key}", problems)


def _own_arguments(item: Mapping[str, Any]) -> Any:
    """What the step itself reads: not what is nested in it."""
    arguments = item.get("Arguments") or {}
    if item["Type"] == "Condition":
        return arguments.get("Conditions")
    return [arguments, item.get("FunctionArn")]


def _order_problems(steps: Mapping[str, Step]) -> list[str]:
    try:
        TopologicalSorter({name: step.needs for name, step in steps.items()}).prepare()
    except CycleError as error:
        return [f"steps depend on each other in a circle: {' → '.join(reversed(error.args[1]))}"]
    return []


class _Checker:
    def __init__(self, steps: Mapping[str, Step], parameters: Mapping[str, Parameter]) -> None:
        self.steps = steps
        self.parameters = parameters

    def check(self, step: Step) -> list[str]:
        problems = [
            f"depends on step {name}, which does not exist; steps are {', '.join(self.steps)}"
            for name in sorted(step.needs - set(self.steps))
        ]
        if step.name in step.needs:
            problems.append("depends on itself")
        if not problems:
            problems += self._references(step)
        if not problems and step.type in pipeline_shapes.KINDS:
            found = pipeline_shapes.check_arguments(pipeline_shapes.KINDS[step.type], step.arguments, self._type_of)
            problems += [f"Arguments.{path} {constraint}" for path, constraint in found]
        elif step.type == "Condition":
            conditions = step.arguments.get("Conditions")
            problems += _condition_problems(conditions, "Arguments.Conditions") if conditions else [
                "Arguments.Conditions is empty"
            ]  # fmt: skip
        elif step.type == "Fail" and "ErrorMessage" not in step.arguments:
            problems.append("Arguments.ErrorMessage is required and missing")
        elif step.type == "Lambda" and not step.raw.get("FunctionArn"):
            problems.append("FunctionArn is required and missing")
        problems += self._extras(step)
        return [f"Step {step.name}: {problem}" for problem in problems]

    def _references(self, step: Step) -> list[str]:
        problems = []
        for path in references(_own_arguments(step.raw)):
            try:
                self._type_of(path)
            except EvaluationError as error:
                problems.append(str(error))
        for argument in _json_gets(_own_arguments(step.raw)):
            try:
                if "S3Uri" not in argument:
                    property_file_of(argument)
                path_tokens(str(argument.get("Path", "")))
            except EvaluationError as error:
                problems.append(f"Std:JsonGet: {error}")
        return problems

    def _type_of(self, path: str) -> str | None:
        """The type that a Get yields, None where it may be anything.

        Raises:
            EvaluationError: the path names nothing.
        """
        kind, _, rest = path.partition(".")
        if kind == "Parameters":
            if rest not in self.parameters:
                raise EvaluationError(f"'{path}': there is no such parameter; there are {_listed(self.parameters)}")
            return self.parameters[rest].type
        if kind == "Execution":
            if rest not in EXECUTION_VARIABLES:
                raise EvaluationError(f"'{path}': there is no such variable; there are {_listed(EXECUTION_VARIABLES)}")
            return "String"
        if kind != "Steps":
            raise EvaluationError(f"'{path}' must begin with Parameters, Steps or Execution")
        name, *tokens = path_tokens(rest)
        step = self.steps[str(name)]
        if tokens[:1] == ["PropertyFiles"]:
            if len(tokens) != 2 or tokens[1] not in step.property_files:
                raise EvaluationError(f"'{path}': step {name} has the property files {_listed(step.property_files)}")
            return None
        if step.type == "Lambda":
            return pipeline_shapes.lambda_output(path, step.lambda_outputs)
        if step.type == "Condition" and tokens == ["Outcome"]:
            return "String"
        if step.type not in pipeline_shapes.KINDS or not tokens:
            raise EvaluationError(f"'{path}': a step of type {step.type} has no such property")
        shape = pipeline_shapes.property_shape(pipeline_shapes.KINDS[step.type], path, tokens)
        return _TYPE_OF_SHAPE.get(shape.type_name)

    def _extras(self, step: Step) -> list[str]:
        problems = pipeline_policies.check_retry_policies(step.type, step.retry_policies)
        try:
            if step.cache:
                pipeline_policies.duration(step.cache)
        except ValueError as error:
            problems.append(f"CacheConfig.ExpireAfter {error}")
        config = step.arguments.get("ProcessingOutputConfig") or {}
        outputs = {item.get("OutputName") for item in config.get("Outputs") or []}
        try:
            for name, (output, _) in step.property_files.items():
                if step.type != "Processing" or output not in outputs:
                    problems.append(f"property file {name} is in output '{output}'; outputs are {_listed(outputs)}")
        except KeyError as error:
            problems.append(f"PropertyFiles needs PropertyFileName, OutputName and FilePath; {error} is missing")
        return problems


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names) or "none"


def _json_gets(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "Std:JsonGet" and isinstance(item, Mapping):
                yield item
            else:
                yield from _json_gets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _json_gets(item)


def _condition_problems(conditions: Any, where: str) -> list[str]:
    problems: list[str] = []
    for index, condition in enumerate(conditions if isinstance(conditions, list) else [conditions]):
        place = f"{where}[{index}]"
        kind = condition.get("Type") if isinstance(condition, Mapping) else None
        wanted: tuple[str, ...] = ()
        if kind in COMPARISONS:
            wanted = ("LeftValue", "RightValue")
        elif kind == "In":
            wanted = ("QueryValue", "Values")
        elif kind == "Not":
            inner = condition.get("Condition", condition.get("Expression"))
            problems += _condition_problems([inner], f"{place}.Condition")
        elif kind in ("Or", "And"):
            problems += _condition_problems(condition.get("Conditions") or [{}], f"{place}.Conditions")
        else:
            problems.append(f"{place}.Type is {kind!r}; known are {', '.join(CONDITIONS)}")
        problems += [f"{place}.{name} is required and missing" for name in wanted if name not in condition]
    return problems
