"""Whole and valid project files for property tests: every section, and the rules between keys kept."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from slipway.configuration import METRICS
from slipway.configuration.algorithm import HYPERPARAMETERS, MEASURED
from slipway.configuration.instances import instance_types
from slipway.configuration.operation import Event

PROCESSING = sorted(set(instance_types("ProcessingInstanceType")) & set(instance_types("TrainingInstanceType")))
SERVING = sorted(instance_types("ProductionVariantInstanceType"))
TRANSFORM = sorted(instance_types("TransformInstanceType"))
NAME = st.from_regex(r"\A[a-z][a-z0-9_]{0,10}\Z")
VARIABLE = st.from_regex(r"\A[A-Z][A-Z0-9_]{0,10}\Z")
TEXT = st.text("ab1:#-' é", min_size=1, max_size=20)
VALUE = st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | TEXT
EVENTS: tuple[str, ...] = Event.__args__  # type: ignore[attr-defined]
SCHEDULES = ["rate(1 day)", "rate(12 hours)", "cron(0 3 ? * MON *)", "cron(0/15 8-18 1,15 * ? 2027-2030)"]


@st.composite
def jobs(draw: st.DrawFn, parameters: str) -> dict[str, Any]:
    """A step's section."""
    optional = {
        "instance_type": st.sampled_from(PROCESSING),
        "instance_count": st.integers(1, 20),
        "volume_size_gb": st.integers(1, 16384),
        "max_runtime_minutes": st.integers(1, 1440),
        "environment": st.dictionaries(VARIABLE, st.text("ab1:#-'", max_size=9), max_size=2),
        parameters: st.dictionaries(NAME, VALUE, max_size=3),
    }  # fmt: skip
    return draw(st.fixed_dictionaries({}, optional=optional))


@st.composite
def by_algorithm(draw: st.DrawFn, problem: Any) -> dict[str, Any]:
    """The section of a training by a built-in algorithm, instead of hyperparameters and a search of the project's."""
    free = st.sampled_from([name for name in HYPERPARAMETERS if name not in ("objective", "eval_metric", "num_class")])
    found: dict[str, Any] = {
        "algorithm": draw(st.fixed_dictionaries({"name": st.just("xgboost")},
                                                optional={"version": st.sampled_from(["3.0-5", "3.2-0"])})),
        "hyperparameters": draw(st.dictionaries(free, VALUE, max_size=3)) | {"num_round": draw(st.integers(1, 999))},
    }  # fmt: skip
    if problem == "multiclass-classification":
        found["hyperparameters"]["num_class"] = draw(st.integers(2, 99))
    if draw(st.booleans()):
        found["tuning"] = draw(tunings(problem, found["hyperparameters"], free, MEASURED[problem]))
    return found


@st.composite
def ranges(draw: st.DrawFn, strategy: str) -> dict[str, Any]:
    """Where to look for a hyperparameter."""
    if strategy == "Grid" or draw(st.booleans()):
        return {"values": draw(st.lists(VALUE, min_size=1, max_size=4, unique_by=str))}
    low, high = draw(st.lists(st.integers(1, 1000), min_size=2, max_size=2, unique=True).map(sorted))
    whole = draw(st.booleans())
    found: dict[str, Any] = {"min": low if whole else low / 10, "max": high if whole else high / 10}
    return found | draw(
        st.fixed_dictionaries({}, optional={"scale": st.sampled_from(["Auto", "Linear", "Logarithmic"])})
    )


