"""How much worse a model becomes when a column no longer says anything: permutation importance.

The model is asked through its predictor alone, so it is the same for every framework.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from slipway.evaluation.asking import Model, Numbers, ask
from slipway.evaluation.metrics import SEED, binary, multiclass, regression
from slipway.metrics import Problem

# (what is measured, whether more is better)
SCORES: dict[Problem, tuple[str, bool]] = {
    "regression": ("rmse", False),
    "binary-classification": ("auc", True),
    "multiclass-classification": ("accuracy", True),
    "text-classification": ("auc", True),
}
# Enough to rank the columns; how sure the rank is, the deviation over the repeats says.
ROWS = 1_000
REPEATS = 3


@dataclass(frozen=True)
class Importance:
    """How much the score suffers when the column is shuffled: mean and standard deviation over the repeats."""

    column: str
    loss: float
    deviation: float


def permutation(
    model: Model, rows: pd.DataFrame, truth: Numbers, problem: Problem, *, most: int = ROWS, repeats: int = REPEATS
) -> list[Importance]:
    """The importance of each column of the model, the most important first."""
    generator = np.random.default_rng(SEED)
    chosen = np.sort(generator.permutation(len(rows))[:most])
    part, wanted = rows.iloc[chosen].reset_index(drop=True), truth[chosen]
    whole = score(problem, wanted, ask(model, part))
    found = []
    for column in model.columns:
        # All repeats in one request: a model takes longer to be asked than to answer.
        orders = np.concatenate([generator.permutation(len(part)) for _ in range(repeats)])
        changed = pd.concat([part] * repeats, ignore_index=True)
        changed[column] = part[column].take(orders).reset_index(drop=True)
        losses = []
        for answers in np.split(ask(model, changed), repeats):
            after = score(problem, wanted, answers)
            losses.append(whole - after if SCORES[problem][1] else after - whole)
        found.append(Importance(column, float(np.mean(losses)), float(np.std(losses))))
    return sorted(found, key=lambda item: -item.loss)


def score(problem: Problem, truth: Numbers, predicted: Numbers) -> float:
    """The one figure of a kind of problem that importance is counted in."""
    compute = {"regression": regression, "multiclass-classification": multiclass}.get(problem, binary)
    return compute(truth, predicted)[SCORES[problem][0]]
