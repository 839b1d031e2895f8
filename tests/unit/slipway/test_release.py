"""Releasing: only what is approved is packaged, and staging answers as the model did."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from botocore.response import StreamingBody

from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.release import verify
from slipway.release.package import Bundle, package

from .fakes import Session
from .test_model import PACKAGE, PROJECT
from .test_model import package as described

RELEASE = {"version": "V1.0.0", "model_package_arn": PACKAGE, "commit_id": "c0ffee"}
SAMPLES = {
    "target": "arr_delay",
    "columns": ["delay", "carrier"],
    "rows": [[1.5, "UA"], [None, "B6"]],
    "truth": [3.0, 4.0],
    "predicted": [2.5, 4.5],
}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "project.yaml").write_text(
        PROJECT + "serving: {environments: {production: {initial_instance_count: 2}}}\n"
    )
    (tmp_path / "release.json").write_text(json.dumps(RELEASE))
    (tmp_path / "samples.json").write_text(json.dumps(SAMPLES))
    return Bundle(tmp_path)


def blob(text: bytes) -> StreamingBody:
    return StreamingBody(io.BytesIO(text), len(text))


def test_an_approved_model_is_packaged(bundle: Bundle, tmp_path: Path) -> None:
    session = Session()
    session.stub("sagemaker", "describe_model_package", described(ModelApprovalStatus="Approved"))
    session.parameters("/slipway/platform/", {"assets/bucket": "assets", "assets/prefix": "releases/abc"})
    expected = {"Bucket": "assets", "Key": "releases/abc/service-catalog/project/endpoint.yaml"}
    session.stub("s3", "get_object", {"Body": blob(b"Resources: {}")}, expected)
    session.parameters("/slipway/projects/flight-delays/", {"cost-center": "ml"})
    output = tmp_path / "build"
    assert package(session, "slipway", bundle, output) == [
        "endpoint.yaml",
        "staging.json",
        "production.json",
        "release.json",
        "samples.json",
    ]
    production = json.loads((output / "production.json").read_text())
    assert production["Parameters"] == {
        "Namespace": "slipway",
        "ProjectName": "flight-delays",
        "Environment": "production",
        "ModelPackageArn": PACKAGE,
        "ModelVersion": "V1.0.0",
        "Serving": "real-time",
        "InstanceType": "ml.m5.large",
        "InstanceCount": "2",
        "BatchModelName": production["Parameters"]["BatchModelName"],
        "CostCenter": "ml",
        "VpcSubnetIds": "/slipway/platform/network/private-subnet-ids",
        "ComputeSecurityGroupId": "/slipway/platform/network/compute-security-group-id",
        "EndpointRoleArn": "/slipway/platform/release/endpoint-role-arn",
        "KeyArn": "/slipway/platform/release/key-arn",
    }
    staging = json.loads((output / "staging.json").read_text())
    assert (staging["Parameters"]["InstanceCount"], staging["Parameters"]["Environment"]) == ("1", "staging")
    assert {"Namespace", "Project", "CostCenter", "Environment", "ModelVersion"} <= set(production["Tags"])
    session.assert_all_called()


def test_a_model_approved_by_its_author_is_not_packaged(bundle: Bundle, tmp_path: Path) -> None:
    """Nobody releases their own model, whatever role they approve it with."""
    author, approver = (f"arn:aws:sts::1:assumed-role/slipway-{role}/mary" for role in ("DataScientist", "Approver"))
    (tmp_path / "release.json").write_text(json.dumps({**RELEASE, "authors": [author]}))
    session = Session()
    by = {"IamIdentity": {"Arn": approver}}
    session.stub("sagemaker", "describe_model_package", described(ModelApprovalStatus="Approved", LastModifiedBy=by))
    with pytest.raises(SlipwayError, match="approved it and is its author"):
        package(session, "slipway", bundle, tmp_path / "build")
    assert not (tmp_path / "build").exists()


def test_a_model_that_is_not_approved_any_more_is_not_packaged(bundle: Bundle, tmp_path: Path) -> None:
    session = Session()
    session.stub("sagemaker", "describe_model_package", described(ModelApprovalStatus="Rejected"))
    with pytest.raises(SlipwayError, match=r"V1\.0\.0 may not be released: its approval is 'Rejected'"):
        package(session, "slipway", bundle, tmp_path / "build")
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("mode", ["batch", "both"])
def test_a_model_for_transform_jobs_is_packaged_with_their_settings(bundle: Bundle, tmp_path: Path, mode: str) -> None:
    """Protects the jobs: what project.yaml says of them reaches the stack, and a new release names a new model."""
    (bundle.folder / "project.yaml").write_text(
        PROJECT + f"serving: {{mode: {mode}, batch: {{instance_type: ml.c5.xlarge, max_payload_mb: 2}}}}\n"
    )
    names = []
    for build in ("package:1", "package:1", "package:2"):
        session = Session()
        session.stub("sagemaker", "describe_model_package", described(ModelApprovalStatus="Approved"))
        session.parameters("/slipway/platform/", {"assets/bucket": "assets", "assets/prefix": "releases/abc"})
        session.stub("s3", "get_object", {"Body": blob(b"Resources: {}")})
        session.parameters("/slipway/projects/flight-delays/", {"cost-center": "ml"})
        output = tmp_path / "build"
        package(session, "slipway", bundle, output, build)
        given = json.loads((output / "production.json").read_text())["Parameters"]
        assert given["Serving"] == Bundle(output).serving == mode
        settings = {name: value for name, value in given.items() if name.startswith("Batch") and "Model" not in name}
        assert settings == {
            "BatchInstanceType": "ml.c5.xlarge",
            "BatchInstanceCount": "1",
            "BatchMaxPayloadInMB": "2",
            "BatchMaxConcurrentTransforms": "1",
            "BatchStrategy": "MultiRecord",
        }
        assert re.fullmatch("slipway-flight-delays-[0-9a-f]{8}-production", given["BatchModelName"])
        names.append(given["BatchModelName"])
    assert names[0] == names[1] != names[2], "a stage that is retried makes another model, or a new release the same"


def test_what_is_no_bundle_is_told(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="not a release bundle"):
        _ = Bundle(tmp_path).release


def invoke(session: Session, *answers: Any) -> list[float]:
    for answer in answers:
        content = {"Body": blob(json.dumps(answer).encode()), "ContentType": "application/json"}
        session.stub("sagemaker-runtime", "invoke_endpoint", content)
    return verify.verify(session.client("sagemaker-runtime"), "e", SAMPLES, Progress(io.StringIO()))


def test_the_same_answers_pass() -> None:
    session = Session()
    assert invoke(session, {"predictions": [2.5, 4.5]}, {"predictions": [2.5, 4.5 + 1e-9]}) == [2.5, 4.5]
    session.assert_all_called()
    assert verify.to_csv(SAMPLES["rows"]) == b"1.5,UA\n,B6\n"  # type: ignore[arg-type]
    assert json.loads(verify.to_json(SAMPLES))["instances"][1] == {"delay": None, "carrier": "B6"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"predictions": [2.5, 4.6]}, "answers 4.6 to sample row 2"),
        ({"predictions": [2.5]}, "answered 2 rows"),
        ({"error": "x"}, 'not {"predictions"'),
        ({"predictions": [2.5, None]}, 'not {"predictions"'),
    ],
)
def test_other_answers_fail(answer: object, said: str) -> None:
    with pytest.raises(SlipwayError) as caught:
        invoke(Session(), answer, answer)
    assert said in str(caught.value)


def test_an_endpoint_that_failed_tells_why() -> None:
    session = Session()
    common = {
        "EndpointName": "e",
        "EndpointArn": "arn:aws:sagemaker:eu-west-1:111111111111:endpoint/e",
        "CreationTime": "2026-01-01T00:00:00Z",
        "LastModifiedTime": "2026-01-01T00:00:00Z",
    }
    session.stub("sagemaker", "describe_endpoint", {**common, "EndpointStatus": "Creating"})
    session.stub("sagemaker", "describe_endpoint", {**common, "EndpointStatus": "Failed", "FailureReason": "no ping"})
    with pytest.raises(SlipwayError, match="endpoint e is Failed: no ping"):
        verify.wait_in_service(session.client("sagemaker"), "e", Progress(io.StringIO()), sleep=lambda _: None)
