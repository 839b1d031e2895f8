"""What checkov knows. Every exception is argued beside its resource (Metadata: checkov: skip); none is global.

checkov pins its own boto3, so it runs in an environment of its own, which uv makes and keeps.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.templates.library import FOLDERS, REPOSITORY, templates

CHECKOV = "checkov==3.3.30"
PLANTED = """AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: planted
"""


def uv() -> str:
    """The uv command; without it there is no environment for checkov."""
    # The environment of the tests has it; it need not be on the PATH.
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        _unavailable("there is no command 'uv'")
    return str(found)


def _unavailable(reason: str) -> None:
    """Skip with the reason; where the tests decide (CI), fail."""
    if os.environ.get("CI"):
        pytest.fail(f"checkov cannot run: {reason}")
    pytest.skip(f"checkov cannot run: {reason}")


def run(folder: Path) -> list[dict[str, Any]]:
    """checkov's reports over a folder."""
    command = [
        uv(), "tool", "run", "--quiet", "--from", CHECKOV, "checkov", "--directory", str(folder), "--framework",
        "cloudformation", "--output", "json", "--compact", "--quiet", "--skip-download",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        _unavailable(done.stderr.strip()[-500:] or done.stdout.strip()[-500:] or "it printed nothing")
    return [one for one in (report if isinstance(report, list) else [report]) if "results" in one]


def failures(reports: list[dict[str, Any]]) -> list[str]:
    """What failed, as text."""
    return [
        f"{failed['file_path']}: {failed['resource']}: {failed['check_id']} {failed['check_name']}"
        for report in reports
        for failed in report["results"]["failed_checks"]
    ]


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_checkov_finds_nothing(folder: str) -> None:
    reports = run(REPOSITORY / folder)
    assert sum(report["summary"]["passed"] for report in reports) > 20
    assert not (found := failures(reports)), "\n".join(found)
    assert not sum(report["summary"]["parsing_errors"] for report in reports)


@pytest.mark.slow
def test_checkov_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "planted.yaml").write_text(PLANTED, encoding="utf-8")
    assert any("CKV_AWS_18" in found for found in failures(run(tmp_path)))


def test_exceptions_are_argued() -> None:
    for template in templates():
        for name, resource in template.resources.items():
            for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", []):
                assert len(skip["comment"].split()) >= 6, f"{template.name}: {name}: {skip['id']} is not argued"
