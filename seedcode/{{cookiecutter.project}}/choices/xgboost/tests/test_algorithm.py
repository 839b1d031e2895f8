{% set problem = cookiecutter.__problem %}
"""A built-in algorithm instead of train.py: what it reads, and what becomes of its model."""

import shutil
import tarfile

import pandas as pd
import pytest
import xgboost

import evaluate
import predictor
from {{ cookiecutter.__package }} import columns
from preprocess import preprocess

from .invented import TARGET

TOLD = {
{% if problem == "regression" %}
    "objective": "reg:squarederror",
{% elif problem == "binary-classification" %}
    "objective": "binary:logistic",
{% else %}
    "objective": "multi:softprob",
    "num_class": 10,
{% endif %}
}


@pytest.fixture
def encoded(paths, dataset, monkeypatch):
    """A container's folders after preprocessing for the algorithm."""
    monkeypatch.setenv("SLIPWAY_ALGORITHM", "xgboost")
    preprocess(paths, validation_share=0.1, test_share=0.1, seed=1)
    return paths


def test_the_algorithm_reads_the_target_and_numbers(encoded):
    for name in ("train", "validation"):
        rows = columns.read(encoded.processing_output(name))
        file = encoded.processing_output(f"matrix-{name}") / f"{name}.csv"
        matrix = pd.read_csv(file, header=None)
        assert matrix.shape == (len(rows), 1 + len(columns.FEATURES))
        assert list(matrix[0]) == pytest.approx(list(rows[TARGET]))
        assert all(kind.kind in "if" for kind in matrix.dtypes)


def test_its_model_is_measured_and_served(encoded):
    matrix = pd.read_csv(encoded.processing_output("matrix-train") / "train.csv", header=None)
    data = xgboost.DMatrix(matrix[matrix.columns[1:]].to_numpy(), matrix[0])
    place = encoded.base / "processing" / "input"
    for name in ("train", "test", "encoding"):
        shutil.copytree(encoded.processing_output(name), place / name)
    (place / "model").mkdir()
    trees = encoded.base / predictor.BUILT_IN
    trees.write_bytes(xgboost.train(TOLD, data, num_boost_round=20).save_raw("ubj"))
    with tarfile.open(place / "model" / "model.tar.gz", "w:gz") as tar:
        tar.add(trees, predictor.BUILT_IN)
    evaluate.evaluate(encoded)
    with tarfile.open(encoded.processing_output("model") / "model.tar.gz") as tar:
        tar.extractall(encoded.model, filter="data")
    rows = columns.read(place / "test").head(20)
    served = predictor.load(encoded.model)
    answers = served.predict({name: rows[name].tolist() for name in columns.FEATURES})
    assert len(answers) == len(rows)
{% if problem == "multiclass-classification" %}
    assert set(answers) <= set(range(10))
{% else %}
    assert len(set(answers)) > 1
{% endif %}
