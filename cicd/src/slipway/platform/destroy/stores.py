"""What keeps data: buckets, images, packages, repositories, logs, parameters, keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.platform.destroy.items import Item, Place, gone, many, pages, tags_of

# S3 takes so many keys in one request, SSM so many names.
KEYS_AT_ONCE = 1000
NAMES_AT_ONCE = 10
# Access logs and trails are delivered for some time after what they tell of.
EMPTYING_SECONDS = 600.0


def buckets(place: Place, wanted: Callable[[str], bool]) -> list[Item]:
    """The platform's buckets in this region whose name is wanted."""
    s3 = place.client("s3")
    end = f"-{place.account}-{place.region}"
    found = []
    for bucket in pages(s3, "list_buckets", "Buckets"):
        name = bucket["Name"]
        ours = name.startswith(f"{place.namespace}-") and name.endswith((end, f"{end}-staging", f"{end}-production"))
        if not ours or not wanted(name):
            continue
        answer = gone(partial(s3.get_bucket_tagging, Bucket=name))
        if place.owns(name, tags_of((answer or {}).get("TagSet"))):
            page = gone(partial(s3.list_object_versions, Bucket=name, MaxKeys=KEYS_AT_ONCE)) or {}
            count = len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))
            detail = many(count, "object version", more=bool(page.get("IsTruncated")))
            remove = partial(remove_bucket, place, name, unlock=name == f"{place.namespace}-audit{end}")
            found.append(Item("bucket", name, remove, detail, data=True))
    return found


def remove_bucket(
    place: Place, name: str, *, unlock: bool = False, clock: Callable[[], float] = time.monotonic
) -> None:
    """Empty a bucket of every version, delete marker and unfinished upload, and delete it.

    `unlock` takes its policy away first: that of the audit's records lets nobody delete.
    """
    s3 = place.client("s3")
    if unlock:
        gone(partial(s3.delete_bucket_policy, Bucket=name))
    deadline = clock() + EMPTYING_SECONDS
    while True:
        empty(place, name)
        try:
            gone(partial(s3.delete_bucket, Bucket=name))
            return
        except ClientError as error:
            if error.response["Error"].get("Code") != "BucketNotEmpty" or clock() > deadline:
                raise
            place.progress.beat(f"bucket {name}: something was delivered meanwhile; emptying it again")
            place.sleep(2)


