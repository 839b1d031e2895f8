"""Repositories: upstreams, external connections, endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.core import Call, Conflict, now, operation, paginate
from localcloud.services.codeartifact.domains import DomainOperations
from localcloud.services.codeartifact.records import CONNECTION, Document, conflict, invalid, served_format

_CONNECTIONS_NOT_SERVED = (
    "public:npmjs", "public:nuget-org", "public:maven-central", "public:maven-googleandroid",
    "public:maven-gradleplugins", "public:maven-commonsware", "public:maven-clojars", "public:ruby-gems-org",
    "public:crates-io",
)  # fmt: skip
_MOST_UPSTREAMS = 10


def described(document: Document) -> Document:
    """AWS's RepositoryDescription."""
    keys = ("name", "administratorAccount", "domainName", "domainOwner", "arn", "description", "createdTime")
    return {
        **{key: document[key] for key in keys if key in document},
        "upstreams": [{"repositoryName": name} for name in document["upstreams"]],
        "externalConnections": [
            {"externalConnectionName": name, "packageFormat": "pypi", "status": "Available"}
            for name in document["externalConnections"]
        ],
    }


class RepositoryOperations(DomainOperations):
    """CreateRepository and its kin."""

    @operation("CreateRepository")
    def create_repository(self, call: Call) -> Document:
        """A repository of a name that is free in the domain."""
        owner, domain, name = self.owner(call), call.input["domain"], call.input["repository"]
        self.records.domain(owner, call.region, domain)
        arn = f"arn:aws:codeartifact:{call.region}:{owner}:repository/{domain}/{name}"
        upstreams = self._upstreams(call, owner, domain, name)
        document = {
            "name": name, "administratorAccount": call.account, "domainName": domain, "domainOwner": owner, "arn": arn,
            "description": call.input.get("description", ""), "upstreams": upstreams, "externalConnections": [],
            "createdTime": now(),
        }  # fmt: skip
        try:
            self.records.repositories.insert(owner, call.region, f"{domain}/{name}", document)
        except Conflict:
            raise conflict("repository", name, f"Repository '{name}' already exists in domain '{domain}'") from None
        self._tag(call, arn, call.input.get("tags", []))
        return {"repository": described(document)}

    def _upstreams(self, call: Call, owner: str, domain: str, name: str) -> list[str]:
        names = [item["repositoryName"] for item in call.input.get("upstreams", [])]
        if len(names) > _MOST_UPSTREAMS:
            raise invalid(f"{len(names)} upstreams given, at most {_MOST_UPSTREAMS} allowed")
        for upstream in names:
            if upstream == name:
                raise invalid(f"Repository '{name}' cannot be its own upstream")
            self.records.repository(owner, call.region, domain, upstream)
        return names

    @operation("UpdateRepository")
    def update_repository(self, call: Call) -> Document:
        """Replace description and upstreams."""
        document = self.repository_of(call)
        if "description" in call.input:
            document["description"] = call.input["description"]
        if "upstreams" in call.input:
            owner, domain, name = document["domainOwner"], document["domainName"], document["name"]
            document["upstreams"] = self._upstreams(call, owner, domain, name)
            if document["upstreams"] and document["externalConnections"]:
                raise invalid(f"Repository '{name}' has an external connection and cannot have upstreams too")
        self._save(call, document, "repository")
        return {"repository": described(document)}

    @operation("DescribeRepository")
    def describe_repository(self, call: Call) -> Document:
        """A repository."""
        return {"repository": described(self.repository_of(call))}

    @operation("DeleteRepository")
    def delete_repository(self, call: Call) -> Document:
        """Delete a repository with all its packages, unless another has it as its upstream."""
        document = self.repository_of(call)
        owner, domain, name = document["domainOwner"], document["domainName"], document["name"]
        users = [
            item["name"] for item in self.records.in_domain(owner, call.region, domain) if name in item["upstreams"]
        ]
        if users:
            raise conflict("repository", name, f"Repository '{name}' is an upstream of {', '.join(users)}")
        with self.records.store.transaction():
            for table in (self.records.packages, self.records.versions):
                for _, region, key, _ in table.all():
                    if region == call.region and key.startswith(f"{domain}/{name}/"):
                        table.delete(owner, region, key)
            self.records.repositories.delete(owner, call.region, f"{domain}/{name}")
            self.records.tags.delete(owner, call.region, document["arn"])
        return {"repository": described(document)}

    @operation("ListRepositories")
    def list_repositories(self, call: Call) -> Document:
        """The repositories of the caller's account."""
        return self._summaries(call, self.records.repositories.list(call.account, call.region))

    @operation("ListRepositoriesInDomain")
    def list_repositories_in_domain(self, call: Call) -> Document:
        """The repositories of a domain."""
        owner = self.owner(call)
        self.records.domain(owner, call.region, call.input["domain"])
        found = self.records.in_domain(owner, call.region, call.input["domain"])
        wanted = call.input.get("administratorAccount")
        return self._summaries(call, [item for item in found if wanted in (None, item["administratorAccount"])])

    def _summaries(self, call: Call, documents: Sequence[Document]) -> Document:
        prefix = call.input.get("repositoryPrefix", "")
        found = [
            {key: value for key, value in described(item).items() if key not in ("upstreams", "externalConnections")}
            for item in sorted(documents, key=lambda item: str(item["name"]))
            if item["name"].startswith(prefix)
        ]
        page, token = paginate(found, call.input)
        return {"repositories": page, "nextToken": token}

    def outside_is_wanted(self) -> None:
        """Called when a repository is connected to the outside."""

    @operation("AssociateExternalConnection")
    def associate_external_connection(self, call: Call) -> Document:
        """Let names that nobody published be answered from outside."""
        document, name = self.repository_of(call), call.input["externalConnection"]
        if name != CONNECTION:
            known = "is not served by the local cloud" if name in _CONNECTIONS_NOT_SERVED else "is unknown"
            raise invalid(f"The external connection '{name}' {known}; served: {CONNECTION}")
        if document["externalConnections"]:
            raise conflict(
                "repository", document["name"], f"Repository '{document['name']}' has an external connection"
            )
        if document["upstreams"]:
            raise invalid(f"Repository '{document['name']}' has upstreams and cannot have an external connection too")
        document["externalConnections"] = [name]
        self._save(call, document, "repository")
        self.outside_is_wanted()
        return {"repository": described(document)}

    @operation("DisassociateExternalConnection")
    def disassociate_external_connection(self, call: Call) -> Document:
        """Take the external connection away."""
        document, name = self.repository_of(call), call.input["externalConnection"]
        if name not in document["externalConnections"]:
            raise invalid(f"Repository '{document['name']}' has no external connection '{name}'")
        document["externalConnections"] = []
        self._save(call, document, "repository")
        return {"repository": described(document)}

    @operation("GetRepositoryEndpoint")
    def get_repository_endpoint(self, call: Call) -> Document:
        """Where a package manager finds the repository; pip and uv append `simple/`."""
        document = self.repository_of(call)
        form = served_format(call.input["format"])
        if form == "generic":
            raise invalid(
                "The package format 'generic' has no endpoint; use PublishPackageVersion and GetPackageVersionAsset"
            )
        place = f"{document['domainName']}-{document['domainOwner']}/{form}/{document['name']}/"
        return {"repositoryEndpoint": f"{self.cloud.endpoint}/codeartifact/{place}"}
