"""Ctrl-C and sudden death in the middle of the demonstration: it says so, and the next run goes on to the end.

The tests stand in the order of the loop and share one local cloud: each run goes on from where the one before it was
interrupted, so that together they cost little more than one demonstration.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.loop.conftest import (
    DEPLOY,
    ENDPOINTS,
    PRODUCTION,
    PROJECT,
    STAGING,
    TOOLING,
    LocalCloud,
    Loop,
    down,
    free_port,
)

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.xdist_group("loop")]
KEPT = "everything done so far is kept. make demo goes on from here."


class Run:
    """A demonstration that runs in the background."""

    def __init__(self, loop: Loop) -> None:
        self.lines: list[str] = []
        self.child = subprocess.Popen(
            [sys.executable, "-m", "slipway_demo", "run"], cwd=loop.folder, env=loop.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            # A parent in the background ignores SIGINT, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        self.lines += self.child.stdout

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def until(self, condition: Callable[[], bool], seconds: float = 240) -> None:
        """Wait for the moment to strike."""
        deadline = time.monotonic() + seconds
        while not _holds(condition):
            assert self.child.poll() is None, f"ended before the moment came:\n{self.output[-3000:]}"
            assert time.monotonic() < deadline, f"the moment never came:\n{self.output[-3000:]}"
            time.sleep(0.05)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal tells the whole group."""
        os.killpg(self.child.pid, signal.SIGINT)

    def end(self, seconds: float = 60) -> int:
        code = self.child.wait(seconds)
        self._reader.join(10)
        return code


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (ClientError, BotoCoreError):
        return False  # it is not there yet


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A place where nothing has run yet."""
    folder = tmp_path_factory.mktemp("storm")
    loop = Loop(LocalCloud(folder / "home", free_port()), folder, {}, "", 0.0)
    try:
        yield loop
    finally:
        down(loop.cloud.home)
        shutil.rmtree(loop.cloud.home, ignore_errors=True)


def _stack(loop: Loop, account: str, name: str) -> str:
    found = loop.admin(account).client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return str(found["StackStatus"])


def _resources(loop: Loop, account: str, name: str) -> int:
    client = loop.admin(account).client("cloudformation")
    return len(client.list_stack_resources(StackName=name)["StackResourceSummaries"])


def _platform_half_made(loop: Loop) -> Callable[[], bool]:
    name = "slipway-platform"
    return lambda: _stack(loop, TOOLING, name) == "CREATE_IN_PROGRESS" and _resources(loop, TOOLING, name) >= 3


def _launching(loop: Loop) -> Callable[[], bool]:
    catalogue = loop.admin(TOOLING).client("servicecatalog")

    def condition() -> bool:
        found = catalogue.search_provisioned_products(AccessLevelFilter={"Key": "Account", "Value": "self"})
        products: list[dict[str, Any]] = found["ProvisionedProducts"]
        if not products or products[0]["Status"] != "UNDER_CHANGE":
            return False
        return _resources(loop, TOOLING, f"SC-{TOOLING}-{products[0]['Id']}") >= 2

    return condition


def _deploying(loop: Loop, account: str) -> Callable[[], bool]:
    return lambda: _stack(loop, account, ENDPOINTS[account]).endswith("_IN_PROGRESS")


def _check_interrupted(loop: Loop, run: Run) -> None:
    """130, one line about it, no traceback, and a report that says that it is not whole."""
    began = time.monotonic()
    run.interrupt()
    assert run.end() == 130, run.output
    assert time.monotonic() - began < 20, "whoever presses Ctrl-C does not want to wait"
    assert run.output.count(KEPT) == 1, run.output
    assert "Traceback" not in run.output, run.output
    assert json.loads((loop.folder / "build" / "demo" / "report.json").read_text())["ok"] is False


def _kill(loop: Loop) -> None:
    os.kill(int((loop.cloud.home / "pid").read_text()), signal.SIGKILL)


def _up(loop: Loop) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", "up"], env=loop.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _check_killed(loop: Loop, run: Run) -> None:
    """1, one message that names the cause and the mend, no traceback; and it can be started again."""
    _kill(loop)
    assert run.end(120) == 1, run.output
    assert "the local cloud does not run" in run.output, run.output
    assert "make demo starts it again and goes on from here" in run.output
    assert "Traceback" not in run.output, run.output
    _up(loop)


def test_the_cloud_dies_while_the_platform_is_made(storm: Loop) -> None:
    """Protects against a power cut in the first minute: what was half made is removed by the next run."""
    run = Run(storm)
    run.until(_platform_half_made(storm))
    _check_killed(storm, run)
    assert _stack(storm, TOOLING, "slipway-platform") == "CREATE_FAILED"


def test_ctrl_c_while_the_platform_is_made(storm: Loop) -> None:
    """Protects who stops in the first minute: CloudFormation goes on by itself, and the next run waits for it."""
    run = Run(storm)
    run.until(_platform_half_made(storm))
    _check_interrupted(storm, run)


def test_ctrl_c_while_the_project_is_launched(storm: Loop) -> None:
    """Protects a launch: Service Catalog brings it to its end, and the next run launches nothing twice."""
    run = Run(storm)
    run.until(_launching(storm))
    _check_interrupted(storm, run)


def test_ctrl_c_while_staging_is_deployed(storm: Loop) -> None:
    """Protects a release: the pipeline goes on by itself up to the approval."""
    run = Run(storm)
    run.until(_deploying(storm, STAGING))
    _check_interrupted(storm, run)


def test_the_cloud_dies_while_production_is_deployed_and_the_next_run_ends_well(storm: Loop) -> None:
    """Protects the worst moment; and, after all of the above, one project, one model, one endpoint that serves."""
    run = Run(storm)
    run.until(_deploying(storm, PRODUCTION))
    _check_killed(storm, run)
    done = storm.demo("run")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    report = json.loads((storm.folder / "build" / "demo" / "report.json").read_text())
    assert report["ok"] is True
    assert report["model"]["version"] == "V1.0.0"
    assert len(report["predictions"]) == 10
    tooling = storm.admin(TOOLING)
    products = tooling.client("servicecatalog").search_provisioned_products(
        AccessLevelFilter={"Key": "Account", "Value": "self"}
    )["ProvisionedProducts"]
    assert [(item["Name"], item["Status"]) for item in products] == [(PROJECT, "AVAILABLE")]
    assert len(storm.packages()) == 1
    executions = tooling.client("codepipeline").list_pipeline_executions(pipelineName=DEPLOY)
    assert "InProgress" not in {item["status"] for item in executions["pipelineExecutionSummaries"]}
    for account in (TOOLING, STAGING, PRODUCTION):
        stacks = storm.admin(account).client("cloudformation").get_paginator("describe_stacks").paginate()
        unsettled = [
            stack["StackName"]
            for page in stacks
            for stack in page["Stacks"]
            if not stack["StackStatus"].endswith("_COMPLETE")
        ]
        assert unsettled == []
