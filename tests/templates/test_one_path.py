"""The law of one path: what runs on AWS never asks where it runs; endpoints and credentials come from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.templates.library import REPOSITORY

FOLDERS = ("cfn", "service-catalog", "buildspecs", "cicd", "seedcode", "portal")
SUFFIXES = {
    "", ".cfg", ".css", ".html", ".ini", ".js", ".json", ".md", ".py", ".sh", ".toml", ".ts", ".tsx", ".txt", ".yaml",
    ".yml",
}  # fmt: skip
SIGNS = {
    "the local cloud by name": r"local[\s_-]?cloud|ministack|localstack|\bmoto\b",
    "an address of this machine": r"\blocalhost\b|\b127\.0\.0\.1\b|\b4566\b|host\.docker\.internal",
    "the endpoint's variable": r"AWS_ENDPOINT_URL|endpoint_url\s*=",
    "an account of the local cloud": r"\b(111111111111|222222222222|333333333333|000000000000)\b",
    "a question where it runs": r"\bis_local\b|--local\b|\bif[ _-]local\b|\brunning_locally\b|\bon_aws\b|\bin_aws\b",
}


def signs(text: str) -> Iterator[tuple[int, str]]:
    """Lines that know where they run, as (line, sign)."""
    for number, line in enumerate(text.splitlines(), 1):
        for sign, pattern in SIGNS.items():
            if re.search(pattern, line, re.IGNORECASE):
                yield number, sign


def files(folder: Path) -> list[Path]:
    """The text files of a folder that are the project's own."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in SUFFIXES and not _is_made(path.relative_to(folder))
    ]


def _is_made(path: Path) -> bool:
    """True for what tools leave behind: caches, builds, environments."""
    return any(part in {"node_modules", "__pycache__", "dist", "build"} or part.startswith(".") for part in path.parts)


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_knows_where_it_runs(folder: str) -> None:
    problems = [
        f"{path.relative_to(REPOSITORY)}:{number}: {sign}"
        for path in files(REPOSITORY / folder)
        for number, sign in signs(path.read_text(encoding="utf-8"))
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "line",
    [
        'if os.environ.get("AWS_ENDPOINT_URL"):',
        'boto3.client("s3", endpoint_url="http://elsewhere")',
        'HOST = "localhost"',
        "ip: 127.0.0.1",
        "curl http://host:4566/health",
        "DeployTo: 222222222222",
        "if is_local:",
        "slipway deploy --local",
        "# works in LocalCloud only",
    ],
)
def test_every_sign_is_found(line: str) -> None:
    assert list(signs(line))


@pytest.mark.parametrize("line", ["location: local variable", "account: 123456789012", "--localize", "port: 45660"])
def test_what_is_no_sign_is_left_alone(line: str) -> None:
    assert not list(signs(line))


def test_the_folders_are_read() -> None:
    assert len(files(REPOSITORY / "cfn")) > 15
    assert files(REPOSITORY / "cicd")
