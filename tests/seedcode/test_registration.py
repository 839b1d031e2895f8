"""A stamped project of every combination, from its own images to the registry, and its model asked in a batch.

The images are built from the project's Dockerfiles, the pipeline is the one that a model build composes, and the local
cloud runs its jobs. How long the pipeline takes is told at the end, and written to build/frameworks.json.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.core import Credentials
from localcloud.runtime import create
from localcloud.runtime.pip import machine
from localcloud.runtime.registry import EcrRegistry
from slipway.pipeline import run
from slipway.pipeline.definition import definition
from slipway.pipeline.plan import Plan
from slipway.progress import Progress
from slipway.release.verify import to_csv
from slipway_demo import datasets
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud, free_port
from tests.localcloud.sagemaker_support import Bench, unique, wait
from tests.unit.slipway.plans import plan, session

from .conftest import FIGURES, Stamp
from .matrix import PAIRS, REPOSITORY

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside the SDK
]
BASE = "public.ecr.aws/docker/library/python:3.11-slim"
IMAGES = ("preprocessing", "training", "inference")
# What a person waits for a model of the seed code, on two processors that have nothing else to do.
SECONDS = 120


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    cloud = LocalCloud(tmp_path_factory.mktemp("cloud") / "home", free_port())
    cloud.start()
    yield Bench(cloud, tmp_path_factory.mktemp("images"))
    cloud.stop()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How images reach packages: as this machine does, and the platform's own wheel."""
    wheels = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(wheels), str(REPOSITORY / "cicd")],
        check=True, capture_output=True,
    )  # fmt: skip
    settings = machine()
    known = settings.get("UV_FIND_LINKS")
    return {**settings, "UV_FIND_LINKS": f"{wheels},{known}" if known else str(wheels)}


def images(bench: Bench, project: Path, packages: dict[str, str]) -> dict[str, str]:
    """Build and push the project's images. Name → image, pinned by digest."""
    ecr, found, said = bench.cloud.client("ecr"), {}, []
    runtime = create("process", bench.cloud.home / "images" / "process", machine=packages)
    registry = EcrRegistry(Credentials(TOOLING, "test", None, bench.cloud.endpoint, REGION))
    for name in IMAGES:
        repository = unique(name)
        uri = ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]
        runtime.build(project, project / name / "Dockerfile", f"{uri}:1", {"BASE_IMAGE": BASE}, said.append)
        runtime.push(f"{uri}:1", registry)
        (detail,) = ecr.describe_images(repositoryName=repository)["imageDetails"]
        found[name] = f"{uri}@{detail['imageDigest']}"
    return found


def by_algorithm(text: str) -> str:
    """A project.yaml changed as its own comment says, so that SageMaker's algorithm trains."""
    assert "# algorithm: {name: xgboost}" in text
    found = text.replace("# algorithm:", "algorithm:").replace(" rounds:", " num_round:")
    return found.replace(" num_round:", " num_class: 10\n    num_round:") if "num_class is 10" in text else found


def place(bench: Bench, text: str, made: dict[str, str]) -> Plan:
    """The plan of a project.yaml, with its place in the local cloud and its data in the lake."""
    subnet, group, models = bench.surroundings()
    wanted = plan(text)
    dataset = wanted.project.data.dataset
    for name, content in datasets.files(dataset):
        bench.s3.put_object(Bucket=bench.bucket, Key=f"curated/{dataset}/{name}", Body=content)
    key = bench.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    where = dataclasses.replace(
        wanted.place, name=unique("pipe"), role_arn=bench.role, bucket=bench.bucket, key_arn=key,
        subnets=(subnet,), security_groups=(group,), model_package_group=models,
    )  # fmt: skip
    return dataclasses.replace(wanted, place=where, images=made, data_uri=f"s3://{bench.bucket}/curated/{dataset}/")


