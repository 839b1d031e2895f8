"""Package groups, kept as records: their origin controls are not served."""

from __future__ import annotations

from localcloud.core import Call, Conflict, now, operation, paginate
from localcloud.services.codeartifact.packages import PackageOperations
from localcloud.services.codeartifact.records import Document, conflict, missing


class GroupOperations(PackageOperations):
    """CreatePackageGroup and its kin."""

    @operation("CreatePackageGroup")
    def create_package_group(self, call: Call) -> Document:
        """A package group of a pattern that is free in the domain."""
        owner, domain, pattern = self.owner(call), call.input["domain"], call.input["packageGroup"]
        self.records.domain(owner, call.region, domain)
        document = {
            "arn": f"arn:aws:codeartifact:{call.region}:{owner}:package-group/{domain}{pattern}",
            "pattern": pattern, "domainName": domain, "domainOwner": owner, "createdTime": now(),
            "contactInfo": call.input.get("contactInfo", ""), "description": call.input.get("description", ""),
        }  # fmt: skip
        try:
            self.records.groups.insert(owner, call.region, f"{domain}{pattern}", document)
        except Conflict:
            raise conflict("domain", pattern, f"Package group '{pattern}' already exists in '{domain}'") from None
        self._tag(call, document["arn"], call.input.get("tags", []))
        return {"packageGroup": document}

    def _group(self, call: Call) -> tuple[str, str, Document]:
        owner, domain, pattern = self.owner(call), call.input["domain"], call.input["packageGroup"]
        self.records.domain(owner, call.region, domain)
        document = self.records.groups.get(owner, call.region, f"{domain}{pattern}")
        if document is None:
            raise missing("domain", pattern, f"Package group not found. Pattern: '{pattern}' in domain '{domain}'")
        return owner, f"{domain}{pattern}", document

    @operation("DescribePackageGroup")
    def describe_package_group(self, call: Call) -> Document:
        """A package group."""
        return {"packageGroup": self._group(call)[2]}

    @operation("UpdatePackageGroup")
    def update_package_group(self, call: Call) -> Document:
        """Replace contact and description."""
        owner, key, document = self._group(call)
        document.update({name: call.input[name] for name in ("contactInfo", "description") if name in call.input})
        self.records.groups.put(owner, call.region, key, document)
        return {"packageGroup": document}

    @operation("DeletePackageGroup")
    def delete_package_group(self, call: Call) -> Document:
        """Delete a package group."""
        owner, key, document = self._group(call)
        self.records.groups.delete(owner, call.region, key)
        self.records.tags.delete(owner, call.region, document["arn"])
        return {"packageGroup": document}

    @operation("ListPackageGroups")
    def list_package_groups(self, call: Call) -> Document:
        """The package groups of a domain."""
        owner, domain = self.owner(call), call.input["domain"]
        self.records.domain(owner, call.region, domain)
        prefix = call.input.get("prefix", "")
        found = [
            item
            for item in self.records.groups.list(owner, call.region)
            if item["domainName"] == domain and item["pattern"].startswith(prefix)
        ]
        page, token = paginate(found, call.input)
        return {"packageGroups": page, "nextToken": token}
