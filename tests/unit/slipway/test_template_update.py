"""A later version of the template reaches a stamped project as a branch, and takes nothing of the project's away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.stamp import Stamp, render
from slipway.template import source
from slipway.template.source import STATE, Version
from slipway.template.update import BRANCH, Update, update

OLD, NEW = "releases/0123456789abcdef/seedcode.zip", "releases/fedcba9876543210/seedcode.zip"
ROOT = "{{cookiecutter.project}}"
QUESTIONS = {"project": "delays", "owner": "us", "_slipway_version": "0", "__prompts__": {"project": "Name"}}
LINES = "".join(f"line {number}\n" for number in range(1, 10))


def template(**files: str) -> dict[str, bytes]:
    """A template that asks two questions; `__` stands for a dot in a name."""
    given = {"train__py": LINES, "README__md": "# {{cookiecutter.project}} of {{cookiecutter.owner}}\n", **files}
    content = {f"{ROOT}/{name.replace('__', '.')}": text.encode() for name, text in given.items()}
    content[f"{ROOT}/pin.txt"] = b"slipway=={{ cookiecutter._slipway_version }}\n"
    content[f"{ROOT}/.gitignore"] = b"*.rej\n"
    return {"cookiecutter.json": json.dumps(QUESTIONS).encode(), **content}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Project:
    """A stamped project: a bare repository, and a person's clone of it."""

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        from slipway import stamp

        self.remote, self.clone, self.files = folder / "remote.git", folder / "clone", files
        git(folder, "init", "--quiet", "--bare", "--initial-branch", "main", "remote.git")
        for name, content in files.items():
            (folder / "template" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "template" / name).write_bytes(content)
        wanted = Stamp("delays", "delays", {"owner": "them"}, OLD.removesuffix("/seedcode.zip"))
        answers = {"project": wanted.project, **wanted.answers}
        root = render(folder / "template", answers, folder, slipway="1.0")
        version = Version(source.place_of(wanted.release), source.folder(folder / "template"), "1.0")
        stamp._note_template(root, version, answers, folder / "scratch")
        stamp.push(root, str(self.remote), "slipway: stamp delays")
        git(folder, "clone", "--quiet", str(self.remote), "clone")
        for key, value in (("user.name", "Mary"), ("user.email", "mary@example.com")):
            git(self.clone, "config", key, value)

    def edit(self, path: str, text: str | None, branch: str = "main") -> None:
        git(self.clone, "fetch", "--quiet", "origin")
        git(self.clone, "checkout", "--quiet", "-B", branch, f"origin/{branch}")
        if text is None:
            (self.clone / path).unlink()
        else:
            (self.clone / path).write_text(text)
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "-m", f"Edit {path}")
        git(self.clone, "push", "--quiet", "origin", branch)

    def show(self, path: str, branch: str = BRANCH) -> str:
        return git(self.remote, "show", f"{branch}:{path}")

    def bring(self, files: Mapping[str, bytes], slipway: str = "2.0") -> Update:
        asked: list[str] = []

        def fetch(place: str) -> Mapping[str, bytes]:
            asked.append(place)
            return self.files

        found = update(str(self.remote), Version(NEW, files, slipway), fetch)
        assert asked in ([], [OLD])
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, template())


def test_a_version_is_one_commit_wherever_it_is_made(tmp_path: Path) -> None:
    """`.cruft.json` proves by the id what a project was stamped from: it must depend on the content alone."""
    version = Version(OLD, template(), "1.0")
    ids = {source.commit(tmp_path / name, version, name) for name in ("a", "b")}
    assert len(ids) == 1
    assert source.commit(tmp_path / "c", Version(OLD, template(), "1.1"), "c") not in ids
    assert source.commit(tmp_path / "d", Version(NEW, template(train__py="x"), "1.0"), "d") not in ids


def test_the_stamped_project_knows_its_version_and_answers(project: Project) -> None:
    """An update asks nobody again; and nothing of the machine that stamped is in it."""
    state = json.loads(project.show(STATE, "main"))
    assert (state["template"], len(state["commit"])) == (OLD, 40)
    assert state["context"]["cookiecutter"] == {
        "project": "delays", "owner": "them", "_slipway_version": "1.0",
    } | {name: value for name, value in state["context"]["cookiecutter"].items() if name.startswith("__")}  # fmt: skip


