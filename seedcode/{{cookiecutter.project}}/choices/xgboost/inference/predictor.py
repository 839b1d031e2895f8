{% from "words.jinja" import answers, says with context %}
{% set digits = cookiecutter.__package == "digits" %}
"""The model behind the endpoint."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import xgboost

from {{ cookiecutter.__package }} import columns, encoding

# As train.py saves it, and as SageMaker's built-in algorithm does.
MODEL, BUILT_IN = "model.ubj", "xgboost-model"


class {{ cookiecutter.__class }}:
    """{{ says }}"""

    columns = columns.KINDS

    def __init__(self, model: xgboost.Booster, known: encoding.Known) -> None:
        self.model = model
        self.known = known

    def predict(self, values: Mapping[str, list]) -> Sequence[float]:
        """{{ answers }}"""
{% if digits %}
        found = self.model.predict(matrix(values, self.known))
        # The built-in algorithm's models answer with the probability of each digit.
        return (found.argmax(axis=1).astype(float) if found.ndim == 2 else found).tolist()
{% else %}
        return self.model.predict(matrix(values, self.known)).tolist()
{% endif %}


def load(folder: Path) -> {{ cookiecutter.__class }}:
    """The model that training wrote to `folder`."""
    trees = folder / (MODEL if (folder / MODEL).exists() else BUILT_IN)
    model = xgboost.Booster(model_file=bytearray(trees.read_bytes()))
    known = json.loads((folder / encoding.FILE).read_text(encoding="utf-8"))
    return {{ cookiecutter.__class }}(model, known)


def matrix(values: Mapping[str, list], known: encoding.Known, truth=None) -> xgboost.DMatrix:
    """Rows as xgboost reads them."""
{% if digits %}
    return xgboost.DMatrix(
        encoding.numbers(values, known), truth, feature_names=list(columns.FEATURES)
    )
{% else %}
    kinds = ["float"] * len(columns.NUMBERS) + ["c"] * len(columns.CATEGORIES)
    return xgboost.DMatrix(
        encoding.numbers(values, known),
        truth,
        feature_names=list(columns.FEATURES),
        feature_types=kinds,
        enable_categorical=True,
    )
{% endif %}
