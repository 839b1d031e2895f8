"""Measures the model on the test rows, and keeps some of them for the smoke test of an endpoint."""

import io
import json
import math
import tarfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from slipway import container

from flights import columns

SAMPLES = 20
RESAMPLES = 100
SEED = 2013


def evaluate(paths: container.Paths) -> None:
    """Write evaluation.json (the form that SageMaker's model registry shows) and samples.json."""
    target = container.target()
    rows = columns.read(paths.processing_input("test") / "test.csv")
    if rows.empty:
        raise container.StepError("test.csv has no rows: there is nothing to measure the model on")
    model = load(paths.processing_input("model") / "model.tar.gz")
    predicted = model.predict(columns.typed(rows))
    report = {"regression_metrics": figures(rows[target].to_numpy(), predicted)}
    output = paths.processing_output("evaluation")
    write(output / "evaluation.json", report)
    write(output / "samples.json", samples(rows, predicted, target))
    for name, figure in report["regression_metrics"].items():
        print(f"{name}: {figure['value']:.4f} ± {figure['standard_deviation']:.4f}")


def load(archive: Path):
    """The model out of model.tar.gz, as SageMaker packed it."""
    try:
        with tarfile.open(archive) as tar:
            member = next(item for item in tar if Path(item.name).name == "model.joblib")
            return joblib.load(io.BytesIO(tar.extractfile(member).read()))
    except (OSError, tarfile.TarError, StopIteration) as error:
        raise container.StepError(f"{archive.name}: no readable model.joblib: {error}") from error


def metrics(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """RMSE, MSE, MAE (minutes) and R²."""
    error = predicted - truth
    mse = float(np.mean(error**2))
    spread = float(np.mean((truth - truth.mean()) ** 2))
    return {
        "rmse": math.sqrt(mse),
        "mse": mse,
        "mae": float(np.mean(np.abs(error))),
        "r2": 1 - mse / spread if spread else math.nan,
    }


def figures(truth: np.ndarray, predicted: np.ndarray) -> dict[str, dict[str, float]]:
    """Each metric with its standard deviation over resamples of the rows (bootstrap).

    Raises StepError if a metric is not a number: a gate could not be asked about it.
    """
    values = metrics(truth, predicted)
    undefined = [name for name, value in values.items() if not math.isfinite(value)]
    if undefined:
        raise container.StepError(
            f"{', '.join(undefined)} cannot be computed on {len(truth)} test rows: "
            "a prediction is not a number, or all of them have the same truth"
        )
    generator = np.random.default_rng(SEED)
    draws = [generator.integers(len(truth), size=len(truth)) for _ in range(RESAMPLES)]
    spread = pd.DataFrame([metrics(truth[draw], predicted[draw]) for draw in draws]).std()
    return {
        name: {"value": value, "standard_deviation": float(np.nan_to_num(spread[name]))}
        for name, value in values.items()
    }


def samples(rows: pd.DataFrame, predicted: np.ndarray, target: str) -> dict:
    """Some rows with the truth and the answer, as a client would send and get them."""
    chosen = rows.assign(predicted=predicted).sample(min(SAMPLES, len(rows)), random_state=SEED)
    features = chosen[list(columns.FEATURES)].astype(object)
    return {
        "target": target,
        "columns": list(columns.FEATURES),
        "rows": features.where(features.notna(), None).to_numpy().tolist(),
        "truth": chosen[target].tolist(),
        "predicted": chosen["predicted"].tolist(),
    }


def write(path: Path, content: dict) -> None:
    """JSON that every reader takes: without NaN."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    container.run(evaluate)
