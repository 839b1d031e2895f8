"""Which hyperparameters a tuning job tries next, and which of its training jobs are not worth finishing.

Optuna does the searching: TPE for Bayesian, its random sampler, its Hyperband. Grid takes the combinations in order.
Early stopping follows the median rule of SageMaker's Developer Guide, "Stop Training Jobs Early".
"""

from __future__ import annotations

import itertools
import math
import statistics
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.core import Fault

_EARLIEST = 3  # fewer ended training jobs say nothing about a median
_STARTUP = 10  # random trials before TPE has something to go by, or a third of all where these are few
_REVERSE = "ReverseLogarithmic"


@dataclass(frozen=True)
class Range:
    """A hyperparameter that is tuned: values to choose from, or bounds."""

    name: str
    kind: str
    low: float = 0
    high: float = 0
    scaling: str = "Auto"
    values: tuple[str, ...] = ()

    def text(self, value: Any) -> str:
        """A value as the training job is given it."""
        if self.kind == "categorical":
            return str(value)
        if self.kind == "integer":
            return str(int(value))
        return repr(min(self.high, max(self.low, 1 - value)) if self.scaling == _REVERSE else value)

    def number(self, text: str) -> Any:
        """The inverse of `text`, in the terms of the search."""
        if self.kind == "categorical":
            return text
        if self.kind == "integer":
            return int(text)
        if self.scaling == _REVERSE:  # what rounding puts outside the bounds is brought back
            return min(1 - self.low, max(1 - self.high, 1 - float(text)))
        return float(text)


@dataclass
class Trial:
    """One choice of hyperparameters, and what its training job has said so far."""

    number: int
    values: dict[str, str]
    history: list[float] = field(default_factory=list)
    ended: bool = False
    attempt: int = 0


def ranges_of(given: Mapping[str, Any]) -> list[Range]:
    """ParameterRanges, checked.

    Raises:
        Fault: a range is none, or is given twice.
    """
    if given.get("AutoParameters"):
        raise Fault("NotImplemented", "SageMaker AutoParameters are not served by the local cloud", 501)
    found = [_numeric(item, "integer") for item in given.get("IntegerParameterRanges") or []]
    found += [_numeric(item, "continuous") for item in given.get("ContinuousParameterRanges") or []]
    found += [
        Range(item["Name"], "categorical", values=tuple(item["Values"]))
        for item in given.get("CategoricalParameterRanges") or []
    ]
    names = [item.name for item in found]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise _invalid(f"Hyperparameters have more than one range: {', '.join(double)}. Each has one.")
    if not found:
        raise _invalid("ParameterRanges has no range. A tuning job needs at least one hyperparameter to tune.")
    return found


def _numeric(item: Mapping[str, Any], kind: str) -> Range:
    name, scaling = item["Name"], item.get("ScalingType") or "Auto"
    where = f"The {kind} range of hyperparameter {name}"
    try:
        read = int if kind == "integer" else float
        low, high = read(item["MinValue"]), read(item["MaxValue"])
    except ValueError:
        raise _invalid(f"{where} has MinValue '{item['MinValue']}' and MaxValue '{item['MaxValue']}'; both must be "
                       f"{'integers' if kind == 'integer' else 'numbers'}.") from None  # fmt: skip
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise _invalid(f"{where} has MinValue {low} and MaxValue {high}; MinValue must not be above MaxValue.")
    if scaling == "Logarithmic" and low <= 0:
        raise _invalid(f"{where} has ScalingType Logarithmic and MinValue {low}; MinValue must be above 0.")
    if scaling == _REVERSE and (kind == "integer" or low < 0 or high >= 1):
        raise _invalid(
            f"{where} has ScalingType {_REVERSE}; it is for continuous hyperparameters within 0 <= x < 1 alone."
        )
    return Range(name, kind, low, high, scaling)


def combinations(ranges: Sequence[Range]) -> int:
    """How many trials a grid has.

    Raises:
        Fault: a range is not categorical.
    """
    others = [item.name for item in ranges if item.kind != "categorical"]
    if others:
        raise _invalid(
            f"Strategy Grid takes categorical hyperparameters alone; these have another range: {', '.join(others)}."
        )
    return math.prod(len(item.values) for item in ranges)


def worse_than_median(own: Sequence[float], others: Sequence[Sequence[float]], *, minimize: bool) -> bool:
    """Whether a job's newest value is worse than the median of the others' running averages up to the same epoch."""
    epoch = len(own)
    averages = [statistics.fmean(history[:epoch]) for history in others if 0 < epoch <= len(history)]
    if len(averages) < _EARLIEST:
        return False
    median = statistics.median(averages)
    return own[-1] > median if minimize else own[-1] < median


