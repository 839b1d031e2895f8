"""Nothing that the templates make grows without end, and everything says who pays for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slipway.platform.destroy import machine_learning, people, stores
from tests.templates.library import Template, templates

ALL = templates()
# Type that a template may retain → what removes it in `slipway platform destroy`.
REMOVED_BY = {
    "AWS::CodeArtifact::Domain": stores.packages,
    "AWS::CodeArtifact::Repository": stores.packages,
    "AWS::CodeCommit::Repository": stores.repositories,
    "AWS::Cognito::UserPool": people.user_pools,
    "AWS::ECR::Repository": stores.images,
    "AWS::KMS::Key": stores.keys,
    "AWS::Logs::LogGroup": stores.logs,
    "AWS::S3::Bucket": stores.buckets,
    "AWS::S3::BucketPolicy": stores.buckets,  # goes with its bucket
    "AWS::SageMaker::Domain": machine_learning.domains,
    "AWS::SageMaker::MlflowTrackingServer": machine_learning.records,
    "AWS::SageMaker::ModelPackageGroup": machine_learning.model_versions,
}


def endless(template: Template) -> Iterator[str]:
    """What keeps data and says nothing of its end."""
    for name, properties in template.of("AWS::S3::Bucket"):
        rules = properties.get("LifecycleConfiguration", {}).get("Rules", [])
        enabled = [rule for rule in rules if rule.get("Status") == "Enabled"]
        if not any("NoncurrentVersionExpiration" in rule or "ExpirationInDays" in rule for rule in enabled):
            yield f"{template.name}: {name} forgets nothing"
        if not any("AbortIncompleteMultipartUpload" in rule for rule in enabled):
            yield f"{template.name}: {name} keeps unfinished uploads"
    for name, properties in template.of("AWS::ECR::Repository"):
        if "LifecyclePolicyText" not in properties.get("LifecyclePolicy", {}):
            yield f"{template.name}: {name} keeps every image"
    for name, properties in template.of("AWS::Logs::LogGroup"):
        if "RetentionInDays" not in properties:
            yield f"{template.name}: {name} keeps logs for ever"


@pytest.mark.parametrize("template", ALL, ids=lambda template: template.name)
def test_nothing_grows_without_end(template: Template) -> None:
    """Protects the bill from storage that nobody looks at."""
    assert not (found := list(endless(template))), "\n".join(found)


@pytest.mark.parametrize("kind", ["AWS::S3::Bucket", "AWS::ECR::Repository", "AWS::Logs::LogGroup"])
def test_what_grows_without_end_is_found(kind: str) -> None:
    """Shows that the test above can fail."""
    assert list(endless(Template("planted.yaml", f"Resources: {{Store: {{Type: '{kind}', Properties: {{}}}}}}")))


def test_what_templates_retain_is_removed_by_destroy() -> None:
    """Protects `make destroy`: a type that outlives its stack needs a remover; extend destroy/ for a new one."""
    retained = {
        resource["Type"]
        for template in ALL
        for resource in template.resources.values()
        if str(resource.get("DeletionPolicy", "")).startswith("Retain")
    }
    assert retained
    assert not (left := sorted(retained - set(REMOVED_BY))), f"no remover in slipway.platform.destroy for {left}"
