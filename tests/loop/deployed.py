"""The policies of a played loop as they are deployed: of roles, of their boundaries, of resources."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError
from moto.iam.aws_managed_policies import aws_managed_policies_data

Document = dict[str, Any]
ACCOUNTS = ("111111111111", "222222222222", "333333333333")


@dataclass(frozen=True)
class Role:
    """A role with everything that decides what it may do."""

    arn: str
    identity: list[Document]
    boundary: list[Document] | None
    trust: Document
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]

    @property
    def name(self) -> str:
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class ResourcePolicy:
    """The policy of a resource; `required` where identity policies alone never suffice (keys, trust)."""

    document: Document | None
    owner: str
    required: bool = False


def _parsed(document: Any) -> Document:
    found: Document = json.loads(unquote(document)) if isinstance(document, str) else document
    return found


class Deployed:
    """Reads once, remembers. `client(account, service)` is an administrator's.

    `made` holds the tags with which SageMaker's resources were made, by ARN, for those that are gone.
    """

    def __init__(self, client: Callable[[str, str], Any], made: Mapping[str, dict[str, str]] | None = None) -> None:
        self.client = client
        self.made = made or {}
        self.role = functools.cache(self._role)
        self.policy = functools.cache(self._policy)
        self.tags = functools.cache(self._tags)
        self.aliases = functools.cache(self._aliases)
        self.bucket_key = functools.cache(self._bucket_key)
        self.bucket_owner = functools.cache(self._bucket_owner)

    def roles(self) -> list[Role]:
        """Every role of the three accounts."""
        found = []
        for account in ACCOUNTS:
            for page in self.client(account, "iam").get_paginator("list_roles").paginate():
                found += [self.role(account, role["RoleName"]) for role in page["Roles"]]
        return found

    def _role(self, account: str, name: str) -> Role:
        iam = self.client(account, "iam")
        role = iam.get_role(RoleName=name)["Role"]
        identity = [
            _parsed(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        identity += [self._managed(iam, policy["PolicyArn"]) for policy in attached]
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return Role(
            role["Arn"],
            identity,
            [self._managed(iam, boundary)] if boundary else None,
            _parsed(role["AssumeRolePolicyDocument"]),
            {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
        )

    def _managed(self, iam: Any, arn: str) -> Document:
        if arn.startswith("arn:aws:iam::aws:policy/"):  # AWS's own, which moto ships as data
            return _parsed(json.loads(aws_managed_policies_data)[arn.rsplit("/", 1)[-1]]["Document"])
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        return _parsed(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])

    # -- resources ------------------------------------------------------------------------------------------------

    def owner(self, resource: str) -> str:
        """The account of a resource; "" where it has none, as `*`."""
        if not resource.startswith("arn:"):
            return ""
        service, account, rest = (resource.split(":", 5)[index] for index in (2, 4, 5))
        return self.bucket_owner(rest.split("/")[0]) if service == "s3" else account

    def _bucket_owner(self, bucket: str) -> str:
        for account in ACCOUNTS:
            if any(found["Name"] == bucket for found in self.client(account, "s3").list_buckets()["Buckets"]):
                return account
        return ""

    def _bucket_key(self, bucket: str) -> str:
        """ARN of the key under which the bucket keeps what is put into it; "" for S3's own."""
        owner = self.bucket_owner(bucket)
        if not owner:
            return ""
        try:
            answer = self.client(owner, "s3").get_bucket_encryption(Bucket=bucket)
        except ClientError:
            return ""
        rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        return str(rule.get("KMSMasterKeyID", ""))

    def _policy(self, resource: str) -> ResourcePolicy | None:
        """The policy of the resource that an ARN names; None where its kind has none."""
        owner = self.owner(resource)
        if not owner:
            return None
        service, _, _, rest = resource.split(":", 5)[2:]
        read = _READERS.get((service, rest.split("/")[0] if service in ("codeartifact", "sagemaker", "iam") else ""))
        if read is None or rest.startswith("alias/"):
            return None
        try:
            return ResourcePolicy(read(self, owner, rest), owner, service in ("kms", "iam"))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if not any(word in code for word in ("NoSuch", "NotFound", "Validation")):
                raise
            return ResourcePolicy(None, owner, service in ("kms", "iam"))

    def _of_bucket(self, owner: str, rest: str) -> Document:
        return _parsed(self.client(owner, "s3").get_bucket_policy(Bucket=rest.split("/")[0])["Policy"])

    def _of_key(self, owner: str, rest: str) -> Document:
        kms = self.client(owner, "kms")
        return _parsed(kms.get_key_policy(KeyId=rest.split("/")[-1], PolicyName="default")["Policy"])

    def _of_role(self, owner: str, rest: str) -> Document:
        return self.role(owner, rest.rsplit("/", 1)[-1]).trust

    def _of_images(self, owner: str, rest: str) -> Document:
        name = rest.removeprefix("repository/")
        return _parsed(self.client(owner, "ecr").get_repository_policy(repositoryName=name)["policyText"])

    def _of_function(self, owner: str, rest: str) -> Document:
        return _parsed(self.client(owner, "lambda").get_policy(FunctionName=rest.split(":")[1])["Policy"])

    def _of_packages(self, owner: str, rest: str) -> Document:
        kind, domain, *name = rest.split("/")
        client = self.client(owner, "codeartifact")
        if kind == "domain":
            return _parsed(client.get_domain_permissions_policy(domain=domain)["policy"]["document"])
        answer = client.get_repository_permissions_policy(domain=domain, repository=name[0])
        return _parsed(answer["policy"]["document"])

    def _of_models(self, owner: str, rest: str) -> Document:
        group = rest.split("/")[1]
        client = self.client(owner, "sagemaker")
        return _parsed(client.get_model_package_group_policy(ModelPackageGroupName=group)["ResourcePolicy"])

    # -- tags and names -------------------------------------------------------------------------------------------

    def _tags(self, resource: str) -> dict[str, str]:
        """The tags of a resource. Only of the services whose tags a policy of the platform goes by."""
        owner, service = self.owner(resource), resource.split(":")[2]
        if service == "kms":
            found = self.client(owner, "kms").list_resource_tags(KeyId=resource)["Tags"]
            return {tag["TagKey"]: tag["TagValue"] for tag in found}
        if service == "sagemaker":
            try:
                found = self.client(owner, "sagemaker").list_tags(ResourceArn=resource)["Tags"]
            except ClientError:
                if resource not in self.made:
                    raise
                return self.made[resource]
            return {tag["Key"]: tag["Value"] for tag in found}
        if service == "codecommit":
            found = self.client(owner, "codecommit").list_tags_for_resource(resourceArn=resource)["tags"]
            return dict(found)
        if service in ("codeconnections", "codestar-connections"):
            found = self.client(owner, service).list_tags_for_resource(ResourceArn=resource)["Tags"]
            return {tag["Key"]: tag["Value"] for tag in found}
        raise NotImplementedError(f"a policy goes by the tags of {resource}: say here how they are read")

    def _aliases(self, key: str) -> list[str]:
        """The names of a key, as kms:ResourceAliases has them."""
        kms = self.client(self.owner(key), "kms")
        return [alias["AliasName"] for alias in kms.list_aliases(KeyId=key)["Aliases"]]


_READERS: dict[tuple[str, str], Callable[[Deployed, str, str], Document]] = {
    ("s3", ""): Deployed._of_bucket,
    ("kms", ""): Deployed._of_key,
    ("iam", "role"): Deployed._of_role,
    ("ecr", ""): Deployed._of_images,
    ("lambda", ""): Deployed._of_function,
    ("codeartifact", "domain"): Deployed._of_packages,
    ("codeartifact", "repository"): Deployed._of_packages,
    ("codeartifact", "package"): Deployed._of_packages,
    ("sagemaker", "model-package-group"): Deployed._of_models,
    ("sagemaker", "model-package"): Deployed._of_models,
}
