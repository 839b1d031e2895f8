"""The columns that the model sees: in training rows and in requests."""

from pathlib import Path

import pandas as pd
from slipway.container import StepError

TEXT = "review"
FEATURES = (TEXT,)
# What a request holds: one text a row.
KINDS = {TEXT: str}


def read(folder: Path) -> pd.DataFrame:
    """Rows as preprocessing wrote them to a folder. Raises StepError if it holds none."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise StepError(f"{folder} holds no .csv file")
    # "NA" and "null" are words; only nothing means missing.
    return pd.concat(pd.read_csv(file, keep_default_na=False, na_values=[""]) for file in files)
