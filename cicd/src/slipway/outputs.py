"""Whether a step left what the next one needs, asked inside the step, so that its reason is the step's own.

The pipeline's definition says of which step a container is (SLIPWAY_STEP), which problem it is about (SLIPWAY_PROBLEM),
which metrics the quality gate asks for (SLIPWAY_METRICS), and which built-in algorithm trains (SLIPWAY_ALGORITHM).
Elsewhere, in a notebook or a test, nothing is checked.
Only the standard library is imported here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from slipway.metrics import REPORT_KEYS

REPORT = "evaluation.json"
MODEL = "model.tar.gz"
PARTS = ("train", "validation", "test")
# For a built-in algorithm, `{MATRIX}train` and `{MATRIX}validation` are the rows as it reads them, and ENCODING is what
# the predictor needs besides the model to do the same with a request.
MATRIX, ENCODING = "matrix-", "encoding"
_FORM = '{"value": 1.0, "standard_deviation": 0.1}'


def missing(base: Path, environment: Mapping[str, str]) -> str:
    """What is wrong with what a step left below /opt/ml; an empty text if nothing is."""
    step = environment.get("SLIPWAY_STEP")
    if not _first_of_its_hosts(base):
        return ""  # what the others leave is theirs to decide
    if step == "preprocess":
        algorithm, where = environment.get("SLIPWAY_ALGORITHM"), base / "processing" / "output"
        asked = (*PARTS, f"{MATRIX}train", f"{MATRIX}validation", ENCODING) if algorithm else PARTS
        empty = ", ".join(str(where / part) for part in asked if not _files(where / part))
        reason = f", which training.algorithm ({algorithm}) asks for" if algorithm and f"/{ENCODING}" in empty else ""
        return f"preprocess.py wrote nothing to {empty}{reason}" if empty else ""
    if step == "train":
        model = base / "model"
        return "" if _files(model) else f"train.py wrote no model: {model} is empty; save there what predictor.py loads"
    if step == "evaluate":
        metrics = [name for name in environment.get("SLIPWAY_METRICS", "").split(",") if name]
        output = base / "processing" / "output"
        if environment.get("SLIPWAY_ALGORITHM") and not (output / "model" / MODEL).is_file():
            return f"evaluate.py wrote no {output / 'model' / MODEL}: load what container.model_archive returns"
        return _evaluation(output / "evaluation" / REPORT, environment, metrics)
    return ""


def report_problems(report: bytes, problem: str, asked: Sequence[str]) -> Iterator[str]:
    """What is wrong with an evaluation report: where, what was given, what is allowed."""
    key = next((name for kind, name in REPORT_KEYS.items() if kind == problem), None)
    try:
        content = json.loads(report)
    except ValueError as error:
        yield f"{REPORT}: not JSON: {error}"
        return
    if key is None or not isinstance(content, dict) or not isinstance(content.get(key), dict):
        given = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        yield f"{REPORT}: given {given or 'nothing'}, allowed the key {key} with a metric's name and {_FORM} each"
        return
    for name, entry in content[key].items():
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or "value" not in entry:
            yield f"{REPORT}: {key}.{name}: given {json.dumps(entry)[:80]}, allowed {_FORM}"
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield f"{REPORT}: {key}.{name}.value: given {json.dumps(value)[:80]}, allowed a finite number"
    for name in asked:
        if name not in content[key]:
            has = ", ".join(content[key]) or "none"
            yield f"{REPORT}: {key}.{name} is missing, which project.yaml asks for; the report has {has}"


def _evaluation(path: Path, environment: Mapping[str, str], asked: Sequence[str]) -> str:
    try:
        report = path.read_bytes()
    except FileNotFoundError:
        return f"evaluate.py wrote no {REPORT}: there is no {path}"
    return "; ".join(report_problems(report, environment.get("SLIPWAY_PROBLEM", ""), asked))


def _first_of_its_hosts(base: Path) -> bool:
    """Whether the container is the only one of its job, or the first (AWS documentation, "Resource configuration")."""
    for file in (base / "input" / "config" / "resourceconfig.json", base / "config" / "resourceconfig.json"):
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            return bool(content["current_host"] == min(content["hosts"]))
    return True


def _files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*")) if folder.is_dir() else False
