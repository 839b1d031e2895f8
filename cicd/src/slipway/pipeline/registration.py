"""The registration of a model: what the registry keeps of it, from the commit to the figures."""

from __future__ import annotations

from typing import Any

from slipway.pipeline import jobs
from slipway.pipeline.card import card, plain
from slipway.pipeline.constraints import constraints
from slipway.pipeline.plan import PAGE, REGISTER, REPORT, Plan

CONTENT_TYPES = ["text/csv", "application/json"]
JSON = "application/json"
STATISTICS, CONSTRAINTS = "statistics.json", "constraints.json"
_DEFAULT_TRANSFORM = "ml.m5.large"


def register(plan: Plan, session: Any, parameters: dict[str, Any], model: Any, evaluate: Any, report: Any) -> Any:
    """The step that makes the model package: pending approval, with its figures, its card and where it comes from."""
    from types import SimpleNamespace

    from sagemaker.core.model_registry import create_model_package_from_containers
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.retry import StepExceptionTypeEnum, StepRetryPolicy

    project = plan.project
    batch = project.serving.transform
    metrics, baselines = _metrics(plan, evaluate)
    page = _join(jobs.uri(evaluate, "evaluation"), PAGE)
    # ModelBuilder.register() would add a job that packs the model again. The SDK's own composition of the request is
    # used one level below it; what ModelStep wants of a "model" is only its session.
    session.init_model_step_arguments(SimpleNamespace(sagemaker_session=session))
    create_model_package_from_containers(
        session,
        containers=[{"Image": plan.images["inference"], "ModelDataUrl": model}],
        content_types=CONTENT_TYPES,
        response_types=CONTENT_TYPES,
        inference_instances=None if project.serving.mode == "batch" else _instances(plan),
        transform_instances=[batch.instance_type if batch is not None else _DEFAULT_TRANSFORM],
        model_package_group_name=plan.place.model_package_group,
        model_metrics=metrics,
        drift_check_baselines=baselines,
        approval_status="PendingManualApproval",
        description=plain(project.description) or None,
        metadata_properties={
            "CommitId": parameters["CommitId"],
            "Repository": plan.place.repository or project.project,
            "GeneratedBy": ExecutionVariables.PIPELINE_EXECUTION_ARN,
        },
        customer_metadata_properties={
            "version": parameters["ModelVersion"],
            "commit": parameters["CommitId"],
            "cause": parameters["Cause"],
            "data": parameters["DataUri"],
            "data-version": parameters["DataVersion"],
            "problem": project.problem,
            **({"framework": project.framework} if project.framework else {}),
            **({"algorithm": jobs.training_image(plan)} if project.training.algorithm else {}),
            **{f"image-{name}": image for name, image in sorted(plan.images.items())},
            "report": page,
        },
        model_card={"ModelCardContent": card(plan, parameters, evaluate, report, page), "ModelCardStatus": "Draft"},
    )
    context, session.context = session.context, None
    retry = StepRetryPolicy(
        exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
        interval_seconds=5,
        max_attempts=5,
    )
    return ModelStep(name=REGISTER, step_args=context, retry_policies=[retry])


def _join(*parts: Any) -> Any:
    from sagemaker.core.workflow.functions import Join

    return Join(on="/", values=list(parts))


def _source(uri: Any) -> dict[str, Any]:
    return {"ContentType": JSON, "S3Uri": uri}


def _metrics(plan: Plan, evaluate: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """ModelMetrics and DriftCheckBaselines: the same files, since a new model is its own baseline."""
    found = {
        "ModelQuality": {
            "Statistics": _source(_join(jobs.uri(evaluate, "evaluation"), REPORT)),
            "Constraints": _source(f"s3://{plan.place.bucket}/{constraints(plan.project).key}"),
        }
    }
    if plan.project.monitoring.baseline:
        baseline = jobs.uri(evaluate, "baseline")
        found["ModelDataQuality"] = {
            "Statistics": _source(_join(baseline, STATISTICS)),
            "Constraints": _source(_join(baseline, CONSTRAINTS)),
        }
    return found, found


def _instances(plan: Plan) -> list[str]:
    """Instance types that the model may be served on: those that project.yaml names."""
    return sorted({plan.project.serving.of("staging")[0], plan.project.serving.of("production")[0]})
