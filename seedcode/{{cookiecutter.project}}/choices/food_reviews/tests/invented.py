"""Invented reviews: enough of them for every step to run in seconds."""

from pathlib import Path

import numpy as np
import pandas as pd

TARGET = "great"
ROWS = 400
FOOD = ["tea", "coffee", "soup", "bread", "jam", "rice", "oil", "cake"]
GOOD = ["delicious", "wonderful", "lovely", "fresh", "perfect"]
BAD = ["stale", "awful", "bland", "broken", "disappointing"]


def table() -> pd.DataFrame:
    """Great food is praised; now and then somebody says the opposite of what the score says."""
    random = np.random.default_rng(7)
    rows = []
    for number in range(ROWS):
        great = number % 2 == 0
        words = GOOD if great != (random.random() < 0.05) else BAD
        first, second = random.choice(words, 2)
        food = random.choice(FOOD)
        text = f"The {food} was {first}, and the box of {number} came {second}."
        score = "great" if great else "other"
        rows.append({"product": f"P{number}", "review": text, "score": score})
    return pd.DataFrame(rows)


def write(folder: Path) -> None:
    """The reviews as a file, as the lake has it."""
    table().to_csv(folder / "reviews.csv.gz", index=False)
