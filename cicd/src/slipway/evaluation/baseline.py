"""statistics.json and constraints.json in the schema of SageMaker Model Monitor (AWS documentation, "Schema for
Statistics" and "Schema for Constraints"): what later data is compared with.

AWS's own baseline job starts Spark for this; here it takes a second, where the training data lies anyway.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slipway.container import StepError
from slipway.evaluation.asking import Numbers

BUCKETS = 10  # as many as AWS's own job makes; its display takes no other number
# Parameters of the KLL sketch that AWS's own job writes: size of a level, and by how much deeper levels shrink.
K, C = 2048, 0.64
# More different texts than this are no categories; their values are neither listed nor compared.
MOST_CATEGORIES = 100

Document = dict[str, Any]


def write_baseline(folder: Path, rows: pd.DataFrame) -> None:
    """Write both files of `rows` (features and predictions of the training data). Raises StepError if there is none."""
    if rows.empty:
        raise StepError("the training data has no rows: there is nothing to make a baseline of")
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in (("statistics.json", statistics(rows)), ("constraints.json", constraints(rows))):
        text = json.dumps(document, indent=2, allow_nan=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def statistics(rows: pd.DataFrame) -> Document:
    """What the columns hold: counts, moments and distributions."""
    return {
        "version": 0.0,
        "dataset": {"item_count": len(rows)},
        "features": [_statistics(str(name), rows[name]) for name in rows.columns],
    }


def constraints(rows: pd.DataFrame) -> Document:
    """What later data has to be like, by what these rows are like; the thresholds are those of AWS's own job."""
    return {
        "version": 0.0,
        "features": [_constraints(str(name), rows[name]) for name in rows.columns],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": 0.1,
                "comparison_method": "Robust",
                "categorical_comparison_threshold": 0.1,
                "categorical_drift_method": "LInfinity",
            },
        },
    }


def inferred_type(values: pd.Series) -> str:
    """Integral, Fractional or String; Unknown where no value is known."""
    present = values.dropna()
    if present.empty:
        return "Unknown"
    if not pd.api.types.is_numeric_dtype(present):
        return "String"
    numbers = present.to_numpy(dtype=np.float64)
    return "Integral" if bool(np.all(numbers == np.floor(numbers))) else "Fractional"


def _statistics(name: str, values: pd.Series) -> Document:
    kind = inferred_type(values)
    present = values.dropna()
    common = {"num_present": len(present), "num_missing": len(values) - len(present)}
    if kind == "Unknown":
        return {"name": name, "inferred_type": kind}
    if kind == "String":
        counted = present.astype(str).value_counts()
        texts: Document = {"common": common, "distinct_count": float(len(counted))}
        if len(counted) <= MOST_CATEGORIES:
            buckets = [{"value": str(value), "count": int(count)} for value, count in counted.items()]
            texts["distribution"] = {"categorical": {"buckets": buckets}}
        return {"name": name, "inferred_type": kind, "string_statistics": texts}
    numbers = np.sort(present.to_numpy(dtype=np.float64))
    figures = {
        "common": common,
        "mean": float(numbers.mean()),
        "sum": float(numbers.sum()),
        "std_dev": float(numbers.std()),
        "min": float(numbers[0]),
        "max": float(numbers[-1]),
        "distribution": {
            "kll": {"buckets": _buckets(numbers), "sketch": {"parameters": {"c": C, "k": K}, "data": sketch(numbers)}}
        },
    }
    return {"name": name, "inferred_type": kind, "numerical_statistics": figures}


def _buckets(numbers: Numbers) -> list[Mapping[str, float]]:
    counts, edges = np.histogram(numbers, bins=BUCKETS)
    return [
        {"lower_bound": float(low), "upper_bound": float(high), "count": float(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def sketch(numbers: Numbers, k: int = K) -> list[list[float]]:
    """The levels of a KLL sketch of sorted numbers: an item of level i stands for 2^i of them.

    The numbers are all here and sorted, so nothing is left to chance: the middle one of every 2^i neighbours stands for
    them, and the few that are over are kept in lower levels. Ranks are off by less than 1/k.
    """
    depth = max(0, int(np.ceil(np.log2(len(numbers) / k)))) if len(numbers) > k else 0
    levels: list[list[float]] = []
    start = 0
    over = len(numbers) % (1 << depth)
    for level in range(depth):
        step = 1 << level
        if over & step:
            levels.append([float(numbers[start + step // 2])])
            start += step
        else:
            levels.append([])
    step = 1 << depth
    levels.append([float(value) for value in numbers[start + step // 2 :: step]])
    return levels


def _constraints(name: str, values: pd.Series) -> Document:
    kind = inferred_type(values)
    present = values.dropna()
    made: Document = {"name": name, "inferred_type": kind, "completeness": len(present) / len(values)}
    if kind in {"Integral", "Fractional"}:
        made["num_constraints"] = {"is_non_negative": bool((present >= 0).all())}
    elif kind == "String":
        known = sorted(set(present.astype(str)))
        if len(known) <= MOST_CATEGORIES:
            made["string_constraints"] = {"domains": known}
    return made
