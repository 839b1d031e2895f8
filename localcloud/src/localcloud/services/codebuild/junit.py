"""Test results: JUnit XML read into CodeBuild's test cases and their summary."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from typing import Any

STATUSES = ("SUCCEEDED", "FAILED", "ERROR", "SKIPPED", "UNKNOWN")
KEPT = 500  # CodeBuild keeps at most so many test cases of a report, failures first


def cases(text: bytes, path: str) -> list[dict[str, Any]]:
    """The test cases of one file.

    Raises:
        ValueError: the file is no JUnit XML.
    """
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ValueError(f"{path}: a document type declaration is not allowed in a report")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - entities are refused above
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not XML: {error}") from error
    if root.tag not in ("testsuites", "testsuite"):
        raise ValueError(f"{path} is not JUnit XML: the root element is <{root.tag}>, not <testsuites> or <testsuite>")
    found = []
    suites = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))
    for suite in suites:
        for case in suite.findall("testcase"):
            status, message = _outcome(case)
            found.append(
                {
                    "testRawDataPath": path,
                    "prefix": case.get("classname", ""),
                    "name": case.get("name", ""),
                    "testSuiteName": suite.get("name", ""),
                    "status": status,
                    "durationInNanoSeconds": _nanoseconds(case.get("time")),
                    "message": message,
                }
            )
    return found


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    for tag, status in (("error", "ERROR"), ("failure", "FAILED"), ("skipped", "SKIPPED")):
        element = case.find(tag)
        if element is not None:
            text = (element.text or "").strip()
            return status, "\n".join(part for part in (element.get("message", ""), text) if part)
    return "SUCCEEDED", ""


def _nanoseconds(seconds: str | None) -> int:
    try:
        return max(0, int(float((seconds or "0").replace(",", "")) * 1_000_000_000))
    except (ValueError, OverflowError):
        return 0


def summary(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """CodeBuild's TestReportSummary."""
    listed = list(found)
    counts = Counter(case["status"] for case in listed)
    return {
        "total": len(listed),
        "statusCounts": {status: counts.get(status, 0) for status in STATUSES},
        "durationInNanoSeconds": sum(case["durationInNanoSeconds"] for case in listed),
    }


def succeeded(found: Iterable[dict[str, Any]]) -> bool:
    """Whether no test case failed."""
    return all(case["status"] in ("SUCCEEDED", "SKIPPED") for case in found)
