{% set problem = cookiecutter.__problem %}
{% set package = cookiecutter.__package %}
{% set framework = cookiecutter.framework %}
"""Train, evaluate and serve: one after the other, as the pipeline does it."""

import json
import shutil
import tarfile

{% if package != "digits" %}
import numpy as np
{% endif %}
import pytest
from slipway.container import Paths, StepError

import evaluate
import predictor
import train
from {{ package }} import columns
from preprocess import preprocess

from .invented import write

{% if framework == "scikit-learn" and package == "food_reviews" %}
HYPERPARAMETERS = {"inverse_regularization": "2.0"}
{% elif framework == "scikit-learn" %}
HYPERPARAMETERS = {"max_iter": "20", "learning_rate": "0.2"}
{% elif framework == "xgboost" %}
HYPERPARAMETERS = {"rounds": "20", "learning_rate": "0.2"}
{% elif framework == "tensorflow" %}
HYPERPARAMETERS = {"epochs": "8", "batch_size": "32", "learning_rate": "0.01", "dropout": "0.0"}
{% else %}
HYPERPARAMETERS = {"epochs": "4", "batch_size": "16", "width": "32", "learning_rate": "0.005"}
{% endif %}
METRICS = "{{ {"regression": "regression", "multiclass-classification": "multiclass_classification"}.get(problem, "binary_classification") }}_metrics"


@pytest.fixture
def trained(paths, dataset) -> Paths:
    """A container's folders after preprocessing and a short training."""
    learn(paths)
    return paths


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Paths:
    """The same after evaluation, which is made once: the tests only read what it wrote."""
    paths = Paths(tmp_path_factory.mktemp("evaluated"))
    place = paths.base / "processing" / "input"
    (place / "dataset").mkdir(parents=True)
    write(place / "dataset")
    learn(paths)
    (place / "model").mkdir()
    with tarfile.open(place / "model" / "model.tar.gz", "w:gz") as tar:
        tar.add(paths.model, ".")
    for name in ("train", "test"):
        shutil.copytree(paths.base / "processing" / "output" / name, place / name)
    evaluate.evaluate(paths)
    return paths


def learn(paths: Paths) -> None:
    preprocess(paths, validation_share=0.1, test_share=0.1, seed=1)
    for name in ("train", "validation"):
        source = paths.base / "processing" / "output" / name
        shutil.copytree(source, paths.base / "input" / "data" / name)
    config = paths.base / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(HYPERPARAMETERS))
    train.train(paths)


def result(paths: Paths, name: str) -> dict:
    return json.loads((paths.processing_output("evaluation") / name).read_text())


def test_the_model_has_learnt(evaluated):
    figures = result(evaluated, "evaluation.json")[METRICS]
{% if problem == "regression" %}
    assert set(figures) == {"rmse", "mse", "mae", "r2"}
    assert figures["r2"]["value"] > 0.5
{% elif problem == "multiclass-classification" %}
    assert figures["accuracy"]["value"] > 0.7
{% else %}
    assert figures["auc"]["value"] > 0.8
{% endif %}
    report = (evaluated.processing_output("evaluation") / "report.html").read_text()
    assert report.count("<svg") >= {{ 4 if package != "digits" else 3 }}


def test_the_baseline_knows_every_column(evaluated):
    folder = evaluated.processing_output("baseline")
    for name in ("statistics.json", "constraints.json"):
        features = json.loads((folder / name).read_text())["features"]
        assert [item["name"] for item in features] == [*columns.FEATURES, "prediction"]


def test_the_predictor_answers_the_samples_as_evaluation_did(evaluated):
    samples = result(evaluated, "samples.json")
    assert len(samples["rows"]) >= 10
    model = predictor.load(evaluated.model)
    assert list(model.columns) == samples["columns"]
    values = {
        name: [row[place] for row in samples["rows"]] for place, name in enumerate(model.columns)
    }
    assert model.predict(values) == pytest.approx(samples["predicted"], abs=1e-5)


def test_the_log_has_the_metrics_of_the_validation_rows(trained, capfd):
    train.train(trained)
    lines = capfd.readouterr().out.splitlines()
    assert any(line.startswith("validation:{{ {"regression": "rmse", "multiclass-classification": "accuracy"}.get(problem, "auc") }}=") for line in lines)


{% if package == "flights" %}
def test_an_airport_that_training_never_saw_gets_an_answer(trained):
    model = predictor.load(trained.model)
    row = dict.fromkeys(columns.NUMBERS, [float("nan")]) | {
        "carrier": ["ZZ"],
        "origin": [None],
        "dest": ["XXX"],
    }
    assert np.isfinite(model.predict(row)).all()
{% elif package == "digits" %}
def test_an_empty_sheet_gets_an_answer(trained):
    answers = predictor.load(trained.model).predict({name: [0.0] for name in columns.FEATURES})
    assert answers[0] in range(10)
{% else %}
def test_words_that_training_never_saw_and_no_words_at_all_get_an_answer(trained):
    answers = predictor.load(trained.model).predict({columns.TEXT: ["Zyx œuvre 🍜", "", None]})
    assert np.isfinite(answers).all()
{% endif %}


def test_two_trainings_answer_alike(trained):
    rows = columns.read(trained.channel("validation")).head(50)
    first = evaluate.evaluation.ask(predictor.load(trained.model), rows)
    shutil.rmtree(trained.model)
    train.train(trained)
    again = evaluate.evaluation.ask(predictor.load(trained.model), rows)
    assert again == pytest.approx(first, abs={{ '1e-9' if framework in ('scikit-learn', 'xgboost') else '1e-4' }})


{% if framework != "scikit-learn" %}
def test_an_interrupted_training_goes_on(trained):
    (trained.base / "checkpoints").mkdir()
    config = trained.base / "input" / "config" / "hyperparameters.json"
    whole = json.loads(config.read_text())
{% if framework == "xgboost" %}
    config.write_text(json.dumps(whole | {"rounds": "11"}))
{% else %}
    config.write_text(json.dumps(whole | {"epochs": "1"}))
{% endif %}
    train.train(trained)
    kept = [path for path in trained.checkpoints.rglob("*") if path.is_file()]
    assert kept, "nothing was kept"
    config.write_text(json.dumps(whole))
    train.train(trained)
{% if framework == "xgboost" %}
    assert predictor.load(trained.model).model.num_boosted_rounds() > 11
{% endif %}


{% endif %}
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"sed": 3}, r"unknown sed; allowed: .*seed"),
        ({"seed": "many"}, "seed: given 'many', allowed a whole number"),
    ],
)
def test_a_hyperparameter_that_does_not_fit_is_named(given, reason):
    with pytest.raises(StepError, match=reason):
        train.container.choose(train.HYPERPARAMETERS, given)


def test_an_archive_without_a_model_is_said(trained, tmp_path):
    broken = tmp_path / "model.tar.gz"
    with tarfile.open(broken, "w:gz"):
        pass
    (tmp_path / "empty").mkdir()
    with pytest.raises(StepError, match=r"no readable model"):
        evaluate.load(broken, tmp_path / "empty")
