{% set digits = cookiecutter.__package == "digits" %}
{% set metric = {"regression": "rmse", "multiclass-classification": "merror"}.get(cookiecutter.__problem, "auc") %}
"""Fits the model: gradient boosted trees, which take gaps{% if not digits %} and categories{% endif %} as they come.

Where SageMaker keeps checkpoints, every tenth round is one, and an interrupted job goes on from the
newest. A GPU is used where there is one.
"""

import json
from pathlib import Path

{% if digits %}
import numpy as np
{% endif %}
import xgboost
from slipway import container, evaluation

import predictor
from {{ cookiecutter.__package }} import columns, encoding

# This many rounds without progress on the validation rows end the training.
PATIENCE = 20
CHECKPOINT_EVERY = 10
HYPERPARAMETERS = {
    "learning_rate": 0.1,
    "rounds": {{ 150 if digits else 300 }},
    "max_depth": {{ 4 if digits else 7 }},
    "min_child_weight": 1.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
    "seed": 2013,
}


def train(paths: container.Paths) -> None:
    """Read the train and validation rows, fit, and write the model and its categories."""
    target, problem = container.target(), container.problem()
    parts = {name: columns.read(paths.channel(name)) for name in ("train", "validation")}
    chosen = container.choose(HYPERPARAMETERS, paths.hyperparameters())
    known = encoding.known(parts["train"])
    data = {name: predictor.matrix(rows, known, truth=rows[target]) for name, rows in parts.items()}
    model = fit(chosen, data, paths.checkpoints)
    model.save_model(paths.model / predictor.MODEL)
    (paths.model / encoding.FILE).write_text(json.dumps(known), encoding="utf-8")
    print(f"{model.num_boosted_rounds()} rounds on {len(parts['train'])} rows")
    served = predictor.load(paths.model)
    for name, rows in parts.items():
        evaluation.announce(name, problem, rows[target], evaluation.ask(served, rows))


def fit(
    chosen: dict[str, container.Scalar],
    data: dict[str, xgboost.DMatrix],
    checkpoints: Path | None,
) -> xgboost.Booster:
    """The model of the best round; goes on from the newest checkpoint, if there is one."""
    callbacks = [
        xgboost.callback.EarlyStopping(rounds=PATIENCE, data_name="validation", save_best=True),
    ]
    begun = None
    if checkpoints is not None:
        saved = sorted(checkpoints.glob("*.ubj"), key=lambda file: int(file.stem.split("_")[1]))
        if saved:
            begun = xgboost.Booster(model_file=saved[-1])
            print(f"going on after {begun.num_boosted_rounds()} rounds")
        keep = xgboost.callback.TrainingCheckPoint(
            checkpoints, name="round", as_pickle=False, interval=CHECKPOINT_EVERY
        )
        callbacks.append(keep)
    rounds = chosen.pop("rounds") - (begun.num_boosted_rounds() if begun else 0)
    if rounds <= 0:
        return begun
    return xgboost.train(
        {
            "objective": "{{ {"regression": "reg:squarederror", "multiclass-classification": "multi:softmax"}.get(cookiecutter.__problem, "binary:logistic") }}",
            "eval_metric": "{{ metric }}",
{% if digits %}
            "num_class": len(np.unique(data["train"].get_label())),
{% endif %}
            "tree_method": "hist",
            "device": "cuda" if xgboost.build_info().get("USE_CUDA") and _gpu() else "cpu",
            **chosen,
        },
        data["train"],
        num_boost_round=rounds,
        evals=[(data["train"], "train"), (data["validation"], "validation")],
        verbose_eval=CHECKPOINT_EVERY,
        callbacks=callbacks,
        xgb_model=begun,
    )


def _gpu() -> bool:
    return Path("/dev/nvidia0").exists()


if __name__ == "__main__":
    container.run(train)
