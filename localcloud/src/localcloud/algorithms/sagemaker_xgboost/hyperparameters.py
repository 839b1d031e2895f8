"""The hyperparameters: every one comes as a text, is parsed, and is held against its range and against the others."""

from __future__ import annotations

import ast
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import AlgorithmError, UserError
from .intervals import Interval, above, at_least, between, share
from .metrics import MAXIMIZED, MINIMIZED

ALIASES = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}
_OBJECTIVES = [
    "aft_loss_distribution", "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "multi:softmax",
    "multi:softprob", "rank:pairwise", "rank:ndcg", "rank:map", "reg:linear", "reg:squarederror", "reg:logistic",
    "reg:gamma", "reg:pseudohubererror", "reg:squaredlogerror", "reg:absoluteerror", "reg:tweedie", "survival:aft",
    "survival:cox",
]  # fmt: skip
_LINEAR_UPDATERS = ["shotgun", "coord_descent"]
_BUILDERS = ["grow_colmaker", "distcol", "grow_histmaker"]
_UPDATERS = [*_BUILDERS, "grow_skmaker", "sync", "refresh", "prune", *_LINEAR_UPDATERS]
_BOOLEAN = ["true", "false"]
_SEEDS = Interval(-(2**31), 2**31 - 1, low_open=True, high_open=True)


class _Metrics:
    """What eval_metric may hold: a metric's name, or error, ndcg and map with a threshold."""

    def __contains__(self, metric: object) -> bool:
        text = str(metric)
        if "<function" in text:
            raise UserError(f"User defined evaluation metric {text} is not supported yet.")
        if "@" not in text:
            return text in MAXIMIZED + MINIMIZED
        name, threshold = (part.strip() for part in text.split("@")[:2])
        if name not in ("error", "ndcg", "map"):
            raise UserError(
                f"Metric '{text}' is not supported. Parameter 'eval_metric' with customized threshold should be one of "
                "these options: 'error', 'ndcg', 'map'."
            )
        try:
            float(threshold)
        except ValueError:
            raise UserError(f"Threshold value 't' in '{name}@t' expects float input.") from None
        return True

    def __str__(self) -> str:
        return str(MAXIMIZED + MINIMIZED)


@dataclass(frozen=True)
class Rule:
    """How one hyperparameter is read."""

    kind: str
    allowed: Container[Any]

    def parse(self, text: str) -> Any:
        """The value.

        Raises:
            ValueError: it is none of the kind.
        """
        if self.kind == "list":
            return text.split(",")
        if self.kind in ("tuple", "nested"):
            try:
                return ast.literal_eval(text)
            except SyntaxError as error:
                raise ValueError(text) from error
        return {"integer": int, "continuous": float, "categorical": str}[self.kind](text)

    def check(self, name: str, value: Any) -> None:
        """
        Raises:
            UserError: out of range.
        """
        if self.kind in ("integer", "continuous", "categorical"):
            if value not in self.allowed:
                raise UserError(f"Hyperparameter {name}: {value} is not in {self.allowed}")
            return
        items = [item for part in value for item in part] if self.kind == "nested" else value
        if any(item not in self.allowed for item in items):
            raise UserError(f"Hyperparameter {name}: value {value} not in range {self.allowed}")


def _integer(allowed: Container[Any]) -> Rule:
    return Rule("integer", allowed)


def _continuous(allowed: Container[Any]) -> Rule:
    return Rule("continuous", allowed)


def _one_of(*allowed: str) -> Rule:
    return Rule("categorical", list(allowed))


RULES: dict[str, Rule] = {
    "num_round": _integer(at_least(1)),
    "csv_weights": _integer(between(0, 1)),
    "early_stopping_rounds": _integer(at_least(1)),
    "booster": _one_of("gbtree", "gblinear", "dart"),
    "verbosity": _integer(between(0, 3)),
    "nthread": _integer(at_least(1)),
    "eta": _continuous(between(0, 1)),
    "gamma": _continuous(at_least(0)),
    "max_depth": _integer(at_least(0)),
    "min_child_weight": _continuous(at_least(0)),
    "max_delta_step": _continuous(at_least(0)),
    "subsample": _continuous(share()),
    "colsample_bytree": _continuous(share()),
    "colsample_bylevel": _continuous(share()),
    "colsample_bynode": _continuous(share()),
    "lambda": _continuous(at_least(0)),
    "alpha": _continuous(at_least(0)),
    "tree_method": _one_of("auto", "exact", "approx", "hist", "gpu_hist"),
    "sketch_eps": _continuous(Interval(0, 1, low_open=True, high_open=True)),
    "scale_pos_weight": _continuous(above(0)),
    "updater": Rule("list", _UPDATERS),
    "dsplit": _one_of("row", "col"),
    "refresh_leaf": _integer(between(0, 1)),
    "process_type": _one_of("default", "update"),
    "grow_policy": _one_of("depthwise", "lossguide"),
    "max_leaves": _integer(at_least(0)),
    "max_bin": _integer(at_least(0)),
    "predictor": _one_of("auto", "cpu_predictor", "gpu_predictor"),
    "monotone_constraints": Rule("tuple", [-1, 0, 1]),
    "interaction_constraints": Rule("nested", at_least(1)),
    "sample_type": _one_of("uniform", "weighted"),
    "normalize_type": _one_of("tree", "forest"),
    "rate_drop": _continuous(between(0, 1)),
    "one_drop": _integer(between(0, 1)),
    "skip_drop": _continuous(between(0, 1)),
    "lambda_bias": _continuous(between(0, 1)),
    "tweedie_variance_power": _continuous(Interval(1, 2, low_open=True, high_open=True)),
    "objective": _one_of(*_OBJECTIVES),
    "num_class": _integer(at_least(2)),
    "base_score": _continuous(at_least(0)),
    "_tuning_objective_metric": _one_of(*(f"validation:{name}" for name in MAXIMIZED + MINIMIZED)),
    "eval_metric": Rule("list", _Metrics()),
    "seed": _integer(_SEEDS),
    "num_parallel_tree": _integer(at_least(1)),
    "save_model_on_termination": _one_of(*_BOOLEAN),
    "aft_loss_distribution": _one_of("normal", "logistic", "extreme"),
    "aft_loss_distribution_scale": _continuous(at_least(0)),
    "deterministic_histogram": _one_of(*_BOOLEAN),
    "sampling_method": _one_of("uniform", "gradient_based"),
    "prob_buffer_row": _integer(above(1.0)),
    "use_dask_gpu_training": _one_of(*_BOOLEAN),
}


