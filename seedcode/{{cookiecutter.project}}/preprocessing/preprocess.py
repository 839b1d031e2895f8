"""The dataset of the lake → train.csv, validation.csv and test.csv."""

import argparse

import pandas as pd
from slipway import container

from {{ cookiecutter.__package }} import dataset


def preprocess(
    paths: container.Paths, validation_share: float, test_share: float, seed: int
) -> None:
    """Read the dataset, make its rows, divide them and write them."""
    target = container.target()
{% if cookiecutter.__package == "flights" %}
    tables = dataset.load(paths.processing_input("dataset"){% if cookiecutter.__problem == "regression" %}, target{% endif %})
    table = dataset.rows(tables, target)
    print(f"{len(tables['flights'])} flights, {len(table)} of them with everything that is needed")
{% else %}
    table = dataset.load(paths.processing_input("dataset"), target)
{% endif %}
    shares = {"validation": validation_share, "test": test_share}
    for name, part in split(table, shares, seed).items():
        part.to_csv(paths.processing_output(name) / f"{name}.csv", index=False)
{% if cookiecutter.__problem == "multiclass-classification" %}
        print(f"{name}: {len(part)} rows of {part[target].nunique()} classes")
{% else %}
        mean = part[target].mean()
        print(f"{name}: {len(part)} rows, mean {target} {mean:.2f}")
{% endif %}


def split(table: pd.DataFrame, shares: dict[str, float], seed: int) -> dict[str, pd.DataFrame]:
    """Divide rows at random; what the shares leave over is train. The same seed divides alike.

    Raises StepError if a part would be empty.
    """
    shuffled = table.sample(frac=1, random_state=seed)
    parts, start = {}, 0
    for name, share in shares.items():
        count = round(share * len(table))
        parts[name] = shuffled.iloc[start : start + count].sort_index()
        start += count
    parts["train"] = shuffled.iloc[start:].sort_index()
    empty = [name for name, part in parts.items() if part.empty]
    if empty:
        raise container.StepError(
            f"{len(table)} rows are too few to split: nothing is left for {', '.join(empty)}"
        )
    return parts


def share(text: str) -> float:
    """A share of the rows: more than 0 and less than half."""
    value = float(text)
    if not 0 < value < 0.5:
        raise argparse.ArgumentTypeError(f"given {text}, allowed more than 0 and less than 0.5")
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--validation-share", type=share, default=0.1)
    parser.add_argument("--test-share", type=share, default=0.1)
    parser.add_argument("--seed", type=int, default=2013)
    given = parser.parse_args()
    container.run(lambda paths: preprocess(paths, **vars(given)))
