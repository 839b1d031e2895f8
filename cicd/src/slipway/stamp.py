"""Renders the seed code of a new project and makes it the first commit of the project's repository."""

from __future__ import annotations

import json
import logging
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from slipway import __version__
from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.template import connected, source
from slipway.template.git import Git
from slipway.template.source import Version

BRANCH = "main"
# The project's build pipeline knows this message and does not train on it (VariableCheck in product.yaml).
MESSAGE = "slipway: stamp {project}"


@dataclass(frozen=True)
class Stamp:
    """A project to be stamped.

    `release` is the prefix of the release that the seed code comes from, if it is one. `clone_url` is where a
    repository that is not in CodeCommit is; "" for one that is.
    """

    project: str
    repository: str
    answers: Mapping[str, str]
    release: str = ""
    clone_url: str = ""


def head(codecommit: Any, repository: str) -> str | None:
    """The commit that the main branch points to, None if there is no such branch."""
    try:
        return str(codecommit.get_branch(repositoryName=repository, branchName=BRANCH)["branch"]["commitId"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "BranchDoesNotExistException":
            return None
        raise


def stamp(codecommit: Any, wanted: Stamp, template: Path, progress: Progress) -> str:
    """Render the template and push it to main. Returns the commit; does nothing where it was done already.

    A repository in CodeCommit is the stack's own, so it is enough that it has a main. One elsewhere is somebody's:
    raises SlipwayError unless it is empty or begins with the stamp of this very project.
    """
    message = MESSAGE.format(project=wanted.project)
    if wanted.clone_url:
        existing = connected.head(wanted.clone_url, wanted.repository, message)
    else:
        existing = head(codecommit, wanted.repository)
    if existing is not None:
        progress.say(f"{wanted.repository}: {BRANCH} exists already ({existing[:8]}): nothing to stamp")
        return existing
    url = wanted.clone_url or str(
        codecommit.get_repository(repositoryName=wanted.repository)["repositoryMetadata"]["cloneUrlHttp"]
    )
    with tempfile.TemporaryDirectory() as folder:
        answers = {"project": wanted.project, **wanted.answers}
        root = render(template, answers, Path(folder))
        if wanted.release:
            version = Version(source.place_of(wanted.release), source.folder(template), __version__)
            _note_template(root, version, answers, Path(folder))
        progress.say(f"rendered {sum(1 for path in root.rglob('*') if path.is_file())} files")
        commit = push(root, url, message)
    progress.say(f"{wanted.repository}: pushed {commit[:8]} to {BRANCH}")
    return commit


def _note_template(root: Path, version: Version, answers: Mapping[str, str], scratch: Path) -> None:
    """Write what later updates go by: which version of the template this is, and what was answered."""
    commit = source.commit(scratch / "versions", version, "stamped")
    context = source.answers(version, answers, scratch / "questions")
    (root / source.STATE).write_text(source.state(version, commit, context), encoding="utf-8")


def render(template: Path, answers: Mapping[str, str], output: Path, slipway: str = __version__) -> Path:
    """Render the cookiecutter template (a folder, or a zip of it) below `output`. Returns the project's folder.

    `slipway` is the version of this package that the project's images install. Raises SlipwayError for an answer that
    the template does not ask for or does not take.
    """
    from cookiecutter.exceptions import CookiecutterException
    from cookiecutter.main import cookiecutter

    if template.suffix == ".zip":
        with zipfile.ZipFile(template) as zipped:
            zipped.extractall(output / "template")
        template = output / "template"
    # A hook that refuses an answer says so itself; the library would add its traceback.
    logging.getLogger("cookiecutter").setLevel(logging.CRITICAL + 1)
    _judge(answers, json.loads((template / "cookiecutter.json").read_text(encoding="utf-8")))
    try:
        folder = cookiecutter(
            str(template),
            no_input=True,
            extra_context={**answers, "_slipway_version": slipway},
            output_dir=str(output / "rendered"),
            default_config=True,
        )
    except CookiecutterException as error:
        raise SlipwayError(f"the seed code could not be rendered: {error}; see the message above") from None
    return Path(folder)


def _judge(answers: Mapping[str, str], asked: Mapping[str, Any]) -> None:
    """Refuse what cookiecutter would not ask, or would end with a traceback for. Raises SlipwayError."""
    unknown = sorted(set(answers) - set(asked))
    if unknown:
        known = ", ".join(name for name in asked if not name.startswith("_"))
        raise SlipwayError(f"the template does not ask for {', '.join(unknown)}; allowed: {known}")
    wrong = [
        f"{name}: given {given!r}, allowed {', '.join(asked[name])}"
        for name, given in answers.items()
        if isinstance(asked[name], list) and given not in asked[name]
    ]
    if wrong:
        raise SlipwayError(f"the seed code could not be rendered: {'; '.join(wrong)}")


def push(root: Path, url: str, message: str) -> str:
    """Commit everything below `root` with exactly this message and push it to main of `url`. Returns the commit."""
    git = Git(root)
    git("init", "--quiet", "--initial-branch", BRANCH)
    connected.sign_in(git, url)
    git("add", "--all")
    # commit-tree takes the message as it is; `git commit` would end it with a line break, and the pipeline compares it.
    commit = git("commit-tree", git("write-tree"), text=message)
    git("push", "--quiet", url, f"{commit}:refs/heads/{BRANCH}")
    return commit


def put_placeholder(s3: Any, bucket: str, key_arn: str, progress: Progress) -> None:
    """Put an empty releases/none.zip, unless it is there.

    CodePipeline starts a pipeline when it is made; the deploy pipeline's source is this object until a release is
    approved, and its stages are skipped for it.
    """
    from slipway.archive import archive

    key = "releases/none.zip"
    # Listed, not looked at: the job may list this key only; S3 says 404 only to who may list the whole bucket.
    if any(found["Key"] == key for found in s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])):
        return
    s3.put_object(Bucket=bucket, Key=key, Body=archive({}), ServerSideEncryption="aws:kms", SSEKMSKeyId=key_arn)
    progress.say(f"put s3://{bucket}/{key}")
