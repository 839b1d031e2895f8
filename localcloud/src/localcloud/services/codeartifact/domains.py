"""Domains, policies, tags and authorization tokens."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import timedelta

from localcloud.core import Call, Conflict, Fault, now, operation, paginate, short_id
from localcloud.services.codeartifact.records import Base, Document, conflict, invalid, missing

_LONGEST_TOKEN = 43_200
_SHORTEST_TOKEN = 900


class DomainOperations(Base):
    """CreateDomain and its kin."""

    @operation("CreateDomain")
    def create_domain(self, call: Call) -> Document:
        """A domain of a name that is free in account and region."""
        name = call.input["domain"]
        key = call.input.get("encryptionKey") or f"arn:aws:kms:{call.region}:{call.account}:alias/aws/codeartifact"
        document = {
            "name": name,
            "owner": call.account,
            "arn": f"arn:aws:codeartifact:{call.region}:{call.account}:domain/{name}",
            "status": "Active",
            "createdTime": now(),
            "encryptionKey": key,
            "s3BucketArn": f"arn:aws:s3:::assets-{call.account}-{call.region}",
        }
        try:
            self.records.domains.insert(call.account, call.region, name, document)
        except Conflict:
            raise conflict("domain", name, f"Domain '{name}' already exists") from None
        self._tag(call, document["arn"], call.input.get("tags", []))
        return {"domain": self._described(call, document)}

    def _described(self, call: Call, document: Document) -> Document:
        owner, name = document["owner"], document["name"]
        assets = {
            asset["hashes"]["SHA-256"]: asset["size"]
            for version in self.records.versions.list(owner, call.region)
            if version["packageKey"].startswith(f"{name}/")
            for asset in version["assets"]
        }
        return {
            **{key: value for key, value in document.items() if key not in ("policy",)},
            "repositoryCount": len(self.records.in_domain(owner, call.region, name)),
            "assetSizeBytes": sum(assets.values()),
        }

    @operation("DescribeDomain")
    def describe_domain(self, call: Call) -> Document:
        """A domain."""
        document = self.records.domain(self.owner(call), call.region, call.input["domain"])
        return {"domain": self._described(call, document)}

    @operation("ListDomains")
    def list_domains(self, call: Call) -> Document:
        """The caller's domains."""
        keys = ("name", "owner", "arn", "status", "createdTime", "encryptionKey")
        found = [{key: item[key] for key in keys} for item in self.records.domains.list(call.account, call.region)]
        page, token = paginate(found, call.input)
        return {"domains": page, "nextToken": token}

    @operation("DeleteDomain")
    def delete_domain(self, call: Call) -> Document:
        """Delete a domain without repositories; one that does not exist is no error."""
        owner, name = self.owner(call), call.input["domain"]
        document = self.records.domains.get(owner, call.region, name)
        if document is None:
            return {}
        held = self.records.in_domain(owner, call.region, name)
        if held:
            names = ", ".join(item["name"] for item in held)
            raise conflict("domain", name, f"Domain '{name}' has repositories: {names}. Delete them first.")
        described = self._described(call, document)
        self.records.domains.delete(owner, call.region, name)
        self.records.tags.delete(owner, call.region, document["arn"])
        return {"domain": {**described, "status": "Deleted"}}

    # ------------------------------------------------------------------ policies

    @operation("PutDomainPermissionsPolicy")
    def put_domain_permissions_policy(self, call: Call) -> Document:
        """Set the domain's policy."""
        document = self.records.domain(self.owner(call), call.region, call.input["domain"])
        return self._put_policy(call, document, "domain")

    @operation("GetDomainPermissionsPolicy")
    def get_domain_permissions_policy(self, call: Call) -> Document:
        """The domain's policy."""
        return self._get_policy(self.records.domain(self.owner(call), call.region, call.input["domain"]), "domain")

    @operation("DeleteDomainPermissionsPolicy")
    def delete_domain_permissions_policy(self, call: Call) -> Document:
        """Remove the domain's policy."""
        document = self.records.domain(self.owner(call), call.region, call.input["domain"])
        return self._delete_policy(call, document, "domain")

    @operation("PutRepositoryPermissionsPolicy")
    def put_repository_permissions_policy(self, call: Call) -> Document:
        """Set the repository's policy."""
        return self._put_policy(call, self.repository_of(call), "repository")

    @operation("GetRepositoryPermissionsPolicy")
    def get_repository_permissions_policy(self, call: Call) -> Document:
        """The repository's policy."""
        return self._get_policy(self.repository_of(call), "repository")

    @operation("DeleteRepositoryPermissionsPolicy")
    def delete_repository_permissions_policy(self, call: Call) -> Document:
        """Remove the repository's policy."""
        return self._delete_policy(call, self.repository_of(call), "repository")

    def _save(self, call: Call, document: Document, kind: str) -> None:
        if kind == "domain":
            self.records.domains.put(document["owner"], call.region, document["name"], document)
        else:
            key = f"{document['domainName']}/{document['name']}"
            self.records.repositories.put(document["domainOwner"], call.region, key, document)

    def _check_revision(self, call: Call, document: Document, kind: str) -> None:
        given = call.input.get("policyRevision")
        current = (document.get("policy") or {}).get("revision")
        if given and given != current:
            raise conflict(
                kind, document["name"], f"policyRevision '{given}' given, the current revision is '{current}'"
            )

    def _put_policy(self, call: Call, document: Document, kind: str) -> Document:
        self._check_revision(call, document, kind)
        try:
            policy = json.loads(call.input["policyDocument"])
        except ValueError as error:
            raise invalid(f"policyDocument is not JSON: {error}") from error
        if not isinstance(policy, dict) or not isinstance(policy.get("Statement"), list | dict):
            raise invalid("policyDocument has no Statement")
        document["policy"] = {
            "resourceArn": document["arn"],
            "revision": short_id(20),
            "document": call.input["policyDocument"],
        }
        self._save(call, document, kind)
        return {"policy": document["policy"]}

    def _get_policy(self, document: Document, kind: str) -> Document:
        if not document.get("policy"):
            raise missing(kind, document["name"], f"The {kind} '{document['name']}' has no permissions policy")
        return {"policy": document["policy"]}

    def _delete_policy(self, call: Call, document: Document, kind: str) -> Document:
        self._check_revision(call, document, kind)
        found = self._get_policy(document, kind)
        del document["policy"]
        self._save(call, document, kind)
        return found

    # ------------------------------------------------------------------ tags

    def _tag(self, call: Call, arn: str, tags: list[dict[str, str]]) -> None:
        owner = arn.split(":")[4]
        current = (self.records.tags.get(owner, call.region, arn) or {"tags": {}})["tags"]
        current.update({tag["key"]: tag["value"] for tag in tags})
        self.records.tags.put(owner, call.region, arn, {"tags": current})

    def _taggable(self, call: Call) -> str:
        arn = str(call.input["resourceArn"])
        kind, _, path = arn.split(":")[-1].partition("/")
        owner = arn.split(":")[4] if arn.count(":") >= 5 else ""
        tables = {
            "domain": self.records.domains,
            "repository": self.records.repositories,
            "package-group": self.records.groups,
        }
        table = tables.get(kind)
        if table is None or table.get(owner, call.region, path) is None:
            raise Fault("ResourceNotFoundException", f"Resource not found: {arn}", 404)
        return arn

    @operation("TagResource")
    def tag_resource(self, call: Call) -> Document:
        """Add or replace tags of a domain, repository or package group."""
        self._tag(call, self._taggable(call), call.input["tags"])
        return {}

    @operation("UntagResource")
    def untag_resource(self, call: Call) -> Document:
        """Remove tags."""
        arn = self._taggable(call)
        keys = set(call.input["tagKeys"])
        document = self.records.tags.get(arn.split(":")[4], call.region, arn) or {"tags": {}}
        kept = {key: value for key, value in document["tags"].items() if key not in keys}
        self.records.tags.put(arn.split(":")[4], call.region, arn, {"tags": kept})
        return {}

    @operation("ListTagsForResource")
    def list_tags_for_resource(self, call: Call) -> Document:
        """The tags of a domain, repository or package group."""
        arn = self._taggable(call)
        document = self.records.tags.get(arn.split(":")[4], call.region, arn) or {"tags": {}}
        return {"tags": [{"key": key, "value": value} for key, value in document["tags"].items()]}

    # ------------------------------------------------------------------ tokens

    @operation("GetAuthorizationToken")
    def get_authorization_token(self, call: Call) -> Document:
        """A token for the domain's package endpoints."""
        owner, domain = self.owner(call), call.input["domain"]
        self.records.domain(owner, call.region, domain)
        seconds = int(call.input.get("durationSeconds", _LONGEST_TOKEN))
        if seconds != 0 and not _SHORTEST_TOKEN <= seconds <= _LONGEST_TOKEN:
            raise invalid(
                f"durationSeconds is {seconds}; allowed: 0 (as long as the caller's credentials) or "
                f"{_SHORTEST_TOKEN} to {_LONGEST_TOKEN}"
            )
        # As AWS's begin: never with a dash, which a command line would take for an option.
        token = "eyJ" + secrets.token_urlsafe(192)
        # 0 means the rest of the caller's session, whose default length is an hour.
        expiration = (now() + timedelta(seconds=seconds or 3600)).replace(microsecond=0)
        self._forget_expired()
        self.records.tokens.put(
            owner, call.region, _digest(token),
            {"domain": domain, "expiration": expiration, "principal": call.principal, "account": call.account},
        )  # fmt: skip
        return {"authorizationToken": token, "expiration": expiration}

    def _forget_expired(self) -> None:
        moment = now()
        for owner, region, key, document in self.records.tokens.all():
            if document["expiration"] <= moment:
                self.records.tokens.delete(owner, region, key)

    def session(self, token: str) -> tuple[str, str, Document] | None:
        """(owner, region, record) of a token that is good, else None."""
        digest = _digest(token)
        for owner, region, key, document in self.records.tokens.all():
            if key == digest and document["expiration"] > now():
                return owner, region, document
        return None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
