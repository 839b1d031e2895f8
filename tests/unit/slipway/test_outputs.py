"""A step that left nothing usable fails with its own reason, where SageMaker shows it."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway import container, outputs

GOOD = {"rmse": {"value": 1.5, "standard_deviation": 0.1}, "r2": {"value": 0.5}}
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_PROBLEM", "regression")
    monkeypatch.setenv("SLIPWAY_METRICS", "rmse,r2")
    return tmp_path


def failed(base: Path, step: Any) -> str:
    """The reason that SageMaker would show; a training's and a processing job's are the same."""
    with pytest.raises(SystemExit) as caught:
        container.run(step)
    assert caught.value.code == 1
    reasons = {(base / "output" / name).read_text() for name in ("failure", "message")}
    assert len(reasons) == 1
    return reasons.pop()


def report(content: Any) -> Any:
    def step(paths: container.Paths) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (paths.processing_output("evaluation") / "evaluation.json").write_text(text)

    return step


def test_a_training_without_a_model_fails(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_STEP", "train")
    assert failed(base, lambda paths: paths.model) == (
        f"train.py wrote no model: {base}/model is empty; save there what predictor.py loads"
    )
    container.run(lambda paths: (paths.model / "model.joblib").write_text("x"))


def test_of_several_hosts_the_first_leaves_the_model(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_STEP", "train")
    file = base / "input" / "config" / "resourceconfig.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}))
    container.run(lambda paths: None)
    file.write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}))
    assert "wrote no model" in failed(base, lambda paths: None)


def test_a_preprocessing_that_leaves_a_part_out_fails(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_STEP", "preprocess")

    def step(paths: container.Paths) -> None:
        (paths.processing_output("train") / "train.csv").write_text("a\n")
        (paths.processing_output("test") / "test.csv").write_text("a\n")

    assert failed(base, step) == f"preprocess.py wrote nothing to {base}/processing/output/validation"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"regression_metrics": GOOD | {"r2": {"value": NAN}}}, "regression_metrics.r2.value: given NaN"),
        ({"regression_metrics": GOOD | {"mae": {"value": INFINITE}}}, "regression_metrics.mae.value: given Infinity"),
        ({"regression_metrics": GOOD | {"r2": {"value": "0.5"}}}, 'regression_metrics.r2.value: given "0.5", allowed'),
        ({"regression_metrics": GOOD | {"r2": {"value": True}}}, "regression_metrics.r2.value: given true, allowed"),
        ({"regression_metrics": GOOD | {"r2": 0.5}}, "regression_metrics.r2: given 0.5, allowed {"),
        ({"regression_metrics": {"rmse": {"value": 1}}}, "r2 is missing, which project.yaml asks for; the report has"),
        ({"rmse": 3}, "evaluation.json: given rmse, allowed the key regression_metrics"),
        ({"binary_classification_metrics": GOOD}, "given binary_classification_metrics, allowed the key"),
        ([], "evaluation.json: given list, allowed the key regression_metrics"),
        ("{", "evaluation.json: not JSON"),
        ("", "evaluation.json: not JSON"),
    ],
)  # fmt: skip
def test_a_report_of_another_shape_fails(base: Path, monkeypatch: pytest.MonkeyPatch, content: Any, said: str) -> None:
    monkeypatch.setenv("SLIPWAY_STEP", "evaluate")
    assert said in failed(base, report(content))


def test_an_evaluation_without_a_report_fails_and_a_good_one_passes(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_STEP", "evaluate")
    assert "evaluate.py wrote no evaluation.json" in failed(base, lambda paths: None)
    container.run(report({"regression_metrics": GOOD}))


def test_outside_the_pipeline_nothing_is_asked(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_STEP", raising=False)
    container.run(lambda paths: None)


def test_the_build_says_the_same_of_a_report_that_another_script_wrote() -> None:
    problems = list(outputs.report_problems(b'{"regression_metrics": {"rmse": {"value": NaN}}}', "regression", ["r2"]))
    assert [problem.split(":")[1].split(".")[1].split(" ")[0] for problem in problems] == ["rmse", "r2"]
