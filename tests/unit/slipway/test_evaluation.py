"""What an evaluation finds out: metrics, importance, baseline and report, and what it refuses by name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import evaluation
from slipway.container import StepError
from slipway.evaluation.baseline import K, inferred_type, sketch
from slipway.evaluation.plots import draw
from slipway.metrics import METRICS, REPORT_KEYS

RANDOM = np.random.default_rng(3)
ROWS = 400


class Delay:
    """Takes what is known at departure for what arrives; the carrier tells it nothing."""

    columns: ClassVar[dict[str, type[float] | type[str]]] = {"delay": float, "miles": float, "carrier": str}

    def predict(self, columns: dict[str, list[Any]]) -> Sequence[float]:
        return [value + 1 for value in columns["delay"]]


class Late(Delay):
    """The probability that goes with it."""

    def predict(self, columns: dict[str, list[Any]]) -> Sequence[float]:
        return [1 / (1 + math.exp(-value / 5)) for value in columns["delay"]]


class Hour(Delay):
    """One of three classes."""

    def predict(self, columns: dict[str, list[Any]]) -> Sequence[float]:
        return [0 if value < -5 else 1 if value < 5 else 2 for value in columns["delay"]]


class Text:
    """Likes what is good."""

    columns: ClassVar[dict[str, type[float] | type[str]]] = {"review": str}

    def predict(self, columns: dict[str, list[Any]]) -> Sequence[float]:
        return [0.9 if "good" in text else 0.2 for text in columns["review"]]


def table() -> pd.DataFrame:
    delay = RANDOM.normal(0, 10, ROWS)
    noise = delay + RANDOM.normal(0, 3, ROWS)
    return pd.DataFrame(
        {
            "delay": delay,
            "miles": np.where(RANDOM.random(ROWS) < 0.1, np.nan, RANDOM.integers(1, 9, ROWS)),
            "carrier": RANDOM.choice(["UA", "<b>B6</b>"], ROWS),
            "minutes": noise,
            "late": (noise > 0).astype(int),
            "class": np.digitize(noise, [-5, 5]),
            "review": np.where(noise > 0, "a good <script>alert(1)</script> thing", "a poor thing"),
        }
    )


TABLE = table()
CASES: dict[str, tuple[Any, str]] = {
    "regression": (Delay(), "minutes"),
    "binary-classification": (Late(), "late"),
    "multiclass-classification": (Hour(), "class"),
    "text-classification": (Text(), "late"),
}


@pytest.fixture(scope="module", params=list(CASES))
def found(request: pytest.FixtureRequest) -> evaluation.Evaluation:
    model, target = CASES[request.param]
    return evaluation.evaluate(model, TABLE, target, request.param)


def test_a_report_has_the_metrics_of_its_problem_and_no_others(found: evaluation.Evaluation) -> None:
    report = json.loads(json.dumps(found.report(), allow_nan=False))
    assert set(report) == {REPORT_KEYS[found.problem]}
    figures = report[REPORT_KEYS[found.problem]]
    assert list(figures) == list(METRICS[found.problem])
    assert all(math.isfinite(figure["value"]) and figure["standard_deviation"] >= 0 for figure in figures.values())


def test_the_metrics_are_those_of_scikit_learn() -> None:
    from sklearn import metrics as sk

    truth, predicted = TABLE["minutes"].to_numpy(), TABLE["delay"].to_numpy()
    found = evaluation.measure("regression", truth, predicted)
    assert found["rmse"]["value"] == pytest.approx(sk.root_mean_squared_error(truth, predicted))
    assert found["r2"]["value"] == pytest.approx(sk.r2_score(truth, predicted))
    late, chance = TABLE["late"].to_numpy(), np.array(Late().predict({"delay": TABLE["delay"].tolist()}))
    binary = evaluation.measure("binary-classification", late, chance)
    assert binary["f1"]["value"] == pytest.approx(sk.f1_score(late, chance >= 0.5))
    assert binary["precision"]["value"] == pytest.approx(sk.precision_score(late, chance >= 0.5))


def test_the_standard_deviation_is_that_of_the_mean() -> None:
    """Of an average over n rows it is the rows' own, divided by √n; the bootstrap finds it without the formula."""
    truth, error = np.zeros(ROWS), RANDOM.normal(0, 1, ROWS)
    truth[0] = 1e-9
    found = evaluation.measure("regression", truth, error, resamples=400)["mae"]
    assert found["standard_deviation"] == pytest.approx(np.abs(error).std() / math.sqrt(ROWS), rel=0.2)


