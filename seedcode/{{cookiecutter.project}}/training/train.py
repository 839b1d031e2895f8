"""Fits the model: gradient boosting on histograms, which takes gaps and categories as they come."""

import joblib
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import root_mean_squared_error
from slipway import container

from flights import columns

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
    target = container.target()
    parts = {
        name: columns.read(paths.channel(name) / f"{name}.csv") for name in ("train", "validation")
    }
    features = {name: columns.typed(part) for name, part in parts.items()}
    truth = {name: part[target] for name, part in parts.items()}
    model = make(paths.hyperparameters())
    model.fit(
        features["train"],
        truth["train"],
        X_val=features["validation"],
        y_val=truth["validation"],
    )
    print(f"{model.n_iter_} rounds on {len(truth['train'])} rows")
    for name in parts:
        error = root_mean_squared_error(truth[name], model.predict(features[name]))
        print(f"{name}: rmse={error:.4f}")
    joblib.dump(model, paths.model / "model.joblib")


def make(given: dict[str, container.Scalar]) -> HistGradientBoostingRegressor:
    """The model to fit. Raises StepError for a hyperparameter that it does not have."""
    unknown = sorted(set(given) - set(HYPERPARAMETERS))
    if unknown:
        allowed = ", ".join(HYPERPARAMETERS)
        raise container.StepError(
            f"training.hyperparameters: unknown {', '.join(unknown)}; allowed: {allowed}"
        )
    chosen = HYPERPARAMETERS | given
    return HistGradientBoostingRegressor(
        random_state=chosen.pop("seed"),
        early_stopping=True,
        n_iter_no_change=PATIENCE,
        **chosen,
    )


if __name__ == "__main__":
    container.run(train)
