"""Versions under concurrent builds: claimed on condition in S3, unique, in order, and not used up by failures."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slipway.claims import STARTING, Claim, Claims
from slipway.errors import SlipwayError
from slipway.pipeline.run import State
from slipway.versions import Version
from tests.localcloud.conftest import LocalCloud


class Project:
    """A bucket, a registry, and what became of the executions of builds."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.bucket = f"versions-{uuid.uuid4().hex[:12]}"
        cloud.client("s3").create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        self.key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
        self.registry: list[Version] = []
        self.states: dict[str, State] = {}

    def claims(self) -> Claims:
        return Claims(self.cloud.client("s3"), self.bucket, self.key, lambda claim: self.states[claim.build])

    def take(self, build: str, cause: Any = "merge", tag: int = 1) -> Claim:
        self.states.setdefault(build, "not started")
        return self.claims().take(tag, lambda: list(self.registry), cause, build)

    def succeed(self, claim: Claim) -> None:
        self.registry.append(claim.version)
        self.states[claim.build] = "ended"


@pytest.fixture
def project(cloud: LocalCloud) -> Project:
    return Project(cloud)


def test_builds_at_once_get_versions_of_their_own_in_order(project: Project) -> None:
    """Protects: two pushes at once give two versions; here ten do, and every one of them succeeds."""
    start = threading.Barrier(10)

    def build(number: int) -> Claim:
        start.wait()
        return project.take(f"build-{number}")

    with ThreadPoolExecutor(10) as pool:
        taken = list(pool.map(build, range(10)))
    versions = sorted(claim.version for claim in taken)
    assert versions == [Version(1, 0, 0), *(Version(1, number, 0) for number in range(1, 10))]


def test_a_merge_raises_the_second_figure_and_a_schedule_the_third(project: Project) -> None:
    made = []
    for number, cause in enumerate(["merge", "schedule", "schedule", "merge", "schedule"]):
        claim = project.take(f"build-{number}", cause)
        project.succeed(claim)
        made.append(str(claim.version))
    assert made == ["V1.0.0", "V1.0.1", "V1.0.2", "V1.1.0", "V1.1.1"]
    assert str(project.take("other", tag=2).version) == "V2.0.0"


def test_a_build_that_fails_uses_no_version_up(project: Project) -> None:
    """Protects: after three builds that missed the gate the next model is not three versions further."""
    project.succeed(project.take("first"))
    for number in range(3):
        assert str(project.take(f"failing-{number}").version) == "V1.1.0"
        project.states[f"failing-{number}"] = "ended"
    assert str(project.take("good").version) == "V1.1.0"


def test_a_build_whose_execution_runs_keeps_its_version(project: Project) -> None:
    claim = project.take("running")
    project.states["running"] = "running"
    assert str(project.take("next").version) == "V1.1.0"
    project.succeed(claim)
    assert str(project.take("after").version) == "V1.2.0"


def test_a_build_that_died_before_it_started_anything_is_waited_for_and_then_taken_over(project: Project) -> None:
    project.take("dead")
    assert str(project.take("soon").version) == "V1.1.0"
    project.states["soon"] = "ended"
    later = dataclasses.replace(
        project.claims(), now=lambda: datetime.datetime.now(datetime.UTC) + STARTING + datetime.timedelta(seconds=1)
    )
    project.states["much-later"] = "not started"
    claim = later.take(1, lambda: [], "merge", "much-later")
    assert str(claim.version) == "V1.0.0"


def test_a_claim_that_was_taken_over_is_not_started(project: Project) -> None:
    """Protects: a build that slept through the takeover of its version starts no second execution for it."""
    slow = project.take("slow")
    project.states["slow"] = "ended"
    fast = project.take("fast")
    assert fast.version == slow.version
    with pytest.raises(SlipwayError, match=r"another build took over V1\.0\.0"):
        project.claims().renew(slow)
    assert project.claims().renew(fast).version == fast.version


def test_the_same_build_gets_its_version_again(project: Project) -> None:
    first = project.take("build")
    assert project.take("build").version == first.version
    project.succeed(first)
    assert str(project.take("build").version) == "V1.1.0"


def test_one_of_two_takes_a_dead_claim_over(project: Project) -> None:
    project.take("dead")
    project.states["dead"] = "ended"
    start = threading.Barrier(6)

    def build(number: int) -> Version:
        start.wait()
        return project.take(f"heir-{number}").version

    with ThreadPoolExecutor(6) as pool:
        versions = sorted(pool.map(build, range(6)))
    assert versions == [Version(1, 0, 0), *(Version(1, number, 0) for number in range(1, 6))]


def test_looking_claims_nothing(project: Project) -> None:
    claims = project.claims()
    assert str(claims.preview(1, lambda: [], "merge")) == "V1.0.0"
    assert claims.all(1) == []
