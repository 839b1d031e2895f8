"""What project.yaml chooses of the pipeline: tuning, spot, champion, baseline, batch, other problems."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from sagemaker.core.shapes.model_card_shapes import ModelCardContent

from slipway.configuration import METRICS
from slipway.configuration.model import REPORT_KEYS
from slipway.pipeline import gate
from slipway.pipeline.constraints import constraints
from slipway.pipeline.definition import definition
from slipway.pipeline.jobs import metric_regex

from .plans import KEY, REGISTRY, TAGS, plan, resolved, session, steps

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the SDK
TEXT = """
project: flight-delays
tag: 1
description: "Arrival delay:\\n \\"early\\" or late"
framework: xgboost
problem: regression
data: {dataset: flights/2013-q1, target: arr_delay}
training:
  instance_type: ml.g5.xlarge
  max_runtime_minutes: 60
  hyperparameters: {max_iter: 300, note: "a b"}
  spot: {max_wait_minutes: 90}
  tuning:
    strategy: Random
    objective: {metric: rmse}
    max_jobs: 4
    max_parallel_jobs: 2
    early_stopping: true
    ranges:
      learning_rate: {min: 0.01, max: 0.3, scale: Logarithmic}
      depth: {min: 2, max: 9}
      warm: {values: [true, false]}