def test_a_change_of_the_template_lies_on_top_of_the_projects_own(project: Project) -> None:
    """Both are there, the answers are the project's, the pin moves, main does not, and what was removed stays so."""
    project.edit("train.py", LINES.replace("line 1\n", "ours\n"))
    project.edit("README.md", None)
    main = git(project.remote, "rev-parse", "main")
    new = template(
        train__py=LINES.replace("line 9\n", "theirs\n"), README__md="other\n", new__txt="{{cookiecutter.owner}}"
    )
    done = project.bring(new)
    assert (done.outcome, done.conflicts) == ("updated", ())
    assert set(done.changed) == {STATE, "new.txt", "pin.txt", "train.py"}
    assert project.show("train.py") == LINES.replace("line 1\n", "ours\n").replace("line 9\n", "theirs\n").strip()
    assert (project.show("new.txt"), project.show("pin.txt")) == ("them", "slipway==2.0")
    assert json.loads(project.show(STATE))["template"] == NEW
    assert git(project.remote, "rev-parse", "main") == main
    assert git(project.remote, "rev-parse", f"{BRANCH}^") == main
    with pytest.raises(AssertionError, match="README"):
        project.show("README.md")


def test_a_conflict_shows_both_sides(project: Project) -> None:
    """No edit is lost: where both changed the same lines, both are there, and the file is named."""
    project.edit("train.py", LINES.replace("line 5\n", "ours\n"))
    done = project.bring(template(train__py=LINES.replace("line 5\n", "theirs\n")))
    assert done.conflicts == ("train.py",)
    text = project.show("train.py")
    assert "<<<<<<< " in text
    assert "ours" in text
    assert "theirs" in text
    assert project.show("train.py", "main") == LINES.replace("line 5\n", "ours\n").strip()


def test_the_same_again_pushes_nothing_and_a_moved_main_renews(project: Project) -> None:
    """The job runs after every publication: an update that is there stays, and follows main."""
    new = template(train__py=LINES.replace("line 9\n", "theirs\n"))
    first, second = project.bring(new), project.bring(new)
    assert (second.outcome, second.commit, second.changed) == ("unchanged", first.commit, first.changed)
    project.edit("train.py", LINES.replace("line 1\n", "ours\n"))
    third = project.bring(new)
    assert third.outcome == "updated"
    assert git(project.remote, "rev-parse", f"{BRANCH}^") == git(project.remote, "rev-parse", "main")
    assert "ours" in project.show("train.py")
    newer = project.bring(template(train__py=LINES.replace("line 9\n", "newer\n")))
    assert newer.outcome == "updated"
    assert project.show("train.py").endswith("newer")


def test_a_branch_with_somebodys_commits_is_left_alone(project: Project) -> None:
    """Who resolves conflicts on the branch must not find their work gone."""
    new = template(train__py=LINES.replace("line 9\n", "theirs\n"))
    project.bring(new)
    project.edit("train.py", "resolved\n", BRANCH)
    tip = git(project.remote, "rev-parse", BRANCH)
    assert project.bring(template(train__py="other\n")).outcome == "foreign"
    assert git(project.remote, "rev-parse", BRANCH) == tip


def test_a_merged_update_is_followed_by_the_next(project: Project) -> None:
    """After a merge the project has the version, and the next one begins from there."""
    second = template(train__py=LINES.replace("line 9\n", "second\n"))
    project.bring(second)
    git(project.remote, "update-ref", "refs/heads/main", git(project.remote, "rev-parse", BRANCH))
    assert project.bring(second).outcome == "current"
    place = NEW.replace("fedc", "aaaa")
    third = Version(place, template(train__py=LINES.replace("line 9\n", "third\n")), "3.0")
    done = update(str(project.remote), third, lambda _: second)
    assert (done.outcome, done.conflicts) == ("updated", ())
    assert project.show("train.py").endswith("third")


@pytest.mark.parametrize("files", [template(), template(unused__txt="")])
def test_nothing_new_is_no_update(project: Project, files: dict[str, bytes]) -> None:
    """Another release with the same seed code makes nobody review anything."""
    if "unused" in str(files):
        files.pop(f"{ROOT}/unused.txt")
        files["NOTES.md"] = b"of no project\n"
        assert project.bring(files, slipway="1.0").outcome == "current"
    else:
        assert project.bring(files).outcome == "current"
    assert git(project.remote, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_project_that_does_not_know_its_template_is_told(project: Project) -> None:
    """A project of an earlier release is left as it is; a state that was tampered with is refused by name."""
    state = project.show(STATE, "main")
    project.edit(STATE, None)
    assert project.bring(template(train__py="x")).outcome == "unknown"
    project.edit(STATE, state.replace('"commit": "', '"commit": "0'))
    with pytest.raises(SlipwayError, match=r"\.cruft\.json: commit: given 0"):
        project.bring(template(train__py="x"))
    project.edit(STATE, "{}\n")
    with pytest.raises(SlipwayError, match=r"\.cruft\.json: no state of cruft"):
        project.bring(template(train__py="x"))
    with pytest.raises(SlipwayError, match=r"template: given '\.\./x', allowed releases/"):
        source.read(None, "assets", "../x")
