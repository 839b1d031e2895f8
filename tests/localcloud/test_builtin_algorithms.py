"""SageMaker's built-in XGBoost as boto3 sees it: its image is AWS's, its words and its model are the container's."""

from __future__ import annotations

import json
import random
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.calls import record
from tests.localcloud.sagemaker_support import Bench, unique, wait
from tests.localcloud.test_sagemaker_transform import ended as transformed
from tests.localcloud.test_sagemaker_transform import request as transform_request
from tests.localcloud.test_sagemaker_tuning import ended

IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0"
NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
HYPER = {"num_round": "5", "max_depth": "3", "nthread": "1"}


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def data(bench: Bench) -> dict[str, str]:
    """URIs of small data sets: the label is the first column."""
    draw = random.Random(7)
    rows = [[draw.uniform(-1, 1) for _ in range(3)] for _ in range(120)]
    labels = {
        "regression": lambda row: 3 * row[0] - row[1],
        "binary": lambda row: int(row[0] + row[1] > 0),
        "multiclass": lambda row: 0 if row[0] < -0.3 else 1 if row[0] < 0.3 else 2,
    }
    found = {}
    for name, label in labels.items():
        lines = [",".join(str(value) for value in (label(row), *row)) for row in rows]
        for channel, part in (("train", lines[:90]), ("validation", lines[90:])):
            bench.put(f"{name}/{channel}/{channel}.csv", "\n".join(part) + "\n")
        found[name] = f"s3://{bench.bucket}/{name}"
    return found


def request(bench: Bench, uri: str, hyper: dict[str, str], **members: Any) -> dict[str, Any]:
    """CreateTrainingJob without a name, in a VPC."""
    subnet, group, _ = bench.surroundings()
    channels = [bench.channel(name, f"{uri}/{name}") | {"ContentType": "text/csv"} for name in ("train", "validation")]
    return bench.training_arguments(**{
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": {**HYPER, **hyper},
        "InputDataConfig": channels,
        "VpcConfig": {"Subnets": [subnet], "SecurityGroupIds": [group]},
        "EnableNetworkIsolation": True,
        **members,
    })  # fmt: skip


def values(job: dict[str, Any]) -> dict[str, float]:
    return {item["MetricName"]: item["Value"] for item in job["FinalMetricDataList"]}


def log(bench: Bench, name: str) -> str:
    return bench.logs("/aws/sagemaker/TrainingJobs", f"{name}/")


def python(bench: Bench) -> str:
    """The Python of the algorithm's image, which has XGBoost."""
    found = sorted((bench.cloud.home / "images" / "process" / "trees").glob("*/lib/python3*/site-packages/xgboost"))
    return str(found[-1].parents[3] / "bin" / "python")


