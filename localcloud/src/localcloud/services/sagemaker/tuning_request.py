"""What a hyperparameter tuning job may ask for, and the requests of its training jobs."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from typing import Any

from localcloud.core import Cloud, Fault
from localcloud.records import Record
from localcloud.services.sagemaker import algorithms, training_request
from localcloud.services.sagemaker.tuning_search import Range, Search, combinations, ranges_of

OBJECTIVE = "_tuning_objective_metric"
COUNTERS = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
_COPIED = (
    "AlgorithmSpecification", "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "ResourceConfig",
    "StoppingCondition", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining", "CheckpointConfig", "RetryStrategy", "Environment",
)  # fmt: skip


def definition_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The one training job definition."""
    found: dict[str, Any] = record.get("TrainingJobDefinition") or record["TrainingJobDefinitions"][0]
    return found


def objective_of(record: Mapping[str, Any]) -> Mapping[str, str]:
    """Type and MetricName of the objective."""
    config = record["HyperParameterTuningJobConfig"]
    found: Mapping[str, str] = config.get("HyperParameterTuningJobObjective") or definition_of(record).get(
        "TuningObjective", {}
    )
    return found


def ranges(record: Mapping[str, Any]) -> list[Range]:
    """The hyperparameters that are tuned.

    Raises:
        Fault: as `ranges_of`.
    """
    config = record["HyperParameterTuningJobConfig"]
    return ranges_of(config.get("ParameterRanges") or definition_of(record).get("HyperParameterRanges") or {})


def check(cloud: Cloud, region: str, record: Record) -> None:
    """Refuse what AWS refuses and what is not served; set defaults.

    Raises:
        Fault: with what is given and what is allowed.
    """
    for member in ("WarmStartConfig", "Autotune"):
        if record.get(member):
            raise _not_served(member)
    if bool(record.get("TrainingJobDefinition")) == bool(record.get("TrainingJobDefinitions")):
        raise _invalid("Give one of TrainingJobDefinition and TrainingJobDefinitions.")
    if len(record.get("TrainingJobDefinitions") or []) > 1:
        raise _not_served("more than one of TrainingJobDefinitions")
    definition = definition_of(record)
    if definition.get("HyperParameterTuningResourceConfig"):
        raise _not_served("HyperParameterTuningResourceConfig; use ResourceConfig")
    found = ranges(record)
    static = definition.get("StaticHyperParameters") or {}
    both = sorted(item.name for item in found if item.name in static)
    if both:
        raise _invalid(f"Hyperparameters are both static and tuned: {', '.join(both)}. Each is one of them.")
    objective = objective_of(record)
    if not objective:
        raise _invalid("HyperParameterTuningJobObjective is required.")
    specification = definition["AlgorithmSpecification"]
    algorithms.check(cloud, "CreateHyperParameterTuningJob", region, definition, static)
    if algorithms.is_provided(specification.get("TrainingImage")):
        algorithms.check_objective(objective)
        algorithms.complete(specification, objective["MetricName"])
    metrics = [item["Name"] for item in specification.get("MetricDefinitions") or []]
    if objective["MetricName"] not in metrics:
        raise _invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            f"definitions: the objective is '{objective['MetricName']}'; defined are {', '.join(metrics) or 'none'}."
        )
    _check_config(record["HyperParameterTuningJobConfig"], found)
    training_request.check(training_job(record, {item.name: "0" for item in found}, 1))


def _check_config(config: dict[str, Any], found: list[Range]) -> None:
    strategy, limits = config["Strategy"], config["ResourceLimits"]
    config.setdefault("TrainingJobEarlyStoppingType", "Off")
    if strategy == "Hyperband" and config["TrainingJobEarlyStoppingType"] != "Off":
        raise _invalid("TrainingJobEarlyStoppingType must be Off with strategy Hyperband, which stops jobs by itself.")
    if config.get("StrategyConfig") and strategy != "Hyperband":
        raise _invalid(f"StrategyConfig is for strategy Hyperband; the strategy is {strategy}.")
    band = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig") or {}
    least, most = band.get("MinResource"), band.get("MaxResource")
    if least and most and least > most:
        raise _invalid(f"HyperbandStrategyConfig has MinResource {least} above MaxResource {most}.")
    if strategy == "Grid":
        size, given = combinations(found), limits.get("MaxNumberOfTrainingJobs")
        if given not in (None, size):
            raise _invalid(
                f"MaxNumberOfTrainingJobs is {given}; with strategy Grid it is the number of combinations, {size}, or "
                "is left out."
            )
        limits["MaxNumberOfTrainingJobs"] = size
    elif "MaxNumberOfTrainingJobs" not in limits:
        raise _invalid(f"MaxNumberOfTrainingJobs is required with strategy {strategy}.")
    jobs, parallel = limits["MaxNumberOfTrainingJobs"], limits["MaxParallelTrainingJobs"]
    if parallel > jobs and strategy != "Grid":
        raise _invalid(f"MaxParallelTrainingJobs is {parallel}; it must not be above MaxNumberOfTrainingJobs, {jobs}.")
    criteria = config.get("TuningJobCompletionCriteria") or {}
    if (criteria.get("ConvergenceDetected") or {}).get("CompleteOnConvergence") == "Enabled":
        raise _not_served("TuningJobCompletionCriteria.ConvergenceDetected")


def search(record: Mapping[str, Any]) -> Search:
    """The search of a tuning job."""
    config = record["HyperParameterTuningJobConfig"]
    band = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig") or {}
    return Search(
        config["Strategy"], ranges(record),
        minimize=objective_of(record)["Type"] == "Minimize",
        seed=config.get("RandomSeed"),
        most=config["ResourceLimits"]["MaxNumberOfTrainingJobs"],
        early_stopping=config["TrainingJobEarlyStoppingType"] == "Auto",
        resources=(band.get("MinResource"), band.get("MaxResource")),
    )  # fmt: skip


def training_job(record: Mapping[str, Any], values: Mapping[str, str], number: int) -> dict[str, Any]:
    """The request of a training job, named <tuning job>-<number>-<random> as SageMaker names it."""
    definition = definition_of(record)
    request = copy.deepcopy({name: definition[name] for name in _COPIED if name in definition})
    name = f"{record['HyperParameterTuningJobName']}-{number:03d}-{secrets.token_hex(4)}"
    static = definition.get("StaticHyperParameters") or {}
    request["TrainingJobName"] = name
    request["HyperParameters"] = {**static, **values, OBJECTIVE: objective_of(record)["MetricName"]}
    if request.get("CheckpointConfig"):  # each job has its own, or one would go on from another's
        uri = str(request["CheckpointConfig"]["S3Uri"])
        request["CheckpointConfig"]["S3Uri"] = f"{uri.rstrip('/')}/{name}"
    if record.get("Tags"):
        request["Tags"] = copy.deepcopy(record["Tags"])
    if record.get("HyperParameterTuningJobArn"):
        request["TuningJobArn"] = record["HyperParameterTuningJobArn"]
    return request


def _invalid(message: str) -> Fault:
    return Fault("ValidationException", message)


def _not_served(what: str) -> Fault:
    text = f"SageMaker CreateHyperParameterTuningJob with {what} is not served by the local cloud"
    return Fault("NotImplemented", text, 501)
