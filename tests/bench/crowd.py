"""Many projects and many people in one local cloud: launches, one after the other, while everybody works."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from tests.bench.cloud import REGION, TOOLING, Cloud, Failed

# Who is at work: of ten people seven write models, two release them, and one looks after the catalogue.
PERSONAS = ("DataScientist",) * 7 + ("ReleaseApprover",) * 2 + ("DataScienceAdmin",)
# A person looks at something, reads it, and looks at the next thing; a session is renewed now and then.
_THINKING_SECONDS = 2.0
_CALLS_OF_A_SESSION = 20
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Launch:
    """One launch: seconds until the product is available; those of processor time, and calls of people meanwhile."""

    seconds: float
    processor: float
    calls: int

    def own(self, of_a_call: float) -> float:
        """The processor time without that of the people's calls, of which each takes so much."""
        return self.processor - self.calls * of_a_call


class People:
    """They call the local cloud as their roles let them, until they are sent home."""

    def __init__(self, cloud: Cloud, number: int) -> None:
        self.waited: list[float] = []  # seconds of each call
        self._cloud = cloud
        self._number = number
        self._projects: list[str] = []
        self._errors: list[str] = []
        self._home = threading.Event()
        self._lock = threading.Lock()  # a session of boto3 makes one client at a time
        self._session = boto3.Session(region_name=REGION)

    def join(self, project: str) -> None:
        """From now on there is this project to work on."""
        self._projects.append(project)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """All of them work meanwhile. Raises Failed at the end if one of their calls did not succeed."""
        threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(self._number)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._home.set()
            for thread in threads:
                thread.join(60)
        if self._errors:
            raise Failed(f"{len(self._errors)} of {self._number} people could not work: {self._errors[0]}")

    def _work(self, number: int) -> None:
        persona = PERSONAS[number % len(PERSONAS)]
        # People do not keep step: each has a rhythm of its own.
        pause = _THINKING_SECONDS * (0.75 + number % 10 / 20)
        try:
            while not self._home.is_set():
                known = list(self._projects)
                project = known[number % len(known)] if known and persona != "DataScienceAdmin" else ""
                calls = itertools.cycle(self._calls(persona, project, f"person-{number}"))
                for call in itertools.islice(calls, _CALLS_OF_A_SESSION):
                    started = time.monotonic()
                    call()
                    self.waited.append(time.monotonic() - started)
                    if self._home.wait(pause):
                        return
        except Exception as error:
            self._errors.append(f"{persona}: {type(error).__name__}: {error}")

    def _calls(self, persona: str, project: str, name: str) -> list[Callable[[], Any]]:
        if not project:
            catalogue = self.client("DataScienceAdmin", "", name, "servicecatalog")
            return [catalogue.search_products, catalogue.search_provisioned_products]
        repository, pipelines, models, parameters = (
            self.client(persona, project, name, service)
            for service in ("codecommit", "codepipeline", "sagemaker", "ssm")
        )
        build, group = f"slipway-{project}-build", f"slipway-{project}"
        calls = [
            lambda: pipelines.get_pipeline_state(name=build),
            lambda: pipelines.list_pipeline_executions(pipelineName=build),
            lambda: models.list_model_packages(ModelPackageGroupName=group),
            lambda: parameters.get_parameters_by_path(Path=f"/slipway/projects/{project}"),
        ]
        if persona == "DataScientist":
            calls += [
                lambda: repository.get_branch(repositoryName=project, branchName="main"),
                lambda: repository.get_folder(repositoryName=project, folderPath="/"),
            ]
        return calls

    def client(self, persona: str, project: str, name: str, service: str) -> Any:
        """A client of a person's own session, which has the project as its tag."""
        with self._lock:
            sts = self._made("sts", TOOLING, "test", None)
        given = sts.assume_role(
            RoleArn=f"arn:aws:iam::{TOOLING}:role/slipway-{persona}", RoleSessionName=name,
            Tags=[{"Key": "Project", "Value": project}] if project else [],
        )["Credentials"]  # fmt: skip
        with self._lock:
            return self._made(service, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def _made(self, service: str, key: str, secret: str, token: str | None) -> Any:
        return self._session.client(
            service, endpoint_url=self._cloud.endpoint, aws_access_key_id=key, aws_secret_access_key=secret,
            aws_session_token=token, config=Config(read_timeout=120, retries={"max_attempts": 1}),
        )  # fmt: skip


def of_a_call(cloud: Cloud, people: People, seconds: float = 10.0) -> float:
    """Seconds of processor time that a call of the people at work takes while nothing is launched."""
    before, calls = processor(cloud), len(people.waited)
    time.sleep(seconds)
    return (processor(cloud) - before) / max(len(people.waited) - calls, 1)


def launch(cloud: Cloud, catalogue: Any, project: str, people: People) -> Launch:
    """Launch a project from the catalogue and wait until it is there.

    Raises:
        Failed: it ended otherwise; with the reason.
    """
    view = next(
        item for item in catalogue.search_products()["ProductViewSummaries"] if "project" in item["Name"].lower()
    )
    versions = catalogue.describe_product(Id=view["ProductId"])["ProvisioningArtifacts"]
    path = catalogue.list_launch_paths(ProductId=view["ProductId"])["LaunchPathSummaries"][0]["Id"]
    started, before, calls = time.monotonic(), processor(cloud), len(people.waited)
    record = catalogue.provision_product(
        ProductId=view["ProductId"], ProvisioningArtifactId=max(versions, key=lambda item: item["CreatedTime"])["Id"],
        PathId=path, ProvisionedProductName=project, ProvisionToken=f"bench-{time.time_ns()}",
        ProvisioningParameters=[{"Key": "ProjectName", "Value": project}],
    )["RecordDetail"]  # fmt: skip
    while True:
        about = catalogue.describe_provisioned_product(Id=record["ProvisionedProductId"])["ProvisionedProductDetail"]
        if about["Status"] == "AVAILABLE":
            return Launch(time.monotonic() - started, processor(cloud) - before, len(people.waited) - calls)
        if about["Status"] != "UNDER_CHANGE":
            raise Failed(f"the launch of {project} ended as {about['Status']}: {about.get('StatusMessage', '')}")
        time.sleep(_POLL_SECONDS)


def processor(cloud: Cloud) -> float:
    """Seconds of processor time that the server and its children that ended have used (0 where /proc has none)."""
    try:
        text = open(f"/proc/{int((cloud.home / 'pid').read_text())}/stat", encoding="ascii").read()  # noqa: SIM115, PTH123
    except OSError:
        return 0.0
    user, system, children, of_children = text.rpartition(")")[2].split()[11:15]
    return sum(map(int, (user, system, children, of_children))) / os.sysconf("SC_CLK_TCK")
