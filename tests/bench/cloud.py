"""A local cloud of the benchmark's own, and the commands that are timed against it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
REGION = "eu-west-1"
TOOLING, STAGING, PRODUCTION = "111111111111", "222222222222", "333333333333"
BARE = (
    "import boto3; boto3.client('sts', region_name='eu-west-1', aws_access_key_id='x', aws_secret_access_key='x')"
    ".meta.service_model.operation_names"
)
_POLL_SECONDS = 0.02


class Failed(Exception):
    """A command that is timed did not succeed; with the end of its output."""


@dataclass(frozen=True)
class Cloud:
    """Where the benchmark's local cloud keeps its state, and where it listens."""

    home: Path
    port: int

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def run(
        self, program: str, *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None,
        yielding: bool = False,
    ) -> float:  # fmt: skip
        """Run a program of the virtual environment. Returns the seconds that it took.

        Args:
            yielding: whether it leaves the processor to others.

        Raises:
            Failed: its exit code is not 0.
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "LOCALCLOUD_"))}
        own = {"LOCALCLOUD_HOME": str(self.home), "LOCALCLOUD_PORT": str(self.port), "COLUMNS": "120"}
        started = time.monotonic()
        child = subprocess.Popen(
            [str(BIN / program), *arguments], cwd=cwd, env={**kept, **own, **(environment or {})}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if yielding:
            os.setpriority(os.PRIO_PROCESS, child.pid, 10)
        output, _ = child.communicate()
        seconds = time.monotonic() - started
        if child.returncode != 0:
            tail = "\n  ".join(output.splitlines()[-15:])
            raise Failed(f"`{program} {' '.join(arguments)}` ended with exit code {child.returncode}:\n  {tail}")
        return seconds

    def client(self, service: str, account: str = TOOLING) -> Any:
        """A client as the account's administrator."""
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=account,
            aws_secret_access_key="test",
        )  # fmt: skip

    def reset(self) -> None:
        """Forget everything."""
        self.run("localcloud", "reset")

    def slipway(self, account: str, persona: str, *arguments: str, yielding: bool = False) -> float:
        """Run `slipway` as the administrator, or as a persona."""
        variables = {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "test",
        }  # fmt: skip
        if persona:
            role = f"arn:aws:iam::{account}:role/slipway-{persona}"
            given = self.client("sts", account).assume_role(RoleArn=role, RoleSessionName="bench")["Credentials"]
            variables |= {
                "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
                "AWS_SESSION_TOKEN": given["SessionToken"],
            }
        return self.run("slipway", *arguments, environment=variables, yielding=yielding)


def median(times: int, measure: Callable[[], float]) -> float:
    """The middle one of several measurements."""
    return statistics.median(measure() for _ in range(times))


def bare_process() -> float:
    """Seconds of a Python process that only makes a client of boto3: below it no command that calls AWS can go."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", BARE], check=True, capture_output=True)
    return time.monotonic() - started


def start(cloud: Cloud) -> float:
    """Seconds from `localcloud up` on an empty home to the first answered call."""
    cloud.reset()
    sts = cloud.client("sts")
    started = time.monotonic()
    cloud.run("localcloud", "up")
    sts.get_caller_identity()
    return time.monotonic() - started


def deploy(cloud: Cloud) -> tuple[float, dict[str, float], int]:
    """Deploy the platform and two workload stacks, side by side as `make demo` does.

    Returns:
        Seconds, the seconds of each part, and how many resources there are. The accounts' foundation is not counted.
    """
    accounts = (TOOLING, STAGING, PRODUCTION)
    verbs = {
        TOOLING: ["deploy", "--parameter", f"StagingAccountId={STAGING}", "--parameter",
                  f"ProductionAccountId={PRODUCTION}"],
        STAGING: ["workload", "--parameter", f"ToolingAccountId={TOOLING}", "--parameter", "Environment=staging"],
        PRODUCTION: ["workload", "--parameter", f"ToolingAccountId={TOOLING}", "--parameter", "Environment=production"],
    }  # fmt: skip
    with ThreadPoolExecutor(len(accounts)) as pool:
        list(pool.map(lambda account: cloud.slipway(account, "", "platform", "bootstrap"), accounts))
        before = sum(_resources(cloud, account) for account in accounts)
        started = time.monotonic()

        def one(account: str) -> float:
            yielding = account != TOOLING  # as in the demonstration
            return cloud.slipway(account, "FullStackDeveloper", "platform", *verbs[account], yielding=yielding)

        each = list(pool.map(one, accounts))
    seconds = time.monotonic() - started
    split = dict(zip(("slipway platform deploy", "workload, staging", "workload, production"), each, strict=True))
    codebuild = cloud.client("codebuild")
    for build in codebuild.batch_get_builds(ids=codebuild.list_builds()["ids"])["builds"]:
        name = build["projectName"]
        split[f"  of it: build {name}"] = (build["endTime"] - build["startTime"]).total_seconds()
    return seconds, split, sum(_resources(cloud, account) for account in accounts) - before


def _resources(cloud: Cloud, account: str) -> int:
    cloudformation = cloud.client("cloudformation", account)
    stacks = [stack for page in cloudformation.get_paginator("describe_stacks").paginate() for stack in page["Stacks"]]
    pages = cloudformation.get_paginator("list_stack_resources")
    return sum(
        len(page["StackResourceSummaries"]) for stack in stacks for page in pages.paginate(StackName=stack["StackName"])
    )


def smallest_stack(cloud: Cloud) -> float:
    """Seconds to create a stack of one SSM parameter."""
    cloudformation = cloud.client("cloudformation")
    name = f"bench-{time.monotonic_ns()}"
    resource = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x", "Name": f"/bench/{name}"}}
    started = time.monotonic()
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Parameter": resource}}))
    while True:
        status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        if status == "CREATE_COMPLETE":
            return time.monotonic() - started
        if not status.endswith("_IN_PROGRESS"):
            raise Failed(f"the stack {name} of the baseline ended as {status}")
        time.sleep(_POLL_SECONDS)
