"""Package groups: patterns of packages with the ways by which their versions may enter the domain's repositories."""

from __future__ import annotations

from collections.abc import Iterable

from localcloud.core import Call, Conflict, now, operation, paginate
from localcloud.services.codeartifact.origins import ROOT, WAYS, Groups, check_pattern
from localcloud.services.codeartifact.packages import PackageOperations
from localcloud.services.codeartifact.records import Document, conflict, invalid, missing, served_format

_SPECIFIC = "ALLOW_SPECIFIC_REPOSITORIES"


class GroupOperations(PackageOperations):
    """CreatePackageGroup and its kin."""

    @operation("CreatePackageGroup")
    def create_package_group(self, call: Call) -> Document:
        """A package group of a pattern that is free in the domain; it inherits until it is told otherwise."""
        owner, domain, pattern = self.owner(call), call.input["domain"], call.input["packageGroup"]
        self.records.domain(owner, call.region, domain)
        check_pattern(pattern)
        document = {
            "arn": f"arn:aws:codeartifact:{call.region}:{owner}:package-group/{domain}{pattern}",
            "pattern": pattern, "domainName": domain, "domainOwner": owner, "createdTime": now(),
            "contactInfo": call.input.get("contactInfo", ""), "description": call.input.get("description", ""),
            "modes": dict.fromkeys(WAYS, "INHERIT"), "repositories": {},
        }  # fmt: skip
        try:
            if pattern == ROOT:
                raise Conflict
            self.records.groups.insert(owner, call.region, f"{domain}{pattern}", document)
        except Conflict:
            raise conflict("domain", pattern, f"Package group '{pattern}' already exists in '{domain}'") from None
        self._tag(call, document["arn"], call.input.get("tags", []))
        return self._answer(call, document)

    def _groups(self, call: Call) -> Groups:
        return Groups(self.records, self.owner(call), call.region, call.input["domain"])

    def _answer(self, call: Call, document: Document) -> Document:
        groups = self._groups(call)
        return {"packageGroup": groups.described(groups.by_pattern.get(document["pattern"], document))}

    def _group(self, call: Call) -> tuple[str, str, Document]:
        owner, domain, pattern = self.owner(call), call.input["domain"], call.input["packageGroup"]
        self.records.domain(owner, call.region, domain)
        document = Groups(self.records, owner, call.region, domain).by_pattern.get(pattern)
        if document is None:
            raise missing("domain", pattern, f"Package group not found. Pattern: '{pattern}' in domain '{domain}'")
        return owner, f"{domain}{pattern}", document

    @operation("DescribePackageGroup")
    def describe_package_group(self, call: Call) -> Document:
        """A package group."""
        return self._answer(call, self._group(call)[2])

    @operation("GetAssociatedPackageGroup")
    def get_associated_package_group(self, call: Call) -> Document:
        """The most specific group that holds a package, which need not exist."""
        self.records.domain(self.owner(call), call.region, call.input["domain"])
        groups = self._groups(call)
        form = served_format(call.input["format"])
        found = groups.of(form, call.input.get("namespace", ""), call.input["package"])
        return {"packageGroup": groups.described(found), "associationType": "STRONG"}

    @operation("UpdatePackageGroup")
    def update_package_group(self, call: Call) -> Document:
        """Replace contact and description."""
        owner, key, document = self._group(call)
        document.update({name: call.input[name] for name in ("contactInfo", "description") if name in call.input})
        self.records.groups.put(owner, call.region, key, document)
        return self._answer(call, document)

    @operation("UpdatePackageGroupOriginConfiguration")
    def update_package_group_origin_configuration(self, call: Call) -> Document:
        """Set modes, and the repositories that a way with ALLOW_SPECIFIC_REPOSITORIES is open to."""
        owner, key, document = self._group(call)
        modes, repositories = (
            dict(document["modes"]),
            {way: list(document["repositories"].get(way, [])) for way in WAYS},
        )
        for way, mode in call.input.get("restrictions", {}).items():
            if mode == "INHERIT" and document["pattern"] == ROOT:
                raise invalid(f"The root package group '{ROOT}' has nothing to inherit {way} from")
            modes[way] = mode
        updates: dict[str, dict[str, list[str]]] = {}
        for member, word in (("addAllowedRepositories", "ADDED"), ("removeAllowedRepositories", "REMOVED")):
            for item in call.input.get(member, []):
                way, name = item["originRestrictionType"], item["repositoryName"]
                if word == "ADDED":
                    if modes[way] != _SPECIFIC:
                        raise invalid(
                            f"Repositories are allowed for {way} where its mode is {_SPECIFIC}, not {modes[way]}"
                        )
                    self.records.repository(owner, call.region, call.input["domain"], name)
                if (name in repositories[way]) != (word == "REMOVED"):
                    continue
                (repositories[way].append if word == "ADDED" else repositories[way].remove)(name)
                updates.setdefault(way, {}).setdefault(word, []).append(name)
        document["modes"] = modes
        document["repositories"] = {way: names for way, names in repositories.items() if modes[way] == _SPECIFIC}
        self.records.groups.put(owner, call.region, key, document)
        return {**self._answer(call, document), "allowedRepositoryUpdates": updates}

    @operation("ListAllowedRepositoriesForGroup")
    def list_allowed_repositories_for_group(self, call: Call) -> Document:
        """The repositories that a way of a group is open to."""
        names = self._group(call)[2]["repositories"].get(call.input["originRestrictionType"], [])
        page, token = paginate(sorted(names), call.input)
        return {"allowedRepositories": page, "nextToken": token}

    @operation("DeletePackageGroup")
    def delete_package_group(self, call: Call) -> Document:
        """Delete a package group; the root stays."""
        owner, key, document = self._group(call)
        if document["pattern"] == ROOT:
            raise invalid(f"The root package group '{ROOT}' cannot be deleted")
        described = self._answer(call, document)
        self.records.groups.delete(owner, call.region, key)
        self.records.tags.delete(owner, call.region, document["arn"])
        return described

    @operation("ListPackageGroups")
    def list_package_groups(self, call: Call) -> Document:
        """The package groups of a domain."""
        self.records.domain(self.owner(call), call.region, call.input["domain"])
        return self._listed(call, self._groups(call).by_pattern.values())

    @operation("ListSubPackageGroups")
    def list_sub_package_groups(self, call: Call) -> Document:
        """The package groups right below one."""
        pattern = self._group(call)[2]["pattern"]
        groups = self._groups(call)
        return self._listed(call, groups.children(groups.by_pattern[pattern]))

    def _listed(self, call: Call, found: Iterable[Document]) -> Document:
        groups, prefix = self._groups(call), call.input.get("prefix", "")
        wanted = sorted(
            (group for group in found if group["pattern"].startswith(prefix)), key=lambda g: str(g["pattern"])
        )
        page, token = paginate([groups.described(groups.by_pattern[group["pattern"]]) for group in wanted], call.input)
        return {"packageGroups": page, "nextToken": token}
