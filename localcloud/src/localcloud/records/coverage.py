"""What of a service is served: the table in the documentation is made of this."""

from __future__ import annotations

from localcloud.core import Service
from localcloud.core.model import load
from localcloud.records.service import RecordService


def coverage(service: Service) -> list[tuple[str, str]]:
    """(operation, support) of every operation of a service's model, in alphabetical order.

    "served": what AWS would do is done; "record": kept, validated, shown and listed, and nothing else happens, which
    for most such resources is all there is to do; "refused": answered with NotImplemented that names the operation.
    """
    handlers = service.handlers()
    written = set(handlers)
    if isinstance(service, RecordService):
        hooked = {
            records.derived.name_of(verb)
            for records in service.records.values()
            for verb, points in (
                ("Create", ("before_create", "after_create")),
                ("Update", ("before_update", "after_update")),
                ("Delete", ("before_delete", "after_delete")),
                ("Describe", ("describe", "status_of")),
            )
            if any(service.hooks(records.kind.name, point) for point in points)
        }
        written = set(service.own_handlers()) | hooked
    support = {name: "served" if name in written else "record" for name in handlers}
    return [(name, support.get(name, "refused")) for name in sorted(load(service.name).operation_names)]
