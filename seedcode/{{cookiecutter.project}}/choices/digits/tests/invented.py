"""Invented digits: enough images for every step to run in seconds."""

from pathlib import Path

import numpy as np
import pandas as pd

from digits.columns import BRIGHTEST, FEATURES

TARGET = "digit"
ROWS = 600


def table() -> pd.DataFrame:
    """A digit is a pattern of its own, drawn by an unsteady hand."""
    random = np.random.default_rng(7)
    patterns = random.integers(0, BRIGHTEST + 1, (10, len(FEATURES)))
    digit = np.arange(ROWS) % 10
    shaken = patterns[digit] + random.normal(0, 2, (ROWS, len(FEATURES)))
    pixels = shaken.round().clip(0, BRIGHTEST).astype(int)
    return pd.DataFrame(pixels, columns=list(FEATURES)).assign(**{TARGET: digit})


def write(folder: Path) -> None:
    """The images as a file, as the lake has it."""
    table().to_csv(folder / "digits.csv.gz", index=False)
