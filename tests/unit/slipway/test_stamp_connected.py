"""The first commit of a project whose repository is at another provider: it is somebody's, so it is looked at first."""

import io
import subprocess
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.stamp import Stamp, stamp
from slipway.template import connected
from slipway.template.git import Git

from .fakes import Session

TEMPLATE = Path(__file__).parents[3] / "seedcode"
ENDPOINT = "https://codeconnections.eu-west-1.amazonaws.com"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    return tmp_path / "remote.git"


def run(url: str, project: str = "delays") -> str:
    """No call of CodeCommit is prepared: one would fail."""
    wanted = Stamp(project, "acme/delays", {}, clone_url=url)
    return stamp(Session().client("codecommit"), wanted, TEMPLATE, Progress(io.StringIO()))


def commit(remote: Path, message: str, branch: str = "main") -> None:
    """Somebody's commit on top of what is there."""
    work = remote.parent / "work"
    git(remote.parent, "clone", "--quiet", str(remote), str(work))
    if git(remote, "branch", "--list", branch):
        git(work, "checkout", "--quiet", branch)
    git(work, "commit", "--quiet", "--allow-empty", "--message", message)
    git(work, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")


def test_an_empty_repository_is_stamped_and_known_again(remote: Path) -> None:
    made = run(str(remote))
    assert git(remote, "rev-parse", "main").strip() == made
    # Exactly this, without a line break: the build pipeline compares it.
    assert git(remote, "cat-file", "commit", "main").split("\n\n", 1)[1] == "slipway: stamp delays"
    assert "training/train.py" in git(remote, "ls-tree", "-r", "--name-only", "main")
    assert run(str(remote)) == made


def test_a_projects_own_repository_is_taken_up_with_all_that_came_after(remote: Path) -> None:
    run(str(remote))
    commit(remote, "Train longer")
    before = git(remote, "rev-parse", "main").strip()
    assert run(str(remote)) == before
    assert git(remote, "rev-parse", "main").strip() == before


@pytest.mark.parametrize("branch", ["main", "develop"])
def test_somebodys_repository_is_left_as_it_is(remote: Path, branch: str) -> None:
    commit(remote, "Mine", branch)
    before = git(remote, "for-each-ref")
    with pytest.raises(SlipwayError, match="acme/delays is not empty and does not begin with 'slipway: stamp delays'"):
        run(str(remote))
    assert git(remote, "for-each-ref") == before


def test_another_projects_repository_is_left_as_it_is(remote: Path) -> None:
    run(str(remote))
    before = git(remote, "for-each-ref")
    with pytest.raises(SlipwayError, match="does not begin with 'slipway: stamp arrivals'"):
        run(str(remote), "arrivals")
    assert git(remote, "for-each-ref") == before


def test_a_repository_that_cannot_be_read_is_told_with_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match=r"acme/delays cannot be read .*RepositoryId.*Namespace.*nowhere"):
        run(str(tmp_path / "nowhere"))


def test_git_signs_in_as_the_role_at_the_endpoint_alone(tmp_path: Path) -> None:
    """What git asks for credentials: the helper that signs, and nothing that a build's own helper says before it."""
    tools = tmp_path / "bin"
    tools.mkdir()
    helper = tools / "aws"
    helper.write_text('#!/bin/sh\ncat > /dev/null\necho "username=$*"\necho password=signature\n')
    helper.chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()
    own = Git(folder)
    own("init", "--quiet")
    own("config", "credential.helper", "!echo username=somebody; echo password=other #")
    connected.sign_in(own, f"{ENDPOINT}/git-http/1/eu-west-1/0d9d6f2e/acme/delays.git")

    def asked(url: str) -> dict[str, str]:
        done = subprocess.run(
            ["git", "credential", "fill"],
            cwd=folder,
            env={"PATH": f"{tools}:/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0", "HOME": str(tmp_path)},
            input=f"url={url}\n\n",
            text=True,
            capture_output=True,
            check=True,
        )
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    found = asked(f"{ENDPOINT}/git-http/1/eu-west-1/0d9d6f2e/acme/delays.git")
    assert (found["username"], found["password"]) == ("codecommit credential-helper get", "signature")
    assert found["path"].startswith("git-http/")  # the signature is of the path
    assert asked("https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/delays")["username"] == "somebody"


@pytest.mark.parametrize("url", ["https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/delays", "/tmp/remote.git"])
def test_other_addresses_are_left_to_what_git_knows(tmp_path: Path, url: str) -> None:
    own = Git(tmp_path)
    own("init", "--quiet")
    before = own("config", "--local", "--list")
    connected.sign_in(own, url)
    assert own("config", "--local", "--list") == before
