"""The champion: who it is, and what a candidate is held against."""

import json
import math
from typing import Any

import pytest

from slipway import champion
from slipway.configuration import ProjectFile, loads
from slipway.errors import SlipwayError

from .fakes import Session
from .test_model import GROUP, NOW, PACKAGE, PROJECT, package

REPORT: dict[str, Any] = {"regression_metrics": {"rmse": {"value": 20.0}, "r2": {"value": 0.8}}}


def project(metric: str = "rmse") -> ProjectFile:
    return loads(f"{PROJECT}champion: {{metric: {metric}, tolerance: 0.5}}\n")


def approved(session: Session, *arns: str) -> None:
    summaries = [{"ModelPackageArn": arn, "CreationTime": NOW, "ModelPackageStatus": "Completed"} for arn in arns]
    wanted = {
        "ModelPackageGroupName": GROUP, "ModelApprovalStatus": "Approved", "SortBy": "CreationTime",
        "SortOrder": "Descending",
    }  # fmt: skip
    session.stub("sagemaker", "list_model_packages", {"ModelPackageSummaryList": summaries}, wanted)


def test_the_newest_approved_model_sets_the_limit() -> None:
    session = Session()
    approved(session, PACKAGE, f"{PACKAGE[:-1]}1")
    session.stub("sagemaker", "describe_model_package", package(), {"ModelPackageName": PACKAGE})
    session.stub("sagemaker", "describe_model_package", package(), {"ModelPackageName": PACKAGE})
    found = champion.standing(session.client("sagemaker"), GROUP, project(), lambda _: json.dumps(REPORT).encode())
    assert found is not None
    assert found.parameters() == {"ChampionVersion": "V1.0.0", "ChampionFigure": "20.0", "ChampionLimit": "20.5"}
    assert "the champion is V1.0.0: its rmse is 20.0" in found.said


def test_without_a_champion_every_model_passes_and_it_is_said() -> None:
    session = Session()
    approved(session)
    found = champion.standing(session.client("sagemaker"), GROUP, project(), lambda _: b"")
    assert found is not None
    assert "no model is approved yet" in found.said
    assert float(found.parameters()["ChampionLimit"]) > 1e300


def test_a_project_that_asks_for_no_champion_asks_nobody() -> None:
    assert champion.standing(Session().client("sagemaker"), GROUP, loads(PROJECT), lambda _: b"") is None


@pytest.mark.parametrize("figures", [{"mae": {"value": 3.0}}, {"rmse": {"value": math.nan}, "mae": {"value": 3.0}}])
def test_a_champion_that_cannot_be_compared_is_not_passed_over(figures: dict[str, Any]) -> None:
    session = Session()
    approved(session, PACKAGE)
    session.stub("sagemaker", "describe_model_package", package())
    session.stub("sagemaker", "describe_model_package", package())
    report = json.dumps({"regression_metrics": figures}).encode()
    with pytest.raises(SlipwayError, match=r"the champion V1\.0\.0 has no rmse: given 'rmse', allowed mae: compare"):
        champion.standing(session.client("sagemaker"), GROUP, project(), lambda _: report)
