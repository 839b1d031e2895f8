"""The program in the image of the built-in XGBoost, without XGBoost: hyperparameters, metrics, and what is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as judge

from localcloud.algorithms.sagemaker_xgboost import hyperparameters, metrics
from localcloud.algorithms.sagemaker_xgboost.errors import UserError, failure_of
from localcloud.runtime import provided
from localcloud.services.sagemaker import algorithms

ROWS = {"num_round": "10"}


def matrix(labels: Any) -> Any:
    """What of a DMatrix a metric reads."""
    return SimpleNamespace(get_label=lambda: np.array(labels, dtype=np.float32))


@given(st.data())
def test_metrics_of_classes_are_scikit_learns(data: st.DataObject) -> None:
    """The container computes them with scikit-learn, which the image does without."""
    size = data.draw(st.integers(2, 30))
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    shares = np.array(data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    predictions = np.eye(3)[shares]
    names = ["accuracy", "balanced_accuracy", "f1", "f1_macro", "precision_macro", "precision_micro", "recall_macro",
             "recall_micro"]  # fmt: skip
    found = dict(metrics.evaluation(names)(predictions, matrix(labels)))
    averages = {"average": "macro", "zero_division": 0.0}
    assert found["accuracy"] == pytest.approx(judge.accuracy_score(labels, shares))
    recalls = judge.recall_score(labels, shares, average=None, labels=np.unique(labels), zero_division=0.0)
    assert found["balanced_accuracy"] == pytest.approx(recalls.mean())
    assert found["f1"] == found["f1_macro"] == pytest.approx(judge.f1_score(labels, shares, **averages))
    assert found["precision_macro"] == pytest.approx(judge.precision_score(labels, shares, **averages))
    assert found["recall_macro"] == pytest.approx(judge.recall_score(labels, shares, **averages))
    micro = judge.precision_score(labels, shares, average="micro")
    assert found["precision_micro"] == found["recall_micro"] == pytest.approx(micro)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=20))
def test_metrics_of_numbers_are_scikit_learns(pairs: list[tuple[float, float]]) -> None:
    labels, predictions = (np.array(column, dtype=np.float32) for column in zip(*pairs, strict=True))
    found = dict(metrics.evaluation(["mse", "rmse", "mae"])(predictions, matrix(labels)))
    assert found["mse"] == pytest.approx(judge.mean_squared_error(labels, predictions), rel=1e-3, abs=1e-6)
    assert found["rmse"] == pytest.approx(math.sqrt(found["mse"]))
    assert found["mae"] == pytest.approx(judge.mean_absolute_error(labels, predictions), rel=1e-3, abs=1e-6)


def test_r2() -> None:
    labels, predictions = np.array([1.0, 2, 3, 4]), np.array([1.1, 1.9, 3.2, 3.7])
    found = dict(metrics.evaluation(["r2"])(predictions, matrix(labels)))
    assert found["r2"] == pytest.approx(judge.r2_score(labels, predictions), rel=1e-5)


def test_probabilities_are_taken_for_log_odds() -> None:
    """The container's fault on XGBoost 3, kept: of binary:logistic every row counts as class 1."""
    found = dict(metrics.evaluation(["accuracy", "recall"])(np.array([0.1, 0.2, 0.9]), matrix([0, 0, 1])))
    assert found == {"accuracy": pytest.approx(1 / 3), "recall": 1.0}
    with pytest.raises(ValueError, match="Target is multiclass but average='binary'"):
        metrics.evaluation(["f1_binary"])(np.eye(3), matrix([0, 1, 2]))


