{% if cookiecutter.__package == "food_reviews" %}
"""Fits the model: a logistic regression on the words and pairs of words of a text (TF-IDF).

The fit takes seconds and is made in one go: it leaves no checkpoints, and a job that was
interrupted begins anew.
"""

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from slipway import container, evaluation

import predictor
from food_reviews import columns

HYPERPARAMETERS = {
    "inverse_regularization": 3.0,  # the smaller, the simpler the model
    "longest_phrase": 2,  # words
    "min_reviews": 2,  # rarer phrases are not looked at
    "max_iter": 500,
    "seed": 2013,
}


def train(paths: container.Paths) -> None:
    """Read the train and validation rows, fit, and write model.joblib."""
    target, problem = container.target(), container.problem()
    parts = {name: columns.read(paths.channel(name)) for name in ("train", "validation")}
    model = make(paths.hyperparameters())
    model.fit(parts["train"][columns.TEXT], parts["train"][target])
    print(f"{len(model[0].vocabulary_)} phrases of {len(parts['train'])} reviews")
    joblib.dump(model, paths.model / "model.joblib")
    served = predictor.load(paths.model)
    for name, rows in parts.items():
        evaluation.announce(name, problem, rows[target], evaluation.ask(served, rows))


def make(given: dict[str, container.Scalar]) -> Pipeline:
    """The model to fit. Raises StepError for a hyperparameter that it does not have."""
    chosen = container.choose(HYPERPARAMETERS, given)
    words = TfidfVectorizer(
        ngram_range=(1, chosen["longest_phrase"]), min_df=chosen["min_reviews"], sublinear_tf=True
    )
    regression = LogisticRegression(
        C=chosen["inverse_regularization"],
        max_iter=chosen["max_iter"],
        random_state=chosen["seed"],
    )
    return make_pipeline(words, regression)
{% else %}
{% set kind = "Regressor" if cookiecutter.__problem == "regression" else "Classifier" %}
"""Fits the model: gradient boosting on histograms, which takes gaps and categories as they come.

The fit takes seconds and is made in one go: it leaves no checkpoints, and a job that was
interrupted begins anew.
"""

import joblib
from sklearn.ensemble import HistGradientBoosting{{ kind }}
from slipway import container, evaluation

import predictor
from {{ cookiecutter.__package }} import columns

# This many rounds without progress on the validation rows end the training.
PATIENCE = 20
HYPERPARAMETERS = {
    "learning_rate": 0.1,
    "max_iter": 250,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 20,
    "l2_regularization": 0.0,
    "seed": 2013,
}


def train(paths: container.Paths) -> None:
    """Read the train and validation rows, fit, and write model.joblib."""
    target, problem = container.target(), container.problem()
    parts = {name: columns.read(paths.channel(name)) for name in ("train", "validation")}
    features = {name: columns.typed(part) for name, part in parts.items()}
    model = make(paths.hyperparameters())
    model.fit(
        features["train"],
        parts["train"][target],
        X_val=features["validation"],
        y_val=parts["validation"][target],
    )
    print(f"{model.n_iter_} rounds on {len(parts['train'])} rows")
    joblib.dump(model, paths.model / "model.joblib")
    served = predictor.load(paths.model)
    for name, rows in parts.items():
        evaluation.announce(name, problem, rows[target], evaluation.ask(served, rows))


def make(given: dict[str, container.Scalar]) -> HistGradientBoosting{{ kind }}:
    """The model to fit. Raises StepError for a hyperparameter that it does not have."""
    chosen = container.choose(HYPERPARAMETERS, given)
    return HistGradientBoosting{{ kind }}(
        random_state=chosen.pop("seed"),
        early_stopping=True,
        n_iter_no_change=PATIENCE,
        **chosen,
    )
{% endif %}


if __name__ == "__main__":
    container.run(train)
