"""The data of a batch transform job: split into records, filtered, packed into requests, joined and filtered again.

As the SageMaker Developer Guide has it in "Associate Prediction Results with Input Records". Everything here is pure.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jsonpath_rfc9535
from jsonpath_rfc9535.selectors import NameSelector

_REFUSED = re.compile(r"\.\.|\?|\(")
_TYPES = {"text/csv": "csv", "application/json": "json", "application/jsonlines": "jsonlines"}


class DataError(Exception):
    """Data that cannot be transformed as asked. The text says which, and why."""


def format_of(content_type: str) -> str:
    """csv, json or jsonlines of a content type, or ""."""
    return _TYPES.get(content_type.partition(";")[0].strip().lower(), "")


def compiled(path: str) -> Any:
    """A JSONPath of the operators that SageMaker supports: names, indices, lists of them, slices, wildcards.

    Raises:
        ValueError: it is none, or has an operator that SageMaker does not support.
    """
    if _REFUSED.search(path):
        raise ValueError(
            f"'{path}' has '..', '?' or a function; names, indices, lists of them, slices and * are allowed"
        )
    try:
        return jsonpath_rfc9535.compile(path.replace(".[", "["))
    except jsonpath_rfc9535.JSONPathError as error:
        raise ValueError(f"'{path}' is not a JSONPath: {error}") from None


def select(path: str, value: Any) -> Any:
    """What a JSONPath selects: one value, an object of the names that it lists, or else a list.

    Raises:
        DataError: there is nothing.
    """
    query = compiled(path)
    found = query.find(value)
    if query.singular_query():
        if not found:
            raise DataError(f"'{path}' selects nothing of {json.dumps(value)[:200]}")
        return found[0].value
    selectors = query.segments[-1].selectors
    if all(isinstance(item, NameSelector) for item in selectors):
        return {str(node.location[-1]): node.value for node in found}
    return [node.value for node in found]


def records(body: bytes, split: str) -> list[bytes]:
    """The records of an object: its lines, or the whole of it."""
    return [line for line in body.splitlines() if line.strip()] if split == "Line" else [body]


def batches(items: Sequence[bytes], strategy: str, most: int) -> Iterator[list[bytes]]:
    """Records for one request each: one, or as many as fit.

    Raises:
        DataError: one alone is too large.
    """
    pending: list[bytes] = []
    size = 0
    for item in items:
        if len(item) > most:
            raise DataError(f"Too much data for max payload size: a record of {len(item)} bytes, allowed are {most}")
        if pending and (strategy == "SingleRecord" or size + 1 + len(item) > most):
            yield pending
            pending, size = [], 0
        size += len(item) + bool(pending)
        pending.append(item)
    if pending:
        yield pending


@dataclass(frozen=True)
class Processing:
    """DataProcessing of a job.

    Args:
        source, target: csv, json or jsonlines, of ContentType and Accept.
        split: SplitType.
    """

    input_filter: str = "$"
    output_filter: str = "$"
    join: bool = False
    source: str = ""
    target: str = ""
    split: str = "None"

    @property
    def wanted(self) -> bool:
        """Whether answers are taken apart record by record."""
        return self.join or self.output_filter != "$"

    def request(self, record: bytes) -> bytes:
        """A record as the model gets it."""
        if self.input_filter == "$":
            return record
        return _written(select(self.input_filter, _parsed(record, self.source)), self.source)

    def answers(self, items: Sequence[bytes], answer: bytes) -> list[bytes]:
        """The output of each record of a request, joined and filtered.

        Raises:
            DataError: the answer has not one part for each record.
        """
        if not self.wanted:
            return [answer]
        parts = records(answer, self.split)
        if len(parts) != len(items):
            raise DataError(
                f"the model answered {len(parts)} records to {len(items)}, which cannot be joined or filtered"
            )
        return [self._answer(item, part) for item, part in zip(items, parts, strict=True)]

    def _answer(self, record: bytes, part: bytes) -> bytes:
        value = _parsed(part, self.target)
        if self.join:
            value = _joined(_parsed(record, self.source), value, self.source)
        return _written(select(self.output_filter, value), self.target)


def assembled(parts: Sequence[bytes], how: str) -> bytes:
    """The object that a job leaves for an input object."""
    if how == "Line":
        return b"".join(part.rstrip(b"\r\n") + b"\n" for part in parts)
    return b"".join(parts)


def _parsed(record: bytes, kind: str) -> Any:
    try:
        if kind == "csv":
            rows = list(csv.reader(io.StringIO(record.decode())))
            return rows[0] if rows else []
        return json.loads(record)
    except (ValueError, csv.Error) as error:
        raise DataError(f"a record is not {kind}: {record[:200]!r}: {error}") from None


def _written(value: Any, kind: str) -> bytes:
    if kind != "csv":
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(value if isinstance(value, list) else [value])
    return text.getvalue().encode()


def _joined(given: Any, answer: Any, kind: str) -> Any:
    if kind == "csv":
        return [*given, *answer]
    if isinstance(given, dict):
        return {**given, "SageMakerOutput": answer}
    return {"SageMakerInput": given, "SageMakerOutput": answer}
