"""Hyperparameter tuning jobs as boto3 sees them: real training jobs, judged by what they print."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.sagemaker_support import Bench, unique, wait
from tests.localcloud.test_sagemaker_pipelines import Lab, step

ENDED = ("Completed", "Failed", "Stopped")
METRICS = [{"Name": "validation:rmse", "Regex": "validation:rmse=([-+0-9.eE]+)"}]


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


def refused(call: Any, **request: Any) -> tuple[str, str]:
    """(code, message) of the error that a call answers with."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def request(bench: Bench, strategy: str = "Random", **config: Any) -> dict[str, Any]:
    """CreateHyperParameterTuningJob without a name."""
    definition = bench.training_arguments(StaticHyperParameters={"epochs": "3"})
    definition["AlgorithmSpecification"]["MetricDefinitions"] = METRICS
    ranges: dict[str, Any] = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "10"}]}
    if strategy == "Grid":
        ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "3", "8"]}]}
    return {
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:rmse"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 2}
            | ({} if strategy == "Grid" else {"MaxNumberOfTrainingJobs": 3}),
            "ParameterRanges": ranges,
            "RandomSeed": 7,
            **config,
        },
        "TrainingJobDefinition": definition,
    }


def ended(bench: Bench, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = bench.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return found if found["HyperParameterTuningJobStatus"] in ENDED else None

    return dict(wait(look, 60, what=f"the end of {name}"))


def tune(bench: Bench, **given: Any) -> dict[str, Any]:
    name = unique("tune")
    bench.sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **given)
    return ended(bench, name)


def jobs(bench: Bench, name: str, **given: Any) -> list[dict[str, Any]]:
    found = bench.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, MaxResults=100, **given
    )
    return list(found["TrainingJobSummaries"])


def test_a_grid_finds_the_best(bench: Bench) -> None:
    """Every combination is trained once; the best, its counters, names, tags and hyperparameters are AWS's."""
    events = bench.events("SageMaker HyperParameter Tuning Job State Change")
    found = tune(bench, **request(bench, "Grid"), Tags=[{"Key": "project", "Value": "p"}])
    name = found["HyperParameterTuningJobName"]
    assert found["HyperParameterTuningJobStatus"] == "Completed", found
    assert found["TrainingJobStatusCounters"]["Completed"] == 3
    assert found["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    best = found["BestTrainingJob"]
    assert best["TunedHyperParameters"] == {"x": "3"}
    metric = best["FinalHyperParameterTuningJobObjectiveMetric"]
    assert metric == {"Type": "Minimize", "MetricName": "validation:rmse", "Value": pytest.approx(0.0)}
    ordered = jobs(bench, name, SortBy="FinalObjectiveMetricValue", SortOrder="Ascending")
    assert [item["TunedHyperParameters"]["x"] for item in ordered] == ["3", "1", "8"]
    assert ordered[0]["TrainingJobName"] == best["TrainingJobName"]
    job = bench.sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert job["TuningJobArn"] == found["HyperParameterTuningJobArn"]
    assert job["TrainingJobName"].startswith(f"{name}-00")
    assert job["HyperParameters"] == {"epochs": "3", "x": "3", "_tuning_objective_metric": "validation:rmse"}
    assert job["FinalMetricDataList"][0]["Value"] == pytest.approx(0.0)
    tags = bench.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "project", "Value": "p"}]
    listed = bench.sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name)["HyperParameterTuningJobSummaries"]
    assert (listed[0]["Strategy"], listed[0]["ResourceLimits"]["MaxNumberOfTrainingJobs"]) == ("Grid", 3)
    told = wait(lambda: [e for e in events() if e["detail"]["HyperParameterTuningJobName"] == name][1:], what="events")
    assert told[-1]["detail"]["HyperParameterTuningJobStatus"] == "Completed"
    assert told[-1]["resources"] == [found["HyperParameterTuningJobArn"]]


