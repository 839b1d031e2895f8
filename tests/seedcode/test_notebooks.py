"""The notebooks run top to bottom: they read project.yaml and the lake as the pipeline does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import nbformat
import pytest
from nbclient import NotebookClient

from slipway import configuration, notebook
from slipway.errors import SlipwayError
from slipway_demo import datasets
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud, free_port

from .conftest import Stamp
from .matrix import DATASETS, PACKAGES

LAKE = f"slipway-lake-{TOOLING}-{REGION}"
PROJECT = "flight-delays"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud with a lake in it, and what a project publishes of it."""
    running = LocalCloud(tmp_path_factory.mktemp("cloud") / "home", free_port())
    running.start()
    s3 = running.client("s3")
    s3.create_bucket(Bucket=LAKE, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name in datasets.SETS:
        for file, content in datasets.files(name):
            s3.put_object(Bucket=LAKE, Key=f"curated/{name}/{file}", Body=content)
    running.client("ssm").put_parameter(
        Name=f"/slipway/projects/{PROJECT}/curated-data", Value=f"s3://{LAKE}/curated", Type="String"
    )
    yield running
    running.stop()


@pytest.fixture
def session(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As a notebook has it: everything from the environment."""
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    return boto3.Session(region_name=REGION)


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize(
    "pair",
    [
        ("scikit-learn", "regression"),
        ("xgboost", "binary-classification"),
        ("xgboost", "multiclass-classification"),
        ("scikit-learn", "text-classification"),
    ],
    ids="-".join,
)
def test_a_notebook_runs_top_to_bottom(
    pair: tuple[str, str], session: Any, stamped: Stamp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(stamped(*pair, "real-time"), tmp_path / "project")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    page = nbformat.read(root / "notebooks" / "explore.ipynb", 4)
    NotebookClient(page, timeout=300, resources={"metadata": {"path": str(root / "notebooks")}}).execute()
    outputs = [output for cell in page["cells"] for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert (root / "data" / DATASETS[PACKAGES[pair[1]]]).is_dir()
    assert not any(output["output_type"] == "error" for output in outputs)


def test_what_is_there_already_is_not_fetched_again(session: Any, stamped: Stamp, tmp_path: Path) -> None:
    project = configuration.load(stamped("scikit-learn", "multiclass-classification", "real-time") / "project.yaml")
    place = notebook.dataset(project, tmp_path, session)
    (file,) = place.iterdir()
    assert (place.relative_to(tmp_path).as_posix(), file.name) == ("digits/scans", "digits.csv.gz")
    os.utime(file, (1, 1))
    notebook.dataset(project, tmp_path, session)
    assert file.stat().st_mtime == 1
    file.write_bytes(b"half")
    notebook.dataset(project, tmp_path, session)
    assert file.stat().st_size > 1000


def test_a_dataset_that_the_lake_does_not_have_is_named(session: Any, stamped: Stamp, tmp_path: Path) -> None:
    project = configuration.load(stamped("scikit-learn", "regression", "real-time") / "project.yaml")
    other = project.model_copy(update={"data": project.data.model_copy(update={"dataset": "nothing/here"})})
    with pytest.raises(SlipwayError, match=f"nothing below s3://{LAKE}/curated/nothing/here/"):
        notebook.dataset(other, tmp_path, session)
    stranger = project.model_copy(update={"project": "unknown"})
    with pytest.raises(SlipwayError, match="/slipway/projects/unknown/curated-data does not exist"):
        notebook.dataset(stranger, tmp_path, session)
