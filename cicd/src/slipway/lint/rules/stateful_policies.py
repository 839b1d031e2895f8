"""A resource that keeps something, and does not say what becomes of it."""

from __future__ import annotations

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

from slipway.lint.templates import resources

# cfn-lint's I3011 knows databases and buckets; these keep what cannot be made again, too. Nested stacks hold them.
STATEFUL = {
    "AWS::CloudFormation::Stack", "AWS::CloudTrail::EventDataStore", "AWS::CodeArtifact::Domain",
    "AWS::CodeArtifact::Repository", "AWS::CodeCommit::Repository", "AWS::Cognito::UserPool", "AWS::DynamoDB::Table",
    "AWS::ECR::Repository", "AWS::EFS::FileSystem", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::RDS::DBInstance",
    "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SageMaker::Domain", "AWS::SageMaker::FeatureGroup",
    "AWS::SageMaker::MlflowTrackingServer", "AWS::SageMaker::ModelPackageGroup", "AWS::SecretsManager::Secret",
}  # fmt: skip


class StatefulPolicies(CloudFormationLintRule):
    """Without the two policies a changed property or a deleted stack takes data with it."""

    id = "E3901"
    shortdesc = "Stateful resources say what becomes of them"
    description = "Resources that keep something have a DeletionPolicy and an UpdateReplacePolicy"
    tags = ["resources"]  # noqa: RUF012

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Stateful resources without one of the policies."""
        return [
            RuleMatch(path, f"{kind} {path[-1]} has no {policy}")
            for kind, resource, path in resources(cfn.template, *STATEFUL)
            for policy in ("DeletionPolicy", "UpdateReplacePolicy")
            if policy not in resource
        ]
