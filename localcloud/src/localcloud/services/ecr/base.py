"""What ECR's operations share: repositories of this and of other accounts, the images in them."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.core import Call, Cloud, Fault, Service

Document = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A repository that a call names: whose registry, and its record."""

    account: str
    region: str
    name: str
    record: Document

    @property
    def arn(self) -> str:
        """The repository's ARN."""
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{self.name}"


class EcrBase(Service):
    """State and access."""

    name = "ecr"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.repositories = cloud.store.table("ecr.repository")
        self.images = cloud.store.table("ecr.image")
        self.registries = cloud.store.table("ecr.registry")

    def place(self, call: Call, name: str | None = None) -> Place:
        """The repository of a call, which its own account may always use, another one by the repository's policy.

        Raises:
            Fault: RepositoryNotFoundException, AccessDeniedException.
        """
        account = call.input.get("registryId") or call.account
        name = name or call.input["repositoryName"]
        record = self.repositories.get(account, call.region, name)
        if record is None:
            raise Fault(
                "RepositoryNotFoundException",
                f"The repository with name '{name}' does not exist in the registry with id '{account}'",
            )
        found = Place(account, call.region, name, record)
        self._admit(call, found)
        return found

    def _admit(self, call: Call, place: Place) -> None:
        if place.account == call.account:
            return
        policy, base = place.record.get("policy"), self.cloud.base
        action = f"ecr:{call.operation}"
        if policy and base is not None and base.identities.resource_policy_allows(
            policy, principal=call.principal, account=call.account, region=call.region, action=action,
            resource=place.arn,
        ):  # fmt: skip
            return
        raise Fault(
            "AccessDeniedException",
            f"User: {call.principal} is not authorized to perform: {action} on resource: {place.arn} "
            f"because no resource-based policy allows the {action} action",
        )

    def listed(self, place: Place) -> list[Document]:
        """The images of a repository, oldest first."""
        documents = self.images.list(place.account, place.region)
        return [image for image in documents if image["repository"] == place.name]

    def find(self, place: Place, image_id: Mapping[str, Any]) -> Document | None:
        """An image by digest, by tag, or by both where they agree."""
        digest, tag = image_id.get("imageDigest"), image_id.get("imageTag")
        if digest:
            image = self.images.get(place.account, place.region, key(place.name, digest))
            return image if image is None or not tag or tag in image["tags"] else None
        return next((image for image in self.listed(place) if tag in image["tags"]), None)

    def need(self, place: Place, image_id: Mapping[str, Any]) -> Document:
        """The same, which has to be there.

        Raises:
            Fault: ImageNotFoundException.
        """
        image = self.find(place, image_id)
        if image is None:
            digest, tag = image_id.get("imageDigest", "null"), image_id.get("imageTag", "null")
            raise Fault(
                "ImageNotFoundException",
                f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the "
                f"repository with name '{place.name}' in the registry with id '{place.account}'",
            )
        return image

    def save(self, place: Place, image: Document) -> None:
        """Keep an image's record."""
        self.images.put(place.account, place.region, key(place.name, image["digest"]), image)

    def emit_image_action(self, place: Place, action: str, digest: str, tag: str | None) -> None:
        """ "ECR Image Action" as EventBridge gets it on a push and on a delete."""
        detail = {"result": "SUCCESS", "repository-name": place.name, "image-digest": digest, "action-type": action}
        if tag:
            detail["image-tag"] = tag
        self.cloud.emit(
            source="aws.ecr", detail_type="ECR Image Action", detail=detail, resources=[], account=place.account,
            region=place.region,
        )  # fmt: skip


def key(repository: str, digest: str) -> str:
    """An image's key in the store."""
    return f"{repository}@{digest}"


def image_id(image: Document, tag: str | None = None) -> Document:
    """An ImageIdentifier."""
    return {"imageDigest": image["digest"], **({"imageTag": tag} if tag else {})}


def is_immutable(repository: Document, tag: str) -> bool:
    """Whether a tag, once given, may not be moved. Exclusion filters turn the repository's setting round."""
    setting = str(repository["imageTagMutability"])
    filters = repository.get("imageTagMutabilityExclusionFilters") or []
    excluded = any(fnmatch.fnmatchcase(tag, item["filter"]) for item in filters)
    immutable = setting.startswith("IMMUTABLE")
    return immutable != (setting.endswith("_WITH_EXCLUSION") and excluded)


def check_policy(text: str) -> None:
    """A repository policy has to be a policy document without Resource.

    Raises:
        Fault: InvalidParameterException.
    """

    def invalid(reason: str) -> Fault:
        return Fault(
            "InvalidParameterException",
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: "
            f"'Invalid repository policy provided': {reason}",
        )

    try:
        document = json.loads(text)
    except ValueError as error:
        raise invalid(f"it is not JSON: {error}") from None
    statements = document.get("Statement") if isinstance(document, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise invalid("Statement is missing")
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            raise invalid("Effect must be Allow or Deny")
        if not ({"Principal", "NotPrincipal"} & set(statement)):
            raise invalid("a statement needs a Principal")
        if not ({"Action", "NotAction"} & set(statement)):
            raise invalid("a statement needs an Action")
        if "Resource" in statement:
            raise invalid("Resource is not allowed: the policy is about the repository that it is set on")
