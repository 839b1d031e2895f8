"""The parts of project.yaml about jobs: preprocessing, training (spot, tuning) and evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from slipway.configuration.values import (
    FiniteFloat,
    InstanceType,
    Number,
    Parameter,
    ParameterName,
    Section,
    VariableName,
    VariableValue,
)


class Job(Section):
    """The machine that a step of the pipeline runs on."""

    instance_type: InstanceType = "ml.m5.large"
    """SageMaker instance type, with or without GPU."""

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


class Spot(Section):
    """Training on spare machines, which cost less and may be taken away."""

    max_wait_minutes: Annotated[int, Field(ge=1, le=2880)]
    """The longest that waiting for machines and training may take together; at least `training.max_runtime_minutes`."""


class Objective(Section):
    """What the search looks at."""

    metric: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    """A metric of the problem. The training script prints it of the validation data: `validation:rmse=12.3`."""

    direction: Literal["minimize", "maximize"] | None = None
    """Which way is better. Left out, it is known from the metric."""


class Range(Section):
    """Where to look: between two numbers, or among values."""

    min: Number | None = None
    """The least value. Two whole numbers search whole numbers only."""

    max: Number | None = None
    """The greatest value."""

    scale: Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"] | None = None
    """How the numbers between the two are spread; SageMaker chooses if it is left out."""

    values: Annotated[list[Parameter], Field(min_length=1, max_length=30)] | None = None
    """The values to choose from, instead of `min` and `max`."""


class Tuning(Section):
    """A search for the best hyperparameters. The best model goes on to the evaluation."""

    strategy: Literal["Bayesian", "Random", "Hyperband", "Grid"] = "Bayesian"
    """How the next values are chosen. Grid tries all combinations and takes `values` only."""

    objective: Objective
    """What the search looks at."""

    max_jobs: Annotated[int, Field(ge=1, le=750)] | None = None
    """How many trainings at most. Grid knows the number itself."""

    max_parallel_jobs: Annotated[int, Field(ge=1, le=100)] = 1
    """How many trainings at once; the account's quota allows 10 unless it was raised."""

    early_stopping: bool = False
    """Whether trainings that promise nothing are stopped. Hyperband stops them by itself."""

    max_epochs: Annotated[int, Field(ge=1, le=20000)] | None = None
    """For Hyperband: how many rounds a training has at most; the script prints the objective after each."""

    ranges: Annotated[dict[ParameterName, Range], Field(min_length=1, max_length=30)]
    """The hyperparameters to search, which `training.hyperparameters` then does not name."""


class Algorithm(Section):
    """A built-in algorithm of SageMaker, in the image that SageMaker keeps for it."""

    name: Literal["xgboost"]
    """Which one. What it takes is in the SageMaker Developer Guide, "XGBoost hyperparameters"."""

    version: Literal["3.0-5", "3.2-0"] = "3.2-0"
    """Its version, as SageMaker counts. The xgboost of the project's images has to read the models of it."""


class TrainingJob(Job):
    """The step that trains."""

    algorithm: Algorithm | None = None
    """A built-in algorithm of SageMaker that trains instead of train.py. On spot it begins anew once interrupted."""

    hyperparameters: Annotated[dict[ParameterName, Parameter], Field(max_length=100)] = Field(default_factory=dict)
    """Hyperparameters of the training script, or of the algorithm."""

    spot: Spot | None = None
    """Train on spare machines. What the script keeps in /opt/ml/checkpoints is there again after an interruption."""

    tuning: Tuning | None = None
    """Search for the best hyperparameters instead of training once."""


class Bound(Section):
    """How good is good enough: either the least or the most that is allowed."""

    min: FiniteFloat | None = None
    """The least value that passes."""

    max: FiniteFloat | None = None
    """The greatest value that passes."""


class Champion(Section):
    """The newest approved model, which a new one may not be worse than. Where there is none yet, every model passes."""

    metric: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    """The metric to compare by."""

    tolerance: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    """How much worse a new model may be, in units of the metric."""
