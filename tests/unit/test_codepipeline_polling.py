"""Which pipelines look for changes themselves, and when they start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud.core import Cloud
from localcloud.services.codepipeline.polling import Poller, polls
from localcloud.services.codepipeline.records import Place, Records

PLACE = Place("111111111111", "eu-west-1", "p")


def source(provider: str, **configuration: str) -> dict[str, Any]:
    kind = {"category": "Source", "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": "Source", "actionTypeId": kind, "configuration": configuration}


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (source("CodeCommit"), True),
        (source("S3", PollForSourceChanges="True"), True),
        (source("CodeCommit", PollForSourceChanges="false"), False),
        (source("ECR"), False),
    ],
)
def test_polling_is_the_default_as_on_aws(action: dict[str, Any], expected: bool) -> None:
    """Leaving PollForSourceChanges out means polling, so that a template that forgets it behaves as on AWS."""
    assert polls(action) is expected


def test_only_a_change_starts_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look notes the head, the same head starts nothing, a new head starts one execution."""
    head = {"branch": {"commitId": "one"}}
    client = SimpleNamespace(get_branch=lambda **_: head)
    cloud = Cloud(tmp_path, "http://127.0.0.1:1")
    monkeypatch.setattr(cloud, "assume", lambda *_, **__: SimpleNamespace(client=lambda _: client))
    records, started = Records(cloud), list[Any]()
    engine: Any = SimpleNamespace(
        cloud=cloud, records=records, start=lambda place, trigger: started.append((place, trigger["triggerType"]))
    )
    action = source("CodeCommit", RepositoryName="r", BranchName="main")
    declaration = {"roleArn": "arn:aws:iam::111111111111:role/p", "stages": [{"name": "Source", "actions": [action]}]}
    records.pipelines.put(*PLACE, {"declaration": declaration})
    poller = Poller(engine)
    assert not poller.look(PLACE)
    assert not poller.look(PLACE)
    head["branch"] = {"commitId": "two"}
    assert poller.look(PLACE)
    assert not poller.look(PLACE)
    assert started == [(PLACE, "PollForSourceChanges")]
    cloud.close()
