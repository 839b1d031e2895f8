"""AddTags, ListTags and DeleteTags by ARN, for all kinds of a service at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from localcloud.core import Call, Fault, paginate
from localcloud.records.types import Handler, Record

if TYPE_CHECKING:
    from localcloud.records.engine import Records
    from localcloud.records.service import RecordService

_MOST = 50


def tag_handlers(service: RecordService) -> dict[str, Handler]:
    """The tag operations that the service's model has."""
    tags = Tags(service)
    known = {"AddTags": tags.add, "ListTags": tags.list, "DeleteTags": tags.delete}
    return {name: handler for name, handler in known.items() if name in service.model.operation_names}


class Tags:
    """Tags are kept in the record, as a list of Key and Value."""

    def __init__(self, service: RecordService) -> None:
        self.service = service

    def add(self, call: Call) -> dict[str, Any]:
        """AddTags: a key that exists gets the new value."""
        records, account, region, record = self._find(call)

        def change(found: Record) -> Record:
            tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
            tags.update({tag["Key"]: tag["Value"] for tag in call.input["Tags"]})
            if len(tags) > _MOST:
                raise Fault(
                    "ResourceLimitExceeded",
                    f"{call.input['ResourceArn']} would have {len(tags)} tags; at most {_MOST} are allowed.",
                )
            return {**found, "Tags": _listed(tags)}

        changed = records.table.update(account, region, records.key(record), change)
        return {"Tags": (changed or record)["Tags"]}

    def list(self, call: Call) -> dict[str, Any]:
        """ListTags."""
        found = self._find(call)[3]
        page, token = paginate(found.get("Tags", []), call.input, token="NextToken", limit="MaxResults", default=_MOST)  # noqa: S106
        return {"Tags": page, **({"NextToken": token} if token else {})}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteTags: a key that is not there is no error."""
        records, account, region, record = self._find(call)
        gone = set(call.input["TagKeys"])

        def change(found: Record) -> Record:
            return {**found, "Tags": [tag for tag in found.get("Tags", []) if tag["Key"] not in gone]}

        records.table.update(account, region, records.key(record), change)
        return {}

    def _find(self, call: Call) -> tuple[Records, str, str, Record]:
        arn = call.input["ResourceArn"]
        resource = arn.split(":", 5)[-1]
        for records in self.service.records.values():
            if _matches(records.derived.arn_template, resource):
                found = records.by_arn(arn)
                if found is not None and found[0] == call.account:
                    return records, *found
        known = {"ResourceNotFound"} & {s.name for s in self.service.model.operation_model(call.operation).error_shapes}
        raise Fault(next(iter(known), "ValidationException"), f"Could not find resource '{arn}'.")


def _matches(template: str, resource: str) -> bool:
    """Whether an ARN's resource part can have been made by a kind's template."""
    pattern = "".join(".*" if part.startswith("{") else re.escape(part) for part in re.split(r"({[^}]+})", template))
    return re.fullmatch(pattern, resource) is not None


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