@st.composite
def tunings(
    draw: st.DrawFn, problem: Any, fixed: dict[str, Any], names: st.SearchStrategy[str] = NAME,
    metrics: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """A search."""
    strategy = draw(st.sampled_from(["Bayesian", "Random", "Hyperband", "Grid"]))
    jobs = draw(st.integers(1, 750))
    free = names.filter(lambda name: name not in fixed)
    found: dict[str, Any] = {
        "strategy": strategy,
        "objective": {"metric": draw(st.sampled_from(metrics or list(METRICS[problem])))},
        "ranges": draw(st.dictionaries(free, ranges(strategy), min_size=1, max_size=3)),
    }  # fmt: skip
    if strategy != "Grid":
        found |= {"max_jobs": jobs, "max_parallel_jobs": draw(st.integers(1, min(jobs, 100)))}
    if strategy == "Hyperband":
        found["max_epochs"] = draw(st.integers(1, 20000))
    else:
        found["early_stopping"] = draw(st.booleans())
    return found


@st.composite
def servings(draw: st.DrawFn) -> dict[str, Any]:
    """How the model answers."""
    mode = draw(st.sampled_from(["real-time", "batch", "both"]))
    found: dict[str, Any] = {"mode": mode}
    if mode != "batch":
        own = {"instance_type": st.sampled_from(SERVING), "initial_instance_count": st.integers(1, 100)}
        found |= draw(st.fixed_dictionaries({}, optional={**own, "rollout": st.just({"strategy": "all-at-once"})}))
        environments = {name: st.fixed_dictionaries({}, optional=own) for name in ("staging", "production")}
        found["environments"] = draw(st.fixed_dictionaries({}, optional=environments))
    if mode != "real-time":
        payload = draw(st.integers(1, 100))
        batch = {
            "instance_type": st.sampled_from(TRANSFORM),
            "instance_count": st.integers(1, 100),
            "strategy": st.sampled_from(["MultiRecord", "SingleRecord"]),
        }
        found["batch"] = {
            **draw(st.fixed_dictionaries({}, optional=batch)),
            "max_payload_mb": payload,
            "max_concurrent_transforms": draw(st.integers(1, 100 // payload)),
        }
    return found


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    """A whole file."""
    problem: Any = draw(st.sampled_from(list(METRICS)))
    metrics = st.sampled_from(list(METRICS[problem]))
    training = draw(jobs("hyperparameters"))
    if draw(st.booleans()):
        runtime = training.get("max_runtime_minutes", 60)
        training["spot"] = {"max_wait_minutes": draw(st.integers(runtime, 2880))}
    if draw(st.booleans()):
        training["tuning"] = draw(tunings(problem, training.get("hyperparameters", {})))
    frameworks = ["scikit-learn", "xgboost", "tensorflow", "huggingface"]
    if problem in MEASURED and draw(st.booleans()):
        training.pop("tuning", None)
        training |= draw(by_algorithm(problem))
        frameworks = ["xgboost"]
    bound = st.tuples(st.sampled_from(["min", "max"]), st.floats(-1e6, 1e6)).map(lambda pair: {pair[0]: pair[1]})
    champion = st.fixed_dictionaries({"metric": metrics}, optional={"tolerance": st.floats(0, 1e6)})
    told = st.fixed_dictionaries(
        {"emails": st.lists(st.from_regex(r"\A[a-z]{1,5}@[a-z]{1,5}\.org\Z"), min_size=1, max_size=3)},
        optional={"events": st.lists(st.sampled_from(EVENTS), min_size=1, max_size=3)},
    )
    return {
        "project": draw(st.from_regex(r"\A[a-z][a-z0-9-]{1,22}[a-z0-9]\Z")),
        "tag": draw(st.integers(0, 9999)),
        "description": draw(TEXT),
        "problem": problem,
        "data": {
            "dataset": draw(st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,9}(/[a-z0-9]{1,5})?\Z")),
            "target": "arr_delay",
        },
        "training": training,
        "quality_gate": draw(st.dictionaries(metrics, bound, min_size=1)),
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "framework": st.sampled_from(frameworks),
                    "preprocessing": jobs("parameters"),
                    "evaluation": jobs("parameters"),
                    "champion": champion,
                    "serving": servings(),
                    "monitoring": st.fixed_dictionaries({"baseline": st.booleans()}),
                    "retraining": st.fixed_dictionaries({"schedule": st.sampled_from(SCHEDULES)}),
                    "notifications": told,
                },
            )
        ),
    }
