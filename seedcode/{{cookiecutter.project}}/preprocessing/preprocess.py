"""Raw tables → train.csv, validation.csv and test.csv."""

import argparse

from slipway import container

from flights import dataset


def preprocess(
    paths: container.Paths, validation_share: float, test_share: float, seed: int
) -> None:
    """Read the dataset, make one row a flight, divide the rows and write them."""
    target = container.target()
    tables = dataset.load(paths.processing_input("dataset"), target)
    table = dataset.rows(tables, target)
    print(f"{len(tables['flights'])} flights, {len(table)} of them with everything that is needed")
    shares = {"validation": validation_share, "test": test_share}
    for name, part in dataset.split(table, shares, seed).items():
        part.to_csv(paths.processing_output(name) / f"{name}.csv", index=False)
        mean = part[target].mean()
        print(f"{name}: {len(part)} rows, mean {target} {mean:.2f}")


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
