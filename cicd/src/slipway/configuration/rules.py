"""The rules between the keys of project.yaml, which its shape alone does not say."""

from __future__ import annotations

import math
from collections.abc import Iterator

from slipway.configuration import algorithm
from slipway.configuration.instances import instance_types
from slipway.configuration.model import METRICS, Bound, ProjectFile, Range, Tuning
from slipway.configuration.rule import Broken, Path
from slipway.configuration.values import Section

__all__ = ["DIRECTIONS", "Broken", "broken", "shown"]

DIRECTIONS = {"lower": "minimize", "higher": "maximize"}
_ENDPOINT_KEYS = ("instance_type", "initial_instance_count", "environments", "rollout")


def broken(project: ProjectFile) -> Iterator[Broken]:
    """Every rule that the file breaks; a file that breaks none can be planned."""
    yield from _instance_types(project)
    for metric, bound in project.quality_gate.items():
        yield from _bound(metric, bound)
    yield from _metrics(project)
    yield from _spot(project)
    if project.training.tuning is not None:
        yield from _tuning(project, project.training.tuning)
    yield from algorithm.broken(project)
    yield from _serving(project)


def _instance_types(project: ProjectFile) -> Iterator[Broken]:
    serving = project.serving
    used: list[tuple[Path, str | None, str]] = [
        (("preprocessing", "instance_type"), project.preprocessing.instance_type, "ProcessingInstanceType"),
        (("training", "instance_type"), project.training.instance_type, "TrainingInstanceType"),
        (("evaluation", "instance_type"), project.evaluation.instance_type, "ProcessingInstanceType"),
        (("serving", "instance_type"), serving.instance_type, "ProductionVariantInstanceType"),
    ]
    for name in ("staging", "production"):
        own = getattr(serving.environments, name).instance_type
        used.append((("serving", "environments", name, "instance_type"), own, "ProductionVariantInstanceType"))
    if serving.batch is not None:
        used.append((("serving", "batch", "instance_type"), serving.batch.instance_type, "TransformInstanceType"))
    for path, given, shape in used:
        if given is not None and given not in instance_types(shape):
            yield Broken(
                path, "SageMaker has no such instance type here", given, instance_types(shape),
                "choose one that SageMaker offers for this kind of job",
            )  # fmt: skip


def _bound(metric: str, bound: Bound) -> Iterator[Broken]:
    if (bound.min is None) == (bound.max is None):
        yield Broken(
            ("quality_gate", metric), "exactly one of min and max is needed", bound, ("one of the two",),
            "write, for example, `rmse: {max: 25.0}` or `r2: {min: 0.5}`",
        )  # fmt: skip


def _metrics(project: ProjectFile) -> Iterator[Broken]:
    allowed = METRICS[project.problem]
    used: list[tuple[Path, str]] = [(("quality_gate", metric), metric) for metric in project.quality_gate]
    if project.champion is not None:
        used.append((("champion", "metric"), project.champion.metric))
    if project.training.tuning is not None:
        used.append((("training", "tuning", "objective", "metric"), project.training.tuning.objective.metric))
    for path, metric in used:
        if metric not in allowed:
            yield Broken(
                path, f"a {project.problem} has no such metric", metric, tuple(allowed),
                "use one of the metrics allowed",
            )  # fmt: skip


def _spot(project: ProjectFile) -> Iterator[Broken]:
    spot, runtime = project.training.spot, project.training.max_runtime_minutes
    if spot is not None and spot.max_wait_minutes < runtime:
        yield Broken(
            ("training", "spot", "max_wait_minutes"), "is less than training.max_runtime_minutes",
            spot.max_wait_minutes, (f"at least {runtime}",), "wait longer, or lower training.max_runtime_minutes",
        )  # fmt: skip


def _tuning(project: ProjectFile, tuning: Tuning) -> Iterator[Broken]:
    path = ("training", "tuning")
    for name in tuning.ranges:
        if name in project.training.hyperparameters:
            yield Broken(
                (*path, "ranges", name), "this hyperparameter has a fixed value, too", name,
                ("a name that training.hyperparameters does not have",),
                f"take `{name}` away from training.hyperparameters, or from here",
            )  # fmt: skip
    for name, found in tuning.ranges.items():
        yield from _range((*path, "ranges", name), found, tuning.strategy)
    better = METRICS[project.problem].get(tuning.objective.metric)
    direction = tuning.objective.direction
    if better is not None and direction is not None and direction != DIRECTIONS[better]:
        yield Broken(
            (*path, "objective", "direction"), f"the search would look for the worst {tuning.objective.metric}",
            direction, (DIRECTIONS[better],), "leave it out: it is known from the metric",
        )  # fmt: skip
    yield from _amount(path, tuning)


