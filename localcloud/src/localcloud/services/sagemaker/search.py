"""Search over records: filters, nested filters and sub-expressions on any property, tags included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from localcloud.core import Call, Fault, operation, paginate
from localcloud.records import PlugIn, Record
from localcloud.records.shaping import project

_MISSING = object()
_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanOrEqualTo": lambda a, b: a >= b,
    "LessThan": lambda a, b: a < b,
    "LessThanOrEqualTo": lambda a, b: a <= b,
}
# Search's word for a resource → the kind, and the member of a result.
_KINDS = {"ExperimentTrial": "Trial", "ExperimentTrialComponent": "TrialComponent"}


class Search(PlugIn):
    """The Search operation."""

    @operation("Search")
    def search(self, call: Call) -> dict[str, Any]:
        """Records of one kind that an expression holds for."""
        resource = call.input["Resource"]
        kind = _KINDS.get(resource, resource)
        member = self.service.model.shape_for("SearchRecord").members.get(kind)
        if kind not in self.records or member is None:
            raise Fault("NotImplemented", f"SageMaker Search over {resource} is not served by the local cloud", 501)
        records = self.records[kind]
        found = [records.current(call, record) for record in records.list(call.account, call.region)]
        expression = call.input.get("SearchExpression", {})
        found = [record for record in found if _holds(record, expression)]
        by = call.input.get("SortBy", "LastModifiedTime")
        found.sort(key=lambda record: _sortable(_look(record, by)), reverse=call.input.get("SortOrder") != "Ascending")
        page, token = paginate(found, call.input, token="NextToken", limit="MaxResults", default=10)  # noqa: S106
        results = [{kind: project(record, member)} for record in page]
        return {"Results": results, **({"NextToken": token} if token else {})}


def _holds(record: Record, expression: Mapping[str, Any]) -> bool:
    tests = [
        *(_passes(record, item) for item in expression.get("Filters", [])),
        *(_nested(record, item) for item in expression.get("NestedFilters", [])),
        *(_holds(record, item) for item in expression.get("SubExpressions", [])),
    ]
    return any(tests) if expression.get("Operator") == "Or" and tests else all(tests)


def _nested(record: Record, item: Mapping[str, Any]) -> bool:
    """All filters hold for one and the same entry of a list."""
    entries = _look(record, item["NestedPropertyName"])
    prefix = item["NestedPropertyName"] + "."
    for entry in entries if isinstance(entries, list) else []:
        if all(_passes(entry, {**test, "Name": test["Name"].removeprefix(prefix)}) for test in item["Filters"]):
            return True
    return False


def _passes(record: Record, item: Mapping[str, Any]) -> bool:
    value = _look(record, item["Name"])
    operator, wanted = str(item.get("Operator", "Equals")), str(item.get("Value", ""))
    if operator in ("Exists", "NotExists"):
        return (value is not _MISSING) is (operator == "Exists")
    if operator == "NotEquals":
        return value is _MISSING or _text(value) != wanted
    if value is _MISSING:
        return False
    if operator == "Equals":
        return _text(value) == wanted
    if operator == "Contains":
        return wanted.lower() in _text(value).lower()
    if operator == "In":
        return _text(value) in wanted.split(",")
    return _compare(_NUMERIC[operator], value, wanted)


def _compare(test: Callable[[Any, Any], bool], value: Any, wanted: str) -> bool:
    try:
        if isinstance(value, datetime):
            return bool(test(value, datetime.fromisoformat(wanted.replace("Z", "+00:00"))))
        return bool(test(float(value), float(wanted)))
    except (TypeError, ValueError):
        raise Fault(
            "ValidationException", f"'{wanted}' cannot be compared with a value such as '{_text(value)}'."
        ) from None


def _look(record: Mapping[str, Any], name: str) -> Any:
    """A property by its dotted name; `Tags.key` is the value of a tag."""
    if name.startswith("Tags."):
        tags = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
        return tags.get(name.removeprefix("Tags."), _MISSING)
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sortable(value: Any) -> tuple[int, Any]:
    if value is _MISSING:
        return 0, ""
    if isinstance(value, datetime):
        return 1, value.timestamp()
    return (1, value) if isinstance(value, int | float) else (2, _text(value))
