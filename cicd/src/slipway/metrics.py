"""Which metrics each kind of problem has, which way is better, and where a report has them.

Only the standard library is imported here: the projects' own images use the table, too. The names are those of
SageMaker's Model Quality monitor and of the model registry (AWS documentation, "Model quality metrics").
"""

from __future__ import annotations

from typing import Literal

Problem = Literal["regression", "binary-classification", "multiclass-classification", "text-classification"]
Better = Literal["lower", "higher"]

_BINARY: dict[str, Better] = {
    "accuracy": "higher", "precision": "higher", "recall": "higher", "f1": "higher", "auc": "higher",
}  # fmt: skip

METRICS: dict[Problem, dict[str, Better]] = {
    "regression": {"rmse": "lower", "mse": "lower", "mae": "lower", "r2": "higher"},
    "binary-classification": _BINARY,
    "multiclass-classification": {
        "accuracy": "higher", "weighted_precision": "higher", "weighted_recall": "higher", "weighted_f1": "higher",
    },
    # Two classes of texts.
    "text-classification": _BINARY,
}  # fmt: skip

# The one key of evaluation.json: {REPORT_KEYS[problem]: {metric: {"value": …, "standard_deviation": …}}}
REPORT_KEYS: dict[Problem, str] = {
    "regression": "regression_metrics",
    "binary-classification": "binary_classification_metrics",
    "multiclass-classification": "multiclass_classification_metrics",
    "text-classification": "binary_classification_metrics",
}