def _amount(path: Path, tuning: Tuning) -> Iterator[Broken]:
    hyperband, grid = tuning.strategy == "Hyperband", tuning.strategy == "Grid"
    if grid:
        combinations = math.prod(len(found.values or ()) or 1 for found in tuning.ranges.values())
        if combinations > 750:
            yield Broken(
                (*path, "ranges"), "the grid has too many combinations", combinations, ("at most 750",),
                "give fewer values, or another strategy",
            )  # fmt: skip
        elif tuning.max_jobs not in {None, combinations}:
            yield Broken(
                (*path, "max_jobs"), "a grid tries every combination", tuning.max_jobs, (str(combinations),),
                "leave it out: it is known from the ranges",
            )  # fmt: skip
    elif tuning.max_jobs is None:
        yield Broken(
            (*path, "max_jobs"), "this key is missing", None, ("a whole number from 1 to 750",), "add `max_jobs: …`"
        )
    if tuning.max_jobs is not None and tuning.max_parallel_jobs > tuning.max_jobs:
        yield Broken(
            (*path, "max_parallel_jobs"), "is more than max_jobs", tuning.max_parallel_jobs,
            (f"at most {tuning.max_jobs}",), "lower it, or raise max_jobs",
        )  # fmt: skip
    if hyperband and tuning.max_epochs is None:
        yield Broken(
            (*path, "max_epochs"), "this key is missing", None, ("a whole number from 1 to 20000",),
            "Hyperband has to know how long the longest training is: add `max_epochs: …`",
        )  # fmt: skip
    if not hyperband and tuning.max_epochs is not None:
        yield Broken(
            (*path, "max_epochs"), "only Hyperband takes it", tuning.max_epochs, ("nothing",), "take the key away"
        )
    if hyperband and tuning.early_stopping:
        yield Broken(
            (*path, "early_stopping"), "Hyperband stops trainings by itself", True, ("false",), "take the key away"
        )


def _range(path: Path, found: Range, strategy: str) -> Iterator[Broken]:
    if found.values is not None:
        for name in ("min", "max", "scale"):
            if getattr(found, name) is not None:
                yield Broken(
                    (*path, name), "values and this key exclude each other", getattr(found, name),
                    ("values alone, or min and max",), "keep one of the two",
                )  # fmt: skip
        texts = [str(value) for value in found.values]
        if len(set(texts)) != len(texts):
            yield Broken((*path, "values"), "a value is given twice", found.values, ("each once",), "keep one")
        return
    if found.min is None or found.max is None:
        yield Broken(
            path, "exactly one of values, or min with max, is needed", found, ("values alone, or min and max",),
            "write, for example, `{min: 0.01, max: 0.3}` or `{values: [3, 5, 8]}`",
        )  # fmt: skip
        return
    if found.min >= found.max:
        yield Broken((*path, "max"), "is not more than min", found.max, (f"more than {found.min}",), "raise it")
    if strategy == "Grid":
        yield Broken(path, "a grid needs values", found, ("values: […]",), "give values, or another strategy")
    whole = isinstance(found.min, int) and isinstance(found.max, int)
    if found.scale == "Logarithmic" and found.min <= 0:
        yield Broken(
            (*path, "min"), "a logarithmic scale has no such number", found.min, ("more than 0",),
            "raise it, or take another scale",
        )  # fmt: skip
    if found.scale == "ReverseLogarithmic" and (whole or found.min < 0 or found.max >= 1):
        yield Broken(
            (*path, "scale"), "this scale is for numbers with a fraction from 0 to below 1", found.scale,
            ("Auto", "Linear", "Logarithmic"), "take another scale, or write both with a fraction, as in 0.0",
        )  # fmt: skip


def _serving(project: ProjectFile) -> Iterator[Broken]:
    serving = project.serving
    if serving.mode == "real-time" and serving.batch is not None:
        yield Broken(
            ("serving", "batch"), "these settings have no effect in the mode real-time", serving.batch,
            ("the modes batch and both",), "take the key away, or write `mode: both`",
        )  # fmt: skip
    for name in _ENDPOINT_KEYS if serving.mode == "batch" else ():
        if name in serving.model_fields_set:
            yield Broken(
                ("serving", name), "this setting of an endpoint has no effect in the mode batch",
                getattr(serving, name), ("the modes real-time and both",), "take the key away, or write `mode: both`",
            )  # fmt: skip
    batch = serving.transform
    if batch is not None and batch.max_payload_mb * batch.max_concurrent_transforms > 100:
        yield Broken(
            ("serving", "batch", "max_payload_mb"), "requests at once hold more than 100 MB together",
            f"{batch.max_payload_mb} MB × {batch.max_concurrent_transforms}", ("at most 100 MB together",),
            "lower max_payload_mb or max_concurrent_transforms",
        )  # fmt: skip


def shown(value: object) -> object:
    """A value as a message shows it: a section as the keys that were given."""
    return value.model_dump(exclude_unset=True) if isinstance(value, Section) else value
