"""The kinds of SageMaker's resources, in alphabetical order. What is not said follows from the service model."""

from __future__ import annotations

import string

from localcloud.records import Kind, made_id

_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"
_UNIQUE = "{kind} names must be unique within an AWS account and region. {kind} with name ({name}) already exists."
_UNKNOWN = "{kind} '{arn}' does not exist."
_NO_JOB = "Could not find requested job with name: {name}"
_TAKEN_JOB = "Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
_NO_DETAILS: dict[str, list[str]] = {"ValidationStatuses": [], "ImageScanStatuses": []}


def _job(name: str, words: str = "", arn: str = "", identity: tuple[str, ...] = ()) -> Kind:
    """A job: it runs, so it needs behaviour."""
    return Kind(name, acts=True, words=words, arn=arn, identity=identity, missing=_NO_JOB, exists=_TAKEN_JOB)


def _definition(analysis: str) -> Kind:
    """One of the four definitions of monitoring jobs."""
    endpoint = f"{analysis}JobInput.EndpointInput.EndpointName || ''"
    return Kind(
        f"{analysis}JobDefinition",
        filters={"EndpointName": endpoint},
        summary={
            "MonitoringJobDefinitionName": "JobDefinitionName",
            "MonitoringJobDefinitionArn": "JobDefinitionArn",
            "EndpointName": endpoint,
        },
        missing="Job Definition {arn} does not exist",
    )