def validate(given: Mapping[str, str]) -> dict[str, Any]:
    """The hyperparameters as values, under their first names.

    Raises:
        UserError: with the hyperparameter and what is wrong with it.
    """
    texts = {ALIASES.get(name, name): text for name, text in given.items()}
    if "num_round" not in texts:
        raise UserError("Missing required hyperparameter: num_round")
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in RULES:
            raise UserError(f"Extraneous hyperparameter found: {name}")
        try:
            values[name] = RULES[name].parse(text)
        except ValueError as error:
            raise UserError(
                f"Hyperparameter {name}: could not parse value (caused by {type(error).__name__})"
            ) from error
    for name, value in values.items():
        try:
            RULES[name].check(name, value)
        except TypeError as error:
            raise AlgorithmError(
                f"Hyperparameter {name}: unexpected failure when validating {value} (caused by TypeError)"
            ) from error
    for name, check in _DEPENDENT.items():
        if name in values:
            check(values[name], values)
    return values


def _check_updater(value: list[str], others: Mapping[str, Any]) -> None:
    if others.get("booster") == "gblinear":
        if not (len(value) == 1 and value[0] in _LINEAR_UPDATERS):
            raise UserError("Linear updater should be one of these options: 'shotgun', 'coord_descent'.")
    elif others.get("process_type") == "update":
        if not all(item in ("refresh", "prune") for item in value):
            raise UserError("process_type 'update' can only be used with updater 'refresh' and 'prune'")
    elif any(item in _LINEAR_UPDATERS for item in value):
        raise UserError(
            "Tree updater should be selected from these options: 'grow_colmaker', 'distcol', 'grow_histmaker', "
            "'grow_skmaker', 'grow_quantile_histmaker', 'sync', 'refresh', 'prune', 'shortgun', 'coord_descent'."
        )
    elif sum(item in _BUILDERS for item in value) > 1:
        raise UserError(
            "Only one tree grow plugin can be selected. Choose one from thefollowing: 'grow_colmaker', 'distcol', "
            "'grow_histmaker', 'grow_skmaker'"
        )


def _check_objective(value: str, others: Mapping[str, Any]) -> None:
    if value in ("multi:softmax", "multi:softprob") and others.get("num_class") is None:
        raise UserError("Require input for parameter 'num_class' for multi-classification")


def _check_eval_metric(value: list[str], others: Mapping[str, Any]) -> None:
    objective = others["objective"]  # without one the container ends with this KeyError too
    if "auc" in value and not objective.startswith(("binary:", "rank:")):
        raise UserError("Metric 'auc' can only be applied for classification and ranking problems.")
    if "aft-nloglik" in value and objective != "survival:aft":
        raise UserError("Metric 'aft-nloglik' can only be applied for 'survival:aft' objective.")


def _check_monotone(value: Any, others: Mapping[str, Any]) -> None:
    if others.get("tree_method") not in ("exact", "hist"):
        raise UserError(
            "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'."
        )


def _check_interaction(value: Any, others: Mapping[str, Any]) -> None:
    if others.get("tree_method") not in ("exact", "hist", "approx"):
        raise UserError(
            "interaction_constraints can be used only when the tree_method parameter is set to either 'exact', 'hist' "
            "or 'approx'."
        )


_DEPENDENT: dict[str, Callable[[Any, Mapping[str, Any]], None]] = {
    "objective": _check_objective,
    "updater": _check_updater,
    "monotone_constraints": _check_monotone,
    "interaction_constraints": _check_interaction,
    "eval_metric": _check_eval_metric,
}
