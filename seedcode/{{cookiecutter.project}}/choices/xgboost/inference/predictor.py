{% from "words.jinja" import answers, says with context %}
{% set digits = cookiecutter.__package == "digits" %}
"""The model behind the endpoint."""

{% if not digits %}
import json
{% endif %}
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xgboost

from {{ cookiecutter.__package }} import columns

MODEL = "model.ubj"
{% if not digits %}
CATEGORIES = "categories.json"

# The values of each category that training knows, in the order of their codes.
Known = Mapping[str, list[str]]
{% endif %}


class {{ cookiecutter.__class }}:
    """{{ says }}"""

    columns = columns.KINDS

    def __init__(self, model: xgboost.Booster{% if not digits %}, known: Known{% endif %}) -> None:
        self.model = model
{% if not digits %}
        self.known = known
{% endif %}

    def predict(self, values: Mapping[str, list]) -> Sequence[float]:
        """{{ answers }}"""
        return self.model.predict(matrix(values{% if not digits %}, self.known{% endif %})).tolist()


def load(folder: Path) -> {{ cookiecutter.__class }}:
    """The model that training wrote to `folder`."""
    model = xgboost.Booster(model_file=folder / MODEL)
{% if digits %}
    return {{ cookiecutter.__class }}(model)
{% else %}
    known = json.loads((folder / CATEGORIES).read_text(encoding="utf-8"))
    return {{ cookiecutter.__class }}(model, known)
{% endif %}


{% if digits %}
def matrix(values: Mapping[str, list], truth=None) -> xgboost.DMatrix:
    """Rows as xgboost reads them."""
    pixels = [np.asarray(values[name], dtype=np.float32) for name in columns.FEATURES]
    return xgboost.DMatrix(np.column_stack(pixels), truth, feature_names=list(columns.FEATURES))
{% else %}
def matrix(values: Mapping[str, list], known: Known, truth=None) -> xgboost.DMatrix:
    """Rows as xgboost reads them: categories as codes; one that training never saw is missing."""
    made = [np.asarray(values[name], dtype=np.float32) for name in columns.NUMBERS]
    for name in columns.CATEGORIES:
        codes = {value: code for code, value in enumerate(known[name])}
        made.append(np.array([codes.get(value, np.nan) for value in values[name]], np.float32))
    kinds = ["float"] * len(columns.NUMBERS) + ["c"] * len(columns.CATEGORIES)
    return xgboost.DMatrix(
        np.column_stack(made),
        truth,
        feature_names=list(columns.FEATURES),
        feature_types=kinds,
        enable_categorical=True,
    )
{% endif %}
