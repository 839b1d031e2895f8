"""project.yaml: the rules between keys, what a release does not do yet, and files of the first release."""

from typing import Any

import pytest
import yaml

from slipway.configuration import METRICS, ProjectFile, loads
from slipway.configuration.model import REPORT_KEYS
from slipway.errors import ConfigurationError

GOOD = """\
project: flight-delays
tag: 1
description: Arrival delay
framework: xgboost
problem: regression
data: {dataset: flights/2013-q1, target: arr_delay}
training:
  instance_type: ml.g5.xlarge
  max_runtime_minutes: 90
  hyperparameters: {max_iter: 300}
  spot: {max_wait_minutes: 120}
  tuning:
    strategy: Bayesian
    objective: {metric: rmse, direction: minimize}
    max_jobs: 10
    max_parallel_jobs: 2
    early_stopping: true
    ranges:
      learning_rate: {min: 0.01, max: 0.3, scale: Logarithmic}
      depth: {min: 2, max: 9}
      loss: {values: [squared, absolute]}
quality_gate:
  rmse: {max: 25.0}
champion: {metric: rmse, tolerance: 0.5}
serving:
  mode: both
  batch: {instance_type: ml.m5.xlarge, max_payload_mb: 10, max_concurrent_transforms: 4}
  rollout: {strategy: all-at-once}
monitoring: {baseline: true, data_capture: false}
retraining:
  schedule: cron(0 3 ? * MON *)
  on_new_data: false
  on_drift: false
notifications:
  emails: [team@example.com]
  events: [model-registered, build-failed]
"""


def said(old: str, new: str) -> str:
    assert old in GOOD
    with pytest.raises(ConfigurationError) as caught:
        loads(GOOD.replace(old, new, 1))
    return "\n".join(caught.value.problems)


def test_a_file_with_everything_is_taken() -> None:
    project = loads(GOOD)
    assert project.training.tuning is not None
    depth, rate = project.training.tuning.ranges["depth"], project.training.tuning.ranges["learning_rate"]
    assert (type(depth.min), type(rate.min)) == (int, float)  # whole numbers stay whole: another kind of range
    assert project.serving.transform is not None
    assert project.serving.transform.max_payload_mb == 10


BOTH = "mode: both\n  batch: {instance_type: ml.m5.xlarge, max_payload_mb: 10, max_concurrent_transforms: 4}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{max: 25.0}", "{max: 25.0, min: 1.0}", ["yaml:23: quality_gate.rmse: exactly one of min and max"]),
        ("{max: 25.0}", "{}", ["yaml:23: quality_gate.rmse: exactly one of min and max", "`r2: {min: 0.5}`"]),
        ("metric: rmse, t", "metric: auc, t", ["yaml:24: champion.metric: a regression has no such metric"]),
        ("metric: rmse, d", "metric: rmsee, d", ["yaml:14: training.tuning.objective.metric", "did you mean rmse?"]),
        ("minimize", "maximize", ["yaml:14: training.tuning.objective.direction", "the worst rmse"]),
        ("_minutes: 120", "_minutes: 60", ["yaml:11: training.spot.max_wait_minutes: is less", "at least 90"]),
        ("_parallel_jobs: 2", "_parallel_jobs: 11", ["yaml:16: training.tuning.max_parallel_jobs", "at most 10"]),
        ("    max_jobs: 10\n", "", ["training.tuning.max_jobs: this key is missing", "add `max_jobs"]),
        ("depth: {min: 2", "depth: {min: 9", ["training.tuning.ranges.depth.max: is not more than min", "more than 9"]),
        ("depth: {min: 2, ", "depth: {", ["training.tuning.ranges.depth: exactly one of values, or min with max"]),
        ("depth: {", "depth: {values: [1], ", ["yaml:20: training.tuning.ranges.depth.min: values and this key"]),
        ("{min: 0.01", "{min: 0", ["ranges.learning_rate.min: a logarithmic scale has no such number", "more than 0"]),
        ("Logarithmic}", "ReverseLogarithmic}\n      x: {min: 0, max: 5, scale: ReverseLogarithmic}", ["x.scale"]),
        ("[squared, absolute]", "[a, a]", ["training.tuning.ranges.loss.values: a value is given twice"]),
        ("depth: {min: 2", "max_iter: {min: 2", ["yaml:20: training.tuning.ranges.max_iter: this hyperparam"]),
        ("depth: {min: 2", "depth: {min: two", ["training.tuning.ranges.depth.min: has the", "a finite number"]),
        ("Bayesian", "Grid", ["training.tuning.ranges.depth: a grid needs values"]),
        ("Bayesian", "Hyperband", ["training.tuning.max_epochs: this key is missing", "Hyperband stops"]),
        ("early_stopping: true", "max_epochs: 5", ["training.tuning.max_epochs: only Hyperband takes it"]),
        ("tolerance: 0.5", "tolerance: -1.0", ["yaml:24: champion.tolerance: is too small", "at least 0"]),
        ("ml.g5.xlarge", "ml.g5.tiny", ["yaml:8: training.instance_type: SageMaker has no such instance type here"]),
        ("{instance_type: ml.m5.x", "{instance_type: ml.t2.x", ["serving.batch.instance_type: SageMaker has no such"]),
        ("max_payload_mb: 10", "max_payload_mb: 50", ["yaml:27: serving.batch.max_payload_mb: requests", "50 MB × 4"]),
        ("mode: both", "mode: real-time", ["yaml:27: serving.batch: these settings have no effect"]),
        ("mode: both", "mode: batch", ["yaml:28: serving.rollout: this setting of an endpoint has no effect"]),
        ("mode: both", "mode: serverless", ["yaml:26: serving.mode: this release cannot do it yet"]),
        ("all-at-once", "canary", ["yaml:28: serving.rollout.strategy: this release cannot do it yet", "'canary'"]),
        ("all-at-once", "blue", ["yaml:28: serving.rollout.strategy: is not one of the values allowed", "'linear'"]),
        ("data_capture: false", "data_capture: true", ["yaml:29: monitoring.data_capture: this release cannot"]),
        ("on_drift: false", "on_drift: true", ["yaml:33: retraining.on_drift: this release cannot", "allowed: false"]),
        ("on_new_data: false", "on_new_data: true", ["yaml:32: retraining.on_new_data: this release cannot"]),
        ("cron(0 3 ? * MON *)", "cron(0 3 * * MON *)", ["yaml:31: retraining.schedule: is not", "One must be"]),
        ("cron(0 3 ? * MON *)", "cron(0 25 ? * MON *)", ["retraining.schedule: is not a schedule", "hour value '25'"]),
        ("cron(0 3 ? * MON *)", "rate(1 days)", ["retraining.schedule: is not a schedule: 1 goes with minute, hour"]),
        ("cron(0 3 ? * MON *)", "rate(7 day)", ["retraining.schedule: is not a schedule"]),
        ("cron(0 3 ? * MON *)", "0 3 * * 1", ["retraining.schedule: is not in the right form"]),
        ("cron(0 3 ? * MON *)", "at(2030-01-01T00:00:00)", ["retraining.schedule: is not in the right form"]),
        ("team@example.com", "team", ["yaml:35: notifications.emails.0: is not in the right form", "'team'"]),
        ("build-failed]", "build-fails]", ["yaml:36: notifications.events.1: is not one of", "'build-fails'"]),
        ("[team@example.com]", "[]", ["yaml:35: notifications.emails: is empty"]),
        ("framework: xgboost", "framework: pytorch", ["yaml:4: framework: is not one of", "'huggingface'"]),
        ("problem: regression", "problem: ranking", ["yaml:5: problem: is not one of", "'text-classification'"]),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told_with_its_line(old: str, new: str, words: list[str]) -> None:
    text = said(old, new)
    for part in [*words, "given: ", "allowed: ", "mend: "]:
        assert part in text


