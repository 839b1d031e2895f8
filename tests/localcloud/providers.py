"""A git provider on this machine, connections to it, and who may use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.localcloud.conftest import LocalCloud

ANYBODY = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}
ANYBODY |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com"}


def git(where: Path, *arguments: str, check: bool = True, **more: str) -> str:
    """As anybody, with nothing of this machine's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "GIT_"))}
    environment = {**kept, **ANYBODY, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", **more}
    done = subprocess.run(["git", *arguments], cwd=where, env=environment, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip() if check else f"{done.returncode} {done.stderr}"


class Provider:
    """A directory of bare repositories, and a clone of one to push from."""

    def __init__(self, folder: Path, name: str = "acme/delays") -> None:
        self.folder, self.name = folder, name
        self.bare = folder / f"{name}.git"
        self.clone = folder / "clone"
        self.bare.mkdir(parents=True)
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git(folder, "clone", "--quiet", str(self.bare), str(self.clone))

    def commit(self, text: str, path: str = "a.txt", to: str = "HEAD:main") -> str:
        """Push a commit; to the directory, as somebody at the provider."""
        target = self.clone / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "--allow-empty", "-m", text)
        git(self.clone, "push", "--quiet", "origin", to)
        return git(self.clone, "rev-parse", "HEAD")


def connection(cloud: LocalCloud, service: str = "codeconnections", **tags: str) -> str:
    made = cloud.client(service).create_connection(
        ConnectionName=f"hub-{uuid4().hex[:8]}",
        ProviderType="GitHub",
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    return str(made["ConnectionArn"])


def connect(cloud: LocalCloud, arn: str, directory: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localcloud", "--home", str(cloud.home), "connect", arn, str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def connected(cloud: LocalCloud, provider: Provider, **tags: str) -> str:
    arn = connection(cloud, **tags)
    done = connect(cloud, arn, provider.folder)
    assert done.returncode == 0, done.stderr
    return arn


def role(cloud: LocalCloud, service: str, *statements: dict[str, Any]) -> str:
    iam, name = cloud.client("iam"), f"{service}-{uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    return str(made["Role"]["Arn"])


def use(arn: str, **condition: Any) -> dict[str, Any]:
    return {"Action": "codeconnections:UseConnection", "Resource": arn, **condition}
