"""What an evaluation finds out: metrics, sample rows, the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slipway.container import StepError
from slipway.evaluation.asking import Model, Numbers, ask
from slipway.evaluation.importance import Importance, permutation
from slipway.evaluation.metrics import SEED, Figures, measure
from slipway.metrics import REPORT_KEYS, Problem

SAMPLES = 20


@dataclass(frozen=True)
class Evaluation:
    """A model, measured on test rows."""

    problem: Problem
    target: str
    columns: tuple[str, ...]
    rows: pd.DataFrame
    truth: Numbers
    predicted: Numbers
    metrics: Figures
    importance: tuple[Importance, ...]

    def report(self) -> dict[str, Figures]:
        """evaluation.json, in the form that SageMaker's model registry shows."""
        return {REPORT_KEYS[self.problem]: self.metrics}

    def samples(self, count: int = SAMPLES) -> dict[str, Any]:
        """samples.json: some rows with the truth and the answer, as a client would send and get them."""
        generator = np.random.default_rng(SEED)
        chosen = np.sort(generator.permutation(len(self.rows))[:count])
        features = self.rows.iloc[chosen][list(self.columns)].astype(object)
        return {
            "target": self.target,
            "columns": list(self.columns),
            "rows": features.where(features.notna(), None).to_numpy().tolist(),
            "truth": self.truth[chosen].tolist(),
            "predicted": self.predicted[chosen].tolist(),
        }

    def html(self, facts: Mapping[str, str]) -> str:
        """report.html, complete in itself; `facts` are shown at its head."""
        from slipway.evaluation.report import page

        return page(self, facts)


def evaluate(model: Model, rows: pd.DataFrame, target: str, problem: Problem) -> Evaluation:
    """Measure a model on rows that it has not seen; they hold its columns and the target.

    Raises StepError, which says what is wrong, if there are no rows, a column is missing or a metric is not a number.
    """
    if rows.empty:
        raise StepError("there are no test rows: there is nothing to measure the model on")
    if target not in rows:
        raise StepError(f"the test rows have no column {target}, which data.target of project.yaml names")
    if not pd.api.types.is_numeric_dtype(rows[target]):
        raise StepError(f"the target {target} of the test rows holds more than numbers")
    truth = rows[target].to_numpy(dtype=np.float64)
    predicted = ask(model, rows)
    figures = measure(problem, truth, predicted)
    columns = tuple(model.columns)
    # One column alone: without it, nothing is left to ask.
    found = permutation(model, rows, truth, problem) if len(columns) > 1 else []
    return Evaluation(problem, target, columns, rows, truth, predicted, figures, tuple(found))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """JSON that every reader takes: without NaN."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
