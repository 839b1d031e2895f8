"""Training with images that AWS provides: which there are here, and what SageMaker knows of them by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.core import Cloud, Fault
from localcloud.runtime import provided
from localcloud.runtime.references import parse

# Of a job with the image SageMaker has its own definitions: these names are seen in answers of DescribeTrainingJob and
# DescribeHyperParameterTuningJob, with the newer ones of the container's list. A job may have no more than forty.
_BOTH = (
    "accuracy", "auc", "aucpr", "error", "f1", "gamma-deviance", "gamma-nloglik", "logloss", "mae", "map", "merror",
    "mlogloss", "mse", "ndcg", "poisson-nloglik", "rmse", "tweedie-nloglik",
)  # fmt: skip
_VALIDATION = (*_BOTH, "balanced_accuracy", "precision", "r2", "recall")
OBJECTIVES = {
    "Maximize": (
        "accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "map", "ndcg", "precision",
        "precision_macro", "precision_micro", "r2", "recall", "recall_macro", "recall_micro",
    ),
    "Minimize": (
        "aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy",
        "logloss", "mae", "mape", "merror", "mlogloss", "mphe", "mse", "poisson-nloglik", "rmse", "rmsle",
        "tweedie-nloglik",
    ),
}  # fmt: skip
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
_UNSERVED = ("_kfold", "_num_cv_round", "sagemaker_program", "sagemaker_submit_directory")
OVERRIDDEN = (
    "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request without "
    "specifying metric definitions."
)


def is_provided(image: str | None) -> bool:
    """Whether it is the image of a built-in algorithm."""
    return bool(image) and provided.is_algorithm(str(image))


def check(cloud: Cloud, operation: str, region: str, definition: dict[str, Any], values: Mapping[str, str]) -> None:
    """Refuse an image of AWS that is not served, and what its algorithm does not serve here.

    Args:
        operation: for the message.
        definition: a training job, or the definition of one.
        values: its hyperparameters.

    Raises:
        Fault: with what is given and what is allowed.
    """
    specification = definition.get("AlgorithmSpecification") or {}
    image = specification.get("TrainingImage")
    if not image or not _is_foreign(cloud, image):
        return
    if provided.find(image) is None:
        raise _not_served(
            operation, f"the training image {image} of another account; of AWS's own are served: {_served()}"
        )
    if specification.get("MetricDefinitions"):
        raise Fault("ValidationException", OVERRIDDEN)
    if (found := parse(image).region) != region:
        raise Fault(
            "ValidationException",
            f"The training image {image} is in {found}. It must be in the job's region, {region}.",
        )
    for name in _UNSERVED:
        if name in values:
            raise _not_served(operation, f"the hyperparameter {name} of {provided.XGBOOST}")
    if values.get("use_dask_gpu_training") == "true":
        raise _not_served(operation, "the hyperparameter use_dask_gpu_training: there is no GPU")
    for channel in definition.get("InputDataConfig") or []:
        kind = channel.get("ContentType") or ""
        if kind.split(";")[0].rpartition("x-")[2] in ("parquet", "recordio-protobuf"):
            raise _not_served(
                operation, f"content type {kind} (channel {channel['ChannelName']}); use text/csv or text/libsvm"
            )


def check_model(image: str) -> None:
    """
    Raises:
        Fault: it is the algorithm's image in a version that is not served.
    """
    if provided.is_algorithm(image) and provided.find(image) is None:
        raise _not_served("CreateModel", f"the image {image}; of the algorithm are served: {_served()}")


def complete(specification: dict[str, Any], objective: str | None = None) -> None:
    """Give a job with the algorithm's image SageMaker's metric definitions.

    Args:
        objective: the objective metric of a tuning job, which is there as ObjectiveMetric once more.
    """
    if not is_provided(specification.get("TrainingImage")):
        return
    names = [f"train:{name}" for name in _BOTH] + [f"validation:{name}" for name in _VALIDATION]
    if objective and objective not in names:
        names.append(objective)
    found = [{"Name": name, "Regex": _regex(name)} for name in names]
    if objective:
        found.append({"Name": "ObjectiveMetric", "Regex": _regex(objective)})
    specification["MetricDefinitions"] = found


def check_objective(objective: Mapping[str, str]) -> None:
    """
    Raises:
        Fault: the algorithm has no such metric, or the other direction.
    """
    allowed = [f"validation:{name}" for name in OBJECTIVES[objective["Type"]]]
    if objective["MetricName"] not in allowed:
        raise Fault(
            "ValidationException",
            f"The objective metric {objective['MetricName']} with type {objective['Type']} is not valid for the "
            f"algorithm {provided.XGBOOST}. Valid with this type are {', '.join(allowed)}.",
        )


def _regex(name: str) -> str:
    return rf".*\[[0-9]+\].*#011{name.replace(':', '-')}:{_NUMBER}.*"


def _served() -> str:
    return ", ".join(f"{provided.XGBOOST}:{tag}" for tag in provided.VERSIONS)


def _is_foreign(cloud: Cloud, image: str) -> bool:
    try:
        account = parse(image).account
    except ValueError:
        return False
    return bool(account) and account not in cloud.accounts


def _not_served(operation: str, what: str) -> Fault:
    return Fault("NotImplemented", f"SageMaker {operation} with {what} is not served by the local cloud", 501)
