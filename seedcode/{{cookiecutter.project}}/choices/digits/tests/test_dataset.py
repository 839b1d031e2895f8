"""Scanned digits become rows."""

import pandas as pd
import pytest
from slipway.container import StepError

from digits.columns import FEATURES
from digits.dataset import load

from .invented import ROWS, TARGET
from .invented import table as invent


def put(folder, table: pd.DataFrame) -> None:
    table.to_csv(folder / "digits.csv.gz", index=False)


def test_a_row_for_every_image(dataset):
    made = load(dataset, TARGET)
    assert len(made) == ROWS
    assert list(made.columns) == [*FEATURES, TARGET]
    assert set(made[TARGET]) == set(range(10))


def test_an_image_with_a_hole_is_left_out(dataset):
    table = invent()
    table.loc[0, FEATURES[3]] = None
    put(dataset, table)
    assert len(load(dataset, TARGET)) == ROWS - 1


def test_a_file_that_is_not_there_is_named(dataset):
    (dataset / "digits.csv.gz").rename(dataset / "other.csv.gz")
    with pytest.raises(StepError, match=r"no digits\.csv .*it has other\.csv\.gz"):
        load(dataset, TARGET)


def test_a_column_that_is_not_there_is_named(dataset):
    put(dataset, invent().drop(columns=FEATURES[9]))
    with pytest.raises(StepError, match=f"no column {FEATURES[9]}"):
        load(dataset, TARGET)


def test_an_empty_file_is_named(dataset):
    put(dataset, invent().head(0))
    with pytest.raises(StepError, match="has no rows"):
        load(dataset, TARGET)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (FEATURES[0], 17, "a pixel is not from 0 to 16"),
        (TARGET, 10, "a digit is not from 0 to 9"),
        (FEATURES[0], "black", f"column {FEATURES[0]} holds more than numbers"),
    ],
)
def test_what_is_no_digit_is_named(dataset, column, value, reason):
    table = invent().astype(object)
    table.loc[5, column] = value
    put(dataset, table)
    with pytest.raises(StepError, match=reason):
        load(dataset, TARGET)
