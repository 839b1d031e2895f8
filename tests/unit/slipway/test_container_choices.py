"""Hyperparameters that a training script is given: the defaults, or what project.yaml and tuning say."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway import container
from slipway.container import Paths, StepError

DEFAULTS: dict[str, container.Scalar] = {"rounds": 100, "rate": 0.1, "quick": False, "loss": "log"}


def test_what_is_given_takes_the_place_of_the_default() -> None:
    chosen = container.choose(DEFAULTS, {"rounds": 7, "rate": 1, "quick": True})
    assert chosen == {"rounds": 7, "rate": 1.0, "quick": True, "loss": "log"}
    assert type(chosen["rate"]) is float


def test_tuning_may_say_a_whole_number_with_a_point() -> None:
    assert container.choose(DEFAULTS, {"rounds": 31.0})["rounds"] == 31


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"round": 3}, "unknown round; allowed: loss, quick, rate, rounds"),
        ({"rounds": 1.5}, "rounds: given 1.5, allowed a whole number"),
        ({"rounds": True}, "rounds: given True, allowed a whole number"),
        ({"rate": "fast"}, "rate: given 'fast', allowed a number"),
        ({"quick": 1}, "quick: given 1, allowed true or false"),
        ({"loss": 2}, "loss: given 2, allowed a text"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, container.Scalar], reason: str) -> None:
    with pytest.raises(StepError, match=f"training.hyperparameters: {reason}"):
        container.choose(DEFAULTS, given)


def test_a_job_without_checkpoints_has_no_folder_for_them(tmp_path: Path) -> None:
    assert Paths(tmp_path).checkpoints is None
    (tmp_path / "checkpoints").mkdir()
    assert Paths(tmp_path).checkpoints == tmp_path / "checkpoints"


def test_the_problem_is_one_of_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PROBLEM", "text-classification")
    assert container.problem() == "text-classification"
    monkeypatch.setenv("SLIPWAY_PROBLEM", "ranking")
    with pytest.raises(StepError, match="given 'ranking', allowed regression"):
        container.problem()
