"""CloudFormation types of SageMaker's records.

Ref, attributes and what makes a replacement are those of AWS's resource provider schemas (primaryIdentifier,
readOnlyProperties, createOnlyProperties); a test compares the table with the schemas that cfn-lint ships. A type whose
kind needs behaviour is served once a plug-in gives it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from localcloud.core.cfn import Properties, ResourceContext, ResourceType
from localcloud.records import PlugIn
from localcloud.records.cfn import RecordResource, resource_type
from localcloud.services.sagemaker.catalogue import KINDS
from localcloud.services.sagemaker.endpoints import endpoint_ready


def put_group_policy(context: ResourceContext, found: dict[str, Any], properties: Properties) -> None:
    """A group's policy is a property of the group in CloudFormation, and a resource policy in the API."""
    policy = properties.get("ModelPackageGroupPolicy")
    client = context.client("sagemaker")
    name = found["ModelPackageGroupName"]
    if policy:
        text = policy if isinstance(policy, str) else json.dumps(policy)
        client.put_model_package_group_policy(ModelPackageGroupName=name, ResourcePolicy=text)
        return
    try:
        client.delete_model_package_group_policy(ModelPackageGroupName=name)
    except client.exceptions.ClientError as error:
        if "Cannot find resource policy" not in str(error):
            raise


def resource_types(plug_ins: Sequence[type[PlugIn]]) -> tuple[ResourceType, ...]:
    """The types of all kinds that can be created with these plug-ins."""
    kinds = {kind.name: kind for kind in (*KINDS, *(kind for part in plug_ins for kind in part.kinds))}
    alive = {
        kind
        for part in plug_ins
        for attribute in dir(part)
        for kind, point in getattr(getattr(part, attribute, None), "__record_hooks__", ())
        if point == "after_create"
    }
    return tuple(
        resource_type("sagemaker", "AWS::SageMaker", kinds[declared.kind], declared)
        for declared in TABLE
        if not kinds[declared.kind].acts or declared.kind in alive
    )


