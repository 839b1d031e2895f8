"""What people would miss: everything in three accounts that holds data, and a digest or state of what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

ACCOUNTS = ("111111111111", "222222222222", "333333333333")
Client = Callable[[str, str], Any]
Found = Iterator[tuple[str, str]]


def data(client: Client) -> dict[str, str]:
    """Name of everything that holds data → what it holds. `client(account, service)` is an administrator's."""
    readers = (_objects, _commits, _packages, _models, _images, _keys, _parameters, _studio, _logs)
    return {
        f"{reader.__name__[1:]} {account} {name}": content
        for account in ACCOUNTS
        for reader in readers
        for name, content in reader(lambda service, of=account: client(of, service))
    }


def _pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page.get(key, [])


def _objects(client: Callable[[str], Any]) -> Found:
    """Every version of every object, by its digest."""
    s3 = client("s3")
    for bucket in (found["Name"] for found in s3.list_buckets()["Buckets"]):
        for one in _pages(s3, "list_object_versions", "Versions", Bucket=bucket):
            yield f"{bucket}/{one['Key']} {one['VersionId']}", f"{one['Size']} {one['ETag']}"


def _commits(client: Callable[[str], Any]) -> Found:
    """Every commit of every branch, by its tree."""
    codecommit = client("codecommit")
    for repository in (found["repositoryName"] for found in _pages(codecommit, "list_repositories", "repositories")):
        waiting = []
        for branch in _pages(codecommit, "list_branches", "branches", repositoryName=repository):
            about = codecommit.get_branch(repositoryName=repository, branchName=branch)["branch"]
            waiting.append(about["commitId"])
        seen: set[str] = set()
        while waiting:
            if (commit := waiting.pop()) in seen:
                continue
            seen.add(commit)
            found = codecommit.get_commit(repositoryName=repository, commitId=commit)["commit"]
            waiting += found["parents"]
            yield f"{repository} {commit}", found["treeId"]


def _packages(client: Callable[[str], Any]) -> Found:
    """Every version of every package, by the digests of its files."""
    artifacts = client("codeartifact")
    for domain in (found["name"] for found in _pages(artifacts, "list_domains", "domains")):
        for entry in _pages(artifacts, "list_repositories_in_domain", "repositories", domain=domain):
            where = {"domain": domain, "repository": entry["name"]}
            for package in _pages(artifacts, "list_packages", "packages", **where):
                what = {**where, "format": package["format"], "package": package["package"]}
                for version in _pages(artifacts, "list_package_versions", "versions", **what):
                    files = _pages(
                        artifacts, "list_package_version_assets", "assets", **what, packageVersion=version["version"]
                    )
                    digests = sorted(f"{file['name']} {file['hashes'].get('SHA-256')}" for file in files)
                    name = f"{entry['name']} {package['package']} {version['version']}"
                    yield name, f"{version['status']} {' '.join(digests)}"


def _models(client: Callable[[str], Any]) -> Found:
    """Registered versions with their approval, image and artefact; jobs and executions that made them."""
    sagemaker = client("sagemaker")
    for group in _pages(sagemaker, "list_model_package_groups", "ModelPackageGroupSummaryList"):
        name = group["ModelPackageGroupName"]
        for entry in _pages(sagemaker, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=name):
            found = sagemaker.describe_model_package(ModelPackageName=entry["ModelPackageArn"])
            container = found["InferenceSpecification"]["Containers"][0]
            said = (found["ModelApprovalStatus"], found.get("CustomerMetadataProperties"), container["Image"])
            yield entry["ModelPackageArn"], f"{said} {container['ModelDataUrl']}"
    for job in _pages(sagemaker, "list_training_jobs", "TrainingJobSummaries"):
        yield job["TrainingJobArn"], job["TrainingJobStatus"]
    for pipeline in _pages(sagemaker, "list_pipelines", "PipelineSummaries"):
        for run in _pages(
            sagemaker, "list_pipeline_executions", "PipelineExecutionSummaries", PipelineName=pipeline["PipelineName"]
        ):
            yield run["PipelineExecutionArn"], run["PipelineExecutionStatus"]


def _images(client: Callable[[str], Any]) -> Found:
    ecr = client("ecr")
    for name in (found["repositoryName"] for found in _pages(ecr, "describe_repositories", "repositories")):
        for image in _pages(ecr, "describe_images", "imageDetails", repositoryName=name):
            yield f"{name}@{image['imageDigest']}", str(sorted(image.get("imageTags", [])))


def _keys(client: Callable[[str], Any]) -> Found:
    """Keys with their state, and which key each alias names."""
    kms = client("kms")
    for key in (found["KeyId"] for found in _pages(kms, "list_keys", "Keys")):
        yield key, kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    for alias in _pages(kms, "list_aliases", "Aliases"):
        yield alias["AliasName"], alias.get("TargetKeyId", "")


def _parameters(client: Callable[[str], Any]) -> Found:
    """Parameters by their name alone: what they say follows the release."""
    for one in _pages(client("ssm"), "get_parameters_by_path", "Parameters", Path="/", Recursive=True):
        yield one["Name"], "there"


def _studio(client: Callable[[str], Any]) -> Found:
    """Studio's domain with its file system, and everybody's home in it."""
    sagemaker = client("sagemaker")
    for domain in (found["DomainId"] for found in _pages(sagemaker, "list_domains", "Domains")):
        yield domain, sagemaker.describe_domain(DomainId=domain)["HomeEfsFileSystemId"]
        for user in _pages(sagemaker, "list_user_profiles", "UserProfiles", DomainIdEquals=domain):
            name = user["UserProfileName"]
            about = sagemaker.describe_user_profile(DomainId=domain, UserProfileName=name)
            yield f"{domain}/{name}", about["HomeEfsFileSystemUid"]
        for space in _pages(sagemaker, "list_spaces", "Spaces", DomainIdEquals=domain):
            about = sagemaker.describe_space(DomainId=domain, SpaceName=space["SpaceName"])
            yield f"{domain}/{space['SpaceName']}", about["Status"]


def _logs(client: Callable[[str], Any]) -> Found:
    """Every stream of every log group, by when it was made."""
    logs = client("logs")
    for group in (found["logGroupName"] for found in _pages(logs, "describe_log_groups", "logGroups")):
        for stream in _pages(logs, "describe_log_streams", "logStreams", logGroupName=group):
            yield f"{group} {stream['logStreamName']}", str(stream["creationTime"])


__all__ = ["ACCOUNTS", "data"]
