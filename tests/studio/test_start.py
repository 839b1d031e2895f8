"""The script that runs as JupyterLab or Code Editor starts, under bash: on the local cloud, and without any service."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.studio.conftest import NAMESPACE, Account
from tests.templates.library import REPOSITORY, Loader

PROJECT = "flight-delays"
NAMES = {"Namespace": NAMESPACE, "PackagesDomain": NAMESPACE, "PackagesRepository": "python"}
BIN = Path(sys.executable).parent


def script() -> str:
    """The script as CloudFormation hands it to SageMaker."""
    template = yaml.load((REPOSITORY / "cfn" / "studio.yaml").read_text(encoding="utf-8"), Loader)
    loop = template["Resources"]["Fn::ForEach::Starts"][2]["${App}Start"]
    text = str(loop["Properties"]["StudioLifecycleConfigContent"]["Fn::Base64"]["Fn::Sub"])
    for name, value in NAMES.items():
        text = text.replace(f"${{{name}}}", value)
    return text.replace("${!", "${")


@dataclass
class Space:
    """A home in which the script runs."""

    home: Path
    environment: dict[str, str]

    def start(self) -> tuple[int, float]:
        """Exit code and seconds of the app's start."""
        began = time.monotonic()
        done = subprocess.run(
            ["/bin/bash", "-c", script()], env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, time.monotonic() - began

    def log(self) -> str:
        path = self.home / ".slipway" / "workbench.log"
        return path.read_text() if path.exists() else ""

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.log()
            time.sleep(0.1)

    def stop(self) -> None:
        """The helper would go on for as long as the app runs."""
        pid = self.home / ".slipway" / "pid"
        if pid.exists():
            os.killpg(int(pid.read_text()), signal.SIGTERM)


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    home = tmp_path / "home"
    home.mkdir()
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps({"DomainId": "d-none", "UserProfileName": "ada", "AppType": "JupyterLab"}))
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    made = Space(
        home,
        {**kept, "HOME": str(home), "PATH": f"{BIN}:/usr/bin:/bin", "RESOURCE_METADATA": str(metadata),
         "GIT_CONFIG_NOSYSTEM": "1"},
    )  # fmt: skip
    yield made
    made.stop()


