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
    RecordResource(
        "AIWorkloadConfig",
        ref=("AIWorkloadConfigArn",),
        attributes=("CreationTime",),
        replace=("AIWorkloadConfigName", "DatasetConfig", "AIWorkloadConfigs"),
    ),
    RecordResource(
        "Action",
        ref=("Arn",),
        attributes=("CreationTime", "LastModifiedTime"),
        replace=("ActionName", "ActionType", "Source", "MetadataProperties"),
    ),
    RecordResource(
        "Algorithm",
        ref=("AlgorithmArn",),
        attributes=("CreationTime",),
        replace=(
            "AlgorithmName",
            "AlgorithmDescription",
            "TrainingSpecification",
            "InferenceSpecification",
            "CertifyForMarketplace",
        ),
    ),
    RecordResource(
        "App",
        ref=("AppName", "AppType", "DomainId", "UserProfileName"),
        attributes=("AppArn", "BuiltInLifecycleConfigArn"),
        replace=("AppName", "AppType", "DomainId", "UserProfileName", "ResourceSpec"),
    ),
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
        "Cluster",
        ref=("ClusterArn",),
        attributes=("CreationTime", "ClusterStatus", "FailureMessage"),
        replace=("ClusterName", "VpcConfig", "Orchestrator/Eks"),
        name=("ClusterName", 63),
    ),
    RecordResource(
        "ClusterSchedulerConfig",
        ref=("ClusterSchedulerConfigArn",),
        attributes=("ClusterSchedulerConfigId", "ClusterSchedulerConfigVersion", "Status", "CreationTime"),
        replace=("Name", "ClusterArn"),
    ),
    RecordResource(
        "CodeRepository",
        ref=("CodeRepositoryArn",),
        attributes=("CodeRepositoryName",),
        replace=("CodeRepositoryName", "GitConfig/RepositoryUrl", "GitConfig/Branch"),
        name=("CodeRepositoryName", 63),
    ),
    RecordResource(
        "ComputeQuota",
        ref=("ComputeQuotaArn",),
        attributes=("ComputeQuotaId", "ComputeQuotaVersion", "Status", "CreationTime", "LastModifiedTime"),
        replace=("Name", "ClusterArn", "ComputeQuotaTarget/TeamName"),
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
        replace=(
            "JobDefinitionName",
            "DataQualityAppSpecification",
            "DataQualityBaselineConfig",
            "DataQualityJobInput",
            "DataQualityJobOutputConfig",
            "JobResources",
            "NetworkConfig",
            "RoleArn",
            "StoppingCondition",
            "Tags",
            "EndpointName",
        ),
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
    ),
    RecordResource(
        "EndpointConfig",
        ref=("EndpointConfigArn",),
        attributes=("EndpointConfigName",),
        replace=(
            "KmsKeyId",
            "AsyncInferenceConfig",
            "ExecutionRoleArn",
            "ShadowProductionVariants",
            "EnableNetworkIsolation",
            "ProductionVariants",
            "DataCaptureConfig",
            "ExplainerConfig",
            "MetricsConfig",
            "EndpointConfigName",
            "VpcConfig",
        ),
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
    RecordResource(
        "HumanTaskUi", ref=("HumanTaskUiArn",), attributes=("CreationTime",), replace=("HumanTaskUiName", "UiTemplate")
    ),
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
        "InferenceComponent",
        ref=("InferenceComponentArn",),
        attributes=("CreationTime", "LastModifiedTime", "FailureReason", "InferenceComponentStatus"),
        name=("InferenceComponentName", 63),
    ),
    RecordResource(
        "InferenceExperiment",
        ref=("Name",),
        attributes=("Arn", "CreationTime", "LastModifiedTime", "EndpointMetadata", "Status"),
        replace=("Name", "Type", "RoleArn", "EndpointName", "KmsKey"),
    ),
    RecordResource(
        "MlflowApp",
        ref=("Arn",),
        attributes=("MlflowAppId", "Status", "MlflowVersion", "CreationTime", "LastModifiedTime"),
        replace=("Name", "RoleArn"),
    ),
    RecordResource(
        "MlflowTrackingServer",
        ref=("TrackingServerName",),
        attributes=("TrackingServerArn",),
        replace=("TrackingServerName",),
    ),
    RecordResource(
        "Model",
        ref=("ModelArn",),
        attributes=("ModelName",),
        replace=(
            "ExecutionRoleArn",
            "EnableNetworkIsolation",
            "InferenceExecutionConfig",
            "PrimaryContainer",
            "ModelName",
            "VpcConfig",
            "Containers",
        ),
        name=("ModelName", 63),
    ),
    RecordResource(
        "ModelBiasJobDefinition",
        ref=("JobDefinitionArn",),
        attributes=("CreationTime",),
        replace=(
            "JobDefinitionName",
            "ModelBiasAppSpecification",
            "ModelBiasBaselineConfig",
            "ModelBiasJobInput",
            "ModelBiasJobOutputConfig",
            "JobResources",
            "NetworkConfig",
            "RoleArn",
            "StoppingCondition",
            "Tags",
            "EndpointName",
        ),
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
        replace=(
            "JobDefinitionName",
            "ModelExplainabilityAppSpecification",
            "ModelExplainabilityBaselineConfig",
            "ModelExplainabilityJobInput",
            "ModelExplainabilityJobOutputConfig",
            "JobResources",
            "NetworkConfig",
            "RoleArn",
            "StoppingCondition",
            "Tags",
            "EndpointName",
        ),
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
    ),
    RecordResource(
        "ModelPackageGroup",
        ref=("ModelPackageGroupArn",),
        attributes=("CreationTime", "ModelPackageGroupStatus"),
        replace=("ModelPackageGroupName", "ModelPackageGroupDescription"),
        after=put_group_policy,
    ),
    RecordResource(
        "ModelQualityJobDefinition",
        ref=("JobDefinitionArn",),
        attributes=("CreationTime",),
        replace=(
            "JobDefinitionName",
            "ModelQualityAppSpecification",
            "ModelQualityBaselineConfig",
            "ModelQualityJobInput",
            "ModelQualityJobOutputConfig",
            "JobResources",
            "NetworkConfig",
            "RoleArn",
            "StoppingCondition",
            "Tags",
            "EndpointName",
        ),
        name=("JobDefinitionName", 63),
    ),
    RecordResource(
        "MonitoringSchedule",
        ref=("MonitoringScheduleArn",),
        attributes=("CreationTime", "LastModifiedTime"),
        replace=("MonitoringScheduleName",),
    ),
    RecordResource(
        "NotebookInstance",
        ref=("NotebookInstanceArn",),
        attributes=("NotebookInstanceName",),
        replace=(
            "DirectInternetAccess",
            "KmsKeyId",
            "NotebookInstanceName",
            "PlatformIdentifier",
            "SecurityGroupIds",
            "SubnetId",
        ),
        name=("NotebookInstanceName", 63),
    ),
    RecordResource(
        "NotebookInstanceLifecycleConfig",
        ref=("NotebookInstanceLifecycleConfigArn",),
        attributes=("NotebookInstanceLifecycleConfigName",),
        replace=("NotebookInstanceLifecycleConfigName",),
        name=("NotebookInstanceLifecycleConfigName", 63),
    ),
    RecordResource(
        "PartnerApp",
        ref=("Arn",),
        attributes=("BaseUrl", "CurrentVersionEolDate"),
        replace=("Name", "Type", "ExecutionRoleArn", "AuthType", "KmsKeyId"),
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
        replace=(
            "AppSpecification",
            "Environment",
            "ExperimentConfig",
            "NetworkConfig",
            "ProcessingInputs",
            "ProcessingJobName",
            "ProcessingOutputConfig",
            "ProcessingResources",
            "RoleArn",
            "StoppingCondition",
            "Tags",
        ),
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
        replace=("StudioLifecycleConfigAppType", "StudioLifecycleConfigContent", "StudioLifecycleConfigName", "Tags"),
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
    ),
)