def test_hyperparameters_are_values() -> None:
    """Every kind is parsed, and other names lead to the first ones."""
    found = hyperparameters.validate({
        **ROWS, "learning_rate": "0.3", "objective": "multi:softprob", "num_class": "3",
        "eval_metric": "merror,error@0.7",
        "tree_method": "hist", "monotone_constraints": "(1, -1)", "interaction_constraints": "[[1, 2], [3]]",
        "updater": "grow_histmaker,prune", "_tuning_objective_metric": "validation:mlogloss",
    })  # fmt: skip
    assert found == {
        "num_round": 10, "eta": 0.3, "objective": "multi:softprob", "num_class": 3,
        "eval_metric": ["merror", "error@0.7"], "tree_method": "hist", "monotone_constraints": (1, -1),
        "interaction_constraints": [[1, 2], [3]], "updater": ["grow_histmaker", "prune"],
        "_tuning_objective_metric": "validation:mlogloss",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "Missing required hyperparameter: num_round"),
        ({"num_round": "0"}, "Hyperparameter num_round: 0 is not in [1, +inf)"),
        ({**ROWS, "depth": "3"}, "Extraneous hyperparameter found: depth"),
        ({**ROWS, "eta": "1.5"}, "Hyperparameter eta: 1.5 is not in [0, 1]"),
        ({**ROWS, "max_depth": "deep"}, "Hyperparameter max_depth: could not parse value (caused by ValueError)"),
        ({**ROWS, "objective": "multi:softmax"}, "Require input for parameter 'num_class' for multi-classification"),
        ({**ROWS, "subsample": "0"}, "Hyperparameter subsample: 0.0 is not in (0, 1]"),
        ({**ROWS, "tweedie_variance_power": "2"}, "Hyperparameter tweedie_variance_power: 2.0 is not in (1, 2)"),
        ({**ROWS, "objective": '"reg:gamma"'}, "Hyperparameter objective: \"reg:gamma\" is not in ['aft_"),
        ({**ROWS, "objective": "reg:squarederror", "eval_metric": "rsme"},
         "Hyperparameter eval_metric: value ['rsme'] not in range ['accuracy', "),
        ({**ROWS, "objective": "reg:squarederror", "eval_metric": "rmse@1"},
         "Metric 'rmse@1' is not supported. Parameter 'eval_metric' with customized threshold should be one of these "
         "options: 'error', 'ndcg', 'map'."),
        ({**ROWS, "objective": "reg:squarederror", "eval_metric": "error@x"},
         "Threshold value 't' in 'error@t' expects float input."),
        ({**ROWS, "objective": "reg:squarederror", "eval_metric": "auc"},
         "Metric 'auc' can only be applied for classification and ranking problems."),
        ({**ROWS, "monotone_constraints": "(1,"},
         "Hyperparameter monotone_constraints: could not parse value (caused by ValueError)"),
        ({**ROWS, "monotone_constraints": "(1,0)"},
         "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'."),
        ({**ROWS, "booster": "gblinear", "updater": "prune"},
         "Linear updater should be one of these options: 'shotgun', 'coord_descent'."),
    ],
)  # fmt: skip
def test_hyperparameters_are_refused(given_: dict[str, str], message: str) -> None:
    """In the words of the container."""
    with pytest.raises(UserError) as caught:
        hyperparameters.validate(given_)
    assert str(caught.value).startswith(message)
    assert failure_of(caught.value).startswith(
        f"framework error: \nsagemaker_algorithm_toolkit.exceptions.UserError: {message}"
    )


def test_a_metric_without_an_objective_ends_with_a_key_error() -> None:
    """The container's fault: it looks the objective up."""
    with pytest.raises(KeyError) as caught:
        hyperparameters.validate({**ROWS, "eval_metric": "rmse"})
    assert failure_of(caught.value) == "framework error: \nKeyError: 'objective'"


def test_which_images_are_provided() -> None:
    """The account goes with the region; a digest, another tag and another account are none."""
    ireland = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost"
    assert provided.find(f"{ireland}:3.2-0") is not None
    assert provided.is_algorithm(f"{ireland}:1.7-1")
    for other in (f"{ireland}:1.7-1", f"{ireland}:3.2-0@sha256:{'0' * 64}", f"{ireland.replace('eu-', 'us-')}:3.2-0",
                  f"{ireland}x:3.2-0", "sagemaker-xgboost:3.2-0", ""):  # fmt: skip
        assert provided.find(other) is None


def test_definitions_are_forty_at_most() -> None:
    """More than the API's limit would not be described; each finds its own number in a line of the log."""
    for metric in ("rmse", "f1_macro"):
        specification = {"TrainingImage": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0"}
        algorithms.complete(specification, f"validation:{metric}")
        listed: Any = specification["MetricDefinitions"]
        assert len(listed) <= 40
        assert len({item["Name"] for item in listed}) == len(listed)
        assert {"ObjectiveMetric", f"validation:{metric}"} <= {item["Name"] for item in listed}
