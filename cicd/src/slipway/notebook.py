"""What a notebook asks the platform for: the data that the pipeline takes, by the same project.yaml.

project = configuration.load(Path("../project.yaml"))
folder = notebook.dataset(project, Path("../data"))
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from slipway import settings
from slipway.configuration import ProjectFile
from slipway.errors import SlipwayError


def dataset(project: ProjectFile, folder: Path, session: Any = None) -> Path:
    """The project's dataset as files: fetched from the lake, but for what is there already in its size.

    Args:
        folder: where datasets are kept on this machine; this one is put into a folder of its own below it.
        session: a boto3 session; by default one of the environment.

    Raises SlipwayError if the project is not launched here, or the lake has no such dataset.
    """
    import boto3

    session = session or boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    namespace = os.environ.get("SLIPWAY_NAMESPACE", "slipway")
    curated = settings.project(session.client("ssm"), namespace, project.project)["curated-data"]
    bucket, _, start = curated.removeprefix("s3://").partition("/")
    prefix = f"{start.rstrip('/')}/{project.data.dataset}/"
    place = folder / project.data.dataset
    s3 = session.client("s3")
    found = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            name = item["Key"].removeprefix(prefix)
            if not name or name.endswith("/"):
                continue
            found += 1
            file = place / name
            if file.is_file() and file.stat().st_size == item["Size"]:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, item["Key"], str(file))
    if not found:
        raise SlipwayError(
            f"data.dataset: the lake has nothing below s3://{bucket}/{prefix}: "
            "name a dataset that a data engineer has put there"
        )
    return place
