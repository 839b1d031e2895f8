"""The project configuration file as a model: the handshake between data science and operations.

Notebooks read it, CI/CD executes it. The JSON Schema and docs/project-yaml.md are generated from here.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

Problem = Literal["regression"]
METRICS: dict[str, tuple[str, ...]] = {"regression": ("rmse", "mse", "mae", "r2")}

# The length budget of the longest name made of it, the project's bucket {namespace}-{project}-{account}-{region}:
# 10 + 1 + 24 + 1 + 12 + 1 + 14 = 63 of 63.
ProjectName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,22}[a-z0-9]$")]
InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
VariableValue = Annotated[str, StringConstraints(max_length=256)]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ParameterText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]


def _scalar(value: object) -> object:
    """Refuses what no member of the union takes, with one message instead of one for each member."""
    if isinstance(value, str) and 1 <= len(value) <= 256:
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    raise PydanticCustomError("parameter", "has the wrong type")


Parameter = Annotated[bool | int | FiniteFloat | ParameterText, BeforeValidator(_scalar)]


class Section(BaseModel):
    """A part of the file: unknown keys are refused, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Data(Section):
    """What the model learns from."""

    dataset: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*$", max_length=200)]
    """Name of a curated dataset of the lake: the folder below `curated/`."""

    target: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
    """Name of the column that the model predicts."""


class Job(Section):
    """The machine that a step of the pipeline runs on."""

    instance_type: InstanceType = "ml.m5.large"
    """SageMaker instance type."""

    instance_count: Annotated[int, Field(ge=1, le=20)] = 1
    """Number of instances."""

    volume_size_gb: Annotated[int, Field(ge=1, le=16384)] = 30
    """Size of the disk of each instance, in GB."""

    max_runtime_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    """The step is stopped after this many minutes."""

    environment: Annotated[dict[VariableName, VariableValue], Field(max_length=40)] = Field(default_factory=dict)
    """Environment variables of the container: name and text."""


class ProcessingJob(Job):
    """A step that runs a script of the project."""

    parameters: Annotated[dict[ParameterName, Parameter], Field(max_length=40)] = Field(default_factory=dict)
    """Arguments of the script: `test_share: 0.2` becomes `--test-share 0.2`."""


class TrainingJob(Job):
    """The step that trains."""

    hyperparameters: Annotated[dict[ParameterName, Parameter], Field(max_length=100)] = Field(default_factory=dict)
    """Hyperparameters of the training script."""


class Bound(Section):
    """How good is good enough: either the least or the most that is allowed."""

    min: FiniteFloat | None = None
    """The least value that passes."""

    max: FiniteFloat | None = None
    """The greatest value that passes."""

    @model_validator(mode="after")
    def _one(self) -> Bound:
        if (self.min is None) == (self.max is None):
            raise ValueError("exactly one of min and max is needed")
        return self


class EnvironmentServing(Section):
    """What an environment does differently. What is left out is as in `serving`."""

    instance_type: InstanceType | None = None
    """SageMaker instance type of the endpoint in this environment."""

    initial_instance_count: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of instances that the endpoint starts with in this environment."""


class Environments(Section):
    """The environments a release passes through."""

    staging: EnvironmentServing = EnvironmentServing()
    """The endpoint in the staging account."""

    production: EnvironmentServing = EnvironmentServing()
    """The endpoint in the production account."""


class Serving(Section):
    """The endpoint that answers requests."""

    instance_type: InstanceType = "ml.m5.large"
    """SageMaker instance type of the endpoint."""

    initial_instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of instances that the endpoint starts with."""

    environments: Environments = Environments()
    """What staging and production do differently."""

    def of(self, environment: Literal["staging", "production"]) -> tuple[str, int]:
        """Instance type and instance count of an environment."""
        own: EnvironmentServing = getattr(self.environments, environment)
        return (
            own.instance_type or self.instance_type,
            own.initial_instance_count or self.initial_instance_count,
        )


class ProjectFile(Section):
    """The project configuration file, `project.yaml`."""

    project: ProjectName
    """Name of the project, as it was launched."""

    tag: Annotated[int, Field(ge=0, le=9999)]
    """First figure of the model versions, V<tag>.<manual>.<auto>: raise it when the model becomes another model."""

    description: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """One sentence: what is predicted, and for whom."""

    problem: Problem
    """The kind of problem; it decides which metrics there are."""

    data: Data
    """What the model learns from."""

    preprocessing: ProcessingJob = ProcessingJob()
    """The step that makes features from the dataset."""

    training: TrainingJob = TrainingJob()
    """The step that trains."""

    evaluation: ProcessingJob = ProcessingJob()
    """The step that measures the model on data it has not seen."""

    quality_gate: Annotated[dict[str, Bound], Field(min_length=1, max_length=10)]
    """Bounds of metrics, tested in this order. A model that misses one is not registered."""

    serving: Serving = Serving()
    """The endpoint that answers requests."""

    @model_validator(mode="after")
    def _metrics(self) -> ProjectFile:
        for metric in self.quality_gate:
            if metric not in METRICS[self.problem]:
                raise PydanticCustomError(
                    "unknown_metric",
                    "a {problem} has no such metric",
                    {"problem": self.problem},
                )
        return self
