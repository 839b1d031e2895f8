"""Package groups as fences: which group a package belongs to, and by which ways its versions may enter a repository.

CodeArtifact User Guide, "Package group origin controls" and "Package group definition syntax and matching behavior".
Patterns that end in `$` (one package) and `*` (everything below) are served; those that end in `~` (words that begin
alike) are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from localcloud.core import now
from localcloud.services.codeartifact.records import FORMATS, Document, Records, invalid, normal

ROOT = "/*"
WAYS = ("EXTERNAL_UPSTREAM", "INTERNAL_UPSTREAM", "PUBLISH")
# `/*`, `/format/*`, `/format/namespace/*`, `/format/namespace/name$`; a format without namespaces leaves it empty.
_PATTERN = re.compile(r"/(?:\*|(?P<form>[a-z]+)/(?:\*|(?P<namespace>[^/#\s]*)/(?:\*|(?P<name>[^/#\s]+)\$)))")


def check_pattern(pattern: str) -> None:
    """Raises Fault (ValidationException) for a pattern that is none, or is not served."""
    if pattern.endswith("~"):
        raise invalid(f"The pattern '{pattern}' ends in '~', which is not served by the local cloud; served: '$', '*'")
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        raise invalid(f"'{pattern}' is no pattern of a package group; for example '/pypi/*' or '/pypi//requests$'")
    if found["form"] not in (None, *FORMATS):
        raise invalid(f"The format of '{pattern}' is not served by the local cloud; served: {', '.join(FORMATS)}")
    if found["form"] == "pypi" and found["namespace"]:
        raise invalid(f"Python packages have no namespace: '{pattern}' is '/pypi//{found['name'] or '*'}'")
    if found["form"] == "pypi" and found["name"] and normal(found["name"]) != found["name"]:
        raise invalid(f"A pattern has the normalized name of a Python package: '{normal(found['name'])}'")


def path_of(form: str, namespace: str, package: str) -> str:
    """A package's path, which patterns are compared with."""
    return f"/{form}/{namespace}/{normal(package) if form == 'pypi' else package}"


def _holds(pattern: str, path: str) -> bool:
    return path == pattern[:-1] if pattern.endswith("$") else path.startswith(pattern[:-1])


def root_of(owner: str, region: str, domain: str) -> Document:
    """The group that every domain has: everything may come from everywhere."""
    return {
        "arn": f"arn:aws:codeartifact:{region}:{owner}:package-group/{domain}{ROOT}",
        "pattern": ROOT, "domainName": domain, "domainOwner": owner, "createdTime": now(), "contactInfo": "",
        "description": "", "modes": dict.fromkeys(WAYS, "ALLOW"), "repositories": {},
    }  # fmt: skip


class Groups:
    """The groups of one domain."""

    def __init__(self, records: Records, owner: str, region: str, domain: str) -> None:
        found = {
            group["pattern"]: {"modes": {}, "repositories": {}, **group}
            for group in records.groups.list(owner, region)
            if group["domainName"] == domain
        }
        found.setdefault(ROOT, root_of(owner, region, domain))
        self.by_pattern: Mapping[str, Document] = found

    def of(self, form: str, namespace: str, package: str) -> Document:
        """The most specific group that holds a package."""
        path = path_of(form, namespace, package)
        return self._longest(g for g in self.by_pattern.values() if _holds(g["pattern"], path))

    def parent(self, group: Document) -> Document | None:
        """The most specific group around a group; the root has none."""
        around = [
            other
            for other in self.by_pattern.values()
            if other is not group and other["pattern"].endswith("*") and _holds(other["pattern"], group["pattern"][:-1])
        ]
        return self._longest(around) if around else None

    def children(self, group: Document) -> list[Document]:
        """The groups right below a group."""
        return [other for other in self.by_pattern.values() if self.parent(other) is group]

    @staticmethod
    def _longest(groups: Iterable[Document]) -> Document:
        return max(groups, key=lambda group: len(group["pattern"]))

    def effective(self, group: Document, way: str) -> Document:
        """The group that says what holds for a way: the first, from the inside out, that does not inherit."""
        while group["modes"].get(way, "INHERIT") == "INHERIT":
            around = self.parent(group)
            if around is None:
                return group
            group = around
        return group

    def described(self, group: Document) -> Document:
        """AWS's PackageGroupDescription."""
        restrictions = {}
        for way in WAYS:
            source, mode = self.effective(group, way), group["modes"].get(way, "INHERIT")
            restriction = {"mode": mode, "effectiveMode": source["modes"][way]}
            if source is not group:
                restriction["inheritedFrom"] = _reference(source)
            restriction["repositoriesCount"] = len(group["repositories"].get(way, []))
            restrictions[way] = restriction
        parent = self.parent(group)
        return {
            **{key: value for key, value in group.items() if key not in ("modes", "repositories")},
            "originConfiguration": {"restrictions": restrictions},
            **({"parent": _reference(parent)} if parent else {}),
        }


def _reference(group: Document) -> Document:
    return {"arn": group["arn"], "pattern": group["pattern"]}


@dataclass(frozen=True)
class Fence:
    """What the groups of a domain say of one package."""

    group: str
    rules: Mapping[str, tuple[str, frozenset[str]]]

    def allows(self, way: str, repository: str) -> bool:
        """Whether new versions may enter a repository by a way."""
        mode, repositories = self.rules[way]
        return mode == "ALLOW" or (mode == "ALLOW_SPECIFIC_REPOSITORIES" and repository in repositories)


def fence(records: Records, owner: str, region: str, domain: str, form: str, namespace: str, package: str) -> Fence:
    """The ways by which versions of a package may enter the repositories of a domain."""
    groups = Groups(records, owner, region, domain)
    group = groups.of(form, namespace, package)
    rules = {}
    for way in WAYS:
        source = groups.effective(group, way)
        rules[way] = (source["modes"][way], frozenset(source["repositories"].get(way, [])))
    return Fence(group["pattern"], rules)
