"""The project configuration file as a model: the handshake between data science and operations.

Notebooks read it, CI/CD executes it. The JSON Schema and docs/project-yaml.md are generated from here. What the shape
alone cannot say (rules between keys) is in slipway.configuration.rules.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from slipway.configuration.operation import Batch, Event, Monitoring, Notifications, Retraining, Rollout, Serving
from slipway.configuration.training import (
    Algorithm,
    Bound,
    Champion,
    Job,
    ProcessingJob,
    Range,
    Spot,
    TrainingJob,
    Tuning,
)
from slipway.configuration.values import ProjectName, Section
from slipway.metrics import METRICS, REPORT_KEYS, Better, Problem

__all__ = [
    "METRICS", "REPORT_KEYS", "Algorithm", "Batch", "Better", "Bound", "Champion", "Data", "Event", "Framework", "Job",
    "Monitoring", "Notifications", "Problem", "ProcessingJob", "ProjectFile", "Range", "Retraining", "Rollout",
    "Serving", "Spot", "TrainingJob", "Tuning",
]  # fmt: skip

Framework = Literal["scikit-learn", "xgboost", "tensorflow", "huggingface"]


class Data(Section):
    """What the model learns from."""

    dataset: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*$", max_length=200)]
    """Name of a curated dataset of the lake: the folder below `curated/`."""

    target: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
    """Name of the column that the model predicts."""


class ProjectFile(Section):
    """The project configuration file, `project.yaml`."""

    project: ProjectName
    """Name of the project, as it was launched."""

    tag: Annotated[int, Field(ge=0, le=9999)]
    """First figure of the model versions, V<tag>.<manual>.<auto>: raise it when the model becomes another model."""

    description: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """One sentence: what is predicted, and for whom."""

    framework: Framework | None = None
    """What the model is written with; the model card says it."""

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

    champion: Champion | None = None
    """Tested after the bounds: the newest approved model, which a new one may not be worse than."""

    serving: Serving = Serving()
    """How the model answers: at an endpoint, in batches, or both."""

    monitoring: Monitoring = Monitoring()
    """What is kept to compare a model in use with."""

    retraining: Retraining = Retraining()
    """What starts a training besides a merge to main."""

    notifications: Notifications | None = None
    """Who is told of what by e-mail."""
