"""`train`: from the channels and hyperparameters of /opt/ml/input to /opt/ml/model/xgboost-model."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
from pathlib import Path
from typing import Any

import xgboost

from . import channels, hyperparameters, metrics
from .errors import AlgorithmError, UserError

MODEL = "xgboost-model"
_CHECKPOINT = "xgboost-checkpoint"
# XGBoost's messages about data and hyperparameters that a user can mend.
_OF_THE_USER = (
    "label must be in [0,1] for logistic regression", "label must be in [0, num_class)",
    "Target is multiclass but average='binary'", "feature_names mismatch",
    "Check failed: preds.size() == info.labels_.size()",
    "Check failed: !auc_error AUC: the dataset only contains pos or neg samples",
    "Check failed: base_score > 0.0f && base_score < 1.0f base_score must be in (0,1) for logistic loss",
    "Check failed: label_correct PoissonRegression: label must be nonnegative",
    "Check failed: label_correct TweedieRegression: label must be nonnegative",
    "Parameter reg_lambda should be greater equal to 0",
)  # fmt: skip


def train(base: Path) -> None:
    """
    Args:
        base: /opt/ml.

    Raises:
        UserError, AlgorithmError: with the reason.
    """
    config = base / "input" / "config"
    given = json.loads((config / "hyperparameters.json").read_text())
    inputs = json.loads((config / "inputdataconfig.json").read_text())
    if "train" not in inputs:
        raise KeyError("SM_CHANNEL_TRAIN")  # the variable that the container misses first
    values = hyperparameters.validate(given)
    if values.get("updater"):
        values["updater"] = ",".join(values["updater"])
    described = channels.validate(inputs)
    kind = channels.format_of(described["train"])
    if kind not in (channels.CSV, channels.LIBSVM):
        raise AlgorithmError(f"{kind} is not served by the local cloud; give CSV or LIBSVM")
    values.pop("use_dask_gpu_training", None)
    logging.info("Determined 0 GPU(s) available on the instance.")
    weights = values.get("csv_weights", 0) == 1
    paths = {name: base / "input" / "data" / name for name in ("train", "validation") if name in described}
    if "validation" in paths:
        channels.warn_of_doubles(paths["train"], paths["validation"])
    read: dict[str, Any] = {name: channels.read(path, kind, weights) for name, path in paths.items()}
    for name, matrix in read.items():
        if matrix is None:
            channel = "training" if name == "train" else name
            raise UserError(f"No data in {channel} channel path /opt/ml/input/data/{name}")
    logging.info("Single node training.")
    _fit(values, read, base / "model", _checkpoint_folder(config, base))


def _checkpoint_folder(config: Path, base: Path) -> Path | None:
    try:
        local = str(json.loads((config / "checkpointconfig.json").read_text())["LocalPath"])
    except FileNotFoundError:
        return None
    return base / local.removeprefix("/opt/ml/") if local.startswith("/opt/ml/") else Path(local)


def _fit(values: dict[str, Any], data: dict[str, Any], model: Path, checkpoints: Path | None) -> None:
    matrix = data["train"]
    rounds = values.pop("num_round")
    keep = values.pop("save_model_on_termination", "false") == "true"
    patience = values.pop("early_stopping_rounds", None)
    watched, evaluate = _evaluation(values)
    logging.info("Train matrix has %d rows and %d columns", matrix.num_row(), matrix.num_col())
    if "validation" in data:
        logging.info("Validation matrix has %d rows", data["validation"].num_row())
    try:
        start, done = _last_checkpoint(checkpoints)
        callbacks: list[Any] = [xgboost.callback.EvaluationMonitor()]
        if checkpoints:
            # The container hands over the round that it begins with as the interval, so that a job has one checkpoint,
            # of its first round, under a name that it does not look for when it begins again. On AWS as here.
            checkpoints.mkdir(parents=True, exist_ok=True)
            callbacks.append(
                xgboost.callback.TrainingCheckPoint(directory=str(checkpoints), interval=done, name=_CHECKPOINT)
            )
        if keep:
            callbacks.append(_KeepModel(model))
            signal.signal(signal.SIGTERM, lambda *_: _leave(model))
        if patience and watched and "validation" in data:
            callbacks.append(
                xgboost.callback.EarlyStopping(
                    rounds=patience, data_name="validation", metric_name=watched,
                    maximize=watched in metrics.MAXIMIZED, save_best=True,
                )
            )  # fmt: skip
        booster = xgboost.train(
            values, matrix, num_boost_round=rounds - done, evals=[(found, name) for name, found in data.items()],
            custom_metric=evaluate, callbacks=callbacks, xgb_model=start, verbose_eval=False,
        )  # fmt: skip
    except Exception as error:
        if any(message in str(error) for message in _OF_THE_USER):
            raise UserError(str(error)) from error
        raise AlgorithmError(f"XGB train call failed with exception:\n {error}") from error
    model.mkdir(parents=True, exist_ok=True)
    booster.save_model(model / MODEL)


def _evaluation(values: dict[str, Any]) -> tuple[str | None, Any]:
    """(the metric that early stopping watches, the container's own metrics as a function); sets eval_metric."""
    objective = values.pop("_tuning_objective_metric", None)
    tuned = objective.split(":")[1].split(",") if objective else None
    given = values.pop("eval_metric", None)
    if tuned:
        logging.info("Setting up HPO optimized metric to be : %s", tuned[0])
    names = sorted({*tuned, *given}) if tuned and given else tuned or given or []
    own = metrics.own(names)
    if others := [name for name in names if name not in own]:
        values["eval_metric"] = others
    return (tuned or given or [None])[-1], metrics.evaluation(own) if own else None


def _last_checkpoint(folder: Path | None) -> tuple[str | None, int]:
    """(the file to go on from, rounds done)."""
    pattern = re.compile(rf"{_CHECKPOINT}\.([0-9]+)")
    names = os.listdir(folder) if folder and folder.is_dir() else []  # noqa: PTH208 - names are all that is wanted
    found = sorted(int(match[1]) for name in names if (match := pattern.fullmatch(name)))
    if not found or folder is None:
        return None, 0
    path = folder / f"{_CHECKPOINT}.{found[-1]}"
    logging.info("Checkpoint loaded from %s", path)
    logging.info("Resuming from iteration %s", found[-1] + 1)
    return str(path), found[-1] + 1


class _KeepModel(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    """Write the model after every round, so that there is one when the job is stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Whole or not at all."""
        making = self.folder / f".{MODEL}.ubj"
        model.save_model(making)
        making.rename(self.folder / MODEL)
        return False


def _leave(model: Path) -> None:
    for path in model.iterdir():
        if path.is_file() and not path.name.startswith(MODEL):
            path.unlink(missing_ok=True)
    os._exit(0)
