"""Versions of the template as a git repository, which is what cruft reads.

A release keeps its seed code as a zip below a prefix that is never written again. A commit made of it is the same
wherever and whenever it is made (fixed author and date, no parent), so that its id names the content: `.cruft.json` of
a project has it beside the release, and what is fetched later is proved to be what the project was stamped from. No
network but the assets bucket is needed.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.template.git import Git

STATE = ".cruft.json"
QUESTIONS = "cookiecutter.json"
VERSION = "_slipway_version"  # the package that a project's images install; stamping says it
_PLACE = re.compile(r"releases/[a-z0-9]{8,64}/seedcode\.zip")
_DATE = "2000-01-01T00:00:00+0000"


@dataclass(frozen=True)
class Version:
    """A version of the template: where its release keeps it, and its files."""

    place: str
    files: Mapping[str, bytes]
    slipway: str

    def committed(self) -> dict[str, bytes]:
        """The files with the version of Slipway as the default that a rendering takes."""
        try:
            questions = json.loads(self.files[QUESTIONS])
        except (KeyError, ValueError) as error:
            raise SlipwayError(f"{self.place}: {QUESTIONS} cannot be read: {error}") from None
        if VERSION in questions:
            questions[VERSION] = self.slipway
        return {**self.files, QUESTIONS: (json.dumps(questions, indent=2, ensure_ascii=False) + "\n").encode()}


def place_of(prefix: str) -> str:
    """Where a release (its prefix in the assets bucket) keeps the seed code."""
    return f"{prefix}/seedcode.zip"


def unzip(content: bytes) -> dict[str, bytes]:
    """The files of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist() if not name.endswith("/")}


def read(s3: Any, bucket: str, place: str) -> dict[str, bytes]:
    """The files of a version in the assets bucket. Raises SlipwayError for a place that no release has."""
    if not _PLACE.fullmatch(place):
        raise SlipwayError(f"{STATE}: template: given {place!r}, allowed releases/<digest>/seedcode.zip")
    return unzip(s3.get_object(Bucket=bucket, Key=place)["Body"].read())


def folder(path: Path) -> dict[str, bytes]:
    """The files of a template that lies unpacked, or zipped, on disk."""
    if path.suffix == ".zip":
        return unzip(path.read_bytes())
    found = (item for item in sorted(path.rglob("*")) if item.is_file() and ".git" not in item.relative_to(path).parts)
    return {item.relative_to(path).as_posix(): item.read_bytes() for item in found if "__pycache__" not in item.parts}


def commit(repository: Path, version: Version, branch: str) -> str:
    """Commit a version to a branch of its own. Returns the commit's id, which depends on the content alone."""
    repository.mkdir(parents=True, exist_ok=True)
    git = Git(repository, _DATE)
    git("init", "--quiet", "--initial-branch", branch)
    entries = []
    for name, content in sorted(version.committed().items()):
        blob = repository / ".git" / "slipway-blob"
        blob.write_bytes(content)
        entries.append(f"100644 {git('hash-object', '-w', '--no-filters', str(blob))}\t{name}")
    git("read-tree", "--empty")
    git("update-index", "-z", "--index-info", text="\0".join([*entries, ""]))
    made = git("commit-tree", git("write-tree"), text="template\n")
    git("update-ref", f"refs/heads/{branch}", made)
    return made


def state(version: Version, commit_id: str, context: Mapping[str, Any]) -> str:
    """The content of `.cruft.json`: cruft's own, with the release in place of a repository's address."""
    private = {"_template", "_commit", "_output_dir", "_repo_dir", "_checkout"}
    kept = {name: value for name, value in context.items() if name not in private}
    content = {
        "template": version.place,
        "commit": commit_id,
        "checkout": None,
        "context": {"cookiecutter": kept},
        "directory": None,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, separators=(",", ": ")) + "\n"


def answers(version: Version, given: Mapping[str, str], scratch: Path) -> dict[str, Any]:
    """Every variable of the template as a rendering with these answers has it."""
    from cookiecutter.generate import generate_context
    from cookiecutter.prompt import prompt_for_config

    questions = scratch / QUESTIONS
    questions.parent.mkdir(parents=True, exist_ok=True)
    questions.write_bytes(version.committed()[QUESTIONS])
    context = generate_context(context_file=str(questions), extra_context=dict(given))
    return dict(prompt_for_config({"cookiecutter": context[questions.stem]}, no_input=True))
