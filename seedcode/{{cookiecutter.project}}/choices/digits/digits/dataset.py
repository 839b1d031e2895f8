"""From the scanned digits (8 × 8 pixels, one image a line) to one row an image."""

from pathlib import Path

import pandas as pd
from slipway.container import StepError

from digits.columns import BRIGHTEST, FEATURES

FILE = "digits.csv"
CLASSES = range(10)


def load(folder: Path, target: str) -> pd.DataFrame:
    """One row an image: its pixels and the digit. Raises StepError if the dataset is not so."""
    files = sorted(folder.glob(f"{FILE}*"))
    if not files:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "no file at all"
        raise StepError(f"the dataset has no {FILE} or {FILE}.gz; it has {there}")
    table = pd.read_csv(files[0])
    missing = [column for column in (*FEATURES, target) if column not in table]
    if missing:
        raise StepError(f"{files[0].name} has no column {', '.join(missing[:5])}")
    if table.empty:
        raise StepError(f"{files[0].name} has no rows")
    table = table[[*FEATURES, target]]
    for column in table:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise StepError(f"{files[0].name}: column {column} holds more than numbers")
    table = table.dropna()
    pixels = table[list(FEATURES)]
    if ((pixels < 0) | (pixels > BRIGHTEST)).any(axis=None):
        raise StepError(f"{files[0].name}: a pixel is not from 0 to {BRIGHTEST}")
    if not table[target].isin(CLASSES).all():
        raise StepError(f"{files[0].name}: a {target} is not from 0 to {CLASSES[-1]}")
    return table.reset_index(drop=True)
