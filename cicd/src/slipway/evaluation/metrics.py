"""The metrics of each kind of problem, each with its standard deviation.

Their names are in slipway.metrics; the form is that which SageMaker's model registry shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

from slipway.container import StepError
from slipway.evaluation.asking import Numbers
from slipway.metrics import METRICS, Problem

# A probability from here on is a yes.
THRESHOLD = 0.5
RESAMPLES = 100
SEED = 2013

Figures = dict[str, dict[str, float]]


def measure(problem: Problem, truth: Numbers, predicted: Numbers, *, resamples: int = RESAMPLES) -> Figures:
    """Each metric with its standard deviation over resamples of the rows (bootstrap).

    Args:
        problem: a key of METRICS.
        predicted: values of a regression; the probabilities of class 1 where there are two classes (then `truth` holds
            0 and 1); classes where there are more.

    Raises StepError, which names the metric, if one is not a number: a gate could not be asked about it.
    """
    if problem not in METRICS:
        raise StepError(f"problem: given {problem!r}, allowed {', '.join(METRICS)}")
    compute = _COMPUTE[problem]
    truth, predicted = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
        raise StepError(
            f"the test rows have the truth in shape {truth.shape}, the predictions have {predicted.shape}; "
            "allowed: one of each a row, and at least one row"
        )
    if not np.isfinite(truth).all():
        raise StepError("the target of a test row is missing or not a number: the model cannot be measured on it")
    if compute is binary:
        _check_binary(truth, predicted)
    values = compute(truth, predicted) if np.isfinite(predicted).all() else dict.fromkeys(METRICS[problem], math.nan)
    undefined = [name for name, value in values.items() if not math.isfinite(value)]
    if undefined:
        raise StepError(
            f"{', '.join(undefined)} cannot be computed on {len(truth)} test rows: "
            "a prediction is not a number, or all of them have the same truth"
        )
    generator = np.random.default_rng(SEED)
    draws: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(resamples):
        draw = generator.integers(len(truth), size=len(truth))
        for name, value in compute(truth[draw], predicted[draw]).items():
            if math.isfinite(value):
                draws[name].append(value)
    return {
        name: {
            "value": value,
            "standard_deviation": float(np.std(draws[name], ddof=1)) if len(draws[name]) > 1 else 0.0,
        }
        for name, value in values.items()
    }


def announce(channel: str, problem: Problem, truth: Numbers, predicted: Numbers) -> None:
    """Print `channel:metric=value`, a metric a line: what a training job's metric definitions look for in its log."""
    for name, figure in measure(problem, truth, predicted, resamples=0).items():
        print(f"{channel}:{name}={figure['value']:.6f}", flush=True)


def regression(truth: Numbers, predicted: Numbers) -> dict[str, float]:
    """RMSE, MSE and MAE (in the unit of the target, or its square) and R²."""
    error = predicted - truth
    mse = float(np.mean(error**2))
    spread = float(np.mean((truth - truth.mean()) ** 2))
    return {
        "rmse": math.sqrt(mse),
        "mse": mse,
        "mae": float(np.mean(np.abs(error))),
        "r2": 1 - mse / spread if spread else math.nan,
    }


def binary(truth: Numbers, predicted: Numbers) -> dict[str, float]:
    """Of class 1. AUC is of the probabilities; the others are of the answers at a probability of one half."""
    says, true = predicted >= THRESHOLD, truth == 1
    hits = float(np.sum(says & true))
    precision = hits / says.sum() if says.any() else 0.0
    recall = hits / true.sum() if true.any() else math.nan
    both = 0 < true.sum() < len(true)
    return {
        "accuracy": float(np.mean(says == true)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * hits / (says.sum() + true.sum())) if true.any() else math.nan,
        "auc": float(sk.roc_auc_score(true, predicted)) if both else math.nan,
    }


def multiclass(truth: Numbers, predicted: Numbers) -> dict[str, float]:
    """Accuracy, and the averages of the classes' precision, recall and F1, weighted by how many rows each has."""
    precision, recall, f1, _ = sk.precision_recall_fscore_support(truth, predicted, average="weighted", zero_division=0)
    return {
        "accuracy": float(np.mean(truth == predicted)),
        "weighted_precision": float(precision),
        "weighted_recall": float(recall),
        "weighted_f1": float(f1),
    }


_COMPUTE: dict[Problem, Callable[[Numbers, Numbers], dict[str, float]]] = {
    "regression": regression,
    "binary-classification": binary,
    "multiclass-classification": multiclass,
    "text-classification": binary,
}


def _check_binary(truth: Numbers, predicted: Numbers) -> None:
    others = sorted(set(np.unique(truth).tolist()) - {0.0, 1.0})
    if others:
        raise StepError(f"the target of the test rows: given {others[:5]}, allowed 0 and 1")
    finite = predicted[np.isfinite(predicted)]
    if len(finite) and (finite.min() < 0 or finite.max() > 1):
        raise StepError(
            f"a prediction is {finite.min() if finite.min() < 0 else finite.max():g}; "
            "allowed: the probability of class 1, from 0 to 1"
        )
