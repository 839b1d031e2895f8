"""The evaluation report: one HTML file that needs nothing else, for screens of every size, light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from slipway.evaluation import plots
from slipway.evaluation.importance import SCORES

if TYPE_CHECKING:
    from slipway.evaluation.result import Evaluation

MISTAKES = 10
# Columns of a mistake that are shown, those that matter most.
SHOWN = 5
LONGEST = 600
MEANING = {
    "rmse": "root of the mean squared error; large errors count more",
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "r2": "share of the variance that the model explains; 0 is a constant guess",
    "accuracy": "share of the answers that are right",
    "precision": "share of the answers 1 that are right",
    "recall": "share of class 1 that is found",
    "f1": "harmonic mean of precision and recall",
    "auc": "chance that a row of class 1 gets a higher probability than one of class 0",
    "weighted_precision": "precision of the classes, weighted by their rows",
    "weighted_recall": "recall of the classes, weighted by their rows",
    "weighted_f1": "F1 of the classes, weighted by their rows",
}


class Picture(NamedTuple):
    """A plot with what it says."""

    title: str
    text: str
    svg: Markup


def page(found: Evaluation, facts: Mapping[str, str]) -> str:
    """The report as HTML."""
    environment = Environment(
        loader=PackageLoader("slipway.evaluation", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["figure"] = figure
    return environment.get_template("report.html.j2").render(
        found=found, facts=dict(facts), pictures=pictures(found), mistakes=mistakes(found), meaning=MEANING,
        class_rows=_classes(found),
    )  # fmt: skip


def figure(value: float) -> str:
    """Four digits that count: 0.8512, 16.04, 1,203."""
    if value == 0:
        return "0"
    digits = 3 - int(np.floor(np.log10(abs(value))))
    return f"{value:,.{max(0, min(digits, 6))}f}"


def pictures(found: Evaluation) -> list[Picture]:
    """The plots of a kind of problem."""
    truth, predicted, target = found.truth, found.predicted, found.target
    if found.problem == "regression":
        made = [
            Picture("Predicted against actual", "A perfect model has every row on the line. Darker: more rows.",
                    _svg(plots.predicted_against_actual(truth, predicted, target))),
            Picture("Residuals", "How far off the predictions are, and to which side.",
                    _svg(plots.residuals(truth, predicted))),
            Picture("Error by size of the prediction", "The middle and the half of the errors around it.",
                    _svg(plots.error_by_size(truth, predicted, target))),
        ]  # fmt: skip
    elif found.problem == "multiclass-classification":
        made = [
            Picture("Confusion matrix", "What the model takes for what.", _svg(plots.confusion(truth, predicted))),
            Picture("By class", "Which classes are found, and which answers can be trusted.",
                    _svg(plots.by_class(truth, predicted))),
        ]  # fmt: skip
    else:
        made = [
            Picture("Confusion matrix", "At a probability of one half.",
                    _svg(plots.confusion(truth, plots.answers(predicted)))),
            Picture("ROC", f"The area below is the AUC, {figure(found.metrics['auc']['value'])}.",
                    _svg(plots.roc(truth, predicted))),
            Picture("Precision and recall", "Dashed: the share of class 1, what guessing would get.",
                    _svg(plots.precision_recall(truth, predicted))),
            Picture("Calibration", "On the line, a probability can be taken at its word.",
                    _svg(plots.calibration(truth, predicted))),
        ]  # fmt: skip
    if found.importance:
        name = SCORES[found.problem][0]
        text = "What the model loses when a column is shuffled (permutation importance)."
        made.append(Picture("Importance of the columns", text, _svg(plots.importance(found.importance, name))))
    return made


def mistakes(found: Evaluation) -> dict[str, Any]:
    """The rows that the model is most wrong about, with the columns that matter most."""
    error = np.abs(found.predicted - found.truth)
    if found.problem == "multiclass-classification":
        error = (error > 0).astype(np.float64)
    worst = [place for place in np.argsort(-error, kind="stable")[:MISTAKES] if error[place] > 0]
    columns = [item.column for item in found.importance][:SHOWN] or list(found.columns)[:SHOWN]
    return {
        "columns": columns,
        "rows": [
            {
                "truth": found.truth[place],
                "predicted": found.predicted[place],
                "cells": [_cell(found.rows.iloc[place][column]) for column in columns],
            }
            for place in worst
        ],
    }


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN is not itself
        return "–"
    text = f"{value:g}" if isinstance(value, float | np.floating) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _classes(found: Evaluation) -> str:
    if found.problem == "regression":
        return f"mean {figure(float(found.truth.mean()))}, standard deviation {figure(float(found.truth.std()))}"
    classes, counts = np.unique(found.truth, return_counts=True)
    return ", ".join(f"{number:g}: {count:,}" for number, count in zip(classes, counts, strict=True))


def _svg(text: str) -> Markup:
    return Markup(text)  # noqa: S704 - drawn here; matplotlib escapes what it writes
