"""Raw tables become rows."""

import pandas as pd
import pytest
from slipway.container import StepError

from flights import columns
from flights.dataset import load, minute_of_day, rows, split
from preprocess import preprocess

from .conftest import FLIGHTS, TARGET


def test_clock_times_become_minutes():
    assert minute_of_day(pd.Series([0, 59, 100, 1435, 2359])).tolist() == [0, 59, 60, 875, 1439]


def test_a_row_for_every_flight_that_arrived(tables):
    tables["flights"].loc[:9, TARGET] = None
    made = rows(tables, TARGET)
    assert len(made) == FLIGHTS - 10
    assert list(made.columns) == [*columns.FEATURES, TARGET]


def test_a_flight_keeps_its_row_without_weather_and_plane(tables):
    tables["weather"] = tables["weather"].head(1)
    tables["planes"] = tables["planes"].head(1)
    made = rows(tables, TARGET)
    assert len(made) == FLIGHTS
    assert made["temp"].isna().any()
    assert made["plane_age"].isna().any()


def test_a_flight_over_midnight_takes_as_long_as_by_day(tables):
    tables["flights"][["sched_dep_time", "sched_arr_time"]] = 2330, 130
    assert set(rows(tables, TARGET)["scheduled_minutes"]) == {120}


def test_the_same_seed_splits_alike_and_no_row_is_in_two_parts(tables):
    table = rows(tables, TARGET)
    first, second = (split(table, {"validation": 0.2, "test": 0.1}, seed=1) for _ in range(2))
    assert {name: len(part) for name, part in first.items()} == {
        "validation": 240,
        "test": 120,
        "train": 840,
    }
    assert sorted(index for part in first.values() for index in part.index) == list(table.index)
    for name, part in first.items():
        pd.testing.assert_frame_equal(part, second[name])


def test_preprocess_writes_three_parts(paths, dataset):
    preprocess(paths, validation_share=0.1, test_share=0.1, seed=1)
    parts = {
        name: columns.read(paths.processing_output(name) / f"{name}.csv")
        for name in ("train", "validation", "test")
    }
    assert sum(map(len, parts.values())) == FLIGHTS
    assert not parts["train"][TARGET].isna().any()


def test_a_table_that_is_not_there_is_named(dataset):
    (dataset / "weather.csv").unlink()
    with pytest.raises(StepError, match=r"no weather\.csv .*flights\.csv\.gz, planes\.csv"):
        load(dataset, TARGET)


def test_a_column_that_is_not_there_is_named(dataset, tables):
    tables["planes"].drop(columns="seats").to_csv(dataset / "planes.csv", index=False)
    with pytest.raises(StepError, match=r"planes\.csv has no column seats"):
        load(dataset, TARGET)


def test_an_empty_table_is_named(dataset, tables):
    tables["weather"].head(0).to_csv(dataset / "weather.csv", index=False)
    with pytest.raises(StepError, match=r"weather\.csv has no rows"):
        load(dataset, TARGET)


def test_text_among_numbers_is_named(dataset, tables):
    tables["weather"].assign(temp="warm").to_csv(dataset / "weather.csv", index=False)
    with pytest.raises(StepError, match=r"weather\.csv: column temp"):
        load(dataset, TARGET)


def test_no_flight_that_arrived_is_nothing_to_learn_from(tables):
    tables["flights"][TARGET] = None
    with pytest.raises(StepError, match="nothing to learn from"):
        rows(tables, TARGET)


def test_too_few_rows_to_split_are_said(tables):
    with pytest.raises(StepError, match="too few to split"):
        split(rows(tables, TARGET).head(3), {"validation": 0.1, "test": 0.1}, seed=1)
