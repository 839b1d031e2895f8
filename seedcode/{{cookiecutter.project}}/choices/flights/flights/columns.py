"""The columns that the model sees, in their order: in training rows and in requests."""

from pathlib import Path

import pandas as pd
from slipway.container import StepError

# Known when the aircraft leaves the gate.
NUMBERS = (
    "dep_delay",  # minutes after schedule; negative is early
    "departure_minute",  # scheduled, minutes after midnight
    "scheduled_minutes",  # from scheduled departure to scheduled arrival, local times
    "distance",  # miles
    "weekday",  # 0 is Monday
    "temp",  # the weather at the origin in the hour of departure: °F
    "humid",  # %
    "wind_dir",  # degrees
    "wind_speed",  # mph
    "wind_gust",  # mph
    "precip",  # inches
    "pressure",  # millibars
    "visib",  # miles
    "plane_age",  # years
    "seats",
)
CATEGORIES = ("carrier", "origin", "dest")
FEATURES = (*NUMBERS, *CATEGORIES)
# What a request holds: numbers (nothing: not known) and texts.
KINDS = dict.fromkeys(NUMBERS, float) | dict.fromkeys(CATEGORIES, str)
{% if cookiecutter.framework == "scikit-learn" %}


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """The features with the types that the model was trained with."""
    kinds = dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(CATEGORIES, "category")
    return table[list(FEATURES)].astype(kinds)
{% endif %}


def read(folder: Path) -> pd.DataFrame:
    """Rows as preprocessing wrote them to a folder. Raises StepError if it holds none."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise StepError(f"{folder} holds no .csv file")
    # "NA" would be a fine airport code; only nothing means missing.
    return pd.concat(pd.read_csv(file, keep_default_na=False, na_values=[""]) for file in files)
