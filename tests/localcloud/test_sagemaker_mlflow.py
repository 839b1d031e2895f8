"""MLflow tracking servers, asked as a build asks them: by the MLflow client with AWS's plug-in."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from slipway import experiment
from tests.localcloud.calls import awaited, record
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud, free_port
from tests.localcloud.sagemaker_support import wait

REPOSITORY = Path(__file__).parents[2]
NAME = "slipway"
EXPERIMENT = experiment.name("slipway", "flight-delays")
ARN = f"arn:aws:sagemaker:{REGION}:{TOOLING}:mlflow-tracking-server/{NAME}"
ENDED = datetime(2026, 11, 26, 12, tzinfo=UTC)
RUN = experiment.Run(
    "V1.0.0",
    f"arn:aws:sagemaker:{REGION}:{TOOLING}:pipeline/slipway-flight-delays/execution/abc",
    succeeded=True,
    started=ENDED - timedelta(minutes=5),
    ended=ENDED,
    parameters={"max_iter": "300", "data.version": "d1"},
    metrics={"test/rmse": 12.5, "test/rmse_standard_deviation": 0.25, "validation/rmse": 12.0},
    tags={"mlflow.source.git.commit": "c0ffee", "slipway.model-package": "arn:…/1", "slipway.cause": "merge"},
)
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud of its own, since it is killed."""
    made = LocalCloud(tmp_path_factory.mktemp("mlflow"), free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def session(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A build's session and environment."""
    monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", f"{cloud.endpoint}/_sagemaker-mlflow")
    return boto3.Session(TOOLING, "test", region_name=REGION)


def runs(session: Any) -> list[Any]:
    with experiment._client(session, ARN) as client:
        found = client.get_experiment_by_name(EXPERIMENT)
        return list(client.search_runs([found.experiment_id])) if found else []


def status(sagemaker: Any) -> tuple[str, str]:
    found = sagemaker.describe_mlflow_tracking_server(TrackingServerName=NAME)
    return found["TrackingServerStatus"], found["IsActive"]


def refused(call: Any, **members: Any) -> str:
    """AWS's code of what is refused."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    return str(caught.value.response["Error"]["Code"])


def mlflow_calls(cloud: LocalCloud) -> list[dict[str, Any]]:
    """What was asked of MLflow and answered."""
    return [call for call in record(cloud) if call["action"].startswith("sagemaker-mlflow:") and call["status"] == 200]


def allowed(template: str, sid: str) -> set[str]:
    """The actions of a statement that begins so."""
    text = (REPOSITORY / template).read_text()
    statement = text.split(f"Sid: {sid}")[1].split("Sid: ")[0]
    return set(re.findall(r"sagemaker-mlflow:\w+", statement))


def test_a_server_keeps_runs_through_a_power_cut_and_goes_when_it_is_deleted(cloud: LocalCloud, session: Any) -> None:
    """Protects the list of runs: one run an execution, there after kill -9, and its name free once it is removed."""
    sagemaker = cloud.client("sagemaker")
    iam = cloud.client("iam")
    role = iam.create_role(RoleName="mlflow", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    made = {"TrackingServerName": NAME, "ArtifactStoreUri": "s3://artifacts", "TrackingServerSize": "Small"}
    stranger = f"{role}-of-nobody"
    assert refused(sagemaker.create_mlflow_tracking_server, **made, RoleArn=stranger) == "ValidationException"
    assert sagemaker.create_mlflow_tracking_server(**made, RoleArn=role)["TrackingServerArn"] == ARN
    assert refused(sagemaker.delete_mlflow_tracking_server, TrackingServerName=NAME) == "ConflictException"
    wait(lambda: status(sagemaker) == ("Created", "Active"), 120, "the tracking server")

    first = experiment.note(session, ARN, EXPERIMENT, RUN)
    cloud.kill()
    cloud.start()
    assert experiment.note(session, ARN, EXPERIMENT, RUN) == first
    later = {"execution": f"{RUN.execution}d", "started": ENDED, "metrics": {}}
    failed = dataclasses.replace(RUN, name="V1.1.0", succeeded=False, **later)
    experiment.note(session, ARN, EXPERIMENT, failed)
    newest, oldest = runs(session)
    assert (newest.info.run_name, newest.info.status) == ("V1.1.0", "FAILED")
    assert (oldest.info.run_name, oldest.info.status) == ("V1.0.0", "FINISHED")
    assert (oldest.info.start_time, oldest.info.end_time) == (1795694100000, 1795694400000)
    assert oldest.data.params == RUN.parameters
    assert oldest.data.metrics == RUN.metrics
    assert RUN.tags.items() <= oldest.data.tags.items()

    opened = sagemaker.create_presigned_mlflow_tracking_server_url(TrackingServerName=NAME)["AuthorizedUrl"]
    page = httpx.get(opened, follow_redirects=True)
    assert page.status_code == 200
    assert "<title>MLflow</title>" in page.text
    assert httpx.get(opened).status_code == 403, "it opens once"

    other = boto3.Session("222222222222", "test", region_name=REGION)
    with pytest.raises(experiment.ExperimentError, match="does not exist"):
        experiment.note(other, ARN, EXPERIMENT, RUN)
    assert httpx.get(f"{cloud.endpoint}/_sagemaker-mlflow/api/2.0/mlflow/experiments/search").status_code == 403

    asked = {call["action"] for call in awaited(lambda: mlflow_calls(cloud))}
    assert asked == allowed("service-catalog/project/build-role.yaml", "NoteRuns") - {
        "sagemaker-mlflow:RestoreExperiment"
    }
    assert experiment.remove(session, ARN, EXPERIMENT)
    assert not experiment.remove(session, ARN, EXPERIMENT)
    assert experiment.note(session, ARN, EXPERIMENT, RUN) != first  # a later project of the name begins anew
    assert len(runs(session)) == 1

    calls = mlflow_calls(cloud)
    assert {call["resource"] for call in calls} == {ARN}
    assert record(cloud, action="sagemaker-mlflow:AccessUI")[0]["principal"].endswith(":root")
    removing = {"sagemaker-mlflow:UpdateExperiment", "sagemaker-mlflow:DeleteExperiment"}
    assert removing <= allowed("cfn/removal.yaml", "RemoveExperiments") & {call["action"] for call in calls}

    sagemaker.stop_mlflow_tracking_server(TrackingServerName=NAME)
    wait(lambda: status(sagemaker) == ("Stopped", "Inactive"))
    with pytest.raises(experiment.ExperimentError, match="is not active; its status is Stopped"):
        runs(session)
    sagemaker.delete_mlflow_tracking_server(TrackingServerName=NAME)
    assert refused(sagemaker.describe_mlflow_tracking_server, TrackingServerName=NAME) == "ResourceNotFound"
    assert not list((cloud.home / "sagemaker" / "mlflow").rglob("mlflow.db"))
