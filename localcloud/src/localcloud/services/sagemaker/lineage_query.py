"""QueryLineage: what an entity comes from, and what comes from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from localcloud.core import Call, Fault, operation, paginate
from localcloud.records import PlugIn, Record

_KINDS = {
    "artifact": "Artifact", "action": "Action", "context": "Context", "experiment-trial-component": "TrialComponent",
}  # fmt: skip
_DEPTH = 10
_TYPES = {"Artifact": "ArtifactType", "Action": "ActionType", "Context": "ContextType"}


class LineageQuery(PlugIn):
    """The QueryLineage operation."""

    @operation("QueryLineage")
    def query(self, call: Call) -> dict[str, Any]:
        """Vertices and edges around the entities that are asked about, them included."""
        request = call.input
        starts = request.get("StartArns") or []
        if not starts:
            raise Fault("ValidationException", "StartArns is empty: give the ARN of the entity to begin with.")
        for arn in starts:
            if self._entity(arn) is None:
                raise Fault("ResourceNotFound", f"Lineage entity '{arn}' does not exist.")
        direction = request.get("Direction") or "Both"
        arns, edges = self._walk(call, starts, direction, request.get("MaxDepth") or _DEPTH)
        vertices = [found for arn in arns if (found := self._vertex(arn, request.get("Filters") or {}))]
        page, token = paginate(vertices, request, token="NextToken", limit="MaxResults", default=10)  # noqa: S106
        answer: dict[str, Any] = {"Vertices": page}
        if request.get("IncludeEdges", True):
            shown = {vertex["Arn"] for vertex in page}
            answer["Edges"] = [
                {name: edge[name] for name in ("SourceArn", "DestinationArn", "AssociationType") if name in edge}
                for edge in edges
                if edge["SourceArn"] in shown or edge["DestinationArn"] in shown
            ]
        return answer | ({"NextToken": token} if token else {})

    def _walk(self, call: Call, starts: list[str], direction: str, depth: int) -> tuple[list[str], list[Record]]:
        """The ARNs that are reached, the nearest first, and the associations between them."""
        down, up = defaultdict(list), defaultdict(list)
        for edge in self.cloud.store.table("sagemaker.Association").list(call.account, call.region):
            down[edge["SourceArn"]].append(edge)
            up[edge["DestinationArn"]].append(edge)
        found = list(dict.fromkeys(starts))
        edges: dict[tuple[str, str], Record] = {}
        for way, near, far in (("Ascendants", up, "SourceArn"), ("Descendants", down, "DestinationArn")):
            if direction not in (way, "Both"):
                continue
            seen, level = set(starts), list(starts)
            for _ in range(depth):
                reached = [(edge, edge[far]) for arn in level for edge in near[arn]]
                edges |= {(edge["SourceArn"], edge["DestinationArn"]): edge for edge, _ in reached}
                level = list(dict.fromkeys(arn for _, arn in reached if arn not in seen))
                seen |= set(level)
                found += [arn for arn in level if arn not in found]
        return found, list(edges.values())

    def _entity(self, arn: str) -> tuple[str, Record] | None:
        kind = _KINDS.get(arn.split(":", 5)[-1].split("/")[0])
        found = self.records[kind].by_arn(arn) if kind else None
        return (kind, found[2]) if kind and found else None

    def _vertex(self, arn: str, filters: Mapping[str, Any]) -> dict[str, str] | None:
        entity = self._entity(arn)
        if entity is None:
            return None
        kind, record = entity
        if kind in _TYPES:
            what = str(record.get(_TYPES[kind], ""))
        else:
            what = str((record.get("Source") or {}).get("SourceType", "")).removeprefix("SageMaker")
        found = {"Arn": arn, "Type": what, "LineageType": kind}
        return found if _passes(found, record, filters) else None


def _passes(vertex: Mapping[str, str], record: Record, filters: Mapping[str, Any]) -> bool:
    if filters.get("Types") and vertex["Type"] not in filters["Types"]:
        return False
    if filters.get("LineageTypes") and vertex["LineageType"] not in filters["LineageTypes"]:
        return False
    for stem, member in (("Created", "CreationTime"), ("Modified", "LastModifiedTime")):
        after, before, moment = filters.get(f"{stem}After"), filters.get(f"{stem}Before"), record.get(member)
        if (after and (not moment or moment < after)) or (before and (not moment or moment > before)):
            return False
    properties = record.get("Properties") or {}
    return all(properties.get(name) == value for name, value in (filters.get("Properties") or {}).items())
