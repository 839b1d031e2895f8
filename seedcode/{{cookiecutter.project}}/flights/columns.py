"""The columns that the model sees, in their order: in training rows and in requests."""

import pandas as pd

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


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """The features with the types that the model was trained with."""
    kinds = dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(CATEGORIES, "category")
    return table[list(FEATURES)].astype(kinds)


def read(path) -> pd.DataFrame:
    """Rows as preprocessing wrote them."""
    # "NA" would be a fine airport code; only nothing means missing.
    return pd.read_csv(path, keep_default_na=False, na_values=[""])