def empty(place: Place, name: str) -> None:
    """Delete every version, delete marker and unfinished upload."""
    s3 = place.client("s3")
    deleted = 0
    while True:
        page = gone(partial(s3.list_object_versions, Bucket=name, MaxKeys=KEYS_AT_ONCE))
        if page is None:
            return
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not entries:
            break
        keys = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
        answer = s3.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
        if errors := answer.get("Errors"):
            first = errors[0]
            raise SlipwayError(
                f"bucket {name}: {many(len(errors), 'object')} cannot be deleted, the first is {first.get('Key')}: "
                f"{first.get('Code')}: {first.get('Message')}. A legal hold or retention ends by its own date only; "
                "otherwise give your role s3:DeleteObjectVersion and run the command again"
            )
        deleted += len(keys)
        place.progress.beat(f"bucket {name}: {many(deleted, 'object version')} deleted")
    for upload in pages(s3, "list_multipart_uploads", "Uploads", Bucket=name):
        gone(partial(s3.abort_multipart_upload, Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"]))


def images(place: Place) -> list[Item]:
    """The platform's image repositories, with what they hold."""
    ecr = place.client("ecr")
    found = []
    for repository in pages(ecr, "describe_repositories", "repositories"):
        name = repository["repositoryName"]
        if not name.startswith(f"{place.namespace}/"):
            continue
        if not place.owns(name, tags_of(ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"])):
            continue
        count = sum(1 for _ in pages(ecr, "list_images", "imageIds", repositoryName=name))
        remove = partial(gone, partial(ecr.delete_repository, repositoryName=name, force=True))
        found.append(Item("image repository", name, remove, many(count, "image"), data=True))
    return found


def packages(place: Place) -> list[Item]:
    """The platform's package domain with its repositories."""
    codeartifact = place.client("codeartifact")
    found = []
    for domain in pages(codeartifact, "list_domains", "domains"):
        tags = tags_of(codeartifact.list_tags_for_resource(resourceArn=domain["arn"])["tags"])
        if place.owns(domain["name"], tags):
            names = [
                repository["name"]
                for repository in pages(
                    codeartifact, "list_repositories_in_domain", "repositories", domain=domain["name"]
                )
            ]
            remove = partial(_remove_domain, codeartifact, domain["name"])
            found.append(Item("package domain", domain["name"], remove, ", ".join(sorted(names)), data=True))
    return found


def _remove_domain(codeartifact: Any, domain: str) -> None:
    names = [
        repository["name"]
        for repository in pages(codeartifact, "list_repositories_in_domain", "repositories", domain=domain)
    ]
    for name in names:  # one that is another's upstream cannot be deleted
        gone(partial(codeartifact.update_repository, domain=domain, repository=name, upstreams=[]))
    for name in names:
        gone(partial(codeartifact.delete_repository, domain=domain, repository=name))
    gone(partial(codeartifact.delete_domain, domain=domain))


def repositories(place: Place) -> list[Item]:
    """The git repositories of the platform and its projects: their names do not say whose they are, their tags do."""
    codecommit = place.client("codecommit")
    found = []
    for entry in pages(codecommit, "list_repositories", "repositories"):
        name = entry["repositoryName"]
        about = codecommit.get_repository(repositoryName=name)["repositoryMetadata"]
        tags = tags_of(codecommit.list_tags_for_resource(resourceArn=about["Arn"])["tags"])
        if tags.get("Namespace") == place.namespace:
            remove = partial(gone, partial(codecommit.delete_repository, repositoryName=name))
            found.append(Item("git repository", name, remove, data=True))
    return found


def logs(place: Place) -> list[Item]:
    """The platform's log groups, also those that a service made anew after the stack's was deleted."""
    client = place.client("logs")
    found = []
    for group in pages(client, "describe_log_groups", "logGroups"):
        name = group["logGroupName"]
        if place.namespace not in name:
            continue
        arn = group["arn"].removesuffix(":*")
        answer = gone(partial(client.list_tags_for_resource, resourceArn=arn)) or {}
        if place.owns(name, tags_of(answer.get("tags"))):
            remove = partial(gone, partial(client.delete_log_group, logGroupName=name))
            size = group.get("storedBytes", 0)
            found.append(Item("log group", name, remove, f"{size / 1e6:.1f} MB", data=True))
    return found


def parameters(place: Place) -> list[Item]:
    """Parameters that no stack holds any more."""
    ssm = place.client("ssm")
    names = [
        item["Name"]
        for item in pages(ssm, "get_parameters_by_path", "Parameters", Path=f"/{place.namespace}/", Recursive=True)
        if item["Name"] not in place.held
    ]
    if not names:
        return []

    def remove() -> None:
        for start in range(0, len(names), NAMES_AT_ONCE):
            ssm.delete_parameters(Names=names[start : start + NAMES_AT_ONCE])

    return [Item("parameters", f"/{place.namespace}/", remove, many(len(names), "parameter"))]


def keys(place: Place) -> list[Item]:
    """The platform's keys. AWS deletes a key after days of waiting, in which it can still be rescued."""
    kms = place.client("kms")
    found = []
    for entry in pages(kms, "list_keys", "Keys"):
        about = kms.describe_key(KeyId=entry["KeyId"])["KeyMetadata"]
        if about["KeyManager"] != "CUSTOMER" or about["KeyState"] in {"PendingDeletion", "PendingReplicaDeletion"}:
            continue
        answer = kms.list_resource_tags(KeyId=entry["KeyId"])
        if tags_of(answer.get("Tags")).get("Namespace") != place.namespace:
            continue
        remove = partial(
            gone, partial(kms.schedule_key_deletion, KeyId=entry["KeyId"], PendingWindowInDays=place.key_days)
        )
        detail = f"{about.get('Description', '')}; deleted in {place.key_days} days".lstrip("; ")
        found.append(Item("key", entry["KeyId"], remove, detail, data=True))
    return found


def aliases(place: Place) -> list[Item]:
    """Names of keys that no stack holds any more."""
    kms = place.client("kms")
    start = f"alias/{place.namespace}/"
    return [
        Item("key alias", alias["AliasName"], partial(gone, partial(kms.delete_alias, AliasName=alias["AliasName"])))
        for alias in pages(kms, "list_aliases", "Aliases")
        if alias["AliasName"].startswith(start)
    ]
