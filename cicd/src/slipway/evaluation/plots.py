"""The plots of a report, as SVG that takes its colours and letters from the page around it: light, dark or printed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn import metrics as sk

from slipway.evaluation.asking import Numbers
from slipway.evaluation.importance import Importance
from slipway.evaluation.metrics import THRESHOLD

# matplotlib wants colours; each of these stands for a variable of the page's style sheet.
INK, MUTED, ACCENT, SECOND, GRID = "#010101", "#010102", "#010103", "#010104", "#010105"
_VARIABLES = {INK: "--ink", MUTED: "--muted", ACCENT: "--accent", SECOND: "--second", GRID: "--grid"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it is read aloud, searched, and in the page's letters
    "svg.hashsalt": "slipway",  # the same plot has the same bytes
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
MOST_BARS = 15


def draw(paint: Callable[[Axes], None], size: tuple[float, float] = (5.2, 3.8)) -> str:
    """An SVG element, as wide as its place, of what `paint` draws."""
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font:( [\d.]+px)? '[^;\"]*'", r"font:\1 inherit", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, _, rest = text.partition(">")
    return re.sub(r' (width|height)="[^"]*"', "", head) + ">" + rest


def predicted_against_actual(truth: Numbers, predicted: Numbers, target: str) -> str:
    """Where a perfect model would have every row on the line; the darker, the more rows."""
    low, high = np.percentile(np.concatenate([truth, predicted]), [0.2, 99.8])

    def paint(axes: Axes) -> None:
        edges = np.linspace(low, high, 46)
        counts, _, _ = np.histogram2d(truth, predicted, bins=(edges, edges))
        width = edges[1] - edges[0]
        shade = np.log1p(counts) / np.log1p(counts.max() or 1)
        for row, column in zip(*np.nonzero(counts), strict=True):
            alpha = 0.12 + 0.88 * float(shade[row, column])
            axes.add_patch(Rectangle((edges[row], edges[column]), width, width, color=ACCENT, alpha=alpha, linewidth=0))
        axes.plot([low, high], [low, high], color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"{target}: actual", ylabel="predicted")

    return draw(paint)


def residuals(truth: Numbers, predicted: Numbers) -> str:
    """By how much the model is wrong."""
    error = predicted - truth
    reach = float(np.percentile(np.abs(error), 99)) or 1.0

    def paint(axes: Axes) -> None:
        axes.hist(np.clip(error, -reach, reach), bins=np.linspace(-reach, reach, 61).tolist(), color=ACCENT, alpha=0.85)
        axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlabel="predicted minus actual (the last bars hold all beyond)", ylabel="rows")

    return draw(paint)


def error_by_size(truth: Numbers, predicted: Numbers, target: str) -> str:
    """Whether the model is as good for large predictions as for small ones: middle and half of the errors, by tenth."""
    order = np.array_split(np.argsort(predicted, kind="stable"), 10)
    groups = [group for group in order if len(group)]
    centres = [float(np.median(predicted[group])) for group in groups]
    spread = np.array([np.percentile(predicted[group] - truth[group], [25, 50, 75]) for group in groups])

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.vlines(centres, spread[:, 0], spread[:, 2], color=ACCENT, alpha=0.45, linewidth=6)
        axes.plot(centres, spread[:, 1], "o-", color=ACCENT, markersize=4, linewidth=1.2)
        axes.set(xlabel=f"predicted {target} (ten groups of rows)", ylabel="predicted minus actual")

    return draw(paint)


def roc(truth: Numbers, probability: Numbers) -> str:
    """How many of class 1 are found for how many false alarms."""
    false, true, _ = sk.roc_curve(truth, probability)

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(false, true, color=ACCENT, linewidth=2)
        axes.fill_between(false, true, alpha=0.12, color=ACCENT, linewidth=0)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false alarms, share of class 0",
                 ylabel="found, share of class 1")  # fmt: skip

    return draw(paint)


def precision_recall(truth: Numbers, probability: Numbers) -> str:
    """How many alarms are right for how many of class 1 that are found."""
    precision, recall, _ = sk.precision_recall_curve(truth, probability)

    def paint(axes: Axes) -> None:
        axes.axhline(truth.mean(), color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(recall[:-1], precision[:-1], color=ACCENT, linewidth=2)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), xlabel="recall", ylabel="precision")

    return draw(paint)


def calibration(truth: Numbers, probability: Numbers) -> str:
    """Whether seven of ten are of class 1 where the model says 0.7."""
    place = np.clip((probability * 10).astype(int), 0, 9)
    bins = [place == number for number in range(10) if (place == number).sum() >= 5]

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot([probability[rows].mean() for rows in bins], [truth[rows].mean() for rows in bins], "o-",
                  color=ACCENT, linewidth=2, markersize=5)  # fmt: skip
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="predicted probability", ylabel="share of class 1")

    return draw(paint)


def confusion(truth: Numbers, answers: Numbers) -> str:
    """What the model takes for what; the shade is the share of the row."""
    labels = np.unique(np.concatenate([truth, answers]))
    counts = sk.confusion_matrix(truth, answers, labels=labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [f"{label:g}" for label in labels]

    def paint(axes: Axes) -> None:
        axes.grid(visible=False)
        for row in range(len(labels)):
            for column in range(len(labels)):
                alpha = 0.04 + 0.6 * float(shares[row, column])
                axes.add_patch(Rectangle((column, row), 0.96, 0.96, color=ACCENT, alpha=alpha, linewidth=0))
                if counts[row, column]:
                    size = 12 if len(labels) < 5 else 8
                    axes.text(column + 0.48, row + 0.48, f"{counts[row, column]:,}", ha="center", va="center",
                              fontsize=size)  # fmt: skip
        middle = np.arange(len(labels)) + 0.48
        axes.set(xlim=(0, len(labels)), ylim=(len(labels), 0), xlabel="predicted", ylabel="actual")
        axes.set_xticks(middle, names)
        axes.set_yticks(middle, names)
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)

    return draw(paint)


def by_class(truth: Numbers, answers: Numbers) -> str:
    """Precision and recall of each class."""
    labels = np.unique(truth)
    precision, recall, _, _ = sk.precision_recall_fscore_support(truth, answers, labels=labels, zero_division=0)
    place = np.arange(len(labels))

    def paint(axes: Axes) -> None:
        axes.bar(place - 0.2, precision, 0.38, color=ACCENT, label="precision")
        axes.bar(place + 0.2, recall, 0.38, color=SECOND, label="recall")
        axes.set_xticks(place, [f"{label:g}" for label in labels])
        axes.set(ylim=(max(0.0, float(min(precision.min(), recall.min())) - 0.1), 1.01), xlabel="class")
        axes.legend(loc="lower right", ncols=2, facecolor="none")
        axes.grid(visible=False, axis="x")

    return draw(paint)


def importance(found: Sequence[Importance], score: str) -> str:
    """The columns that the model lives on."""
    shown = list(found)[:MOST_BARS][::-1]
    place = np.arange(len(shown))

    def paint(axes: Axes) -> None:
        axes.barh(place, [item.loss for item in shown], xerr=[item.deviation for item in shown], color=ACCENT,
                  ecolor=MUTED, height=0.7)  # fmt: skip
        axes.set_yticks(place, [item.column for item in shown])
        axes.set(xlabel=f"loss of {score} when the column is shuffled")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)

    return draw(paint, (5.2, max(2.2, 0.26 * len(shown) + 0.9)))


def answers(probability: Numbers) -> Numbers:
    """0 or 1."""
    return (probability >= THRESHOLD).astype(np.float64)
