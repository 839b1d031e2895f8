"""A built-in algorithm instead of the project's code: what project.yaml takes, the jobs, and what the scripts do."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from slipway import outputs
from slipway.configuration import ProjectFile, loads
from slipway.configuration.algorithm import HYPERPARAMETERS, MEASURED, OBJECTIVES
from slipway.configuration.model import METRICS
from slipway.container import Paths, StepError, model_archive
from slipway.errors import ConfigurationError
from slipway.pipeline.definition import definition

from .plans import plan, resolved, session, steps

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the SDK

IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0"
TEXT = """
project: flight-delays
tag: 1
description: Arrival delay
framework: xgboost
problem: regression
data: {dataset: flights/2013-q1, target: arr_delay}
training:
  algorithm: {name: xgboost}
  hyperparameters: {num_round: 100, eta: 0.1}
quality_gate:
  rmse: {max: 25.0}
"""
TUNED = TEXT.replace(
    "quality_gate:",
    "  tuning: {objective: {metric: mae}, max_jobs: 4, ranges: {max_depth: {min: 3, max: 9}}}\nquality_gate:",
)


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return steps(definition(plan(TEXT), session()))


def valid(operation: str, request: dict[str, Any]) -> None:
    model = botocore.session.get_session().get_service_model("sagemaker").operation_model(operation)
    report = ParamValidator().validate(resolved(request), model.input_shape)
    assert not report.has_errors(), report.generate_report()


def test_sagemakers_own_image_trains_on_the_rows_as_it_reads_them(found: dict[str, dict[str, Any]]) -> None:
    job = found["Train"]["Arguments"]
    valid("CreateTrainingJob", job | {"TrainingJobName": "made-by-the-pipeline"})
    # SageMaker has the metric definitions of its algorithms itself.
    assert job["AlgorithmSpecification"] == {"TrainingImage": IMAGE, "TrainingInputMode": "File"}
    assert job["HyperParameters"] == {
        "objective": "reg:squarederror", "eval_metric": "mae,rmse", "num_round": "100", "eta": "0.1"
    }  # fmt: skip
    channels = {item["ChannelName"]: item for item in job["InputDataConfig"]}
    for name, channel in channels.items():
        source = channel["DataSource"]["S3DataSource"]["S3Uri"]["Get"]
        assert source == f"Steps.Preprocess.ProcessingOutputConfig.Outputs['matrix-{name}'].S3Output.S3Uri"
        assert channel["ContentType"] == "text/csv"
    assert set(channels) == {"train", "validation"}


def test_preprocess_makes_what_the_algorithm_reads(found: dict[str, dict[str, Any]]) -> None:
    job = found["Preprocess"]["Arguments"]
    made = [output["OutputName"] for output in job["ProcessingOutputConfig"]["Outputs"]]
    assert made == ["train", "validation", "test", "matrix-train", "matrix-validation", "encoding"]
    assert job["Environment"]["SLIPWAY_ALGORITHM"] == "xgboost"


def test_what_evaluate_measured_is_registered(found: dict[str, dict[str, Any]]) -> None:
    job = found["Evaluate"]["Arguments"]
    inputs = {item["InputName"]: item["S3Input"]["S3Uri"] for item in job["ProcessingInputs"]}
    assert inputs["model"] == {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    assert inputs["encoding"]["Get"].startswith("Steps.Preprocess.")
    register = found["Register"]["Arguments"]
    where = register["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]["Std:Join"]["Values"]
    assert where == [
        {"Get": "Steps.Evaluate.ProcessingOutputConfig.Outputs['model'].S3Output.S3Uri"}, "model.tar.gz"
    ]  # fmt: skip
    assert register["CustomerMetadataProperties"]["algorithm"] == IMAGE
    assert IMAGE in json.dumps(register["ModelCard"])


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert definition(plan(TEXT), session()) == definition(plan(TEXT), session())


def test_a_tuning_looks_at_what_the_algorithm_measures() -> None:
    job = steps(definition(plan(TUNED), session()))["Tune"]["Arguments"]
    valid("CreateHyperParameterTuningJob", job | {"HyperParameterTuningJobName": "made-by-the-pipeline"})
    training = job["TrainingJobDefinition"]
    assert training["AlgorithmSpecification"] == {"TrainingImage": IMAGE, "TrainingInputMode": "File"}
    assert training["StaticHyperParameters"]["objective"] == "reg:squarederror"
    assert job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"] == {
        "Type": "Minimize", "MetricName": "validation:mae"
    }  # fmt: skip


def test_nothing_of_an_algorithm_is_in_a_pipeline_without_one() -> None:
    own = TEXT.replace("  algorithm: {name: xgboost}\n", "").replace("num_round", "rounds")
    text = definition(plan(own), session())
    assert not [word for word in ("SLIPWAY_ALGORITHM", "matrix-", "encoding", "sagemaker-xgboost") if word in text]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("framework: xgboost", "framework: tensorflow", r":9: training.algorithm.name: the predictor of a tensorflow"),
        ("name: xgboost", "name: linear-learner", r"training.algorithm.name"),
        ("name: xgboost", 'name: xgboost, version: "1.7-1"', r"training.algorithm.version"),
        ("num_round: 100, ", "", r"training.hyperparameters.num_round: the algorithm needs"),
        ("eta: 0.1", "etta: 0.1", r"training.hyperparameters.etta: .*\n.*\n.*\n.*did you mean eta\?"),
        ("eta: 0.1", "objective: binary:logistic", r"training.hyperparameters.objective: the model would not answer"),
        ("problem: regression", "problem: multiclass-classification", r"num_class: the algorithm needs"),
        ("problem: regression", "problem: text-classification", r"training.algorithm: it takes columns of numbers"),
        ("  hyperparameters", "  tuning: {objective: {metric: rmse}, max_jobs: 2, ranges: {depth: {min: 1, max: 3}}}\n"
         "  hyperparameters", r"training.tuning.ranges.depth: the algorithm has no such hyperparameter"),
        ("  hyperparameters", "  tuning: {objective: {metric: rmse}, max_jobs: 2, ranges: {objective: {values: [a]}}}\n"
         "  hyperparameters", r"training.tuning.ranges.objective: it follows from the problem"),
    ],
)  # fmt: skip
def test_what_the_algorithm_would_refuse_is_said_before(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError, match=said):
        loads(TEXT.replace(old, new))


def test_a_metric_that_the_algorithm_does_not_measure_is_not_looked_for() -> None:
    digits = TUNED.replace("regression", "multiclass-classification").replace("eta: 0.1", "num_class: 10")
    digits = digits.replace("rmse: {max: 25.0}", "accuracy: {min: 0.9}")
    with pytest.raises(ConfigurationError, match=r"(?s)objective.metric: the algorithm does not.*allowed: accuracy"):
        loads(digits.replace("metric: mae", "metric: weighted_f1"))
    assert isinstance(loads(digits.replace("metric: mae", "metric: accuracy")), ProjectFile)


def test_the_tables_name_what_there_is() -> None:
    for problem, measured in MEASURED.items():
        assert set(measured) <= set(METRICS[problem])
        assert OBJECTIVES[problem]
    assert sorted(HYPERPARAMETERS) == list(HYPERPARAMETERS)


def archived(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return folder / "model.tar.gz"


def test_the_archive_to_measure_has_the_encoding_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "processing" / "input"
    trained = archived(place / "model", {"xgboost-model": b"trees"})
    (place / "encoding").mkdir()
    (place / "encoding" / "categories.json").write_bytes(b"{}")
    monkeypatch.delenv("SLIPWAY_ALGORITHM", raising=False)
    assert model_archive(Paths(tmp_path)) == trained
    monkeypatch.setenv("SLIPWAY_ALGORITHM", "xgboost")
    whole = model_archive(Paths(tmp_path))
    assert whole == tmp_path / "processing" / "output" / "model" / "model.tar.gz"
    with tarfile.open(whole) as tar:
        content = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    assert content == {"xgboost-model": b"trees", "categories.json": b"{}"}


def test_an_archive_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ALGORITHM", "xgboost")
    place = tmp_path / "processing" / "input"
    for name in ("model", "encoding"):
        (place / name).mkdir(parents=True)
    (place / "model" / "model.tar.gz").write_bytes(b"no archive")
    with pytest.raises(StepError, match=r"model\.tar\.gz: no readable model"):
        model_archive(Paths(tmp_path))


def test_a_step_that_leaves_nothing_for_the_algorithm_says_so(tmp_path: Path) -> None:
    told = {"SLIPWAY_STEP": "preprocess", "SLIPWAY_ALGORITHM": "xgboost"}
    output = tmp_path / "processing" / "output"
    for part in outputs.PARTS:
        (output / part).mkdir(parents=True)
        (output / part / "rows.csv").write_text("1\n")
    wrong = outputs.missing(tmp_path, told)
    assert wrong.startswith(f"preprocess.py wrote nothing to {output / 'matrix-train'}, ")
    assert wrong.endswith("which training.algorithm (xgboost) asks for")
    assert not outputs.missing(tmp_path, {"SLIPWAY_STEP": "preprocess"})
    wrong = outputs.missing(tmp_path, told | {"SLIPWAY_STEP": "evaluate"})
    assert (
        wrong == f"evaluate.py wrote no {output / 'model' / 'model.tar.gz'}: load what container.model_archive returns"
    )
