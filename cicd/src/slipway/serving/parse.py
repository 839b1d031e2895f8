"""Requests to columns: CSV and JSON, each with a fast way and a full way.

orjson reads numbers about as fast as they arrive, but knows neither empty fields nor bare text in CSV. So CSV is first
tried as JSON in disguise, and everything that this refuses goes through the full parser, which says what is wrong.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

Cell = float | str | None
Columns = dict[str, list[Any]]
Kinds = Mapping[str, type[float] | type[str]]

# How a missing value is written in a CSV cell.
_MISSING = frozenset({"", "na", "nan", "null", "none"})


class BadRequest(ValueError):
    """The request cannot be read; the message says the row, the column, what was given and what is allowed."""


def parse_csv(body: bytes, kinds: Kinds) -> Columns:
    """Rows of CSV with the columns in the model's order; a heading line is allowed and may order them otherwise."""
    rows = _fast_csv(body)
    if rows is not None and all(len(row) == len(kinds) for row in rows):
        try:
            return _columns(rows, list(kinds), kinds)
        except BadRequest:
            pass  # the full parser may read it yet, and tells what is wrong if it cannot
    return _full_csv(body, kinds)


def parse_json(body: bytes, kinds: Kinds) -> Columns:
    """`{"instances": […]}` or a list; each instance an object by column, or a list in the model's order."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    instances = document.get("instances") if isinstance(document, dict) else document
    if not isinstance(instances, list) or not instances:
        raise BadRequest('no rows: given something else, allowed {"instances": [{column: value, …}, …]}')
    names = list(kinds)
    if isinstance(instances[0], dict):
        return _columns([_ordered(row, number, names) for number, row in enumerate(instances, 1)], names, kinds)
    return _columns(_listed(instances, names), names, kinds)


def parse_jsonlines(body: bytes, kinds: Kinds) -> Columns:
    """A row a line, each an object by column or a list in the model's order: how files are sent in batches."""
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    instances = []
    for number, line in lines:
        try:
            instances.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"line {number} is not JSON: {error}") from None
    if not instances:
        raise BadRequest("no rows: allowed are lines of {column: value, …}")
    names = list(kinds)
    if isinstance(instances[0], dict):
        return _columns([_ordered(row, number, names) for number, row in enumerate(instances, 1)], names, kinds)
    return _columns(_listed(instances, names), names, kinds)


def _listed(instances: Sequence[Any], names: Sequence[str]) -> Sequence[Sequence[Any]]:
    for number, row in enumerate(instances, 1):
        if not isinstance(row, list) or len(row) != len(names):
            given = f"{len(row)} values" if isinstance(row, list) else type(row).__name__
            raise BadRequest(f"row {number}: given {given}, allowed {len(names)} values: {', '.join(names)}")
    return instances


def _fast_csv(body: bytes) -> list[list[Any]] | None:
    """The rows if they are bare numbers. Quotation marks and brackets mean one thing in CSV and another in JSON."""
    if b'"' in body or b"[" in body:
        return None
    try:
        rows = orjson.loads(b"[[" + body.strip().replace(b"\n", b"],[") + b"]]")
    except orjson.JSONDecodeError:
        return None
    return rows if isinstance(rows, list) else None


def _full_csv(body: bytes, kinds: Kinds) -> Columns:
    try:
        text = body.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"the body is not CSV: {error}") from None
    names = list(kinds)
    first = 1
    if rows and sorted(cell.strip() for cell in rows[0]) == sorted(names):
        names, rows, first = [cell.strip() for cell in rows[0]], rows[1:], 2
    if not rows:
        raise BadRequest(f"no rows: allowed are lines of {len(kinds)} values: {', '.join(kinds)}")
    for number, row in enumerate(rows, first):
        if len(row) != len(names):
            raise BadRequest(f"row {number}: given {len(row)} values, allowed {len(names)}: {', '.join(names)}")
    cells = [[_cell(cell, kinds[name], number, name) for name, cell in zip(names, row, strict=True)]
             for number, row in enumerate(rows, first)]  # fmt: skip
    columns = dict(zip(names, map(list, zip(*cells, strict=True)), strict=True))
    return {name: columns[name] for name in kinds}


def _cell(text: str, kind: type, number: int, name: str) -> Cell:
    text = text.strip()
    if text.lower() in _MISSING:
        return None if kind is str else math.nan
    if kind is str:
        return text
    try:
        value = float(text)
    except ValueError:
        raise BadRequest(f"row {number}, column {name}: given {text[:40]!r}, allowed a number or nothing") from None
    if math.isinf(value):
        raise BadRequest(f"row {number}, column {name}: given {text[:40]!r}, allowed a finite number or nothing")
    return value


def _ordered(row: Any, number: int, names: Sequence[str]) -> list[Any]:
    if not isinstance(row, dict):
        raise BadRequest(f"row {number}: given {type(row).__name__}, allowed an object like the first row")
    if len(row) == len(names):
        try:
            return [row[name] for name in names]
        except KeyError:
            pass
    for name in row:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            mend = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(names)}"
            raise BadRequest(f"row {number}: unknown column {name[:40]!r}; {mend}")
    missing = [name for name in names if name not in row]
    raise BadRequest(f"row {number}: no value for {', '.join(missing)} (write null for a value that is not known)")


def _columns(rows: Sequence[Sequence[Any]], names: Sequence[str], kinds: Kinds) -> Columns:
    """Turn rows to columns and check the type of every value; numbers become floats and null becomes NaN."""
    columns: Columns = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        if kinds[name] is str:
            for number, value in enumerate(values, 1):
                if value is not None and type(value) is not str:
                    raise BadRequest(f"row {number}, column {name}: given {value!r}, allowed a text or null")
            columns[name] = list(values)
            continue
        numbers = []
        for number, value in enumerate(values, 1):
            if type(value) is float or type(value) is int:  # not a bool, which is an int, too
                numbers.append(float(value))
            elif value is None:
                numbers.append(math.nan)
            else:
                raise BadRequest(f"row {number}, column {name}: given {value!r}, allowed a number or null")
        columns[name] = numbers
    return columns