def test_a_seed_repeats_a_search(bench: Bench) -> None:
    """The same RandomSeed tries the same hyperparameters, another one others; bounds and integers are kept."""
    given = request(bench, "Random", ResourceLimits={"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1})
    ranges = given["HyperParameterTuningJobConfig"]["ParameterRanges"]
    ranges["IntegerParameterRanges"] = [{"Name": "n", "MinValue": "1", "MaxValue": "64", "ScalingType": "Logarithmic"}]

    def tried(seed: int) -> list[dict[str, str]]:
        given["HyperParameterTuningJobConfig"]["RandomSeed"] = seed
        name = tune(bench, **given)["HyperParameterTuningJobName"]
        return [item["TunedHyperParameters"] for item in jobs(bench, name)]

    first = tried(1)
    assert first == tried(1)
    assert first != tried(2)
    assert all(0 <= float(item["x"]) <= 10 and 1 <= int(item["n"]) <= 64 for item in first)


def test_hyperband_stops_what_lags_behind(bench: Bench) -> None:
    """Jobs that are worse at the same epoch are stopped before their end, and are not the best."""
    given = request(
        bench, "Hyperband", StrategyConfig={"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 3}},
        ResourceLimits={"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 1},
    )  # fmt: skip
    given["TrainingJobDefinition"]["StaticHyperParameters"] = {"epochs": "60", "pause": "0.05"}
    found = tune(bench, **given)
    assert found["HyperParameterTuningJobStatus"] == "Completed", found
    assert found["TrainingJobStatusCounters"]["Stopped"] >= 1
    assert found["TrainingJobStatusCounters"]["Completed"] >= 1


def test_failures(bench: Bench) -> None:
    """Training jobs that all fail, or print no metric, fail the tuning job with the reason."""
    given = request(bench)
    given["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] = 2
    given["TrainingJobDefinition"]["StaticHyperParameters"] = {"fail": "no rows"}
    found = tune(bench, **given)
    assert found["HyperParameterTuningJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("No training job succeeded after 2 attempts.")
    assert "AlgorithmError: no rows, exit code: 1" in found["FailureReason"]
    assert found["TrainingJobStatusCounters"]["NonRetryableError"] == 2
    given["TrainingJobDefinition"]["StaticHyperParameters"] = {"silent": "1"}
    found = tune(bench, **given)
    assert found["FailureReason"].startswith("No objective metrics found after running 2 training jobs.")
    assert "BestTrainingJob" not in found


def test_a_tuning_job_stops(bench: Bench) -> None:
    """Stop ends the training jobs too; an ended one cannot be stopped."""
    given = request(bench)
    given["TrainingJobDefinition"]["StaticHyperParameters"] = {"sleep": "60"}
    name = unique("stop")
    bench.sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **given)
    wait(lambda: len(jobs(bench, name)) == 2)
    bench.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert ended(bench, name)["HyperParameterTuningJobStatus"] == "Stopped"
    assert {item["TrainingJobStatus"] for item in jobs(bench, name)} == {"Stopped"}
    code, told = refused(bench.sagemaker.stop_hyper_parameter_tuning_job, HyperParameterTuningJobName=name)
    assert (code, "in status Stopped" in told) == ("ValidationException", True)


def test_what_is_refused(bench: Bench) -> None:
    """What AWS refuses is refused before anything runs; what is not served is refused by name."""
    create = bench.sagemaker.create_hyper_parameter_tuning_job

    def told(change: Any, strategy: str = "Random") -> tuple[str, str]:
        given = request(bench, strategy)
        change(given, given["HyperParameterTuningJobConfig"], given["TrainingJobDefinition"])
        return refused(create, HyperParameterTuningJobName="x", **given)

    def ranges(**found: Any) -> Any:
        return lambda given, config, definition: config.update(ParameterRanges=found)

    number = {"Name": "x", "MinValue": "0", "MaxValue": "1"}
    for change, strategy, code, words in (
        (lambda g, c, d: d["AlgorithmSpecification"].pop("MetricDefinitions"), "Random", "ValidationException",
         "A metric is required"),
        (ranges(ContinuousParameterRanges=[number]), "Grid", "ValidationException", "categorical"),
        (lambda g, c, d: c["ResourceLimits"].update(MaxNumberOfTrainingJobs=2), "Grid", "ValidationException", "3"),
        (ranges(ContinuousParameterRanges=[{**number, "ScalingType": "Logarithmic"}]), "Random",
         "ValidationException", "must be above 0"),
        (ranges(ContinuousParameterRanges=[{**number, "MinValue": "2"}]), "Random", "ValidationException", "above Max"),
        (ranges(IntegerParameterRanges=[{**number, "MaxValue": "1.5"}]), "Random", "ValidationException", "integers"),
        (lambda g, c, d: d["StaticHyperParameters"].update(x="1"), "Random", "ValidationException", "both static"),
        (lambda g, c, d: c.update(TrainingJobEarlyStoppingType="Auto"), "Hyperband", "ValidationException", "Off"),
        (lambda g, c, d: c["ResourceLimits"].update(MaxParallelTrainingJobs=9), "Random", "ValidationException", "9"),
        (lambda g, c, d: c["ResourceLimits"].pop("MaxNumberOfTrainingJobs"), "Random", "ValidationException", "Max"),
        (lambda g, c, d: g.update(Autotune={"Mode": "Enabled"}), "Random", "NotImplemented", "Autotune"),
        (lambda g, c, d: d["ResourceConfig"].update(InstanceCount=2), "Random", "ResourceLimitExceeded", "set Inst"),
        (lambda g, c, d: d.update(RoleArn=d["RoleArn"] + "x"), "Random", "ValidationException", "Could not assume"),
    ):  # fmt: skip
        found = told(change, strategy)
        assert found[0] == code, found
        assert words in found[1], found
    assert "can't find" in refused(
        bench.sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName="x"
    )[1]  # fmt: skip


def test_a_tuning_step(bench: Bench) -> None:
    """A Tuning step hands on its best job and the ordered summaries, is cached whatever its output and tags are, and
    fails with the tuning job's reason."""
    arguments = request(bench, "Grid")
    top = {"Get": "Steps.Tune.TrainingJobSummaries[0].TrainingJobName"}
    uri = {"Std:Join": {"On": "/", "Values": [f"s3://{bench.bucket}/models", top, "output/model.tar.gz"]}}
    use = step(
        "Use", "Processing",
        bench.processing_arguments(
            f"s3://{bench.bucket}/tuned", uri,  # type: ignore[arg-type]
            Environment={"RMSE": "1", "MESSAGE": {"Get": "Steps.Tune.BestTrainingJob.TrainingJobName"}},
        ),
    )  # fmt: skip
    lab = Lab(bench, [step("Tune", "Tuning", arguments, CacheConfig={"Enabled": True, "ExpireAfter": "P1D"}), use])
    run, steps = lab.run()
    assert run["PipelineExecutionStatus"] == "Succeeded", steps
    name = steps["Tune"]["Metadata"]["TuningJob"]["Arn"].rsplit("/", 1)[1]
    assert name.startswith(f"{run['PipelineExecutionArn'].rsplit('/', 1)[1]}-Tune-")
    assert json.loads(bench.read(f"s3://{bench.bucket}/tuned/report.json"))["files"] == ["model.tar.gz"]
    used = bench.sagemaker.describe_processing_job(
        ProcessingJobName=steps["Use"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[1]
    )
    best = bench.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)["BestTrainingJob"]
    assert used["ExitMessage"] == best["TrainingJobName"]

    def again(**members: Any) -> dict[str, dict[str, Any]]:
        changed = json.loads(json.dumps(lab.definition))
        changed["Steps"][0]["Arguments"].update(members)
        lab.sagemaker.update_pipeline(PipelineName=lab.name, PipelineDefinition=json.dumps(changed))
        return lab.run()[1]

    other = {**arguments["TrainingJobDefinition"], "OutputDataConfig": {"S3OutputPath": f"s3://{bench.bucket}/other"}}
    hit = again(Tags=[{"Key": "a", "Value": "b"}], TrainingJobDefinition=other)
    assert hit["Tune"]["CacheHitResult"] == {"SourcePipelineExecutionArn": run["PipelineExecutionArn"]}
    assert hit["Tune"]["Metadata"] == steps["Tune"]["Metadata"]
    failing = {**other, "StaticHyperParameters": {"fail": "no rows"}}
    failed = again(TrainingJobDefinition=failing)
    assert failed["Tune"]["StepStatus"] == "Failed"
    assert failed["Tune"]["FailureReason"].startswith("No training job succeeded after 3 attempts.")


@pytest.mark.thorough
def test_a_restart_goes_on_tuning(own_cloud: Any, tmp_path: Path) -> None:
    """kill -9: the training jobs that it ended are tried again, those that were done count, and the search ends."""
    bench = Bench(own_cloud, tmp_path)
    given = request(bench, "Grid")
    given["TrainingJobDefinition"]["StaticHyperParameters"] = {"epochs": "1", "sleep": "2"}
    name = unique("tune")
    bench.sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **given)
    wait(lambda: any(item["TrainingJobStatus"] == "Completed" for item in jobs(bench, name)))
    time.sleep(0.5)
    own_cloud.kill()
    own_cloud.start()
    found = ended(bench, name)
    assert found["HyperParameterTuningJobStatus"] == "Completed", found
    assert found["TrainingJobStatusCounters"]["Completed"] == 3
    assert found["BestTrainingJob"]["TunedHyperParameters"] == {"x": "3"}
