"""A project's own pipeline, as the model build composes it, executed: tuned on spot, measured, compared, registered."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.core import Credentials
from localcloud.runtime.registry import EcrRegistry
from slipway import experiment
from slipway.pipeline import run
from slipway.pipeline.definition import definition
from slipway.pipeline.plan import Plan
from slipway.progress import Progress
from tests.localcloud.conftest import REGION, TOOLING
from tests.localcloud.sagemaker_support import Bench, runtime_of, unique
from tests.unit.slipway.plans import plan, session

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the SDK
PROJECT = """
project: flight-delays
tag: 1
description: Arrival delay
framework: scikit-learn
problem: regression
data: {dataset: flights/2013-q1, target: arr_delay}
training:
  hyperparameters: {rounds: 3}
  spot: {max_wait_minutes: 60}
  tuning:
    strategy: Grid
    objective: {metric: rmse}
    max_parallel_jobs: 2
    ranges:
      x: {values: [1, 3, 8]}
quality_gate: {rmse: {max: 25.0}}
champion: {metric: rmse, tolerance: 0.5}
monitoring: {baseline: true}
serving: {mode: both, batch: {instance_type: ml.m5.large}}
"""
SCRIPTS = {
    "preprocess.py": """
for part in ("train", "validation", "test"):
    folder = BASE / "processing/output" / part
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}.csv").write_text((BASE / "processing/input/dataset/data.csv").read_text())
""",
    "train.py": """
x = float(json.loads((BASE / "input/config/hyperparameters.json").read_text())["x"])
error = (x - 3) ** 2 + 10
(BASE / "checkpoints" / "1.ckpt").write_text("x")
print(f"validation:rmse={error}", flush=True)
(BASE / "model" / "model.json").write_text(json.dumps({"rmse": error}))
""",
    "evaluate.py": """
with tarfile.open(BASE / "processing/input/model/model.tar.gz") as tar:
    error = json.load(tar.extractfile(next(m for m in tar if m.name.endswith("model.json"))))["rmse"]
assert (BASE / "processing/input/train/train.csv").is_file()
found = {"evaluation": {
    "evaluation.json": {"regression_metrics": {"rmse": {"value": error}}}, "samples.json": {"rows": []}},
    "baseline": {"statistics.json": {"version": 0}, "constraints.json": {"version": 0}}}
for name, files in found.items():
    folder = BASE / "processing/output" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content))
(BASE / "processing/output/evaluation/report.html").write_text("<p>")
""",
}
HEAD = """import json, os, pathlib, tarfile
BASE = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
"""
DOCKERFILE = """FROM public.ecr.aws/docker/library/python:3.11-slim
WORKDIR /opt/program
COPY preprocess.py train.py evaluate.py ./
ENTRYPOINT ["python", "train.py"]
"""


def image(bench: Bench, folder: Path) -> str:
    repository = unique("project")
    ecr = bench.cloud.client("ecr")
    uri = str(ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]) + ":1"
    for name, text in SCRIPTS.items():
        (folder / name).write_text(HEAD + text)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    runtime = runtime_of(bench.cloud)
    runtime.build(folder, folder / "Dockerfile", uri)
    runtime.push(uri, EcrRegistry(Credentials(TOOLING, "test", None, bench.cloud.endpoint, REGION)))
    return uri


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def wanted(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan whose place is in the local cloud."""
    subnet, group, models = bench.surroundings()
    made = plan(PROJECT)
    place = dataclasses.replace(
        made.place,
        name=unique("pipe"),
        role_arn=bench.role,
        bucket=bench.bucket,
        key_arn=bench.cloud.client("kms").create_key()["KeyMetadata"]["Arn"],
        subnets=(subnet,),
        security_groups=(group,),
        model_package_group=models,
    )
    uri = image(bench, tmp_path_factory.mktemp("project"))
    bench.put("curated/data.csv", "a,b\n1,2\n")
    return dataclasses.replace(
        made, place=place, images=dict.fromkeys(made.images, uri), data_uri=f"s3://{bench.bucket}/curated/"
    )


