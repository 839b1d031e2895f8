"""The pure parts of tuning: what is tried, within which bounds, and what is not worth finishing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.core import Fault
from localcloud.services.sagemaker.tuning_search import Search, combinations, ranges_of, worse_than_median

RANGES: dict[str, Any] = {
    "IntegerParameterRanges": [{"Name": "n", "MinValue": "1", "MaxValue": "64", "ScalingType": "Logarithmic"}],
    "ContinuousParameterRanges": [
        {"Name": "x", "MinValue": "1e-4", "MaxValue": "1", "ScalingType": "Logarithmic"},
        {"Name": "m", "MinValue": "0.5", "MaxValue": "0.999", "ScalingType": "ReverseLogarithmic"},
    ],
    "CategoricalParameterRanges": [{"Name": "c", "Values": ["a", "b"]}],
}


@pytest.mark.parametrize("strategy", ["Bayesian", "Random", "Hyperband"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_tried_lies_within_its_range_and_is_repeated_by_its_seed(strategy: str, seed: int) -> None:
    """Bounds hold in every scaling, and the same seed makes the same search whatever the values are."""

    def run() -> list[dict[str, str]]:
        search = Search(strategy, ranges_of(RANGES), minimize=True, seed=seed, most=6)
        found = []
        for number in range(6):
            trial = search.next()
            assert trial is not None
            search.end(trial, float(number))
            found.append(trial.values)
        return found

    first = run()
    assert first == run()
    for values in first:
        assert 1 <= int(values["n"]) <= 64
        assert 1e-4 <= float(values["x"]) <= 1
        assert 0.5 <= float(values["m"]) <= 0.999
        assert values["c"] in ("a", "b")


def test_a_bayesian_search_learns() -> None:
    """Its later trials are nearer to the optimum than random ones are."""
    given = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "100"}]}

    def distance(strategy: str) -> float:
        search = Search(strategy, ranges_of(given), minimize=True, seed=1, most=40)
        values = []
        for _ in range(40):
            trial = search.next()
            assert trial is not None
            values.append(abs(float(trial.values["x"]) - 42))
            search.end(trial, values[-1])
        return sum(values[20:]) / 20

    assert distance("Bayesian") < distance("Random") / 2


def test_a_grid_goes_on_where_it_was() -> None:
    """Every combination once, in order; a restart repeats none and leaves none out."""
    given = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}, {"Name": "b", "Values": ["x", "y"]}]}
    ranges = ranges_of(given)
    assert combinations(ranges) == 4
    search = Search("Grid", ranges, minimize=True, seed=None, most=4)
    found = [trial.values for trial in iter(search.next, None)]
    assert [(item["a"], item["b"]) for item in found] == [("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")]
    later = Search("Grid", ranges, minimize=True, seed=None, most=4)
    assert [later.again(values).values for values in found[:3]] == found[:3]
    later.skip(3)
    assert [trial.values for trial in iter(later.next, None)] == found[3:]


def test_the_median_rule() -> None:
    """A value is compared with the median of the others' running averages up to the same epoch, if there are three."""
    others = [[10.0, 2.0], [10.0, 4.0], [10.0, 6.0]]  # averages 6, 7, 8 at the second epoch
    assert worse_than_median([9.0, 7.5], others, minimize=True)
    assert not worse_than_median([9.0, 6.5], others, minimize=True)
    assert worse_than_median([9.0, 6.5], others, minimize=False)
    assert not worse_than_median([9.0, 99.0], others[:2], minimize=True)
    assert not worse_than_median([1.0, 1.0, 99.0], others, minimize=True)  # nobody has come as far
    assert not worse_than_median([], others, minimize=True)


def test_early_stopping_spares_the_better_half() -> None:
    """With early stopping a lagging job is stopped, a leading one is not, and without it none is."""
    given = {"CategoricalParameterRanges": [{"Name": "x", "Values": [str(n) for n in range(6)]}]}
    for early in (True, False):
        search = Search("Grid", ranges_of(given), minimize=True, seed=None, most=6, early_stopping=early)
        for value in (1.0, 2.0, 3.0):
            trial = search.next()
            assert trial is not None
            assert not search.report(trial, value)
            search.end(trial, value)
        bad, good = search.next(), search.next()
        assert bad is not None
        assert good is not None
        assert search.report(bad, 9.0) is early
        assert not search.report(good, 1.5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "at least one"),
        ({"IntegerParameterRanges": [{"Name": "n", "MinValue": "x", "MaxValue": "2"}]}, "must be integers"),
        ({"ContinuousParameterRanges": [{"Name": "n", "MinValue": "nan", "MaxValue": "2"}]}, "above MaxValue"),
        (
            {"IntegerParameterRanges": [
                {"Name": "n", "MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}]},
            "continuous",
        ),
        (
            {"IntegerParameterRanges": [{"Name": "n", "MinValue": "0", "MaxValue": "1"}],
             "CategoricalParameterRanges": [{"Name": "n", "Values": ["1"]}]},
            "more than one range: n",
        ),
        ({"AutoParameters": [{"Name": "n", "ValueHint": "1"}]}, "not served"),
    ],
)  # fmt: skip
def test_ranges_that_are_none(change: dict[str, Any], told: str) -> None:
    """Each mistake is told with the hyperparameter's name."""
    with pytest.raises(Fault) as caught:
        ranges_of(change)
    assert told in caught.value.message
