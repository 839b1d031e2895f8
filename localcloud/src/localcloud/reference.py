"""What is served, as tables: made from the running code, so that the documentation cannot be wrong about it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from localcloud.core.cloud import Cloud
from localcloud.core.model import load
from localcloud.records import coverage
from localcloud.services import account_types, ec2_types, kept_types, load_services

_TITLES = {
    "served": "Served",
    "record": "Kept as a record, without behaviour",
    "refused": "Refused by name (`NotImplemented`)",
}


def operations() -> str:
    """A section for each service that the local cloud adds to ministack's, as Markdown."""
    with tempfile.TemporaryDirectory() as home:
        cloud = Cloud(Path(home), "http://127.0.0.1:0")
        parts = []
        for service_class in load_services():
            service = service_class(cloud)
            cloud.services[service.name] = service
            table = coverage(service)
            counts = {kind: sum(support == kind for _, support in table) for kind in _TITLES}
            name = load(service.name).metadata.get("serviceId", service.name)
            parts.append(
                f"### {name}\n\n{counts['served']} operations served, {counts['record']} kept as records, "
                f"{counts['refused']} refused by name.\n"
            )
            parts.append("| | operations |\n|---|---|")
            for kind, title in _TITLES.items():
                found = ", ".join(operation for operation, support in table if support == kind)
                if found:
                    parts.append(f"| {title} | {found} |")
            parts.append("")
        cloud.store.close()
    return "\n".join(parts)


def resource_types() -> str:
    """The CloudFormation types, ours and ministack's, as Markdown."""
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    ours = {resource.type for service in load_services() for resource in service.resources}
    ours |= {resource.type for resource in (*ec2_types.RESOURCES, *account_types.RESOURCES)}
    kept = {resource.type for resource in kept_types.RESOURCES}
    theirs = set(_RESOURCE_HANDLERS) - ours - kept
    rows = ["| by | CloudFormation types |", "|---|---|"]
    rows.append(f"| the local cloud ({len(ours)}) | {', '.join(f'`{name}`' for name in sorted(ours))} |")
    title = f"the local cloud, kept as a record, without behaviour ({len(kept)})"
    rows.append(f"| {title} | {', '.join(f'`{name}`' for name in sorted(kept))} |")
    rows.append(f"| ministack ({len(theirs)}) | {', '.join(f'`{name}`' for name in sorted(theirs))} |")
    return "\n".join(rows) + "\n"