def execute(bench: Bench, wanted: Plan, **parameters: str) -> tuple[run.Execution, dict[str, dict[str, Any]]]:
    given = {"ModelVersion": "V1.0.0", "CommitId": "c0ffee", "Cause": "merge", "DataVersion": "d1", **parameters}
    arn = run.start(bench.sagemaker, wanted.place.name, given, unique("token") + "0" * 32, "V1.0.0 [b] merge")
    done = run.wait(bench.sagemaker, arn, Progress())
    return done, {step["StepName"]: step for step in done.steps}


def test_the_pipeline_tunes_measures_compares_and_registers(bench: Bench, wanted: Plan) -> None:
    """Protects the whole chain: what each step hands on is what the next one reads, taken from the cache or not."""
    sagemaker, place = bench.sagemaker, wanted.place
    text = definition(wanted, session())
    assert run.upsert(sagemaker, place.name, text, place.role_arn, place.tags) == "created"
    done, steps = execute(bench, wanted)
    assert done.status == "Succeeded", [(s["StepName"], s.get("FailureReason")) for s in done.steps]
    package = sagemaker.describe_model_package(ModelPackageName=done.model_package())
    container = package["InferenceSpecification"]["Containers"][0]
    assert bench.read(container["ModelDataUrl"])  # the best model is where the package says
    report = json.loads(bench.read(package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]))
    assert report == {"regression_metrics": {"rmse": {"value": 10.0}}}  # and it is the best of the three
    given = {"ModelVersion": "V1.0.0", "CommitId": "c0ffee", "Cause": "merge", "DataVersion": "d1"}
    noted = experiment.run_of(wanted, done, sagemaker, json.dumps(report).encode(), given, str(done.model_package()))
    assert (noted.succeeded, noted.parameters["x"], noted.parameters["rounds"]) == (True, "3", "3")
    assert noted.metrics == {"validation/rmse": 10.0, "test/rmse": 10.0}
    assert noted.started < noted.ended
    baseline = package["DriftCheckBaselines"]["ModelDataQuality"]["Constraints"]["S3Uri"]
    assert json.loads(bench.read(baseline)) == {"version": 0}
    assert bench.read(package["CustomerMetadataProperties"]["report"]) == b"<p>"
    card = json.loads(package["ModelCard"]["ModelCardContent"])
    group = card["evaluation_details"][0]["metric_groups"][0]
    assert group["metric_data"][0]["value"] == 10.0
    assert card["training_details"]["training_observations"] == "commit c0ffee, cause merge"
    assert package["MetadataProperties"]["CommitId"] == "c0ffee"
    assert bench.keys("checkpoints/")  # the spot trainings kept some

    again, steps = execute(bench, wanted, ModelVersion="V1.1.0", CommitId="d00d")
    cached = {name for name, step in steps.items() if step.get("CacheHitResult")}
    assert cached == {"Preprocess", "Tune", "Evaluate"}
    package = sagemaker.describe_model_package(ModelPackageName=again.model_package())
    assert bench.read(package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])

    beaten, steps = execute(bench, wanted, ChampionVersion="V0.9.0", ChampionFigure="9.0", ChampionLimit="9.5")
    assert beaten.status == "Failed"
    assert beaten.model_package() is None
    reason = steps["Refuse-champion"]["FailureReason"]
    assert reason == (
        "champion not matched: rmse of this model is 10.0, that of V0.9.0 is 9.0, 0.5 worse is allowed "
        "(project.yaml: champion.tolerance)"
    )
    matched, _ = execute(bench, wanted, ChampionVersion="V0.9.0", ChampionFigure="9.6", ChampionLimit="10.1")
    assert matched.status == "Succeeded"
    assert run.state(sagemaker, place.name, "V1.0.0", "b") == "ended"
    assert run.state(sagemaker, place.name, "V1.0.0", "other") == "not started"
