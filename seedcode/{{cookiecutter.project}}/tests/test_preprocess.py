"""The dataset becomes rows to train, to choose and to measure with."""

import pandas as pd
import pytest
from slipway.container import StepError

from {{ cookiecutter.__package }} import columns
from preprocess import preprocess, split

from .invented import ROWS, TARGET

TABLE = pd.DataFrame({"number": range(1200)})


def test_the_same_seed_splits_alike_and_no_row_is_in_two_parts():
    first, second = (split(TABLE, {"validation": 0.2, "test": 0.1}, seed=1) for _ in range(2))
    sizes = {name: len(part) for name, part in first.items()}
    assert sizes == {"validation": 240, "test": 120, "train": 840}
    assert sorted(index for part in first.values() for index in part.index) == list(TABLE.index)
    for name, part in first.items():
        pd.testing.assert_frame_equal(part, second[name])


def test_preprocess_writes_three_parts(paths, dataset):
    preprocess(paths, validation_share=0.1, test_share=0.1, seed=1)
    names = ("train", "validation", "test")
    parts = {name: columns.read(paths.processing_output(name)) for name in names}
    assert sum(map(len, parts.values())) == ROWS
    assert not parts["train"][TARGET].isna().any()


def test_too_few_rows_to_split_are_said():
    with pytest.raises(StepError, match="too few to split"):
        split(TABLE.head(3), {"validation": 0.1, "test": 0.1}, seed=1)
