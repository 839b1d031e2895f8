"""A small invented airport: enough flights for every step to run in seconds."""

from pathlib import Path

import numpy as np
import pandas as pd

TARGET = "{{ cookiecutter.__target }}"
ROWS = 1200


def tables() -> dict[str, pd.DataFrame]:
    """The tables as the lake has them; a flight arrives about as late as it left."""
    random = np.random.default_rng(7)
    hours = pd.date_range("2013-01-01 06:00", periods=14 * 24, freq="h")
    moment = pd.Series(random.choice(hours, ROWS))
    dep_delay = random.exponential(15, ROWS).round() - 5
    planes = [f"N{number}" for number in range(40)]
    flights = pd.DataFrame(
        {
            "year": moment.dt.year,
            "month": moment.dt.month,
            "day": moment.dt.day,
            "sched_dep_time": moment.dt.hour * 100 + 30,
            "dep_delay": dep_delay,
            "sched_arr_time": (moment.dt.hour + 2) % 24 * 100 + 15,
            "carrier": random.choice(["UA", "B6", "EV"], ROWS),
            "tailnum": random.choice(planes, ROWS),
            "origin": random.choice(["EWR", "JFK", "LGA"], ROWS),
            "dest": random.choice(["ATL", "BOS", "ORD"], ROWS),
            "distance": random.choice([184, 733, 760], ROWS),
            "time_hour": moment.dt.strftime("%Y-%m-%dT%H:00:00Z"),
            "arr_delay": dep_delay + random.normal(0, 5, ROWS).round(),
        }
    )
    origins = ["EWR", "JFK", "LGA"]
    weather = pd.DataFrame(
        [(origin, hour.strftime("%Y-%m-%dT%H:00:00Z")) for origin in origins for hour in hours],
        columns=["origin", "time_hour"],
    )
    for name in ("temp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure"):
        weather[name] = random.uniform(0, 100, len(weather)).round(2)
    weather["visib"] = 10.0
    weather.loc[::7, "wind_gust"] = np.nan
    known = planes[:30]
    aircraft = pd.DataFrame({"tailnum": known, "year": 2000, "seats": 55})
    return {"flights": flights, "weather": weather, "planes": aircraft}


def write(folder: Path) -> None:
    """The tables as files, as the lake has them."""
    for name, table in tables().items():
        suffix = "csv.gz" if name == "flights" else "csv"
        table.to_csv(folder / f"{name}.{suffix}", index=False, na_rep="NA")
