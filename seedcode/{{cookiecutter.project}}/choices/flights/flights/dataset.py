"""From the raw tables (flights, weather, planes) to one row a flight."""

from pathlib import Path

import pandas as pd
from slipway.container import StepError

from flights.columns import FEATURES

TABLES = {
    "flights": [
        "year", "month", "day", "sched_dep_time", "dep_delay", "sched_arr_time", "carrier",
        "tailnum", "origin", "dest", "distance", "time_hour",{% if cookiecutter.__problem == "binary-classification" %} "arr_delay",{% endif %}

    ],
    "weather": [
        "origin", "time_hour", "temp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip",
        "pressure", "visib",
    ],
    "planes": ["tailnum", "year", "seats"],
}  # fmt: skip

{% if cookiecutter.__problem == "binary-classification" %}
# A flight is late from here on: minutes after schedule, as the regulator counts.
LATE = 15
{% endif %}
TEXTS = {"carrier", "tailnum", "origin", "dest", "time_hour"}


def load(folder: Path{% if cookiecutter.__problem == "regression" %}, target: str{% endif %}) -> dict[str, pd.DataFrame]:
    """The raw tables. Raises StepError if one is missing, is empty or lacks a column."""
    tables = {}
    for name, {{ "columns" if cookiecutter.__problem == "regression" else "needed" }} in TABLES.items():
{% if cookiecutter.__problem == "regression" %}
        needed = [*columns, target] if name == "flights" else columns
{% endif %}
        files = sorted(folder.glob(f"{name}.csv*"))
        if not files:
            raise StepError(
                f"the dataset has no {name}.csv or {name}.csv.gz; it has {_names(folder)}"
            )
        table = pd.read_csv(files[0], na_values=["NA", ""], keep_default_na=False)
        missing = [column for column in needed if column not in table]
        if missing:
            raise StepError(f"{files[0].name} has no column {', '.join(missing)}")
        if table.empty:
            raise StepError(f"{files[0].name} has no rows")
        for column in set(needed) - TEXTS:
            if not pd.api.types.is_numeric_dtype(table[column]):
                raise StepError(f"{files[0].name}: column {column} holds more than numbers and NA")
        tables[name] = table[needed]
    return tables


def rows(tables: dict[str, pd.DataFrame], target: str) -> pd.DataFrame:
    """One row a flight that arrived: the features and {{ "the target" if cookiecutter.__problem == "regression" else "whether it was late (1, else 0)" }}.

    Raises StepError if no flight arrived.
    """
{% if cookiecutter.__problem == "regression" %}
    flights = tables["flights"].dropna(subset=[target, "dep_delay"])
    if flights.empty:
        raise StepError(
            f"no flight has both dep_delay and {target}: there is nothing to learn from"
        )
{% else %}
    flights = tables["flights"].dropna(subset=["arr_delay", "dep_delay"])
    if flights.empty:
        raise StepError(
            "no flight has both dep_delay and arr_delay: there is nothing to learn from"
        )
{% endif %}
    planes = tables["planes"].drop_duplicates("tailnum").rename(columns={"year": "built"})
    weather = tables["weather"].drop_duplicates(["origin", "time_hour"])
    # A flight without weather or plane keeps its row: the model knows how to miss a value.
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left")
    joined = joined.merge(planes, on="tailnum", how="left")
    departure = minute_of_day(joined["sched_dep_time"])
    made = joined.assign(
        departure_minute=departure,
        scheduled_minutes=(minute_of_day(joined["sched_arr_time"]) - departure) % (24 * 60),
        weekday=pd.to_datetime(joined[["year", "month", "day"]]).dt.day_of_week,
        plane_age=joined["year"] - joined["built"],
    )
{% if cookiecutter.__problem == "binary-classification" %}
    made[target] = (joined["arr_delay"] >= LATE).astype("int64")
{% endif %}
    return made[[*FEATURES, target]]


def minute_of_day(clock: pd.Series) -> pd.Series:
    """1435 (a clock that reads 14:35) → 875."""
    return clock // 100 * 60 + clock % 100


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "no file at all"