class Search:
    """The search of one tuning job. Threads may report at the same time."""

    def __init__(
        self, strategy: str, ranges: Sequence[Range], *, minimize: bool, seed: int | None, most: int,
        early_stopping: bool = False, resources: tuple[int | None, int | None] = (None, None),
    ) -> None:  # fmt: skip
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._ranges = list(ranges)
        self._minimize = minimize
        self._early = early_stopping
        self._hyperband = strategy == "Hyperband"
        self._grid: Iterator[tuple[str, ...]] | None = None
        if strategy == "Grid":
            self._grid = itertools.product(*(item.values for item in self._ranges))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant_liar, which parallel trials need, is called experimental
            self._study = optuna.create_study(
                study_name="tuning",  # Hyperband's brackets depend on it
                direction="minimize" if minimize else "maximize",
                sampler=self._sampler(strategy, seed, most),
                pruner=self._pruner(*resources),
            )
        self._distributions = {item.name: self._distribution(item) for item in self._ranges}
        self._lock = threading.Lock()
        self._asked: dict[int, Any] = {}
        self._trials: list[Trial] = []

    def next(self) -> Trial | None:
        """The next choice; None when a grid is done."""
        with self._lock:
            if self._grid is not None:
                row = next(self._grid, None)
                if row is None:
                    return None
                return self._ask(dict(zip((item.name for item in self._ranges), row, strict=True)))
            return self._ask(None)

    def again(self, values: Mapping[str, str], attempt: int = 0) -> Trial:
        """A choice that was made before: of a job that is tried again, or before a restart."""
        with self._lock:
            trial = self._ask({item.name: item.number(values[item.name]) for item in self._ranges})
            trial.attempt = attempt
            return trial

    def skip(self, count: int) -> None:
        """Leave out the first choices of a grid, which a restart finds made already."""
        if self._grid is not None:
            next(itertools.islice(self._grid, count, count), None)

    def report(self, trial: Trial, value: float) -> bool:
        """Note a value of the objective. Returns whether the training job should be stopped."""
        with self._lock:
            trial.history.append(value)
            if trial.ended or not math.isfinite(value):
                return False
            if self._hyperband:
                asked = self._asked[trial.number]
                asked.report(value, len(trial.history))
                return bool(asked.should_prune())
            others = [other.history for other in self._trials if other.ended and other is not trial]
            return self._early and worse_than_median(trial.history, others, minimize=self._minimize)

    def end(self, trial: Trial, value: float | None, *, stopped: bool = False) -> None:
        """Tell how a trial ended: with a value, stopped early, or without one."""
        state = self._optuna.trial.TrialState
        with self._lock:
            if trial.ended:
                return
            trial.ended = True
            asked = self._asked[trial.number]
            if value is None or not math.isfinite(value):
                self._study.tell(asked, state=state.FAIL)
            elif stopped and self._hyperband:
                self._study.tell(asked, state=state.PRUNED)
            else:
                self._study.tell(asked, value)

    def _ask(self, fixed: Mapping[str, Any] | None) -> Trial:
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        asked = self._study.ask(self._distributions)
        values = {item.name: item.text(asked.params[item.name]) for item in self._ranges}
        trial = Trial(asked.number, values)
        self._asked[trial.number] = asked
        self._trials.append(trial)
        return trial

    def _sampler(self, strategy: str, seed: int | None, most: int) -> Any:
        samplers = self._optuna.samplers
        if strategy == "Bayesian":
            startup = max(1, min(_STARTUP, most // 3))
            return samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
        return samplers.RandomSampler(seed=seed)

    def _pruner(self, least: int | None, most: int | None) -> Any:
        pruners = self._optuna.pruners
        if not self._hyperband:
            return pruners.NopPruner()
        return pruners.HyperbandPruner(min_resource=least or 1, max_resource=most or "auto")

    def _distribution(self, item: Range) -> Any:
        made = self._optuna.distributions
        if item.kind == "categorical":
            return made.CategoricalDistribution(item.values)
        if item.kind == "integer":
            return made.IntDistribution(int(item.low), int(item.high), log=item.scaling == "Logarithmic")
        if item.scaling == _REVERSE:
            return made.FloatDistribution(1 - item.high, 1 - item.low, log=True)
        return made.FloatDistribution(item.low, item.high, log=item.scaling == "Logarithmic")


def _invalid(message: str) -> Fault:
    return Fault("ValidationException", message)