KINDS: tuple[Kind, ...] = (
    _job("AIBenchmarkJob"),
    _job("AIRecommendationJob"),
    Kind("AIWorkloadConfig"),
    Kind("Action", filters={"SourceUri": "Source.SourceUri"}, missing=_UNKNOWN, exists=_UNIQUE),
    Kind("Algorithm", status="Completed", defaults={"AlgorithmStatusDetails": _NO_DETAILS}),
    Kind(
        "App",
        identity=("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName"),
        arn="app/{DomainId}/{UserProfileName}{SpaceName}/{AppType}/{AppName}",
        acts=True,
        parents=("Domain",),
    ),
    Kind("AppImageConfig", missing="AppImageConfig with name {name} does not exist."),
    Kind(
        "Artifact",
        made={"_Id": made_id(length=32, alphabet=_HEX)},
        arn="artifact/{_Id}",
        filters={"SourceUri": "Source.SourceUri"},
        missing=_UNKNOWN,
    ),
    _job("AutoMLJob", words="AutoML job", arn="automl-job/{AutoMLJobName}"),
    _job("AutoMLJobV2", words="AutoML job", arn="automl-job/{AutoMLJobName}"),
    Kind("Cluster", acts=True, made={"_Id": made_id()}, arn="cluster/{_Id}"),
    Kind("ClusterSchedulerConfig", acts=True, made={"ClusterSchedulerConfigId": made_id()}),
    Kind("CodeRepository", missing="Cannot find CodeRepository: {arn}", exists="Code Repository already exists: {arn}"),
    _job("CompilationJob"),
    Kind("ComputeQuota", acts=True, made={"ComputeQuotaId": made_id()}),
    Kind("Context", filters={"SourceUri": "Source.SourceUri"}, missing=_UNKNOWN, exists=_UNIQUE),
    _definition("DataQuality"),
    Kind("DeviceFleet", missing="No devicefleet with name {name} exists in this account and region."),
    Kind(
        "Domain",
        made={"DomainId": made_id("d-")},
        status="InService",
        merge=("DefaultUserSettings", "DefaultSpaceSettings", "DomainSettings"),
        missing="Domain [{name}] does not exist.",
    ),
    Kind("EdgeDeploymentPlan", acts=True, arn="edge-deployment/{EdgeDeploymentPlanName}"),
    _job("EdgePackagingJob"),
    Kind("Endpoint", acts=True),
    Kind("EndpointConfig", words="endpoint configuration"),
    Kind("Experiment", summary={"ExperimentSource": "Source"}, missing=_UNKNOWN, exists=_UNIQUE),
    Kind(
        "FeatureGroup",
        status="Created",
        shown={"NextToken": "''"},
        missing="Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name {name}",
        exists="Resource Already Exists: FeatureGroup with name {name} already exists. Choose a different name.",
        filters={"OfflineStoreStatusEquals": "OfflineStoreStatus.Status"},
    ),
    Kind("FlowDefinition", status="Active"),
    Kind("Hub", status="InService"),
    Kind("HumanTaskUi", status="Active"),
    Kind(
        "HyperParameterTuningJob",
        acts=True,
        words="hyperparameter tuning job",
        summary={
            "Strategy": "HyperParameterTuningJobConfig.Strategy",
            "ResourceLimits": "HyperParameterTuningJobConfig.ResourceLimits",
        },
        missing="Amazon SageMaker can't find a tuning job with the name {name}.",
        exists=_TAKEN_JOB,
    ),
    Kind("Image", status="CREATED", missing="No Image with the name {name} found."),
    Kind(
        "ImageVersion",
        identity=("ImageName", "Version"),
        arn="image-version/{ImageName}/{Version}",
        status="CREATED",
        parents=("Image",),
        missing="No ImageVersion with the name {name} found.",
    ),
    Kind("InferenceComponent", acts=True),
    Kind("InferenceExperiment", acts=True),
    _job("InferenceRecommendationsJob"),
    _job("Job", arn="job/{JobCategory}/{JobName}", identity=("JobCategory", "JobName")),
    _job("LabelingJob"),
    Kind("MlflowApp", acts=True, made={"_Id": made_id("app-", alphabet=_UPPER)}, arn="mlflow-app/{_Id}"),
    Kind("MlflowTrackingServer", acts=True, status="Creating", status_member="TrackingServerStatus"),
    Kind("Model"),
    _definition("ModelBias"),
    Kind("ModelCard", defaults={"ModelCardVersion": 1}, missing="ModelCard with name {name} does not exist"),
    Kind(
        "ModelCardExportJob",
        acts=True,
        arn="model-card/{ModelCardName}/export-job/{ModelCardExportJobName}",
    ),
    _definition("ModelExplainability"),
    Kind(
        "ModelPackage",
        identity=("ModelPackageArn",),
        arn="model-package/{ModelPackageName}",
        status="Completed",
        defaults={"ModelPackageStatusDetails": _NO_DETAILS, "CertifyForMarketplace": False},
        missing="ModelPackage {arn} does not exist.",
        exists="Model Package already exists: {arn}",
    ),
    Kind(
        "ModelPackageGroup",
        status="Completed",
        missing="ModelPackageGroup {arn} does not exist.",
        exists="Model Package Group already exists: {arn}",
    ),
    _definition("ModelQuality"),
    Kind("MonitoringSchedule", acts=True),
    Kind("NotebookInstance", acts=True, missing="RecordNotFound"),
    Kind("NotebookInstanceLifecycleConfig", missing="RecordNotFound"),
    _job("OptimizationJob"),
    Kind("PartnerApp", acts=True, made={"_Id": made_id("app-", alphabet=_UPPER)}, arn="partner-app/{_Id}"),
    Kind("Pipeline", status="Active", missing=_UNKNOWN, exists=_UNIQUE, exists_code="ValidationException"),
    Kind(
        "PipelineExecution",
        create="-",
        identity=("PipelineExecutionArn",),
        arn="pipeline/{PipelineName}/execution/{_Id}",
        missing="Pipeline execution with ARN '{arn}' does not exist.",
    ),
    _job("ProcessingJob"),
    Kind("Project", acts=True, made={"ProjectId": made_id("p-")}, missing="Project {name} does not exist."),
    Kind(
        "Space",
        status="InService",
        parents=("Domain",),
        merge=("SpaceSettings",),
        summary={
            "SpaceSettingsSummary": "SpaceSettings",
            "SpaceSharingSettingsSummary": "SpaceSharingSettings",
            "OwnershipSettingsSummary": "OwnershipSettings",
        },
    ),
    Kind("StudioLifecycleConfig", filters={"AppTypeEquals": "StudioLifecycleConfigAppType"}),
    Kind(
        "TrainingJob",
        acts=True,
        missing="Requested resource not found.",
        missing_code="ValidationException",
        exists="Training job names must be unique within an AWS account and region, and a training job with this name "
        "already exists ({arn})",
    ),
    Kind("TrainingPlan", acts=True),
    _job("TransformJob"),
    Kind(
        "Trial",
        arn="experiment-trial/{TrialName}",
        parents=("Experiment",),
        summary={"TrialSource": "Source"},
        missing=_UNKNOWN,
        exists=_UNIQUE,
    ),
    Kind(
        "TrialComponent",
        arn="experiment-trial-component/{TrialComponentName}",
        summary={"TrialComponentSource": "Source"},
        missing=_UNKNOWN,
        exists=_UNIQUE,
    ),
    Kind("UserProfile", status="InService", parents=("Domain",), merge=("UserSettings",)),
    Kind("Workforce", status="Active", missing="No workforce found with name {name}."),
    Kind(
        "Workteam",
        arn="workteam/private-crowd/{WorkteamName}",
        missing="The work team {name} does not exist.",
    ),
)
