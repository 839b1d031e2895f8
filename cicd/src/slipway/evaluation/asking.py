"""Asks a model as the server asks it, so that what is measured is what is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from slipway.container import StepError

Numbers = npt.NDArray[np.float64]
# Rows that a model is asked at once: enough to be quick, and little memory for a network.
CHUNK = 10_000


class Model(Protocol):
    """A project's predictor: the same that slipway.serving serves."""

    @property
    def columns(self) -> Mapping[str, type[float] | type[str]]:
        """The columns of a request in their order: name → float or str."""

    def predict(self, columns: dict[str, list[Any]]) -> Sequence[float]:
        """One prediction a row."""


def ask(model: Model, rows: pd.DataFrame) -> Numbers:
    """The model's predictions, one a row of `rows`.

    Raises StepError if a column is missing, or the model does not give one number a row.
    """
    missing = [name for name in model.columns if name not in rows]
    if missing:
        raise StepError(f"the rows have no column {', '.join(missing)}, which the model asks for")
    answers: list[float] = []
    for start in range(0, len(rows), CHUNK):
        part = rows.iloc[start : start + CHUNK]
        given = model.predict(request(model.columns, part))
        if len(given) != len(part):
            raise StepError(f"the model gave {len(given)} predictions for {len(part)} rows")
        answers.extend(given)
    try:
        return np.asarray(answers, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise StepError(f"a prediction of the model is not a number: {error}") from None


def request(kinds: Mapping[str, type[float] | type[str]], rows: pd.DataFrame) -> dict[str, list[Any]]:
    """Rows as columns of a request: numbers are floats (NaN: not known), texts are str or None."""
    made: dict[str, list[Any]] = {}
    for name, kind in kinds.items():
        if kind is str:
            known = rows[name].notna()
            made[name] = [str(value) if there else None for value, there in zip(rows[name], known, strict=True)]
        else:
            made[name] = rows[name].astype("float64").tolist()
    return made
