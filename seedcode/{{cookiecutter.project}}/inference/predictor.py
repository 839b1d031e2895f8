"""The model behind the endpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
import pandas as pd

from flights import columns


class ArrivalDelay:
    """Answers with minutes of arrival delay."""

    columns = dict.fromkeys(columns.NUMBERS, float) | dict.fromkeys(columns.CATEGORIES, str)

    def __init__(self, model) -> None:
        self.model = model

    def predict(self, values: Mapping[str, list]) -> Sequence[float]:
        """One prediction a row, in minutes."""
        return self.model.predict(columns.typed(pd.DataFrame(values))).tolist()


def load(folder: Path) -> ArrivalDelay:
    """The model that training wrote to `folder`."""
    return ArrivalDelay(joblib.load(folder / "model.joblib"))