def predictions(bench: Bench, job: dict[str, Any], folder: Path, rows: list[list[float]]) -> Any:
    """What the job's model says, loaded as anybody loads it."""
    with tarfile.open(fileobj=BytesIO(bench.read(job["ModelArtifacts"]["S3ModelArtifacts"]))) as tar:
        assert tar.getnames() == ["xgboost-model"]
        tar.extractall(folder, filter="data")
    code = (
        "import json, sys, numpy, xgboost; booster = xgboost.Booster(model_file=sys.argv[1]); "
        "print(json.dumps(booster.predict(xgboost.DMatrix(numpy.array(json.loads(sys.argv[2])))).tolist()))"
    )
    done = subprocess.run(
        [python(bench), "-I", "-c", code, str(folder / "xgboost-model"), json.dumps(rows)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def refused(call: Any, **given: Any) -> tuple[str, str]:
    """(code, message) of the error that a call answers with."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_regression(bench: Bench, data: dict[str, str], tmp_path: Path) -> None:
    """It trains, its metrics are found by SageMaker's own definitions, its model loads and has learnt."""
    name = unique("regression")
    job = bench.train(name, **request(bench, data["regression"], {"objective": "reg:squarederror", "eta": "0.9"}))
    assert job["TrainingJobStatus"] == "Completed", job
    defined = {item["Name"]: item["Regex"] for item in job["AlgorithmSpecification"]["MetricDefinitions"]}
    assert defined["validation:rmse"] == rf".*\[[0-9]+\].*#011validation-rmse:{NUMBER}.*"
    assert len(defined) <= 40
    assert set(values(job)) == {"train:rmse", "validation:rmse"}
    lines = [line for line in log(bench, name).splitlines() if line.startswith("[")]
    rounds = [line for line in lines if "#011train-rmse:" in line and "#011validation-rmse:" in line]
    assert [line.partition("#")[0] for line in rounds] == ["[0]", "[1]", "[2]", "[3]", "[4]"]
    assert values(job)["validation:rmse"] == pytest.approx(float(rounds[-1].rpartition(":")[2]))
    high, low = predictions(bench, job, tmp_path, [[0.9, -0.9, 0.0], [-0.9, 0.9, 0.0]])
    assert high > 2 > -2 > low


def test_no_ecr_is_asked_for(bench: Bench, data: dict[str, str]) -> None:
    """AWS pulls the image with its own credentials: a role without ECR trains, and its record names no ECR."""
    iam = bench.cloud.client("iam")
    name = unique("plain")
    role = bench.make_role(name)
    denied = {"Effect": "Deny", "Action": "ecr:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
    iam.put_role_policy(RoleName=name, PolicyName="no-ecr", PolicyDocument=document)
    job = bench.train(name, **request(bench, data["regression"], {}, RoleArn=role, EnableNetworkIsolation=False))
    assert job["TrainingJobStatus"] == "Completed", job

    def services() -> list[str]:
        return [call["action"].partition(":")[0] for call in record(bench.cloud) if f"/{name}/" in call["principal"]]

    wait(lambda: "cloudwatch" in services(), what="the record of the metrics, which come last")
    assert "s3" in services()
    assert "ecr" not in services()


@pytest.mark.parametrize(
    ("kind", "hyper", "metrics"),
    [
        ("binary", {"objective": "binary:logistic", "eval_metric": "auc,error"}, {"auc", "error"}),
        ("multiclass", {"objective": "multi:softprob", "num_class": "3", "eval_metric": "merror,accuracy"},
         {"merror", "accuracy"}),
    ],
)  # fmt: skip
def test_a_classification(
    bench: Bench, data: dict[str, str], tmp_path: Path, kind: str, hyper: dict[str, str], metrics: set[str]
) -> None:
    """The metrics that were asked for, of XGBoost and of the container, and a model of the right shape."""
    job = bench.train(unique(kind), **request(bench, data[kind], hyper))
    assert job["TrainingJobStatus"] == "Completed", job
    found = values(job)
    assert set(found) == {f"{part}:{metric}" for part in ("train", "validation") for metric in metrics}
    if kind == "binary":
        assert found["validation:auc"] > 0.8
        assert predictions(bench, job, tmp_path, [[0.9, 0.9, 0.0]])[0] > 0.5
    else:
        assert found["validation:accuracy"] == pytest.approx(1 - found["validation:merror"])
        (shares,) = predictions(bench, job, tmp_path, [[0.9, 0.0, 0.0]])
        assert len(shares) == 3
        assert max(shares) == shares[2]


def test_what_stops_a_training(bench: Bench, data: dict[str, str]) -> None:
    """early_stopping_rounds ends it at the validation metric's best; the other format is libsvm, by default."""
    text = "".join(f"{n % 2} 1:{n % 2 + 0.5} 3:{n}\n" for n in range(40))
    noise = "".join(f"{(n + 1) % 2} 1:{n % 2 + 0.5} 3:{n}\n" for n in range(40))
    uri = f"s3://{bench.bucket}/sparse"
    bench.put("sparse/train/a.libsvm", text)
    bench.put("sparse/validation/b.libsvm", noise)
    given = request(
        bench, uri,
        {"objective": "binary:logistic", "num_round": "50", "early_stopping_rounds": "2", "eval_metric": "logloss"},
        InputDataConfig=[bench.channel(name, f"{uri}/{name}") for name in ("train", "validation")],
    )  # fmt: skip
    name = unique("early")
    job = bench.train(name, **given)
    assert job["TrainingJobStatus"] == "Completed", job
    rounds = [line for line in log(bench, name).splitlines() if "#011validation-logloss:" in line]
    assert len(rounds) == 3


def test_text_in_a_csv_is_no_error_but_told(bench: Bench, data: dict[str, str]) -> None:
    """As on AWS a header is one more row, labelled 0; the log says so."""
    bench.put("header/train/a.csv", "y,a,b\n1,2,3\n4,5,6\n")
    name = unique("header")
    given = request(bench, "", {})
    given["InputDataConfig"] = [bench.channel("train", f"s3://{bench.bucket}/header/train") | {"ContentType": "csv"}]
    job = bench.train(name, **given)
    assert job["TrainingJobStatus"] == "Completed", job
    assert "Train matrix has 3 rows and 2 columns" in log(bench, name)
    assert "The first line of a.csv is 'y,a,b', which is not numbers alone." in log(bench, name)


@pytest.mark.parametrize(
    ("hyper", "channel", "content", "reason"),
    [
        ({"num_round": None}, "train", "text/csv", "UserError: Missing required hyperparameter: num_round"),
        ({"depth": "3"}, "train", "text/csv", "UserError: Extraneous hyperparameter found: depth"),
        ({}, "test", "text/csv", "KeyError: 'SM_CHANNEL_TRAIN'"),
        ({}, "train", "text/plain", "UserError: Channel configuration for 'train' channel is not supported: "),
        ({}, "train", None, "UserError: First line '"),  # without a content type it is libsvm
    ],
)  # fmt: skip
def test_what_it_refuses(
    bench: Bench, data: dict[str, str], hyper: dict[str, Any], channel: str, content: str | None, reason: str
) -> None:
    """The container's words are the reason of the failure."""
    given = request(bench, data["regression"], {})
    given["HyperParameters"] = {key: value for key, value in {**HYPER, **hyper}.items() if value is not None}
    source = bench.channel(channel, f"{data['regression']}/train")
    given["InputDataConfig"] = [source | ({"ContentType": content} if content else {})]
    job = bench.train(unique("sad"), **given)
    assert job["TrainingJobStatus"] == "Failed"
    told = job["FailureReason"]
    assert told.startswith("AlgorithmError: framework error: \n")
    assert told.endswith(", exit code: 1")
    assert reason in told


def test_what_is_refused_at_once(bench: Bench, data: dict[str, str]) -> None:
    """Other algorithms and versions, regions and metric definitions: by name, before anything is made."""
    create = bench.sagemaker.create_training_job
    given = request(bench, data["regression"], {})

    def answer(**specification: Any) -> tuple[str, str]:
        changed = {**given, "AlgorithmSpecification": {**given["AlgorithmSpecification"], **specification}}
        return refused(create, TrainingJobName=unique("no"), **changed)

    linear = "438346466558.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1"
    for image in (linear, IMAGE.replace("3.2-0", "1.7-1"), IMAGE.replace("141502667606", "141502667607")):
        code, message = answer(TrainingImage=image)
        assert code == "NotImplemented"
        assert image in message
        assert "sagemaker-xgboost:3.0-5, sagemaker-xgboost:3.2-0" in message
    code, message = answer(MetricDefinitions=[{"Name": "rmse", "Regex": "x"}])
    assert (code, message) == (
        "ValidationException",
        "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request without "
        "specifying metric definitions.",
    )
    elsewhere = "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0"
    assert answer(TrainingImage=elsewhere)[0] == "ValidationException"
    given["HyperParameters"] = {**HYPER, "_kfold": "5"}
    assert "_kfold" in answer()[1]
    container = {"Image": IMAGE.replace("3.2-0", "1.7-1")}
    code, message = refused(
        bench.sagemaker.create_model, ModelName=unique("no"), PrimaryContainer=container, ExecutionRoleArn=bench.role
    )
    assert code == "NotImplemented"
    assert "sagemaker-xgboost:3.0-5, sagemaker-xgboost:3.2-0" in message


def test_release_3_0_5(bench: Bench, data: dict[str, str]) -> None:
    """The older release of XGBoost 3 has an image of its own."""
    given = request(bench, data["regression"], {})
    given["AlgorithmSpecification"]["TrainingImage"] = IMAGE.replace("3.2-0", "3.0-5")
    job = bench.train(unique("older"), **given)
    assert job["TrainingJobStatus"] == "Completed", job


def test_a_stopped_job_keeps_its_model(bench: Bench, data: dict[str, str]) -> None:
    """save_model_on_termination: the model of the last round is there, and one checkpoint of the first, as on AWS."""
    name = unique("stopped")
    long = {"num_round": "100000", "save_model_on_termination": "true"}
    point = {"S3Uri": f"s3://{bench.bucket}/{name}"}
    bench.sagemaker.create_training_job(
        TrainingJobName=name, **request(bench, data["regression"], long, CheckpointConfig=point)
    )
    wait(lambda: bench.keys(f"{name}/"), what="the checkpoint")
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    job = bench.trained(name)
    assert job["TrainingJobStatus"] == "Stopped", job
    with tarfile.open(fileobj=BytesIO(bench.read(job["ModelArtifacts"]["S3ModelArtifacts"]))) as tar:
        assert "xgboost-model" in tar.getnames()
    assert bench.keys(f"{name}/") == ["xgboost-checkpoint_0.ubj"]


@pytest.fixture(scope="module")
def model(bench: Bench, data: dict[str, str]) -> str:
    """A model with the algorithm's image, of a job of it."""
    job = bench.train(unique("model"), **request(bench, data["regression"], {"eta": "0.9"}))
    name = unique("model")
    container = {"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    bench.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=bench.role)
    return name


def test_an_endpoint(bench: Bench, model: str) -> None:
    """The image serves what it has trained: CSV and libsvm in, CSV and JSON out, and the container's statuses."""
    name = unique("endpoint")
    variant = {
        "VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    }  # fmt: skip
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def settled() -> str | None:
        status = bench.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
        return str(status) if status in ("InService", "Failed") else None

    assert wait(settled, what="the endpoint") == "InService"
    runtime = bench.cloud.client("sagemaker-runtime")

    def ask(body: str, kind: str = "text/csv", accept: str = "text/csv") -> str:
        found = runtime.invoke_endpoint(EndpointName=name, Body=body.encode(), ContentType=kind, Accept=accept)
        return str(found["Body"].read().decode())

    high, low = (float(value) for value in ask("0.9,-0.9,0\n-0.9,0.9,0\n").splitlines())
    assert high > 2 > -2 > low
    scores = json.loads(ask("0.9,-0.9,0\n-0.9,0.9,0", accept="application/json"))["predictions"]
    assert [item["score"] for item in scores] == pytest.approx([high, low])
    assert float(ask("0 1:0.9 2:-0.9 3:0.0\n", "text/libsvm")) == pytest.approx(high)
    for body, kind, status in (
        ("0.9,-0.9,0", "text/plain", 415),
        ("a,b,c", "text/csv", 415),
        ("1,2,3,4", "text/csv", 400),
    ):
        with pytest.raises(ClientError) as caught:
            ask(body, kind)
        assert caught.value.response["OriginalStatusCode"] == status
    bench.sagemaker.delete_endpoint(EndpointName=name)


def test_a_transform_job(bench: Bench, model: str) -> None:
    """A batch has one prediction a line."""
    name = unique("transform")
    bench.put(f"{name}/in/a.csv", "0.9,-0.9,0\n-0.9,0.9,0\n")
    given = transform_request(bench, model, f"s3://{bench.bucket}/{name}/in", f"{name}/out")
    bench.sagemaker.create_transform_job(TransformJobName=name, **given)
    job = transformed(bench, name)
    assert job["TransformJobStatus"] == "Completed", job
    high, low = bench.read(f"s3://{bench.bucket}/{name}/out/a.csv.out").decode().splitlines()
    assert float(high) > 2 > -2 > float(low)


def test_a_tuning_job(bench: Bench, data: dict[str, str]) -> None:
    """The objective is a metric of the algorithm, also told as ObjectiveMetric; the best job has the least of it."""
    given = tuning(bench, data)
    name = unique("tune")
    bench.sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **given)
    found = ended(bench, name)
    assert found["HyperParameterTuningJobStatus"] == "Completed", found
    assert found["TrainingJobStatusCounters"]["Completed"] == 2
    best = bench.sagemaker.describe_training_job(TrainingJobName=found["BestTrainingJob"]["TrainingJobName"])
    assert best["HyperParameters"]["eta"] == "0.9"
    assert best["HyperParameters"]["_tuning_objective_metric"] == "validation:mae"
    assert set(values(best)) == {"train:rmse", "validation:rmse", "train:mae", "validation:mae", "ObjectiveMetric"}
    objective = found["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]
    assert objective["Value"] == pytest.approx(values(best)["ObjectiveMetric"])


def test_tuning_refuses(bench: Bench, data: dict[str, str]) -> None:
    """Metrics that the algorithm does not have, or that are to be the other way; definitions of one's own."""
    create = bench.sagemaker.create_hyper_parameter_tuning_job
    objective = {"Type": "Maximize", "MetricName": "validation:rmse"}
    for changed in (objective, {"Type": "Minimize", "MetricName": "loss"}):
        given = tuning(bench, data)
        given["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"] = changed
        code, message = refused(create, HyperParameterTuningJobName=unique("no"), **given)
        assert code == "ValidationException"
        assert changed["MetricName"] in message
    given = tuning(bench, data)
    given["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "x", "Regex": "x"}]
    assert "can't override" in refused(create, HyperParameterTuningJobName=unique("no"), **given)[1]


def tuning(bench: Bench, data: dict[str, str]) -> dict[str, Any]:
    """CreateHyperParameterTuningJob without a name: two values of eta, one of which is far better."""
    definition = request(bench, data["regression"], {})
    static = definition.pop("HyperParameters")
    return {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Grid",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:mae"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "eta", "Values": ["0.01", "0.9"]}]},
        },
        "TrainingJobDefinition": {**definition, "StaticHyperParameters": static},
    }
