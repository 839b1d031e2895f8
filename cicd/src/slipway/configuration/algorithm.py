"""The built-in algorithms of SageMaker that `training.algorithm` of project.yaml chooses instead of the project's code.

What an algorithm would refuse in its job is said before: the hyperparameters that it has, what they must be for the
problem, and what it measures for a tuning. The sources are the SageMaker Developer Guide ("XGBoost hyperparameters",
"Tune an XGBoost Model") and the algorithm's own code, which is public (aws/sagemaker-xgboost-container).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slipway.configuration.model import Problem, ProjectFile
from slipway.configuration.rule import Broken, Path

# With these the model answers as the predictor is to answer: with a number, a probability, one of each class.
OBJECTIVES: Mapping[Problem, tuple[str, ...]] = {
    "regression": (
        "reg:squarederror", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror", "reg:gamma",
        "reg:tweedie", "count:poisson",
    ),
    "binary-classification": ("binary:logistic",),
    "multiclass-classification": ("multi:softprob",),
}  # fmt: skip
# The last one decides when early_stopping_rounds ends a training.
EVAL_METRICS: Mapping[Problem, str] = {
    "regression": "mae,rmse",
    "binary-classification": "logloss,auc",
    "multiclass-classification": "mlogloss,merror",
}
# The metrics of the problem that the algorithm itself measures. Where there are two classes, not those that it computes
# of them (accuracy, f1 …): since xgboost 3 it takes a probability for log-odds, and so every row for the one class.
MEASURED: Mapping[Problem, tuple[str, ...]] = {
    "regression": ("rmse", "mse", "mae", "r2"),
    "binary-classification": ("auc",),
    "multiclass-classification": ("accuracy",),
}
HYPERPARAMETERS = (
    "alpha", "base_score", "booster", "colsample_bylevel", "colsample_bynode", "colsample_bytree", "csv_weights",
    "deterministic_histogram", "dsplit", "early_stopping_rounds", "eta", "eval_metric", "gamma", "grow_policy",
    "interaction_constraints", "lambda", "lambda_bias", "learning_rate", "max_bin", "max_delta_step", "max_depth",
    "max_leaves", "min_child_weight", "min_split_loss", "monotone_constraints", "normalize_type", "nthread",
    "num_class", "num_parallel_tree", "num_round", "objective", "one_drop", "process_type", "rate_drop",
    "refresh_leaf", "reg_alpha", "reg_lambda", "sample_type", "sampling_method", "save_model_on_termination",
    "scale_pos_weight", "seed", "skip_drop", "subsample", "tree_method", "tweedie_variance_power", "updater",
    "verbosity",
)  # fmt: skip
_TRAINING = ("training",)
_MANUAL = "see XGBoost hyperparameters in the SageMaker Developer Guide"


def defaults(problem: Problem) -> dict[str, str]:
    """What the algorithm is told of the problem, where `training.hyperparameters` says nothing else."""
    return {"objective": OBJECTIVES[problem][0], "eval_metric": EVAL_METRICS[problem]}


def broken(project: ProjectFile) -> Iterator[Broken]:
    """The rules for a training by a built-in algorithm."""
    algorithm = project.training.algorithm
    if algorithm is None:
        return
    path = (*_TRAINING, "algorithm")
    if project.framework not in {None, algorithm.name}:
        yield Broken(
            (*path, "name"), f"the predictor of a {project.framework} project does not read its models", algorithm.name,
            ("a project with the framework xgboost",), "take training.algorithm away",
        )  # fmt: skip
    if project.problem not in OBJECTIVES:
        yield Broken(
            path, f"it takes columns of numbers, which a {project.problem} does not have", algorithm.name,
            tuple(OBJECTIVES), "take training.algorithm away",
        )  # fmt: skip
        return
    yield from _hyperparameters(project)
    yield from _searched(project)


def _hyperparameters(project: ProjectFile) -> Iterator[Broken]:
    given, path = project.training.hyperparameters, (*_TRAINING, "hyperparameters")
    yield from _unknown(path, given)
    tuning = project.training.tuning
    named = {*given, *(tuning.ranges if tuning is not None else ())}
    needed = ["num_round", *(["num_class"] if project.problem == "multiclass-classification" else [])]
    for name in needed:
        if name not in named:
            yield Broken(
                (*path, name), "the algorithm needs this hyperparameter", None, ("a whole number",), f"add `{name}: …`"
            )
    objective = given.get("objective")
    if objective is not None and objective not in OBJECTIVES[project.problem]:
        yield Broken(
            (*path, "objective"), f"the model would not answer as a {project.problem} does", objective,
            OBJECTIVES[project.problem], f"leave it out: {OBJECTIVES[project.problem][0]} is set for the problem",
        )  # fmt: skip


def _searched(project: ProjectFile) -> Iterator[Broken]:
    tuning = project.training.tuning
    if tuning is None:
        return
    path = (*_TRAINING, "tuning")
    yield from _unknown((*path, "ranges"), tuning.ranges)
    for name in ("objective", "eval_metric", "num_class"):
        if name in tuning.ranges:
            yield Broken(
                (*path, "ranges", name), "it follows from the problem and is not searched", name,
                ("another hyperparameter",), "take it away",
            )  # fmt: skip
    metric = tuning.objective.metric
    if metric not in MEASURED[project.problem]:
        yield Broken(
            (*path, "objective", "metric"), "the algorithm does not measure it", metric, MEASURED[project.problem],
            "use one of those that it measures",
        )  # fmt: skip


def _unknown(path: Path, given: Mapping[str, object]) -> Iterator[Broken]:
    for name in given:
        if name not in HYPERPARAMETERS:
            yield Broken((*path, name), "the algorithm has no such hyperparameter", name, HYPERPARAMETERS, _MANUAL)
