{% set digits = cookiecutter.__package == "digits" %}
"""Columns as the numbers that trees split."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from {{ cookiecutter.__package }} import columns

# Beside the model: what `known` found in the training rows.
FILE = "categories.json"

# The values of each category that training knows, in the order of their codes.
Known = Mapping[str, list[str]]


def known(rows: pd.DataFrame) -> Known:
{% if digits %}
    """Nothing: a pixel is a number already."""
    return {}
{% else %}
    """The categories of the training rows."""
    return {name: sorted(rows[name].dropna().astype(str).unique()) for name in columns.CATEGORIES}
{% endif %}


def numbers(values: Mapping[str, list] | pd.DataFrame, known: Known) -> np.ndarray:
{% if digits %}
    """One row of pixels an image."""
    return np.column_stack([np.asarray(values[name], np.float32) for name in columns.FEATURES])
{% else %}
    """Rows of numbers: categories as codes; one that training never saw is missing."""
    made = [np.asarray(values[name], dtype=np.float32) for name in columns.NUMBERS]
    for name in columns.CATEGORIES:
        codes = {value: code for code, value in enumerate(known[name])}
        made.append(np.array([codes.get(value, np.nan) for value in values[name]], np.float32))
    return np.column_stack(made)
{% endif %}
