{% from "words.jinja" import answers, says with context %}
"""The model behind the endpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
{% if cookiecutter.__package != "food_reviews" %}
import pandas as pd
{% endif %}

from {{ cookiecutter.__package }} import columns


class {{ cookiecutter.__class }}:
    """{{ says }}"""

    columns = columns.KINDS

    def __init__(self, model) -> None:
        self.model = model

    def predict(self, values: Mapping[str, list]) -> Sequence[float]:
        """{{ answers }}"""
{% if cookiecutter.__package == "food_reviews" %}
        texts = [text or "" for text in values[columns.TEXT]]
        return self.model.predict_proba(texts)[:, 1].tolist()
{% elif cookiecutter.__problem == "binary-classification" %}
        rows = columns.typed(pd.DataFrame(values))
        return self.model.predict_proba(rows)[:, 1].tolist()
{% else %}
        return self.model.predict(columns.typed(pd.DataFrame(values))).tolist()
{% endif %}


def load(folder: Path) -> {{ cookiecutter.__class }}:
    """The model that training wrote to `folder`."""
    return {{ cookiecutter.__class }}(joblib.load(folder / "model.joblib"))
