"""Train, evaluate and serve: one after the other, as the pipeline does it."""

import json
import shutil
import tarfile

import numpy as np
import pytest
from slipway.container import Paths, StepError

import evaluate
import predictor
import train
from flights import columns
from preprocess import preprocess


@pytest.fixture
def trained(paths, dataset) -> Paths:
    """A container's folders after preprocessing and a short training."""
    preprocess(paths, validation_share=0.1, test_share=0.1, seed=1)
    for name in ("train", "validation"):
        source = paths.base / "processing" / "output" / name
        shutil.copytree(source, paths.base / "input" / "data" / name)
    config = paths.base / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text('{"max_iter": "20", "learning_rate": "0.2"}')
    train.train(paths)
    return paths


@pytest.fixture
def evaluated(trained) -> Paths:
    """The same after evaluation."""
    place = trained.base / "processing" / "input"
    (place / "model").mkdir()
    with tarfile.open(place / "model" / "model.tar.gz", "w:gz") as tar:
        tar.add(trained.model / "model.joblib", "model.joblib")
    shutil.copytree(trained.base / "processing" / "output" / "test", place / "test")
    evaluate.evaluate(trained)
    return trained


def result(paths: Paths, name: str) -> dict:
    return json.loads((paths.processing_output("evaluation") / name).read_text())


def test_the_model_beats_a_constant_guess(evaluated):
    figures = result(evaluated, "evaluation.json")["regression_metrics"]
    assert set(figures) == {"rmse", "mse", "mae", "r2"}
    assert figures["r2"]["value"] > 0.5
    assert figures["mse"]["value"] == pytest.approx(figures["rmse"]["value"] ** 2)
    assert all(figure["standard_deviation"] > 0 for figure in figures.values())


def test_the_predictor_answers_the_samples_as_evaluation_did(evaluated):
    samples = result(evaluated, "samples.json")
    assert len(samples["rows"]) >= 10
    model = predictor.load(evaluated.model)
    assert list(model.columns) == samples["columns"]
    values = {
        name: [row[place] for row in samples["rows"]] for place, name in enumerate(model.columns)
    }
    assert model.predict(values) == pytest.approx(samples["predicted"])


def test_an_airport_that_training_never_saw_gets_an_answer(trained):
    model = predictor.load(trained.model)
    row = dict.fromkeys(columns.NUMBERS, [1.0]) | {
        "carrier": ["ZZ"],
        "origin": [None],
        "dest": ["XXX"],
    }
    assert np.isfinite(model.predict(row)).all()


def test_two_trainings_are_alike(trained):
    first = (trained.model / "model.joblib").read_bytes()
    train.train(trained)
    assert (trained.model / "model.joblib").read_bytes() == first


def test_an_unknown_hyperparameter_is_named():
    with pytest.raises(StepError, match=r"unknown max_iters; allowed: learning_rate, max_iter"):
        train.make({"max_iters": 3})


def test_metrics_that_are_no_numbers_fail_by_name():
    with pytest.raises(StepError, match="rmse, mse, mae, r2 cannot be computed"):
        evaluate.figures(np.array([1.0, 2.0]), np.array([np.nan, 2.0]))
    with pytest.raises(StepError, match=r"^r2 cannot be computed"):
        evaluate.figures(np.array([1.0, 1.0]), np.array([1.0, 2.0]))


def test_an_archive_without_a_model_is_said(trained):
    broken = trained.base / "model.tar.gz"
    with tarfile.open(broken, "w:gz"):
        pass
    with pytest.raises(StepError, match=r"no readable model\.joblib"):
        evaluate.load(broken)