def test_the_scripts_are_sound(tmp_path: Path) -> None:
    """Protects: nothing that bash would read otherwise than it was meant: shellcheck finds nothing in either script."""
    outer = tmp_path / "start.sh"
    outer.write_text(script())
    inner = tmp_path / "workbench.sh"
    inner.write_text(script().split("<< 'WORKBENCH'\n")[1].split("\nWORKBENCH\n")[0] + "\n")
    done = subprocess.run(
        [str(BIN / "shellcheck"), str(outer), str(inner)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("behaviour", ["exit 255", "sleep 300", None], ids=["refused", "silent", "no-aws-command"])
def test_no_service_keeps_an_app_from_starting(space: Space, tmp_path: Path, behaviour: str | None) -> None:
    """Protects: a start takes seconds and succeeds, whatever services answer; and the helper says what it waits for."""
    tools = tmp_path / "bin"
    tools.mkdir()
    if behaviour:
        (tools / "aws").write_text(f"#!/bin/bash\n{behaviour}\n")
        (tools / "aws").chmod(0o755)
    space.environment["PATH"] = f"{tools}:/usr/bin:/bin"
    assert shutil.which("aws", path="/usr/bin:/bin") is None, "the machine's own command would be used"
    code, seconds = space.start()
    assert code == 0
    assert seconds < 10, "an app that is not up after five minutes has failed"
    if behaviour != "sleep 300":
        space.until(lambda: "packages: did not succeed; it will be tried again" in space.log())
        space.until(lambda: "project: did not succeed; it will be tried again" in space.log())
    assert not (space.home / ".config" / "pip" / "pip.conf").exists()


def test_a_home_that_cannot_be_written_starts_too(space: Space) -> None:
    """Protects: a full or broken volume does not lock its owner out of the app."""
    space.environment["HOME"] = "/proc/nowhere"
    assert space.start()[0] == 0


@pytest.fixture
def user(account: Account, space: Space) -> Iterator[str]:
    """A user of a project: profile, repository, packages."""
    account.client("codeartifact").create_domain(domain=NAMESPACE)
    account.client("codeartifact").create_repository(domain=NAMESPACE, repository="python")
    sagemaker = account.client("sagemaker")
    domain = sagemaker.create_domain(
        DomainName="start", AuthMode="IAM", VpcId=account.vpc, SubnetIds=account.subnets,
        DefaultUserSettings={"ExecutionRole": "arn:aws:iam::111111111111:role/slipway-studio"},
        HomeEfsFileSystemCreation="Disabled",
    )["DomainId"]  # fmt: skip
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="ada", Tags=[{"Key": "Project", "Value": PROJECT}])
    codecommit = account.client("codecommit")
    codecommit.create_repository(repositoryName=PROJECT)
    codecommit.put_file(
        repositoryName=PROJECT, branchName="main", filePath="project.yaml", fileContent=b"name: flight-delays\n"
    )
    account.client("ssm").put_parameter(
        Name=f"/{NAMESPACE}/projects/{PROJECT}/repository", Value=PROJECT, Type="String", Overwrite=True
    )
    metadata = {"DomainId": domain, "UserProfileName": "ada", "SpaceName": "lab", "AppType": "CodeEditor"}
    Path(space.environment["RESOURCE_METADATA"]).write_text(json.dumps(metadata))
    aws = {name: value for name, value in account.cloud.environment().items() if name.startswith("AWS_")}
    space.environment |= aws
    yield domain
    sagemaker.delete_user_profile(DomainId=domain, UserProfileName="ada")
    sagemaker.delete_domain(DomainId=domain)
    codecommit.delete_repository(repositoryName=PROJECT)
    account.client("codeartifact").delete_repository(domain=NAMESPACE, repository="python")
    account.client("codeartifact").delete_domain(domain=NAMESPACE)


def test_a_space_has_repository_packages_and_project_file(user: str, space: Space) -> None:
    """Protects: who opens a space finds the project cloned, project.yaml at hand, pip and uv on CodeArtifact."""
    assert space.start()[0] == 0
    pip, uv = space.home / ".config" / "pip" / "pip.conf", space.home / ".config" / "uv" / "uv.toml"
    space.until(lambda: uv.exists() and (space.home / "project.yaml").exists())
    assert (space.home / "project.yaml").read_text() == "name: flight-delays\n"
    remote = subprocess.run(
        ["git", "-C", str(space.home / PROJECT), "pull", "--quiet"], env=space.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert remote.returncode == 0, remote.stderr
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(pip)
    index = settings["global"]["index-url"]
    assert tomllib.loads(uv.read_text())["index"][0] == {"name": NAMESPACE, "url": index, "default": True}
    assert pip.stat().st_mode & 0o077 == 0, "the address holds a token"
    scheme, _, rest = index.partition("://")
    credentials, _, place = rest.partition("@")
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, f"{scheme}://{place}", "aws", credentials.partition(":")[2])
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    with opener.open(f"{scheme}://{place}") as answer:
        assert answer.status == 200, "the token is good"


def test_starting_again_keeps_what_the_person_did(user: str, space: Space) -> None:
    """Protects: a restart neither clones over unsaved work nor runs a second helper beside the first."""
    assert space.start()[0] == 0
    space.until(lambda: (space.home / "project.yaml").exists())
    (space.home / PROJECT / "mine.txt").write_text("mine")
    first = (space.home / ".slipway" / "pid").read_text()
    assert space.start()[0] == 0
    time.sleep(1)
    assert (space.home / ".slipway" / "pid").read_text() == first
    assert (space.home / PROJECT / "mine.txt").read_text() == "mine"
