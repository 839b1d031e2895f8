"""What an action of CodePipeline takes.

Source: CodePipeline User Guide, "Action structure reference", one page a provider.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Configuration:
    """The configuration keys of an action type."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()


def _of(required: str, optional: str = "") -> Configuration:
    return Configuration(frozenset(required.split()), frozenset(optional.split()))


_CODEBUILD = _of("ProjectName", "PrimarySource BatchEnabled CombineArtifacts EnvironmentVariables BuildspecOverride")

# (category, provider) → keys. Providers that are not here are left alone.
ACTIONS: dict[tuple[str, str], Configuration] = {
    ("Source", "CodeCommit"): _of("RepositoryName BranchName", "PollForSourceChanges OutputArtifactFormat"),
    ("Source", "S3"): _of("S3Bucket S3ObjectKey", "PollForSourceChanges AllowOverrideForS3ObjectKey"),
    ("Source", "ECR"): _of("RepositoryName", "ImageTag"),
    ("Source", "CodeStarSourceConnection"): _of(
        "ConnectionArn FullRepositoryId BranchName", "OutputArtifactFormat DetectChanges"
    ),
    ("Build", "CodeBuild"): _CODEBUILD,
    ("Test", "CodeBuild"): _CODEBUILD,
    ("Build", "ECRBuildAndPublish"): _of("ECRRepositoryName", "DockerFilePath ImageTags RegistryType"),
    ("Approval", "Manual"): _of("", "NotificationArn CustomData ExternalEntityLink"),
    ("Deploy", "CloudFormation"): _of(
        "ActionMode StackName",
        "Capabilities ChangeSetName RoleArn TemplatePath OutputFileName ParameterOverrides TemplateConfiguration",
    ),
    ("Deploy", "CloudFormationStackSet"): _of(
        "StackSetName TemplatePath",
        "Description Parameters Capabilities PermissionModel AdministrationRoleArn ExecutionRoleName "
        "OrganizationsAutoDeployment DeploymentTargets Regions FailureTolerancePercentage MaxConcurrentPercentage "
        "CallAs ConcurrencyMode",
    ),
    ("Deploy", "CloudFormationStackInstances"): _of(
        "StackSetName Regions",
        "DeploymentTargets ParameterOverrides FailureTolerancePercentage MaxConcurrentPercentage CallAs "
        "ConcurrencyMode",
    ),
    ("Deploy", "S3"): _of("BucketName Extract", "ObjectKey KMSEncryptionKeyARN CannedACL CacheControl"),
    ("Deploy", "ServiceCatalog"): _of(
        "TemplateFilePath ProductVersionName ProductType ProductId",
        "ProductVersionDescription ConfigurationFilePath",
    ),
    ("Invoke", "Lambda"): _of("FunctionName", "UserParameters"),
    ("Invoke", "StepFunctions"): _of("StateMachineArn", "ExecutionNamePrefix InputType Input"),
    ("Invoke", "CodePipeline"): _of("PipelineName", "SourceRevisions Variables"),
}
