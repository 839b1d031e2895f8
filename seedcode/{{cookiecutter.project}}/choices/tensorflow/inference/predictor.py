{% from "words.jinja" import answers, says with context %}
{% set digits = cookiecutter.__package == "digits" %}
"""The model behind the endpoint.

The signature of the SavedModel is asked, not Keras: for one row it answers a hundred times as fast.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from {{ cookiecutter.__package }} import columns

SIGNATURE = "serving_default"


class {{ cookiecutter.__class }}:
    """{{ says }}"""

    columns = columns.KINDS

    def __init__(self, model) -> None:
        self.model = model  # the signature lives as long as its model
        self.signature = model.signatures[SIGNATURE]

    def predict(self, values: Mapping[str, list]) -> Sequence[float]:
        """{{ answers }}"""
        (answers,) = self.signature(**inputs(values)).values()
{% if digits %}
        return answers.numpy().argmax(axis=1).tolist()
{% else %}
        return answers.numpy()[:, 0].tolist()
{% endif %}


def load(folder: Path) -> {{ cookiecutter.__class }}:
    """The model that training wrote to `folder`."""
    return {{ cookiecutter.__class }}(tf.saved_model.load(str(folder)))


def inputs(values: Mapping[str, list]) -> dict[str, tf.Tensor]:
    """Rows as the network reads them."""
{% if digits %}
    pixels = [np.asarray(values[name], dtype=np.float32) for name in columns.FEATURES]
    return {"pixels": tf.constant(np.column_stack(pixels))}
{% else %}
    numbers = [np.asarray(values[name], dtype=np.float32) for name in columns.NUMBERS]
    made = {"numbers": tf.constant(np.column_stack(numbers))}
    for name in columns.CATEGORIES:
        # What is not known is an empty text; to the network all texts that it never saw are alike.
        texts = [value if isinstance(value, str) else "" for value in values[name]]
        made[name] = tf.constant(texts)
    return made
{% endif %}
