"""The model registry: which versions of a project's model there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from slipway.errors import SlipwayError
from slipway.versions import Version


@dataclass(frozen=True)
class RegisteredModel:
    """A model package of a project's group, with what Slipway noted on it."""

    arn: str
    number: int
    approval: str
    metadata: Mapping[str, str]
    modified_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> Version:
        """V<tag>.<manual>.<auto>"""
        return Version.parse(self.metadata["version"])


def models(sagemaker: Any, group: str) -> Iterator[RegisteredModel]:
    """The models of a group that carry a version, newest first; each is asked for only when it is wanted."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending"
    )
    for page in pages:
        for item in page["ModelPackageSummaryList"]:
            model = describe(sagemaker, item["ModelPackageArn"])
            if "version" in model.metadata:
                yield model


def newest(sagemaker: Any, group: str, tag: int) -> RegisteredModel | None:
    """The newest model of a tag. Within a tag versions rise with time, so the first one found is the highest."""
    return next((model for model in models(sagemaker, group) if model.version.tag == tag), None)


def highest_tag(sagemaker: Any, group: str) -> int | None:
    """The tag of the newest model: tags only rise. None if there is no model yet."""
    found = next(models(sagemaker, group), None)
    return None if found is None else found.version.tag


def newest_approved(sagemaker: Any, group: str) -> RegisteredModel | None:
    """The approved model package that was made last, whatever its tag."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending"
    )
    arns = (item["ModelPackageArn"] for page in pages for item in page["ModelPackageSummaryList"])
    arn = next(arns, None)
    return None if arn is None else describe(sagemaker, arn)


def describe(sagemaker: Any, arn: str) -> RegisteredModel:
    """One model package."""
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    return RegisteredModel(
        arn=package["ModelPackageArn"],
        number=package.get("ModelPackageVersion", 0),
        approval=package["ModelApprovalStatus"],
        metadata=package.get("CustomerMetadataProperties", {}),
        modified_by=package.get("LastModifiedBy", {}),
    )


def report_uri(sagemaker: Any, arn: str) -> str:
    """Where the model's evaluation.json lies."""
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    try:
        return str(package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"])
    except KeyError:
        raise SlipwayError(f"model package {arn} names no evaluation report: was it registered by hand?") from None
