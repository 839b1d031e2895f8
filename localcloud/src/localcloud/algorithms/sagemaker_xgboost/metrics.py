"""The evaluation metrics that the algorithm knows, and those that the container computes itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

MAXIMIZED = [
    "accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "map", "ndcg", "precision", "r2",
    "recall", "precision_macro", "precision_micro", "recall_macro", "recall_micro",
]  # fmt: skip
MINIMIZED = [
    "aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy", "logloss",
    "mae", "mape", "merror", "mlogloss", "mphe", "mse", "poisson-nloglik", "rmse", "rmsle", "tweedie-nloglik",
]  # fmt: skip

Array = Any
"""numpy.ndarray"""


def _labels(predictions: Array) -> Array:
    """The class of each row.

    As the container does it: predictions are taken for log-odds. XGBoost 3 hands a metric probabilities (and, with
    multi:softmax, classes), so that with binary:logistic every row is of class 1. Do not mend it here: it is what a
    job on AWS reports.
    """
    if predictions.ndim > 1:
        return np.argmax(predictions, axis=-1)
    return (predictions > 0.0).astype(int)


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


class _Counts:
    """Hits, predicted and true rows of each class that occurs."""

    def __init__(self, labels: Array, predicted: Array) -> None:
        self.classes = np.unique(np.concatenate([labels, predicted]))
        self.hits = np.array([np.sum((labels == c) & (predicted == c)) for c in self.classes], dtype=float)
        self.predicted = np.array([np.sum(predicted == c) for c in self.classes], dtype=float)
        self.true = np.array([np.sum(labels == c) for c in self.classes], dtype=float)

    def of(self, what: str) -> Array:
        """precision, recall or f1 of each class."""
        if what == "precision":
            return _ratio(self.hits, self.predicted)
        if what == "recall":
            return _ratio(self.hits, self.true)
        return _ratio(2 * self.hits, self.predicted + self.true)

    def binary(self, what: str) -> float:
        """That of class 1.

        Raises:
            ValueError: there are other classes than two.
        """
        if len(self.classes) > 2:
            raise ValueError(
                "Target is multiclass but average='binary'. Please choose another average setting, one of "
                "[None, 'micro', 'macro', 'weighted']."
            )
        found = self.of(what)[self.classes == 1]
        return float(found[0]) if len(found) else 0.0

    def accuracy(self) -> float:
        """The share of rows that are right, which is the micro average of precision and recall too."""
        return float(self.hits.sum() / self.true.sum())

    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that the data have."""
        return float(self.of("recall")[self.true > 0].mean())


_OF_CLASSES: dict[str, Callable[[_Counts], float]] = {
    "accuracy": _Counts.accuracy,
    "balanced_accuracy": _Counts.balanced_accuracy,
    "f1": lambda counts: float(counts.of("f1").mean()),
    "f1_binary": lambda counts: counts.binary("f1"),
    "f1_macro": lambda counts: float(counts.of("f1").mean()),
    "precision": lambda counts: counts.binary("precision"),
    "precision_macro": lambda counts: float(counts.of("precision").mean()),
    "precision_micro": _Counts.accuracy,
    "recall": lambda counts: counts.binary("recall"),
    "recall_macro": lambda counts: float(counts.of("recall").mean()),
    "recall_micro": _Counts.accuracy,
}


def _r2(labels: Array, predictions: Array) -> float:
    spread = float(np.sum((labels - labels.mean()) ** 2))
    wrong = float(np.sum((labels - predictions) ** 2))
    return 1.0 - wrong / spread if spread else float(wrong == 0)


_OF_NUMBERS: dict[str, Callable[[Array, Array], float]] = {
    "mse": lambda labels, predictions: float(np.mean((labels - predictions) ** 2)),
    "rmse": lambda labels, predictions: float(np.sqrt(np.mean((labels - predictions) ** 2))),
    "mae": lambda labels, predictions: float(np.mean(np.abs(labels - predictions))),
    "r2": _r2,
}


def own(names: Sequence[str]) -> list[str]:
    """Those of the names that the container computes; XGBoost computes the others."""
    return [name for name in names if name in _OF_CLASSES or name in _OF_NUMBERS]


def evaluation(names: Sequence[str]) -> Callable[[Array, Any], list[tuple[str, float]]]:
    """What xgboost.train takes as custom_metric: (predictions, DMatrix) → each metric's name and value."""

    def evaluate(predictions: Array, matrix: Any) -> list[tuple[str, float]]:
        labels = np.asarray(matrix.get_label(), dtype=float)
        counts = _Counts(labels, _labels(predictions)) if any(name in _OF_CLASSES for name in names) else None
        found = []
        for name in names:
            if name in _OF_NUMBERS:
                found.append((name, _OF_NUMBERS[name](labels, np.asarray(predictions, dtype=float))))
            elif counts is not None:
                found.append((name, _OF_CLASSES[name](counts)))
        return found

    return evaluate
