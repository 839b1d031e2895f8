"""From the raw reviews (text and score) to one row a review."""

from pathlib import Path

import pandas as pd
from slipway.container import StepError

from food_reviews.columns import TEXT

FILE = "reviews.csv"
SCORE = "score"
# The score that the model looks for; every other one is "not great".
GREAT = "great"


def load(folder: Path, target: str) -> pd.DataFrame:
    """One row a review: the text, and whether the food was great (1) or not (0).

    Raises StepError if the dataset is not so. A text that was given twice is kept once: a copy in
    the test rows would be an answer that training has seen.
    """
    files = sorted(folder.glob(f"{FILE}*"))
    if not files:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "no file at all"
        raise StepError(f"the dataset has no {FILE} or {FILE}.gz; it has {there}")
    table = pd.read_csv(files[0], keep_default_na=False)
    missing = [column for column in (TEXT, SCORE) if column not in table]
    if missing:
        raise StepError(f"{files[0].name} has no column {', '.join(missing)}")
    texts = table[TEXT].astype(str).str.split().str.join(" ")
    made = pd.DataFrame({TEXT: texts, target: (table[SCORE] == GREAT).astype("int64")})
    made = made[made[TEXT] != ""].drop_duplicates(TEXT).reset_index(drop=True)
    if made.empty:
        raise StepError(f"{files[0].name} has no rows with a text")
    if made[target].nunique() < 2:
        raise StepError(
            f"{files[0].name}: there must be reviews with and without the score {GREAT}"
        )
    return made