quality_gate: {rmse: {max: 25.0}}
champion: {metric: r2, tolerance: 0.02}
monitoring: {baseline: true}
serving: {mode: batch, batch: {instance_type: ml.m5.xlarge}}
"""


@pytest.fixture(scope="module")
def text() -> str:
    return definition(plan(TEXT), session())


@pytest.fixture(scope="module")
def found(text: str) -> dict[str, dict[str, Any]]:
    return steps(text)


def valid(operation: str, request: Mapping[str, Any]) -> None:
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(resolved(dict(request)), shape)
    assert not report.has_errors(), report.generate_report()


def test_the_same_plan_gives_the_same_bytes_at_another_time(text: str) -> None:
    """Nothing of the clock, of a random name or of an order of a set is in the definition."""
    time.sleep(1.1)
    assert definition(plan(TEXT), session()) == text


def test_a_tuning_is_a_valid_request_encrypted_in_the_vpc_and_tagged(found: dict[str, dict[str, Any]]) -> None:
    assert "Train" not in found
    job = found["Tune"]["Arguments"]
    valid("CreateHyperParameterTuningJob", job | {"HyperParameterTuningJobName": "made-by-the-pipeline"})
    training = job["TrainingJobDefinition"]
    assert training["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
    assert training["ResourceConfig"]["VolumeKmsKeyId"] == training["OutputDataConfig"]["KmsKeyId"] == KEY
    assert training["ResourceConfig"]["InstanceType"] == "ml.g5.xlarge"
    assert training["EnableInterContainerTrafficEncryption"] is True
    assert {tag["Key"]: tag["Value"] for tag in job["Tags"]} == TAGS
    assert found["Tune"]["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
    assert found["Tune"]["RetryPolicies"]


def test_a_tuning_searches_what_the_project_file_says(found: dict[str, dict[str, Any]]) -> None:
    job = found["Tune"]["Arguments"]
    config, training = job["HyperParameterTuningJobConfig"], job["TrainingJobDefinition"]
    assert config["Strategy"] == "Random"
    assert config["HyperParameterTuningJobObjective"] == {"Type": "Minimize", "MetricName": "validation:rmse"}
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2}
    assert config["TrainingJobEarlyStoppingType"] == "Auto"
    ranges = config["ParameterRanges"]
    assert ranges["ContinuousParameterRanges"] == [
        {"Name": "learning_rate", "MinValue": "0.01", "MaxValue": "0.3", "ScalingType": "Logarithmic"}
    ]
    assert ranges["IntegerParameterRanges"] == [
        {"Name": "depth", "MinValue": "2", "MaxValue": "9", "ScalingType": "Auto"}
    ]
    assert ranges["CategoricalParameterRanges"] == [{"Name": "warm", "Values": ["true", "false"]}]
    assert training["StaticHyperParameters"] == {"max_iter": "300", "note": "a b"}
    names = [item["Name"] for item in training["AlgorithmSpecification"]["MetricDefinitions"]]
    assert names == [f"validation:{name}" for name in METRICS["regression"]]


@pytest.mark.parametrize(
    ("line", "figure"),
    [("validation:rmse=12.5", "12.5"), ("epoch 3 validation:rmse=-1e-05 s", "-1e-05"), ("validation:rmse=.5", ".5"),
     ("validation: rmse=3", None), ("validation:rmse=nan", None), ("train:rmse=1", None)],
)  # fmt: skip
def test_the_lines_that_a_tuning_understands(line: str, figure: str | None) -> None:
    match = re.search(metric_regex("rmse"), line)
    assert (match and match[1]) == figure


def test_spot_has_checkpoints_at_an_address_that_the_cache_knows_again(found: dict[str, dict[str, Any]]) -> None:
    training = found["Tune"]["Arguments"]["TrainingJobDefinition"]
    assert training["EnableManagedSpotTraining"] is True
    assert training["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 5400}
    assert training["CheckpointConfig"]["LocalPath"] == "/opt/ml/checkpoints"
    where = training["CheckpointConfig"]["S3Uri"]["Std:Join"]["Values"]
    assert re.fullmatch(r"s3://slipway-flight-delays/checkpoints/[0-9a-f]{16}", where[0])
    assert where[1:] == [{"Get": "Parameters.DataVersion"}]  # and nothing of the execution


def test_spot_without_tuning_and_other_code_goes_on_from_other_checkpoints() -> None:
    def address(text: str) -> str:
        job = steps(definition(plan(text), session()))["Train"]["Arguments"]
        valid("CreateTrainingJob", job | {"TrainingJobName": "made-by-the-pipeline"})
        assert job["EnableManagedSpotTraining"] is True
        return str(job["CheckpointConfig"]["S3Uri"]["Std:Join"]["Values"][0])

    start, end = TEXT.index("  tuning:"), TEXT.index("quality_gate:")
    once = TEXT[:start] + TEXT[end:]
    assert address(once) == address(once.replace("max_wait_minutes: 90", "max_wait_minutes: 95"))
    assert address(once) != address(once.replace("max_iter: 300", "max_iter: 301"))


def test_the_best_model_goes_on_wherever_the_tuning_that_ran_put_it(found: dict[str, dict[str, Any]]) -> None:
    best = {"Std:Join": {"On": "/", "Values": [
        {"Get": "Steps.Tune.TrainingJobDefinition.OutputDataConfig.S3OutputPath"},
        {"Get": "Steps.Tune.BestTrainingJob.TrainingJobName"},
        "output/model.tar.gz",
    ]}}  # fmt: skip
    inputs = {
        item["InputName"]: item["S3Input"]["S3Uri"] for item in found["Evaluate"]["Arguments"]["ProcessingInputs"]
    }
    assert inputs["model"] == best
    assert found["Register"]["Arguments"]["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == best


def test_the_champion_is_tested_last_and_told_whole(text: str, found: dict[str, dict[str, Any]]) -> None:
    outer, inner = found["Gate-rmse"]["Arguments"], found["Gate-champion"]["Arguments"]
    assert [step["Name"] for step in outer["IfSteps"]] == ["Gate-champion"]
    assert [step["Name"] for step in inner["IfSteps"]] == ["Register"]
    condition = inner["Conditions"][0]
    assert condition["Type"] == "GreaterThanOrEqualTo"
    assert condition["LeftValue"]["Std:JsonGet"]["Path"] == "regression_metrics.r2.value"
    assert condition["RightValue"] == {"Get": "Parameters.ChampionLimit"}
    words = found["Refuse-champion"]["Arguments"]["ErrorMessage"]["Std:Join"]["Values"]
    said = ["0.5" if isinstance(word, dict) and "Std:JsonGet" in word else word for word in words]
    assert said == [
        "champion not matched: r2 of this model is ", "0.5", ", that of ",
        {"Get": "Parameters.ChampionVersion"}, " is ",
        {"Get": "Parameters.ChampionFigure"}, ", 0.02 worse is allowed (project.yaml: champion.tolerance)",
    ]  # fmt: skip
    defaults = {item["Name"]: item.get("DefaultValue") for item in json.loads(text)["Parameters"]}
    assert defaults["ChampionVersion"] == defaults["ChampionFigure"] == "none"
    assert defaults["ChampionLimit"] == -1e308  # every figure of a model is beyond it


def test_the_limit_beside_a_champion_is_on_the_side_that_is_worse() -> None:
    higher = plan(TEXT).project
    lower = plan(TEXT.replace("metric: r2", "metric: rmse")).project
    assert gate.champion_limit(higher, 0.8) == pytest.approx(0.78)
    assert gate.champion_limit(lower, 20.0) == pytest.approx(20.02)
    assert gate.no_limit(higher) < -1e300 < 1e300 < gate.no_limit(lower)


def test_the_package_names_baselines_report_images_and_serves_batches(found: dict[str, dict[str, Any]]) -> None:
    package = found["Register"]["Arguments"]
    valid("CreateModelPackage", package)
    assert package["ModelMetrics"] == package["DriftCheckBaselines"]
    data = package["ModelMetrics"]["ModelDataQuality"]
    output = {"Get": "Steps.Evaluate.ProcessingOutputConfig.Outputs['baseline'].S3Output.S3Uri"}
    assert data["Statistics"]["S3Uri"]["Std:Join"]["Values"] == [output, "statistics.json"]
    assert data["Constraints"]["S3Uri"]["Std:Join"]["Values"] == [output, "constraints.json"]
    evaluate = found["Evaluate"]["Arguments"]
    outputs = [item["OutputName"] for item in evaluate["ProcessingOutputConfig"]["Outputs"]]
    assert outputs == ["evaluation", "baseline"]
    assert [item["InputName"] for item in evaluate["ProcessingInputs"]] == ["model", "test", "train"]
    assert evaluate["Environment"]["SLIPWAY_METRICS"] == "rmse,r2"
    inference = package["InferenceSpecification"]
    assert inference["SupportedTransformInstanceTypes"] == ["ml.m5.xlarge"]
    assert "SupportedRealtimeInferenceInstanceTypes" not in inference
    noted = package["CustomerMetadataProperties"]
    assert noted["image-training"] == f"{REGISTRY}/training@sha256:{'0' * 64}"
    assert (noted["problem"], noted["framework"]) == ("regression", "xgboost")
    assert noted["report"]["Std:Join"]["Values"][1] == "report.html"
    assert package["ModelPackageDescription"] == 'Arrival delay: "early" or late'  # one line: the registry's pattern
    assert package["MetadataProperties"]["CommitId"] == {"Get": "Parameters.CommitId"}


def test_the_model_card_is_one_when_the_execution_has_filled_it(found: dict[str, dict[str, Any]]) -> None:
    card = found["Register"]["Arguments"]["ModelCard"]
    assert card["ModelCardStatus"] == "Draft"
    pieces = card["ModelCardContent"]["Std:Join"]["Values"]
    filled = "".join(
        piece if isinstance(piece, str) else "12.5" if "Std:JsonGet" in piece else "s3://a/b" for piece in pieces
    )
    content = ModelCardContent.model_validate(json.loads(filled))
    assert content.evaluation_details
    groups = content.evaluation_details[0].metric_groups
    assert groups
    assert [(metric.name, metric.value) for metric in groups[0].metric_data] == [("rmse", 12.5), ("r2", 12.5)]
    assert content.intended_uses is not None
    assert content.intended_uses.purpose_of_model == 'Arrival delay: "early" or late'
    # A package's card has less than a model card: the service takes nothing else of the overview.
    assert set(json.loads(filled)["model_overview"]) <= {"model_creator", "model_artifact"}


@pytest.mark.parametrize("problem", list(METRICS))
def test_the_gate_reads_the_reports_of_every_problem(problem: Any) -> None:
    names = list(METRICS[problem])
    gates = ", ".join(f"{name}: {{min: 0.1}}" for name in names)
    text = f"project: abc\ntag: 1\ndescription: d\nproblem: {problem}\ndata: {{dataset: a, target: b}}\n"
    made = plan(f"{text}quality_gate: {{{gates}}}\n")
    found = steps(definition(made, session()))
    for name in names:
        left = found[f"Gate-{name}"]["Arguments"]["Conditions"][0]["LeftValue"]
        assert left["Std:JsonGet"]["Path"] == f"{REPORT_KEYS[problem]}.{name}.value"
    for step in ("Preprocess", "Train", "Evaluate"):
        assert found[step]["Arguments"]["Environment"]["SLIPWAY_PROBLEM"] == problem
    file = json.loads(constraints(made.project).body)
    assert file[REPORT_KEYS[problem].replace("_metrics", "_constraints")][names[0]] == {
        "threshold": 0.1, "comparison_operator": "LessThanThreshold",
    }  # fmt: skip


@pytest.mark.parametrize("strategy", ["Hyperband", "Grid", "Bayesian"])
def test_every_strategy_is_a_valid_request(strategy: str) -> None:
    text = TEXT.replace("strategy: Random", f"strategy: {strategy}")
    if strategy == "Hyperband":
        text = text.replace("early_stopping: true", "max_epochs: 20")
    if strategy == "Grid":
        text = text.replace("{min: 0.01, max: 0.3, scale: Logarithmic}", "{values: [0.1, 0.2]}")
        text = text.replace("{min: 2, max: 9}", "{values: [2, 4]}").replace("    max_jobs: 4\n", "")
    job = steps(definition(plan(text), session()))["Tune"]["Arguments"]
    valid("CreateHyperParameterTuningJob", job | {"HyperParameterTuningJobName": "made-by-the-pipeline"})
    config = job["HyperParameterTuningJobConfig"]
    assert config["Strategy"] == strategy
    if strategy == "Hyperband":
        assert config["StrategyConfig"]["HyperbandStrategyConfig"] == {"MinResource": 1, "MaxResource": 20}
    if strategy == "Grid":
        assert "MaxNumberOfTrainingJobs" not in config["ResourceLimits"]  # SageMaker counts them itself