TABLE: tuple[RecordResource, ...] = (
    RecordResource("AIWorkloadConfig", ref=("AIWorkloadConfigArn",), attributes=("CreationTime",)),
    RecordResource(
        "Action",
        ref=("Arn",),
        attributes=("CreationTime", "LastModifiedTime"),
        replace=("ActionName", "ActionType", "Source", "MetadataProperties"),
    ),
    RecordResource("Algorithm", ref=("AlgorithmArn",), attributes=("CreationTime",)),
    RecordResource(
        "AppImageConfig",
        ref=("AppImageConfigName",),
        attributes=("AppImageConfigArn",),
        replace=("AppImageConfigName",),
    ),
    RecordResource(
        "Artifact",
        ref=("Arn",),
        attributes=("CreationTime", "LastModifiedTime"),
        replace=("ArtifactType", "Source", "MetadataProperties"),
        name=("ArtifactName", 63),
    ),
    RecordResource(
        "CodeRepository",
        ref=("CodeRepositoryArn",),
        attributes=("CodeRepositoryName",),
        replace=("CodeRepositoryName", "GitConfig/RepositoryUrl", "GitConfig/Branch"),
        name=("CodeRepositoryName", 63),
    ),
    RecordResource(
        "Context",
        ref=("Arn",),
        attributes=("CreationTime", "LastModifiedTime"),
        replace=("ContextName", "ContextType", "Source"),
    ),
    RecordResource(
        "DataQualityJobDefinition",
        ref=("JobDefinitionArn",),
        attributes=("CreationTime",),
        replace=("Tags",),
        name=("JobDefinitionName", 63),
    ),
    RecordResource("DeviceFleet", ref=("DeviceFleetName",), replace=("DeviceFleetName",)),
    RecordResource(
        "Domain",
        ref=("DomainId",),
        attributes=(
            "DomainArn",
            "Url",
            "HomeEfsFileSystemId",
            "SecurityGroupIdForDomainBoundary",
            "SingleSignOnManagedApplicationInstanceId",
            "SingleSignOnApplicationArn",
        ),
        replace=(
            "AuthMode",
            "DomainName",
            "DomainSettings/RStudioServerProDomainSettings/DefaultResourceSpec",
            "KmsKeyId",
        ),
    ),
    RecordResource(
        "Endpoint",
        ref=("EndpointArn",),
        attributes=("EndpointName",),
        replace=("EndpointName",),
        name=("EndpointName", 63),
        ready=endpoint_ready,
    ),
    RecordResource(
        "EndpointConfig",
        ref=("EndpointConfigArn",),
        attributes=("EndpointConfigName",),
        name=("EndpointConfigName", 63),
    ),
    RecordResource(
        "Experiment", ref=("Arn",), attributes=("CreationTime", "LastModifiedTime"), replace=("ExperimentName",)
    ),
    RecordResource(
        "FeatureGroup",
        ref=("FeatureGroupName",),
        attributes=("CreationTime", "FeatureGroupStatus"),
        replace=(
            "FeatureGroupName",
            "RecordIdentifierFeatureName",
            "EventTimeFeatureName",
            "OnlineStoreConfig/SecurityConfig",
            "OnlineStoreConfig/EnableOnlineStore",
            "OnlineStoreConfig/StorageType",
            "OfflineStoreConfig",
            "RoleArn",
            "Description",
            "Tags",
        ),
    ),
    RecordResource(
        "Hub",
        ref=("HubArn",),
        attributes=("HubStatus", "CreationTime", "LastModifiedTime"),
        replace=("HubName", "S3StorageConfig"),
    ),
    RecordResource("HumanTaskUi", ref=("HumanTaskUiArn",), attributes=("CreationTime",)),
    RecordResource(
        "Image",
        ref=("ImageArn",),
        replace=("ImageName",),
        rename={"ImageDescription": "Description", "ImageDisplayName": "DisplayName", "ImageRoleArn": "RoleArn"},
    ),
    RecordResource(
        "ImageVersion",
        ref=("ImageVersionArn",),
        attributes=("ImageArn", "Version", "ContainerImage"),
        replace=("ImageName", "BaseImage"),
        rename={"Alias": ""},
    ),
    RecordResource(
        "InferenceExperiment",
        ref=("Name",),
        attributes=("Arn", "CreationTime", "LastModifiedTime", "EndpointMetadata", "Status"),
        replace=("Name", "Type", "RoleArn", "EndpointName", "KmsKey"),
    ),
    RecordResource(
        "MlflowTrackingServer",
        ref=("TrackingServerName",),
        attributes=("TrackingServerArn",),
        replace=("TrackingServerName",),
    ),
    RecordResource("Model", ref=("ModelArn",), attributes=("ModelName",), name=("ModelName", 63)),
    RecordResource(
        "ModelBiasJobDefinition",
        ref=("JobDefinitionArn",),
        attributes=("CreationTime",),
        replace=("Tags",),
        name=("JobDefinitionName", 63),
    ),
    RecordResource(
        "ModelCard",
        ref=("ModelCardName",),
        attributes=(
            "ModelCardArn",
            "ModelCardVersion",
            "CreationTime",
            "LastModifiedTime",
            "ModelCardProcessingStatus",
        ),
        replace=("ModelCardName", "SecurityConfig"),
    ),
    RecordResource(
        "ModelExplainabilityJobDefinition",
        ref=("JobDefinitionArn",),
        attributes=("CreationTime",),
        replace=("Tags",),
        name=("JobDefinitionName", 63),
    ),
    RecordResource(
        "ModelPackage",
        ref=("ModelPackageArn",),
        attributes=("CreationTime", "LastModifiedTime", "ModelPackageStatus"),
        replace=(
            "ModelPackageGroupName",
            "ModelPackageDescription",
            "InferenceSpecification",
            "ValidationSpecification",
            "SourceAlgorithmSpecification",
            "MetadataProperties",
            "ModelMetrics",
            "ClientToken",
            "DriftCheckBaselines",
            "Domain",
            "Task",
            "SamplePayloadUrl",
            "SecurityConfig",
        ),
        ask={"ModelPackageArn": "ModelPackageName"},
    ),
    RecordResource(
        "ModelPackageGroup",
        ref=("ModelPackageGroupArn",),
        attributes=("CreationTime", "ModelPackageGroupStatus"),
        beside=("ModelPackageGroupPolicy",),
        after=put_group_policy,
    ),
    RecordResource(
        "ModelQualityJobDefinition",
        ref=("JobDefinitionArn",),
        attributes=("CreationTime",),
        replace=("Tags",),
        name=("JobDefinitionName", 63),
    ),
    RecordResource(
        "MonitoringSchedule",
        ref=("MonitoringScheduleArn",),
        attributes=("CreationTime", "LastModifiedTime"),
        replace=("MonitoringScheduleName",),
    ),
    RecordResource(
        "NotebookInstanceLifecycleConfig",
        ref=("NotebookInstanceLifecycleConfigArn",),
        attributes=("NotebookInstanceLifecycleConfigName",),
        replace=("NotebookInstanceLifecycleConfigName",),
        name=("NotebookInstanceLifecycleConfigName", 63),
    ),
    RecordResource("Pipeline", ref=("PipelineName",), replace=("PipelineName",), unpack="PipelineDefinition"),
    RecordResource(
        "ProcessingJob",
        ref=("ProcessingJobArn",),
        attributes=(
            "TrainingJobArn",
            "AutoMLJobArn",
            "ExitMessage",
            "FailureReason",
            "MonitoringScheduleArn",
            "ProcessingJobStatus",
            "CreationTime",
            "LastModifiedTime",
            "ProcessingStartTime",
            "ProcessingEndTime",
        ),
        replace=("Tags",),
        name=("ProcessingJobName", 63),
    ),
    RecordResource(
        "Project",
        ref=("ProjectArn",),
        attributes=("CreationTime", "ProjectId", "ProjectStatus"),
        replace=(
            "ProjectName",
            "ProjectDescription",
            "ServiceCatalogProvisioningDetails",
            "TemplateProviderDetails",
            "Tags",
        ),
        rename={
            "TemplateProviderDetails": "TemplateProviders",
            "CfnTemplateProviderDetail": "CfnTemplateProvider",
            "TemplateUrl": "TemplateURL",
            "RoleArn": "RoleARN",
        },
    ),
    RecordResource(
        "Space",
        ref=("DomainId", "SpaceName"),
        attributes=("SpaceArn", "Url"),
        replace=("DomainId", "SpaceName", "SpaceSharingSettings", "OwnershipSettings"),
    ),
    RecordResource(
        "StudioLifecycleConfig",
        ref=("StudioLifecycleConfigName",),
        attributes=("StudioLifecycleConfigArn",),
        replace=("Tags",),
    ),
    RecordResource(
        "TrialComponent",
        ref=("TrialComponentArn",),
        attributes=("CreationTime", "LastModifiedTime", "LineageGroupArn"),
        replace=("TrialComponentName", "MetadataProperties"),
    ),
    RecordResource(
        "UserProfile",
        ref=("UserProfileName", "DomainId"),
        attributes=("UserProfileArn",),
        replace=(
            "DomainId",
            "UserProfileName",
            "UserSettings/RStudioServerProAppSettings/AccessStatus",
            "SingleSignOnUserIdentifier",
            "SingleSignOnUserValue",
            "UserSettings/RStudioServerProAppSettings/UserGroup",
        ),
    ),
    RecordResource(
        "Workforce", ref=("WorkforceArn",), attributes=("SubDomain",), replace=("WorkforceName", "CognitoConfig")
    ),
    RecordResource(
        "Workteam",
        ref=("WorkteamArn",),
        attributes=("WorkteamName",),
        replace=("WorkteamName", "WorkforceName"),
        name=("WorkteamName", 63),
        rename={
            "CognitoUserPool": "UserPool",
            "CognitoUserGroup": "UserGroup",
            "CognitoClientId": "ClientId",
            "OidcGroups": "Groups",
        },
    ),
)
