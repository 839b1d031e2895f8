"""The first commit of a project: rendered once, pushed once."""

import io
import json
import subprocess
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.stamp import Stamp, put_placeholder, stamp

from .fakes import Session

TEMPLATE = Path(__file__).parents[3] / "seedcode"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    return tmp_path / "remote.git"


def run(session: Session, answers: dict[str, str] | None = None) -> str:
    wanted = Stamp("delays", "delays", answers or {})
    return stamp(session.client("codecommit"), wanted, TEMPLATE, Progress(io.StringIO()))


def test_a_project_is_stamped(remote: Path) -> None:
    session = Session()
    session.refuse("codecommit", "get_branch", "BranchDoesNotExistException")
    session.stub("codecommit", "get_repository", {"repositoryMetadata": {"cloneUrlHttp": str(remote)}})
    commit = run(session, {"description": "How late?", "dataset": "flights/2013-q1", "problem": "tabular-regression"})
    assert git(remote, "rev-parse", "main").strip() == commit
    # Exactly this, without a line break: the build pipeline compares it.
    assert git(remote, "cat-file", "commit", "main").split("\n\n", 1)[1] == "slipway: stamp delays"
    files = git(remote, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert {"project.yaml", ".gitignore", "training/train.py"} <= set(files)
    assert "How late?" in git(remote, "show", "main:project.yaml")


def test_a_project_that_is_stamped_already_is_left_alone() -> None:
    session = Session()
    session.stub("codecommit", "get_branch", {"branch": {"branchName": "main", "commitId": "c0ffee"}})
    assert run(session) == "c0ffee"


def test_a_bad_answer_is_told_by_its_name(remote: Path, capfd: pytest.CaptureFixture[str]) -> None:
    session = Session()
    session.refuse("codecommit", "get_branch", "BranchDoesNotExistException")
    session.stub("codecommit", "get_repository", {"repositoryMetadata": {"cloneUrlHttp": str(remote)}})
    with pytest.raises(SlipwayError, match="the seed code could not be rendered"):
        run(session, {"dataset": "../etc"})
    said = capfd.readouterr().err
    assert said.startswith("dataset: given '../etc', allowed lower-case letters")
    assert "Traceback" not in said
    assert git(remote, "for-each-ref") == ""


def test_an_answer_that_is_no_choice_is_told_with_the_choices(remote: Path) -> None:
    session = Session()
    session.refuse("codecommit", "get_branch", "BranchDoesNotExistException")
    session.stub("codecommit", "get_repository", {"repositoryMetadata": {"cloneUrlHttp": str(remote)}})
    with pytest.raises(SlipwayError) as caught:
        run(session, {"framework": "xgbost", "serving": "stream"})
    assert str(caught.value) == (
        "the seed code could not be rendered: "
        "framework: given 'xgbost', allowed scikit-learn, xgboost, tensorflow, huggingface; "
        "serving: given 'stream', allowed real-time, batch, both"
    )
    assert git(remote, "for-each-ref") == ""


def test_an_answer_to_no_question_is_told(remote: Path) -> None:
    session = Session()
    session.refuse("codecommit", "get_branch", "BranchDoesNotExistException")
    session.stub("codecommit", "get_repository", {"repositoryMetadata": {"cloneUrlHttp": str(remote)}})
    with pytest.raises(SlipwayError, match="does not ask for colour; allowed: project, description, framework"):
        run(session, {"colour": "red"})


def test_a_push_that_fails_is_told(tmp_path: Path) -> None:
    session = Session()
    session.refuse("codecommit", "get_branch", "BranchDoesNotExistException")
    session.stub("codecommit", "get_repository", {"repositoryMetadata": {"cloneUrlHttp": str(tmp_path / "nowhere")}})
    with pytest.raises(SlipwayError, match=r"git push failed: .*nowhere"):
        run(session)


def test_the_placeholder_of_the_deploy_pipeline_is_put_once() -> None:
    session = Session()
    session.stub("s3", "list_objects_v2", {"Contents": [{"Key": "releases/none.zip.old"}]})
    session.stub("s3", "put_object", {})
    session.stub("s3", "list_objects_v2", {"Contents": [{"Key": "releases/none.zip"}]})
    for _ in range(2):
        put_placeholder(session.client("s3"), "b", "k", Progress(io.StringIO()))
    session.assert_all_called()


def test_every_question_is_described() -> None:
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    assert set(questions["__prompts__"]) == {name for name in questions if not name.startswith("_")}
