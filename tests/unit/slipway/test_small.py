"""Versions, containers and progress."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import container
from slipway.container import Paths, StepError, scalar
from slipway.progress import Progress, duration, table
from slipway.versions import CAUSES, Version, following

NUMBER = st.integers(0, 10**6)
VERSION = st.builds(Version, NUMBER, NUMBER, NUMBER)


@given(VERSION)
def test_a_version_reads_as_it_is_written(version: Version) -> None:
    assert Version.parse(str(version)) == version


@pytest.mark.parametrize("text", ["1.0.0", "V1.0", "V01.0.0", "V1.0.0 ", "V1.-1.0", ""])
def test_other_texts_are_no_versions(text: str) -> None:
    with pytest.raises(ValueError, match="V<tag>"):
        Version.parse(text)


@given(st.lists(VERSION), NUMBER, st.lists(st.sampled_from(CAUSES), min_size=1, max_size=8))
def test_versions_of_a_tag_only_rise(existing: list[Version], tag: int, causes: list[str]) -> None:
    for cause in causes:
        version = following(tag, existing, cause)  # type: ignore[arg-type]
        assert all(version > other for other in existing if other.tag == tag)
        existing = [*existing, version]


def test_the_rules_of_versions() -> None:
    assert str(following(1, [], "merge")) == "V1.0.0"
    assert str(following(1, [], "drift")) == "V1.0.0"
    assert str(following(2, [Version(1, 4, 2)], "merge")) == "V2.0.0"
    assert str(following(1, [Version(1, 0, 3)], "merge")) == "V1.1.0"
    assert str(following(1, [Version(1, 9, 0), Version(1, 10, 0)], "data")) == "V1.10.1"


@pytest.mark.parametrize(
    ("text", "value"), [("300", 300), ("0.1", 0.1), ("1e-3", 0.001), ("true", True), ("False", False), ("adam", "adam")]
)
def test_hyperparameters_get_their_types(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_the_folders_of_a_container(tmp_path: Path) -> None:
    assert Paths.from_environment({}).base == Path("/opt/ml")
    paths = Paths.from_environment({"SAGEMAKER_BASE_DIR": str(tmp_path)})
    assert paths.hyperparameters() == {}
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps({"max_iter": "3", "loss": "poisson"}))
    assert paths.hyperparameters() == {"max_iter": 3, "loss": "poisson"}
    assert paths.processing_output("train") == tmp_path / "processing" / "output" / "train"
    assert paths.model.is_dir()
    with pytest.raises(StepError, match="no processing input 'dataset'"):
        paths.processing_input("dataset")
    with pytest.raises(StepError, match="no input channel 'train'"):
        paths.channel("train")


def test_a_failed_step_leaves_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))

    def step(_: Paths) -> None:
        raise StepError("flights.csv has no rows" + "!" * 2000)

    with pytest.raises(SystemExit) as caught:
        container.run(step)
    assert caught.value.code == 1
    for name in ("failure", "message"):
        text = (tmp_path / "output" / name).read_text()
        assert text.startswith("flights.csv has no rows")
        assert len(text) == 1024
    assert "Traceback" not in capsys.readouterr().err


def test_a_defect_leaves_its_name_and_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    with pytest.raises(SystemExit):
        container.run(lambda _: print(1 / 0))
    assert (tmp_path / "output" / "failure").read_text() == "ZeroDivisionError: division by zero"
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1] == "failed: ZeroDivisionError: division by zero"


def test_the_target_comes_from_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_TARGET", raising=False)
    with pytest.raises(StepError, match=r"data\.target"):
        container.target()
    monkeypatch.setenv("SLIPWAY_TARGET", "arr_delay")
    assert container.target() == "arr_delay"


def test_progress_is_stamped_and_never_silent_for_long() -> None:
    now = [0.0]
    out = io.StringIO()
    progress = Progress(out, clock=lambda: now[0])
    now[0] = 2.0
    progress.say("begun")
    now[0] = 16.9
    progress.beat("still")
    now[0] = 75.0
    progress.beat("still there")
    assert [line.split("] ")[1] for line in out.getvalue().splitlines()] == ["begun", "still there"]
    assert duration(75) == "1 min 15 s"


def test_a_table_is_aligned() -> None:
    assert table([("rmse", 1), ("r2", 22)], ("metric", "value")).splitlines() == [
        "  metric  value",
        "  ------  -----",
        "  rmse    1",
        "  r2      22",
    ]
    assert table([]) == ""
