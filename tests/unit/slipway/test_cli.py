"""The command line, and the buildspecs that call it."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway import __version__, cli
from slipway.cli import image as image_verbs

BUILDSPECS = sorted((Path(__file__).parents[3] / "buildspecs").glob("*.yaml"))


def run(*words: str) -> int:
    return cli.main(words)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["--version"], ["project", "--help"], ["platform", "deploy", "--help"]):
        with pytest.raises(SystemExit) as caught:
            run(*words)
        assert caught.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_a_word_that_is_no_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("projekt")
    assert caught.value.code == 2
    assert "choose from" in capsys.readouterr().err


def test_a_bad_project_file_ends_with_2_and_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "project.yaml").write_text("projekt: x\n")
    assert run("project", "validate", "--root", str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/project.yaml:1: projekt: this key is not known" in said
    assert "did you mean project?" in said


def test_what_a_person_can_mend_ends_with_1_and_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert run("image", "tag", "trainin") == 1
    assert capsys.readouterr().err == (
        "slipway: unknown image: given 'trainin', allowed preprocessing, training, inference\n"
    )
    monkeypatch.setenv("CAUSE", "whim")
    assert run("model", "version") == 1
    assert "CAUSE: given 'whim', allowed merge, schedule, data, drift" in capsys.readouterr().err
    monkeypatch.setenv("SLIPWAY_ANSWERS", "{")
    assert run("project", "stamp", "--template", str(tmp_path)) == 1
    assert "SLIPWAY_ANSWERS: given '{', allowed a JSON object" in capsys.readouterr().err
    assert run("platform", "deploy", "--parameter", "x") == 1
    assert "given 'x', allowed NAME=VALUE" in capsys.readouterr().err


def test_aws_that_cannot_be_reached_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_MAX_ATTEMPTS": "1",
        "SLIPWAY_PROJECT": "p",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert run("image", "tag", "training") == 1
    assert capsys.readouterr().err.startswith("slipway: AWS cannot be reached: ")


def test_an_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(image_verbs, "_find", interrupt)
    assert run("image", "tag", "training") == 130
    assert capsys.readouterr().err == "slipway: interrupted\n"


def commands(buildspec: dict[str, Any]) -> list[str]:
    return [str(line) for phase in buildspec["phases"].values() for line in phase["commands"]]


def test_there_is_a_buildspec_for_every_job() -> None:
    assert [path.stem for path in BUILDSPECS] == [
        "artifacts",
        "delivery-changes",
        "delivery-package",
        "delivery-validate",
        "images",
        "model",
        "package",
        "publish",
        "removal",
        "stamp",
        "template-update",
        "test",
        "verify",
    ]


@pytest.mark.parametrize("path", BUILDSPECS, ids=lambda path: path.stem)
def test_a_buildspec_is_short_and_calls_commands_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    buildspec = yaml.safe_load(text)
    assert buildspec["version"] == 0.2
    assert set(buildspec) <= {"version", "env", "phases", "reports", "artifacts"}
    called = 0
    for line in commands(buildspec):
        words = shlex.split(line)
        if "slipway" in words:
            given = ["Update" if word == "$STACK_REQUEST" else word for word in words[words.index("slipway") + 1 :]]
            cli.parser().parse_args(given)
            called += 1
    assert called


@pytest.mark.parametrize("path", BUILDSPECS, ids=lambda path: path.stem)
def test_a_buildspec_uses_no_variable_that_nobody_sets(path: Path) -> None:
    known = {"SLIPWAY_ASSETS_BUCKET", "SLIPWAY_ASSETS_PREFIX", "PACKAGES_DOMAIN", "PACKAGES_REPOSITORY", "IMAGE"}
    known |= {"STACK_REQUEST"}  # by build-runner, or the project's own
    used = {name for line in commands(yaml.safe_load(path.read_text())) for name in re.findall(r"\$\{?([A-Z_]+)", line)}
    assert used <= known