def transformed(bench: Bench, package: str, rows: bytes) -> list[float]:
    """What the registered model answers in a transform job, a prediction a line."""
    sagemaker, name = bench.sagemaker, unique("batch")
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    sagemaker.create_model(ModelName=name, PrimaryContainer={"ModelPackageName": package}, ExecutionRoleArn=bench.role)
    bench.s3.put_object(Bucket=bench.bucket, Key=f"{name}/in/rows.csv", Body=rows)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bench.bucket}/{name}/in/"}}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=name,
        TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={
            "S3OutputPath": f"s3://{bench.bucket}/{name}/out", "Accept": "text/csv", "AssembleWith": "Line"
        },
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )  # fmt: skip

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_transform_job(TransformJobName=name)
        return found if found["TransformJobStatus"] in ("Completed", "Failed", "Stopped") else None

    done = wait(ended, 120, "the transform job")
    assert done["TransformJobStatus"] == "Completed", done.get("FailureReason")
    answer = bench.read(f"s3://{bench.bucket}/{name}/out/rows.csv.out").decode()
    return [float(line) for line in answer.split()]


def seconds(steps: list[dict[str, Any]], name: str = "") -> float:
    """From the start of the first step that `name` is in, which is every one, to the end of the last."""
    ours = [step for step in steps if name in step["StepName"] and "EndTime" in step]
    return float((max(step["EndTime"] for step in ours) - min(step["StartTime"] for step in ours)).total_seconds())


@pytest.mark.parametrize(
    ("framework", "problem", "algorithm"),
    [(*pair, False) for pair in PAIRS] + [(*pair, True) for pair in PAIRS if pair[0] == "xgboost"],
)
def test_a_project_comes_to_the_registry_and_its_model_answers_in_a_batch(
    framework: str,
    problem: str,
    algorithm: bool,
    bench: Bench,
    stamped: Stamp,
    packages: dict[str, str],
    pytestconfig: pytest.Config,
) -> None:
    """Protects a combination's whole way: what its pins install trains in time, passes its gate, and answers alike.

    The same where a built-in algorithm of SageMaker trains (`algorithm`) and the project's code does the rest.
    """
    project = stamped(framework, problem, "batch")
    text = (project / "project.yaml").read_text(encoding="utf-8")
    wanted = place(bench, by_algorithm(text) if algorithm else text, images(bench, project, packages))
    sagemaker = bench.sagemaker
    text = definition(wanted, session())
    run.upsert(sagemaker, wanted.place.name, text, wanted.place.role_arn, wanted.place.tags)
    given = {"ModelVersion": "V1.0.0", "CommitId": "c0ffee", "Cause": "merge", "DataVersion": "d1"}
    arn = run.start(sagemaker, wanted.place.name, given, unique("token") + "0" * 32, "V1.0.0 [b] merge")
    done = run.wait(sagemaker, arn, Progress())
    assert done.status == "Succeeded", [(step["StepName"], step.get("FailureReason")) for step in done.steps]
    package = done.model_package()
    assert package is not None
    described = sagemaker.describe_model_package(ModelPackageName=package)
    assert described["CustomerMetadataProperties"]["framework"] == framework
    assert ("algorithm" in described["CustomerMetadataProperties"]) == algorithm
    report = described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    measured = next(iter(json.loads(bench.read(report)).values()))
    took = seconds(done.steps)
    pytestconfig.stash[FIGURES].append(
        {
            "framework": f"{framework}, built-in" if algorithm else framework,
            "problem": problem,
            "pipeline_seconds": round(took, 1),
            "training_seconds": round(seconds(done.steps, "Train"), 1),
            "metrics": {name: round(figure["value"], 3) for name, figure in measured.items()},
        }
    )
    samples = json.loads(bench.read(report.replace("evaluation.json", "samples.json")))
    answers = transformed(bench, package, to_csv(samples["rows"]))
    assert answers == pytest.approx([float(value) for value in samples["predicted"]], rel=1e-5, abs=1e-6)
    assert took < SECONDS
