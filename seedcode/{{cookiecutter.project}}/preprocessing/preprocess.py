"""The dataset of the lake → train.csv, validation.csv and test.csv."""

import argparse
{% if cookiecutter.framework == "xgboost" %}
import json
{% endif %}

import pandas as pd
from slipway import container

from {{ cookiecutter.__package }} import dataset{{ ", encoding" if cookiecutter.framework == "xgboost" }}


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
{% if cookiecutter.framework == "xgboost" %}
    parts = split(table, shares, seed)
    if container.algorithm():
        encode(paths, parts, target)
    for name, part in parts.items():
{% else %}
    for name, part in split(table, shares, seed).items():
{% endif %}
        part.to_csv(paths.processing_output(name) / f"{name}.csv", index=False)
{% if cookiecutter.__problem == "multiclass-classification" %}
        print(f"{name}: {len(part)} rows of {part[target].nunique()} classes")
{% else %}
        mean = part[target].mean()
        print(f"{name}: {len(part)} rows, mean {target} {mean:.2f}")
{% endif %}


{% if cookiecutter.framework == "xgboost" %}
def encode(paths: container.Paths, parts: dict[str, pd.DataFrame], target: str) -> None:
    """Write what SageMaker's algorithm reads: the target, then numbers, without a heading."""
    known = encoding.known(parts["train"])
    for name in ("train", "validation"):
        matrix = pd.DataFrame(encoding.numbers(parts[name], known))
        matrix.insert(0, target, parts[name][target].to_numpy())
        file = paths.processing_output(f"matrix-{name}") / f"{name}.csv"
        matrix.to_csv(file, header=False, index=False)
    file = paths.processing_output("encoding") / encoding.FILE
    file.write_text(json.dumps(known), encoding="utf-8")


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