def test_a_grid_knows_how_many_trainings_it_is() -> None:
    grid = GOOD.replace("Bayesian", "Grid").replace("{min: 0.01, max: 0.3, scale: Logarithmic}", "{values: [0.1, 0.2]}")
    grid = grid.replace("{min: 2, max: 9}", "{values: [2, 4, 8]}")
    with pytest.raises(ConfigurationError, match=r"max_jobs: a grid tries every combination\n.*10.*\n.*allowed: 12"):
        loads(grid)
    assert loads(grid.replace("    max_jobs: 10\n", "")).training.tuning is not None
    many = ", ".join(str(number) for number in range(30))
    with pytest.raises(ConfigurationError, match=r"the grid has too many combinations\n.*1800"):
        loads(grid.replace("[2, 4, 8]", f"[{many}]").replace("[0.1, 0.2]", f"[{many}]"))


@pytest.mark.parametrize("problem", list(METRICS))
def test_every_metric_of_a_problem_may_be_asked(problem: str) -> None:
    content: dict[str, Any] = yaml.safe_load(GOOD)
    names = METRICS[problem]  # type: ignore[index]
    content |= {"problem": problem, "quality_gate": {name: {"min": 0.1} for name in names}}
    content["champion"]["metric"] = next(iter(names))
    del content["training"]["tuning"]
    assert list(loads(yaml.safe_dump(content, sort_keys=False)).quality_gate) == list(names)
    assert set(names.values()) <= {"lower", "higher"}
    assert REPORT_KEYS[problem].endswith("_metrics")  # type: ignore[index]


FIRST_RELEASE = """\
project: flight-delays
tag: 1
description: "A machine learning project."
problem: regression

data:
  dataset: flights/2013-q1
  target: arr_delay

preprocessing:
  instance_type: ml.m5.large
  parameters:
    validation_share: 0.1
    test_share: 0.1
    seed: 2013

training:
  instance_type: ml.m5.large
  hyperparameters:
    learning_rate: 0.1
    max_iter: 250

evaluation:
  instance_type: ml.m5.large

quality_gate:
  rmse: {max: 25.0}
  r2: {min: 0.6}

serving:
  instance_type: ml.m5.large
  initial_instance_count: 1
  environments:
    production: {initial_instance_count: 2}
"""


def test_a_file_of_the_first_release_means_what_it_meant() -> None:
    """What release 0.1.0 stamped stays valid: no new key is needed, and nothing is switched on."""
    project = loads(FIRST_RELEASE)
    fields = set(ProjectFile.model_fields) - project.model_fields_set
    assert {"framework", "champion", "monitoring", "retraining", "notifications"} <= fields
    assert (project.serving.mode, project.serving.transform) == ("real-time", None)
    assert (project.training.spot, project.training.tuning) == (None, None)
    assert not project.monitoring.baseline
