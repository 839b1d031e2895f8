"""Repositories: their settings, policies and tags."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Call, Conflict, Fault, now, operation, paginate
from localcloud.services.ecr import lifecycle
from localcloud.services.ecr.base import Document, EcrBase, Place, check_policy

_SHOWN = (
    "repositoryArn", "registryId", "repositoryName", "repositoryUri", "createdAt", "imageTagMutability",
    "imageTagMutabilityExclusionFilters", "imageScanningConfiguration", "encryptionConfiguration",
)  # fmt: skip
_ARN = re.compile(r"arn:aws:ecr:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):repository/(?P<name>.+)")
_TOKEN_HOURS = 12
_TAG_LIMIT = 50


class Repositories(EcrBase):
    """The operations on repositories."""

    @operation("CreateRepository")
    def create_repository(self, call: Call) -> Document:
        """Create."""
        given, name = call.input, call.input["repositoryName"]
        mutability = _mutability(given)
        tags = {tag["Key"]: tag.get("Value", "") for tag in given.get("tags", [])}
        if len(tags) > _TAG_LIMIT:
            raise Fault("TooManyTagsException", f"A repository may have {_TAG_LIMIT} tags; given: {len(tags)}")
        record = {
            "repositoryArn": f"arn:aws:ecr:{call.region}:{call.account}:repository/{name}",
            "registryId": call.account,
            "repositoryName": name,
            "repositoryUri": f"{call.account}.dkr.ecr.{call.region}.amazonaws.com/{name}",
            "createdAt": now(),
            **mutability,
            "imageScanningConfiguration": {
                "scanOnPush": bool(given.get("imageScanningConfiguration", {}).get("scanOnPush"))
            },
            "encryptionConfiguration": self._encryption(call, given.get("encryptionConfiguration")),
            "tags": tags,
        }
        try:
            self.repositories.insert(call.account, call.region, name, record)
        except Conflict:
            raise Fault(
                "RepositoryAlreadyExistsException",
                f"The repository with name '{name}' already exists in the registry with id '{call.account}'",
            ) from None
        return {"repository": _shown(record)}

    def _encryption(self, call: Call, given: Document | None) -> Document:
        if not given or given["encryptionType"] == "AES256":
            if given and given.get("kmsKey"):
                raise Fault("InvalidParameterException", "kmsKey needs encryptionType KMS or KMS_DSSE; given: AES256")
            return {"encryptionType": "AES256"}
        wanted = given.get("kmsKey")
        if not wanted:
            managed = f"arn:aws:kms:{call.region}:{call.account}:alias/aws/ecr"
            return {"encryptionType": given["encryptionType"], "kmsKey": managed}
        try:
            kms = self.cloud.client("kms", account=call.account, region=call.region)
            found = kms.describe_key(KeyId=wanted)["KeyMetadata"]["Arn"]
        except ClientError as error:
            reason = error.response["Error"]["Message"]
            raise Fault("KmsException", f"The key '{wanted}' cannot be used: {reason}") from error
        return {"encryptionType": given["encryptionType"], "kmsKey": found}

    @operation("DescribeRepositories")
    def describe_repositories(self, call: Call) -> Document:
        """All, or those that are named."""
        names = call.input.get("repositoryNames")
        if names:
            return {"repositories": [_shown(self.place(call, name).record) for name in names]}
        if call.input.get("registryId", call.account) != call.account:
            raise Fault("AccessDeniedException", f"{call.principal} may not list the registry of another account")
        records = sorted(self.repositories.list(call.account, call.region), key=lambda item: item["repositoryName"])
        page, token = paginate(records, call.input, error="InvalidParameterException")
        return {"repositories": [_shown(record) for record in page], "nextToken": token}

    @operation("DeleteRepository")
    def delete_repository(self, call: Call) -> Document:
        """Delete; with images in it only by force."""
        place = self.place(call)
        with self.cloud.store.transaction():
            images = self.listed(place)
            if images and not call.input.get("force"):
                raise Fault(
                    "RepositoryNotEmptyException",
                    f"The repository with name '{place.name}' in registry with id '{place.account}' cannot be deleted "
                    "because it still contains images",
                )
            for image in images:
                self.images.delete(place.account, place.region, f"{place.name}@{image['digest']}")
            self.repositories.delete(place.account, place.region, place.name)
        return {"repository": _shown(place.record)}

    @operation("PutImageTagMutability")
    def put_image_tag_mutability(self, call: Call) -> Document:
        """Set whether tags may be moved."""
        place, setting = self.place(call), _mutability(call.input)

        def change(record: Document) -> Document:
            record.pop("imageTagMutabilityExclusionFilters", None)
            return {**record, **setting}

        self.repositories.update(place.account, place.region, place.name, change)
        return {**_named(place), **setting}

    @operation("PutImageScanningConfiguration")
    def put_image_scanning_configuration(self, call: Call) -> Document:
        """Set whether images are scanned when pushed."""
        place = self.place(call)
        setting = {"scanOnPush": bool(call.input["imageScanningConfiguration"].get("scanOnPush"))}
        self._set(place, "imageScanningConfiguration", setting)
        return {**_named(place), "imageScanningConfiguration": setting}

    # Policies

    @operation("SetRepositoryPolicy")
    def set_repository_policy(self, call: Call) -> Document:
        """Who else may use the repository."""
        place, text = self.place(call), call.input["policyText"]
        check_policy(text)
        self._set(place, "policy", text)
        return {**_named(place), "policyText": text}

    @operation("GetRepositoryPolicy")
    def get_repository_policy(self, call: Call) -> Document:
        """The policy."""
        place = self.place(call)
        return {**_named(place), "policyText": self._policy(place)}

    @operation("DeleteRepositoryPolicy")
    def delete_repository_policy(self, call: Call) -> Document:
        """Remove the policy."""
        place = self.place(call)
        text = self._policy(place)
        self._set(place, "policy", None)
        return {**_named(place), "policyText": text}

    def _policy(self, place: Place) -> str:
        text = place.record.get("policy")
        if not text:
            raise Fault(
                "RepositoryPolicyNotFoundException",
                f"Repository policy does not exist for the repository with name '{place.name}' in the registry with "
                f"id '{place.account}'",
            )
        return str(text)

    @operation("PutLifecyclePolicy")
    def put_lifecycle_policy(self, call: Call) -> Document:
        """Which images expire."""
        place, text = self.place(call), call.input["lifecyclePolicyText"]
        lifecycle.check(text)
        self._set(place, "lifecycle", {"text": text, "evaluated_at": None})
        return {**_named(place), "lifecyclePolicyText": text}

    @operation("GetLifecyclePolicy")
    def get_lifecycle_policy(self, call: Call) -> Document:
        """The lifecycle policy, and when it was last applied."""
        place = self.place(call)
        found = self.lifecycle_of(place)
        return {**_named(place), "lifecyclePolicyText": found["text"], "lastEvaluatedAt": found["evaluated_at"]}

    @operation("DeleteLifecyclePolicy")
    def delete_lifecycle_policy(self, call: Call) -> Document:
        """Remove the lifecycle policy."""
        place = self.place(call)
        found = self.lifecycle_of(place)
        self._set(place, "lifecycle", None)
        return {**_named(place), "lifecyclePolicyText": found["text"], "lastEvaluatedAt": found["evaluated_at"]}

    def lifecycle_of(self, place: Place) -> Document:
        """The lifecycle policy's record.

        Raises:
            Fault: LifecyclePolicyNotFoundException.
        """
        found: Document | None = place.record.get("lifecycle")
        if not found:
            raise Fault(
                "LifecyclePolicyNotFoundException",
                f"Lifecycle policy does not exist for the repository with name '{place.name}' in the registry with "
                f"id '{place.account}'",
            )
        return found

    def _set(self, place: Place, member: str, value: Any) -> None:
        self.repositories.update(place.account, place.region, place.name, lambda record: {**record, member: value})

    # Tags

    @operation("TagResource")
    def tag_resource(self, call: Call) -> Document:
        """Add tags."""
        place = self._by_arn(call)
        tags = {**place.record["tags"], **{tag["Key"]: tag.get("Value", "") for tag in call.input["tags"]}}
        if len(tags) > _TAG_LIMIT:
            raise Fault("TooManyTagsException", f"A repository may have {_TAG_LIMIT} tags; these would be {len(tags)}")
        self._set(place, "tags", tags)
        return {}

    @operation("UntagResource")
    def untag_resource(self, call: Call) -> Document:
        """Remove tags."""
        place = self._by_arn(call)
        gone = set(call.input["tagKeys"])
        self._set(place, "tags", {name: value for name, value in place.record["tags"].items() if name not in gone})
        return {}

    @operation("ListTagsForResource")
    def list_tags_for_resource(self, call: Call) -> Document:
        """The tags."""
        tags = self._by_arn(call).record["tags"]
        return {"tags": [{"Key": name, "Value": value} for name, value in tags.items()]}

    def _by_arn(self, call: Call) -> Place:
        arn = call.input["resourceArn"]
        match = _ARN.fullmatch(arn)
        if match is None or match["account"] != call.account or match["region"] != call.region:
            raise Fault(
                "InvalidParameterException",
                f"Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN': {arn}; expected "
                f"arn:aws:ecr:{call.region}:{call.account}:repository/NAME",
            )
        return self.place(call, match["name"])

    # The registry

    @operation("GetAuthorizationToken")
    def get_authorization_token(self, call: Call) -> Document:
        """A password for `docker login`."""
        data = []
        for account in call.input.get("registryIds") or [call.account]:
            token = base64.b64encode(f"AWS:{secrets.token_urlsafe(48)}".encode()).decode()
            endpoint = f"https://{account}.dkr.ecr.{call.region}.amazonaws.com"
            expires = now() + timedelta(hours=_TOKEN_HOURS)
            data.append({"authorizationToken": token, "expiresAt": expires, "proxyEndpoint": endpoint})
        return {"authorizationData": data}

    @operation("DescribeRegistry")
    def describe_registry(self, call: Call) -> Document:
        """The account's registry."""
        return {"registryId": call.account, "replicationConfiguration": {"rules": []}}

    @operation("GetRegistryScanningConfiguration")
    def get_registry_scanning_configuration(self, call: Call) -> Document:
        """Basic scanning, as each repository says."""
        return {"registryId": call.account, "scanningConfiguration": {"scanType": "BASIC", "rules": []}}

    @operation("PutRegistryPolicy")
    def put_registry_policy(self, call: Call) -> Document:
        """Keep the registry's policy, which is about replication and pull-through caches."""
        self.registries.put(call.account, call.region, "policy", {"text": call.input["policyText"]})
        return {"registryId": call.account, "policyText": call.input["policyText"]}

    @operation("GetRegistryPolicy")
    def get_registry_policy(self, call: Call) -> Document:
        """The registry's policy."""
        return {"registryId": call.account, "policyText": self._registry_policy(call)}

    @operation("DeleteRegistryPolicy")
    def delete_registry_policy(self, call: Call) -> Document:
        """Remove the registry's policy."""
        text = self._registry_policy(call)
        self.registries.delete(call.account, call.region, "policy")
        return {"registryId": call.account, "policyText": text}

    def _registry_policy(self, call: Call) -> str:
        found = self.registries.get(call.account, call.region, "policy")
        if found is None:
            raise Fault(
                "RegistryPolicyNotFoundException",
                f"Registry policy does not exist in the registry with id '{call.account}'",
            )
        return str(found["text"])


def _shown(record: Document) -> Document:
    return {name: record[name] for name in _SHOWN if record.get(name) is not None}


def _named(place: Place) -> Document:
    return {"registryId": place.account, "repositoryName": place.name}


def _mutability(given: Document) -> Document:
    setting = given.get("imageTagMutability", "MUTABLE")
    filters = given.get("imageTagMutabilityExclusionFilters")
    if bool(filters) != setting.endswith("_WITH_EXCLUSION"):
        raise Fault(
            "InvalidParameterException",
            "imageTagMutabilityExclusionFilters go with imageTagMutability IMMUTABLE_WITH_EXCLUSION or "
            f"MUTABLE_WITH_EXCLUSION; given: {setting} with {len(filters or [])} filters",
        )
    return {"imageTagMutability": setting, **({"imageTagMutabilityExclusionFilters": filters} if filters else {})}
