"""Raw reviews become rows."""

import pandas as pd
import pytest
from slipway.container import StepError

from food_reviews.columns import TEXT
from food_reviews.dataset import load

from .invented import ROWS, TARGET
from .invented import table as invent


def put(folder, table: pd.DataFrame) -> None:
    table.to_csv(folder / "reviews.csv.gz", index=False)


def test_a_row_for_every_review(dataset):
    made = load(dataset, TARGET)
    assert len(made) == ROWS
    assert list(made.columns) == [TEXT, TARGET]
    assert made[TARGET].mean() == 0.5


def test_a_text_that_was_given_twice_is_kept_once(dataset):
    put(dataset, pd.concat([invent(), invent().head(7)]))
    assert len(load(dataset, TARGET)) == ROWS


def test_line_breaks_are_spaces_and_empty_texts_are_left_out(dataset):
    table = invent()
    table.loc[0, TEXT] = "very\n  good"
    table.loc[1, TEXT] = "  "
    put(dataset, table)
    made = load(dataset, TARGET)
    assert made[TEXT][0] == "very good"
    assert len(made) == ROWS - 1


def test_a_file_that_is_not_there_is_named(dataset):
    (dataset / "reviews.csv.gz").rename(dataset / "other.csv")
    with pytest.raises(StepError, match=r"no reviews\.csv .*it has other\.csv"):
        load(dataset, TARGET)


def test_a_column_that_is_not_there_is_named(dataset):
    put(dataset, invent().drop(columns="score"))
    with pytest.raises(StepError, match="no column score"):
        load(dataset, TARGET)


def test_scores_that_are_all_alike_are_nothing_to_learn_from(dataset):
    put(dataset, invent().assign(score="great"))
    with pytest.raises(StepError, match="with and without the score great"):
        load(dataset, TARGET)


def test_an_empty_file_is_named(dataset):
    put(dataset, invent().head(0))
    with pytest.raises(StepError, match="no rows with a text"):
        load(dataset, TARGET)