@pytest.mark.parametrize(
    ("problem", "truth", "predicted", "reason"),
    [
        ("regression", [1, 2], [math.nan, 2], "rmse, mse, mae, r2 cannot be computed"),
        ("regression", [1, 1], [1, 2], "^r2 cannot be computed"),
        ("regression", [1, 2], [1], r"shape \(2,\), the predictions have \(1,\)"),
        ("regression", [], [], "at least one row"),
        ("regression", [1, math.nan], [1, 2], "target of a test row is missing"),
        ("binary-classification", [0, 2], [0.1, 0.2], "given .2.0., allowed 0 and 1"),
        ("binary-classification", [0, 1], [0.1, 1.2], "1.2; allowed: the probability"),
        ("binary-classification", [0, 0], [0.1, 0.2], "recall, f1, auc cannot be computed"),
        ("binary-classification", [0, 1], [0.1, math.inf], "accuracy, precision, recall, f1, auc cannot be computed"),
        ("multiclass-classification", [0, 1], [0, math.nan], "accuracy, weighted_precision"),
        ("ranking", [0, 1], [0, 1], "given 'ranking', allowed regression"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(
    problem: Any, truth: list[float], predicted: list[float], reason: str
) -> None:
    with pytest.raises(StepError, match=reason):
        evaluation.measure(problem, np.array(truth, dtype=float), np.array(predicted, dtype=float))


def test_rows_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(StepError, match="there are no test rows"):
        evaluation.evaluate(Delay(), TABLE.head(0), "minutes", "regression")
    with pytest.raises(StepError, match="no column hours"):
        evaluation.evaluate(Delay(), TABLE, "hours", "regression")
    with pytest.raises(StepError, match="no column miles"):
        evaluation.evaluate(Delay(), TABLE.drop(columns="miles"), "minutes", "regression")
    with pytest.raises(StepError, match="target carrier of the test rows holds more than numbers"):
        evaluation.evaluate(Delay(), TABLE, "carrier", "regression")


@pytest.mark.parametrize(
    ("answers", "reason"), [([1.0], "1 predictions for 400 rows"), (["late"] * ROWS, "is not a number")]
)
def test_answers_that_do_not_fit_are_refused_by_name(answers: list[Any], reason: str) -> None:
    class Broken(Delay):
        def predict(self, columns: dict[str, list[Any]]) -> Sequence[float]:
            return answers

    with pytest.raises(StepError, match=reason):
        evaluation.ask(Broken(), TABLE)


def test_only_the_column_that_the_model_looks_at_is_important(found: evaluation.Evaluation) -> None:
    losses = {item.column: item.loss for item in found.importance}
    if found.problem == "text-classification":
        assert not losses
        return
    assert next(iter(losses)) == "delay"
    assert losses["delay"] > 0.05
    assert losses["miles"] == losses["carrier"] == 0


def test_the_samples_are_rows_with_what_the_model_says_of_them(found: evaluation.Evaluation) -> None:
    model, _ = CASES[found.problem]
    samples = json.loads(json.dumps(found.samples(), allow_nan=False))
    values = {
        name: [math.nan if row[place] is None and kind is float else row[place] for row in samples["rows"]]
        for place, (name, kind) in enumerate(model.columns.items())
    }
    assert len(samples["rows"]) == 20
    assert model.predict(values) == pytest.approx(samples["predicted"])


class Page(HTMLParser):
    """What a page refers to, and which tags were never closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "path", "use", "br", "link"}:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_report_is_one_whole_page_that_fetches_nothing(found: evaluation.Evaluation) -> None:
    text = found.html({"project": "flight-delays", "dataset": "a & b"})
    page = Page(text)
    assert not page.open
    assert all(address.startswith("#") for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import|<script|<b>B6", text)
    assert "a &amp; b" in text
    assert text.count("<svg") >= {"regression": 4, "multiclass-classification": 3}.get(found.problem, 4)
    for name, figure in found.metrics.items():
        assert f">{name}<" in text
        assert math.isfinite(figure["value"])
    # Colours are the page's: a plot is as readable in the dark.
    assert not re.search(r"(fill|stroke): #(?!ffffff)", text)
    assert len(text) < 600_000


def test_the_same_evaluation_draws_the_same_bytes(found: evaluation.Evaluation) -> None:
    assert found.html({}) == found.html({})


def test_a_plot_is_as_wide_as_its_place() -> None:
    svg = draw(lambda axes: axes.set(xlabel="x") and None)
    assert re.match(r"<svg [^>]*viewBox", svg)
    assert not re.search(r'<svg[^>]* (width|height)="', svg)


def test_a_baseline_is_in_the_schema_of_model_monitor(tmp_path: Path) -> None:
    rows = TABLE[["delay", "miles", "carrier", "late"]]
    evaluation.write_baseline(tmp_path, rows)
    statistics = json.loads((tmp_path / "statistics.json").read_text())
    assert statistics["dataset"] == {"item_count": ROWS}
    delay, miles, carrier, late = statistics["features"]
    assert [delay["inferred_type"], miles["inferred_type"], carrier["inferred_type"], late["inferred_type"]] == [
        "Fractional", "Integral", "String", "Integral",
    ]  # fmt: skip
    missing = int(rows["miles"].isna().sum())
    assert miles["numerical_statistics"]["common"] == {"num_present": ROWS - missing, "num_missing": missing}
    figures = delay["numerical_statistics"]
    assert figures["mean"] == pytest.approx(rows["delay"].mean())
    assert figures["std_dev"] == pytest.approx(rows["delay"].std(ddof=0))
    buckets = figures["distribution"]["kll"]["buckets"]
    assert len(buckets) == 10
    assert sum(bucket["count"] for bucket in buckets) == ROWS
    assert (buckets[0]["lower_bound"], buckets[-1]["upper_bound"]) == (figures["min"], figures["max"])
    assert carrier["string_statistics"]["distinct_count"] == 2
    constraints = json.loads((tmp_path / "constraints.json").read_text())
    known = {item["name"]: item for item in constraints["features"]}
    assert known["delay"]["num_constraints"] == {"is_non_negative": False}
    assert known["late"]["num_constraints"] == {"is_non_negative": True}
    assert known["miles"]["completeness"] == pytest.approx(1 - missing / ROWS)
    assert known["carrier"]["string_constraints"] == {"domains": ["<b>B6</b>", "UA"]}
    assert constraints["monitoring_config"]["distribution_constraints"]["comparison_method"] == "Robust"


def test_texts_are_no_categories_and_nothing_known_is_unknown() -> None:
    rows = pd.DataFrame({"text": [f"text {number}" for number in range(300)], "never": [None] * 300})
    text, never = evaluation.statistics(rows)["features"]
    assert "distribution" not in text["string_statistics"]
    assert never == {"name": "never", "inferred_type": "Unknown"}
    assert evaluation.constraints(rows)["features"][1]["completeness"] == 0
    assert inferred_type(pd.Series([1.0, None, 3.0])) == "Integral"
    with pytest.raises(StepError, match="no rows"):
        evaluation.write_baseline(Path("nowhere"), rows.head(0))


@given(st.integers(1, 40_000), st.sampled_from([16, 256, K]))
def test_a_sketch_weighs_as_much_as_the_rows_and_knows_their_ranks(count: int, k: int) -> None:
    numbers = np.arange(count, dtype=float)
    levels = sketch(numbers, k)
    weighed = sorted((value, 1 << level) for level, values in enumerate(levels) for value in values)
    assert sum(weight for _, weight in weighed) == count
    assert len(weighed) <= 2 * k + len(levels)
    middle = np.cumsum([weight for _, weight in weighed])
    half = weighed[int(np.searchsorted(middle, count / 2))][0]
    assert abs(half - count / 2) <= 2 * count / k + 2
