"""The pure parts of SageMaker's jobs: where S3 objects go, what a failure says, who runs when."""

from __future__ import annotations

import tarfile
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localcloud.core import Fault
from localcloud.services.sagemaker import jobs


@pytest.mark.parametrize(
    ("key", "prefix", "path"),
    [
        ("data/a.csv", "data/", "a.csv"),
        ("data/a.csv", "data", "a.csv"),
        ("data/x/a.csv", "data", "x/a.csv"),
        ("data/train.csv", "data/tr", "train.csv"),
        ("data/train/a.csv", "data/tr", "train/a.csv"),
        ("data/a.csv", "data/a.csv", "a.csv"),
        ("a.csv", "", "a.csv"),
    ],
)
def test_where_an_object_goes(key: str, prefix: str, path: str) -> None:
    """An S3 prefix is text and not a directory: what lies below it lands where SageMaker puts it."""
    assert jobs.relative_path(key, prefix) == path


def test_a_reason_fits_and_ends_with_the_code() -> None:
    """FailureReason has at most 1024 characters; the end of the log is worth more than its beginning."""
    long = deque([f"line {number} " + "x" * 300 for number in range(10)])
    reason = jobs.algorithm_error("", long, 2)
    assert len(reason) == 1024
    assert reason.startswith("AlgorithmError: …")
    assert reason.endswith(", exit code: 2")
    assert "line 9" in reason
    assert jobs.algorithm_error("own words", long, 1) == "AlgorithmError: own words, exit code: 1"


@pytest.mark.parametrize("uri", ["bucket/key", "https://bucket/key", ""])
def test_what_is_no_s3_uri(uri: str) -> None:
    """A wrong URI fails the job with its text."""
    with pytest.raises(jobs.JobError, match="not an S3 URI"):
        jobs.split_uri(uri)


def test_an_archive_holds_the_contents_and_not_the_directory(tmp_path: Path) -> None:
    """model.tar.gz unpacks into /opt/ml/model, as SageMaker packs it; an empty directory makes an empty archive."""
    model = tmp_path / "model"
    (model / "deep").mkdir(parents=True)
    (model / "deep" / "weights").write_text("1")
    with tarfile.open(jobs.archive(model, tmp_path / "out" / "model.tar.gz")) as tar:
        assert sorted(tar.getnames()) == ["deep", "deep/weights"]
    with tarfile.open(jobs.archive(tmp_path / "none", tmp_path / "none.tar.gz")) as tar:
        assert tar.getnames() == []


def test_event_times_are_milliseconds() -> None:
    """SageMaker's events have epoch milliseconds, at any depth."""
    moment = datetime(2024, 1, 3, 22, 52, 26, tzinfo=UTC)
    assert jobs.milliseconds({"a": [{"b": moment}], "c": 1}) == {"a": [{"b": 1704322346000}], "c": 1}


def test_instances() -> None:
    """Several instances are refused, not run as one."""
    jobs.refuse_instances(1, "training job")
    jobs.refuse_instances(None, "training job")
    with pytest.raises(Fault, match="set InstanceCount to 1") as caught:
        jobs.refuse_instances(2, "training job")
    assert caught.value.code == "ResourceLimitExceeded"


def test_capacity_is_kept_and_given_in_turn() -> None:
    """Never more than the slots at a time; who waits is told; who is stopped while waiting runs not at all."""
    capacity = jobs.Capacity(1)
    inside, waiting, release = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def work(name: str, stopped: threading.Event) -> None:
        with capacity.slot(stopped, waiting.set) as held:
            if held:
                order.append(name)
                inside.set()
                release.wait(5)

    stopped = threading.Event()
    first = threading.Thread(target=work, args=("first", threading.Event()))
    first.start()
    assert inside.wait(5)
    second = threading.Thread(target=work, args=("second", stopped))
    second.start()
    assert waiting.wait(5)
    third = threading.Thread(target=work, args=("third", threading.Event()))
    third.start()
    stopped.set()
    second.join(5)
    assert order == ["first"]
    release.set()
    first.join(5)
    third.join(5)
    assert order == ["first", "third"]
