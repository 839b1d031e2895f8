"""What a project made beside its stack is taken away, and nothing that the launch said is kept."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from slipway import experiment, removal
from slipway.errors import SlipwayError
from slipway.progress import Progress

from .fakes import Session

PROJECT, NAME = "flight", "slipway-flight"
GROUP = "arn:aws:sagemaker:eu-west-1:111111111111:model-package-group/slipway-flight"
PIPELINE = "arn:aws:sagemaker:eu-west-1:111111111111:pipeline/slipway-flight"


def wanted(data: removal.Data) -> removal.Removal:
    return removal.Removal(
        namespace="slipway", project=PROJECT, account="111111111111", region="eu-west-1", partition="aws",
        environments={}, data=data,
    )  # fmt: skip


def run(session: Session, data: removal.Data, **more: Any) -> None:
    removal.remove(session, removal.Removal(**{**vars(wanted(data)), **more}), Progress(), assume, sleep=lambda _: None)
    session.assert_all_called()


def assume(session: Any, role: str, name: str) -> Any:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"not authorized to assume {role}"}}, "AssumeRole")


def test_what_is_kept_is_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    """Protects data and models: with `keep`, no client but SageMaker's is even asked for."""
    session = Session()
    session.stub("sagemaker", "list_pipelines", {"PipelineSummaries": [{"PipelineName": f"{NAME}-delays"}]})
    run(session, "keep")
    assert set(session._clients) == {"sagemaker"}
    assert "are kept, with their key" in capsys.readouterr().out


def test_a_running_execution_is_stopped_before_its_pipeline_goes() -> None:
    """Protects from jobs that go on writing into a bucket that is being emptied."""
    session = Session()
    execution = {"PipelineExecutionArn": f"{PIPELINE}/execution/a", "PipelineExecutionStatus": "Executing"}
    running = {"PipelineExecutionSummaries": [execution]}
    session.stub("sagemaker", "list_pipelines", {"PipelineSummaries": [{"PipelineName": NAME}]})
    session.stub("sagemaker", "list_pipeline_executions", running)
    session.stub("sagemaker", "stop_pipeline_execution", {"PipelineExecutionArn": f"{PIPELINE}/execution/a"})
    session.stub("sagemaker", "list_pipeline_executions", running)
    session.stub("sagemaker", "list_pipeline_executions", {"PipelineExecutionSummaries": []})
    session.stub("sagemaker", "delete_pipeline", {"PipelineArn": PIPELINE})
    run(session, "keep")


def test_everything_goes_and_the_key_is_the_last() -> None:
    """Protects `delete`: models, images, code, logs, every version in the bucket, then the key."""
    session = Session()
    session.stub("sagemaker", "list_pipelines", {"PipelineSummaries": []})
    session.stub("ssm", "get_parameters_by_path", {"Parameters": []})
    group = {"ModelPackageGroupName": NAME, "ModelPackageGroupArn": GROUP, "ModelPackageGroupStatus": "Completed"}
    found = {"ModelPackageGroupSummaryList": [{**group, "CreationTime": 0}]}
    session.stub("sagemaker", "list_model_package_groups", found)
    arn = "arn:aws:sagemaker:eu-west-1:111111111111:model-package/slipway-flight/1"
    package = {"ModelPackageArn": arn, "CreationTime": 0, "ModelPackageStatus": "Completed"}
    session.stub("sagemaker", "list_model_packages", {"ModelPackageSummaryList": [package]})
    session.stub("sagemaker", "delete_model_package", {}, {"ModelPackageName": arn})
    session.stub("sagemaker", "delete_model_package_group", {}, {"ModelPackageGroupName": NAME})
    for kind in ("inference", "preprocessing", "training"):
        name = f"slipway/{PROJECT}/{kind}"
        session.stub("ecr", "describe_repositories", {"repositories": [{"repositoryName": name}]})
        session.stub("ecr", "delete_repository", {}, {"repositoryName": name, "force": True})
    session.refuse("codecommit", "get_repository", "RepositoryDoesNotExistException")
    session.refuse("codebuild", "delete_report_group", "ResourceNotFoundException")
    for kind in ("build", "deploy"):
        group = f"/aws/codebuild/{NAME}-{kind}"
        session.stub(
            "logs", "describe_log_groups", {"logGroups": [{"logGroupName": group}, {"logGroupName": f"{group}-2"}]}
        )
        session.stub("logs", "delete_log_group", {}, {"logGroupName": group})
    bucket = f"{NAME}-111111111111-eu-west-1"
    session.stub(
        "s3", "list_object_versions",
        {"Versions": [{"Key": "a", "VersionId": "1"}], "DeleteMarkers": [{"Key": "a", "VersionId": "2"}]},
    )  # fmt: skip
    keys = [{"Key": "a", "VersionId": "1"}, {"Key": "a", "VersionId": "2"}]
    session.stub("s3", "delete_objects", {}, {"Bucket": bucket, "Delete": {"Objects": keys, "Quiet": True}})
    session.stub("s3", "list_object_versions", {})
    session.stub("s3", "delete_bucket", {}, {"Bucket": bucket})
    session.stub("kms", "describe_key", {"KeyMetadata": {"KeyId": "k", "KeyState": "Enabled"}})
    session.stub("kms", "schedule_key_deletion", {}, {"KeyId": "k", "PendingWindowInDays": 30})
    run(session, "delete")


SERVER = "arn:aws:sagemaker:eu-west-1:111111111111:mlflow-tracking-server/slipway"


def test_the_experiment_goes_where_the_platform_has_a_tracking_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects `delete`: the runs of the project go with it, and only the project's."""
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(experiment, "remove", lambda _, server, name: asked.append((server, name)) or True)
    session = Session()
    session.parameters("/slipway/platform/mlflow/", {"tracking-server-arn": SERVER})
    removal._experiment(session, wanted("delete"), Progress())
    assert asked == [(SERVER, "slipway/flight")]
    assert "experiment slipway/flight: removed" in capsys.readouterr().out


def test_a_tracking_server_that_is_stopped_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from `delete` that leaves the runs behind and says nothing."""

    def stopped(*_: object) -> bool:
        raise experiment.ExperimentError("INVALID_STATE: is not active")

    monkeypatch.setattr(experiment, "remove", stopped)
    session = Session()
    session.parameters("/slipway/platform/mlflow/", {"tracking-server-arn": SERVER})
    with pytest.raises(SlipwayError, match=r"slipway/flight cannot be removed.*Start the tracking server"):
        removal._experiment(session, wanted("delete"), Progress())


def test_a_repository_elsewhere_leaves_one_of_its_name_in_codecommit_alone() -> None:
    """Protects the code of an earlier project of the same name: CodeCommit is not even asked."""
    session = Session()
    for _ in range(3):
        session.refuse("ecr", "describe_repositories", "RepositoryNotFoundException")
    removal._code(session, removal.Removal(**{**vars(wanted("delete")), "connected": True}), Progress())
    session.assert_all_called()


def test_an_account_that_does_not_let_in_is_named_with_the_mend() -> None:
    """Protects the person who terminates a product before the workload account was upgraded."""
    with pytest.raises(SlipwayError, match=r"endpoint of staging \(account 222222222222\).*release-deployer-staging"):
        run(Session(), "keep", environments={"staging": "222222222222"})
