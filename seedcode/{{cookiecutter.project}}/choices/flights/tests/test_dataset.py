{% set late = cookiecutter.__problem == "binary-classification" %}
{% set load = "load(dataset)" if late else "load(dataset, TARGET)" %}
"""Raw tables become rows."""

import pandas as pd
import pytest
from slipway.container import StepError

from flights import columns
from flights.dataset import {% if late %}LATE, {% endif %}load, minute_of_day, rows

from .invented import ROWS, TARGET
from .invented import tables as invent


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    return invent()


def test_clock_times_become_minutes():
    assert minute_of_day(pd.Series([0, 59, 100, 1435, 2359])).tolist() == [0, 59, 60, 875, 1439]


def test_a_row_for_every_flight_that_arrived(tables):
    tables["flights"].loc[:9, "arr_delay"] = None
    made = rows(tables, TARGET)
    assert len(made) == ROWS - 10
    assert list(made.columns) == [*columns.FEATURES, TARGET]


{% if late %}
def test_a_flight_is_late_from_a_quarter_of_an_hour_on(tables):
    tables["flights"]["arr_delay"] = float(LATE)
    tables["flights"].loc[0, "arr_delay"] = LATE - 1
    assert rows(tables, TARGET)[TARGET].tolist() == [0] + [1] * (ROWS - 1)


{% endif %}
def test_a_flight_keeps_its_row_without_weather_and_plane(tables):
    tables["weather"] = tables["weather"].head(1)
    tables["planes"] = tables["planes"].head(1)
    made = rows(tables, TARGET)
    assert len(made) == ROWS
    assert made["temp"].isna().any()
    assert made["plane_age"].isna().any()


def test_a_flight_over_midnight_takes_as_long_as_by_day(tables):
    tables["flights"][["sched_dep_time", "sched_arr_time"]] = 2330, 130
    assert set(rows(tables, TARGET)["scheduled_minutes"]) == {120}


def test_a_table_that_is_not_there_is_named(dataset):
    (dataset / "weather.csv").unlink()
    with pytest.raises(StepError, match=r"no weather\.csv .*flights\.csv\.gz, planes\.csv"):
        {{ load }}


def test_a_column_that_is_not_there_is_named(dataset, tables):
    tables["planes"].drop(columns="seats").to_csv(dataset / "planes.csv", index=False)
    with pytest.raises(StepError, match=r"planes\.csv has no column seats"):
        {{ load }}


def test_an_empty_table_is_named(dataset, tables):
    tables["weather"].head(0).to_csv(dataset / "weather.csv", index=False)
    with pytest.raises(StepError, match=r"weather\.csv has no rows"):
        {{ load }}


def test_text_among_numbers_is_named(dataset, tables):
    tables["weather"].assign(temp="warm").to_csv(dataset / "weather.csv", index=False)
    with pytest.raises(StepError, match=r"weather\.csv: column temp"):
        {{ load }}


def test_no_flight_that_arrived_is_nothing_to_learn_from(tables):
    tables["flights"]["arr_delay"] = None
    with pytest.raises(StepError, match="nothing to learn from"):
        rows(tables, TARGET)
