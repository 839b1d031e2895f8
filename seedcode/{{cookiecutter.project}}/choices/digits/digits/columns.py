"""The columns that the model sees, in their order: in training rows and in requests."""

from pathlib import Path

import pandas as pd
from slipway.container import StepError

SIDE = 8
BRIGHTEST = 16
# The pixels of the image, row by row: 0 is paper, 16 is ink.
FEATURES = tuple(f"pixel_{row}_{column}" for row in range(SIDE) for column in range(SIDE))
# What a request holds: numbers.
KINDS = dict.fromkeys(FEATURES, float)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """The features with the types that the model was trained with."""
    return table[list(FEATURES)].astype("float64")


def read(folder: Path) -> pd.DataFrame:
    """Rows as preprocessing wrote them to a folder. Raises StepError if it holds none."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise StepError(f"{folder} holds no .csv file")
    return pd.concat(map(pd.read_csv, files))
