"""The kinds of SageMaker resources that are guarded: how each is described, judged and ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.guard import facts


@dataclass(frozen=True)
class Kind:
    """One kind.

    Args:
        title: in a person's words.
        name: member that names it, in the request and in the answer of Describe.
        arn: member of Describe that holds its ARN.
        describe, end: boto3 methods.
        ended: what `end` makes of it, as a participle.
        facts: reads what matters from Describe's answer.
        status: member of Describe; none if it has no life of its own and can be ended at any time.
        active: states in which `end` works.
        busy: states in which it cannot be ended yet; a state change will be told.
    """

    title: str
    name: str
    arn: str
    describe: str
    end: str
    ended: str
    facts: Callable[[Mapping[str, Any], facts.Read], facts.Facts]
    status: str = ""
    active: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()


def _job(title: str, name: str, method: str, judge: Callable[[Mapping[str, Any], facts.Read], facts.Facts]) -> Kind:
    return Kind(
        title, f"{name}Name", f"{name}Arn", f"describe_{method}", f"stop_{method}", "stopped", judge,
        f"{name}Status", ("InProgress",),
    )  # fmt: skip


KINDS = (
    _job("training job", "TrainingJob", "training_job", facts.training_job),
    _job("processing job", "ProcessingJob", "processing_job", facts.processing_job),
    _job("transform job", "TransformJob", "transform_job", facts.transform_job),
    _job("tuning job", "HyperParameterTuningJob", "hyper_parameter_tuning_job", facts.tuning_job),
    Kind(
        "AutoML job", "AutoMLJobName", "AutoMLJobArn", "describe_auto_ml_job_v2", "stop_auto_ml_job", "stopped",
        facts.automl_job, "AutoMLJobStatus", ("InProgress",),
    ),
    Kind(
        "notebook instance", "NotebookInstanceName", "NotebookInstanceArn", "describe_notebook_instance",
        "stop_notebook_instance", "stopped", facts.notebook, "NotebookInstanceStatus", ("InService",),
        ("Pending", "Updating"),
    ),
    Kind("model", "ModelName", "ModelArn", "describe_model", "delete_model", "deleted", facts.model),
    Kind(
        "endpoint configuration", "EndpointConfigName", "EndpointConfigArn", "describe_endpoint_config",
        "delete_endpoint_config", "deleted", facts.endpoint_config,
    ),
    Kind(
        "endpoint", "EndpointName", "EndpointArn", "describe_endpoint", "delete_endpoint", "deleted", facts.endpoint,
        "EndpointStatus", ("InService", "Failed", "OutOfService"),
        ("Creating", "Updating", "SystemUpdating", "RollingBack"),
    ),
)  # fmt: skip
BY_TITLE = {kind.title: kind for kind in KINDS}

# CloudTrail's eventName → kind.
CALLS = {
    "CreateAutoMLJob": BY_TITLE["AutoML job"],
    "CreateAutoMLJobV2": BY_TITLE["AutoML job"],
    "CreateEndpoint": BY_TITLE["endpoint"],
    "CreateEndpointConfig": BY_TITLE["endpoint configuration"],
    "CreateHyperParameterTuningJob": BY_TITLE["tuning job"],
    "CreateModel": BY_TITLE["model"],
    "CreateNotebookInstance": BY_TITLE["notebook instance"],
    "CreateProcessingJob": BY_TITLE["processing job"],
    "CreateTrainingJob": BY_TITLE["training job"],
    "CreateTransformJob": BY_TITLE["transform job"],
    "UpdateEndpoint": BY_TITLE["endpoint"],
}
# Undoing an update would end an endpoint that serves: people decide what becomes of it.
REPORTED_ONLY = frozenset({"UpdateEndpoint"})
# EventBridge's detail-type → kind: what could not be ended while it was being made is ended when it has been.
STATE_CHANGES = {
    "SageMaker Endpoint State Change": BY_TITLE["endpoint"],
    "SageMaker Notebook Instance State Change": BY_TITLE["notebook instance"],
}
