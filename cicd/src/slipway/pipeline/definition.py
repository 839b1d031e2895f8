"""The definition of a project's SageMaker pipeline: Preprocess ▸ Train ▸ Evaluate ▸ quality gate ▸ Register.

Steps run image entry points, so that no code is uploaded and the same plan yields the same bytes: step caching works.
Nothing that differs from one build to the next (version, commit, cause) goes into a job; it goes into pipeline
parameters, which only the registration reads. The one exception is DataVersion, a fingerprint of the dataset, which the
cached steps must see: SageMaker compares the address of an input, not what lies there.
"""

from __future__ import annotations

import json
from typing import Any

from slipway.configuration.model import Bound, Job
from slipway.pipeline import session as sdk_session
from slipway.pipeline.plan import REGISTER, REPORT, Plan, arguments, gate_sentence, hyperparameters

CACHE = "P30D"
CONTENT_TYPES = ["text/csv", "application/json"]
PROCESSING = "/opt/ml/processing"


def definition(plan: Plan, boto_session: Any) -> str:
    """The definition as JSON; the same plan gives the same bytes. Takes seconds: it imports the SageMaker SDK."""
    session = sdk_session.make(boto_session, plan.place.bucket)
    from sagemaker.mlops.workflow.pipeline import Pipeline

    parameters = _parameters(plan)
    preprocess = _preprocess(plan, session, parameters)
    train = _train(plan, session, preprocess)
    evaluate, report = _evaluate(plan, session, preprocess, train)
    register = _register(plan, session, parameters, train, evaluate)
    pipeline = Pipeline(
        name=plan.place.name,
        parameters=list(parameters.values()),
        steps=[preprocess, train, evaluate, _gate(plan, evaluate, report, register)],
        sagemaker_session=session,
        # The pipeline would make an experiment and a trial for every execution.
        pipeline_experiment_config=None,
    )
    text = pipeline.definition()
    # The SDK writes null for what is not configured; what is not there cannot be refused.
    return json.dumps({key: value for key, value in json.loads(text).items() if value is not None})


def _parameters(plan: Plan) -> dict[str, Any]:
    from sagemaker.core.workflow.parameters import ParameterString

    defaults = {
        "ModelVersion": None,
        "CommitId": None,
        "Cause": "manual",
        "DataUri": plan.data_uri,
        "DataVersion": None,
    }
    return {name: ParameterString(name=name, default_value=default) for name, default in defaults.items()}


def _output_uri(plan: Plan, *parts: str) -> Any:
    """Below the execution's own prefix, so that executions never write over each other."""
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join

    start = f"s3://{plan.place.bucket}/pipeline"
    return Join(on="/", values=[start, ExecutionVariables.PIPELINE_EXECUTION_ID, *parts])


def _environment(plan: Plan, job: Job) -> dict[str, Any]:
    return {"SLIPWAY_PROJECT": plan.project.project, "SLIPWAY_TARGET": plan.project.data.target, **job.environment}


def _tags(plan: Plan) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(plan.place.tags.items())]


def _processor(plan: Plan, session: Any, job: Job, image: str, script: str, environment: dict[str, Any]) -> Any:
    from sagemaker.core.network import NetworkConfig
    from sagemaker.core.processing import Processor

    place = plan.place
    return Processor(
        role=place.role_arn,
        image_uri=image,
        entrypoint=["python", script],
        instance_type=job.instance_type,
        instance_count=job.instance_count,
        volume_size_in_gb=job.volume_size_gb,
        volume_kms_key=place.key_arn,
        output_kms_key=place.key_arn,
        max_runtime_in_seconds=job.max_runtime_minutes * 60,
        env=environment,
        tags=_tags(plan),
        network_config=NetworkConfig(
            encrypt_inter_container_traffic=True,
            security_group_ids=list(place.security_groups),
            subnets=list(place.subnets),
        ),
        sagemaker_session=session,
    )


def _input(name: str, uri: Any) -> Any:
    from sagemaker.core.shapes import ProcessingInput, ProcessingS3Input

    source = ProcessingS3Input(
        s3_uri=uri, local_path=f"{PROCESSING}/input/{name}", s3_data_type="S3Prefix", s3_input_mode="File"
    )
    return ProcessingInput(input_name=name, s3_input=source)


def _output(plan: Plan, step: str, name: str) -> Any:
    from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output

    target = ProcessingS3Output(
        s3_uri=_output_uri(plan, step, name), local_path=f"{PROCESSING}/output/{name}", s3_upload_mode="EndOfJob"
    )
    return ProcessingOutput(output_name=name, s3_output=target)


def _uri(step: Any, output: str) -> Any:
    return step.properties.ProcessingOutputConfig.Outputs[output].S3Output.S3Uri


def _retries() -> list[Any]:
    from sagemaker.mlops.workflow.retry import (
        SageMakerJobExceptionTypeEnum,
        SageMakerJobStepRetryPolicy,
        StepExceptionTypeEnum,
        StepRetryPolicy,
    )

    return [
        StepRetryPolicy(
            exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
            interval_seconds=5,
            backoff_rate=2.0,
            max_attempts=5,
        ),
        SageMakerJobStepRetryPolicy(
            exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT],
            failure_reason_types=[
                SageMakerJobExceptionTypeEnum.INTERNAL_ERROR,
                SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
            ],
            interval_seconds=60,
            backoff_rate=2.0,
            max_attempts=5,
        ),
    ]


def _processing_step(name: str, arguments: Any, files: list[Any] | None = None) -> Any:
    from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep

    cache = CacheConfig(enable_caching=True, expire_after=CACHE)
    return ProcessingStep(
        name=name, step_args=arguments, cache_config=cache, retry_policies=_retries(), property_files=files
    )


def _preprocess(plan: Plan, session: Any, parameters: dict[str, Any]) -> Any:
    job = plan.project.preprocessing
    environment = {**_environment(plan, job), "SLIPWAY_DATA_VERSION": parameters["DataVersion"]}
    processor = _processor(plan, session, job, plan.images["preprocessing"], "preprocess.py", environment)
    step = processor.run(
        inputs=[_input("dataset", parameters["DataUri"])],
        outputs=[_output(plan, "preprocess", name) for name in ("train", "validation", "test")],
        arguments=arguments(job.parameters) or None,
    )
    return _processing_step("Preprocess", step)


def _train(plan: Plan, session: Any, preprocess: Any) -> Any:
    from sagemaker.core.training.configs import Compute, InputData, Networking, OutputDataConfig, StoppingCondition
    from sagemaker.mlops.workflow.steps import CacheConfig, TrainingStep
    from sagemaker.train.model_trainer import ModelTrainer

    job, place = plan.project.training, plan.place
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=place.role_arn,
        base_job_name=place.name,
        training_image=plan.images["training"],
        training_input_mode="File",
        compute=Compute(
            instance_type=job.instance_type,
            instance_count=job.instance_count,
            volume_size_in_gb=job.volume_size_gb,
            volume_kms_key_id=place.key_arn,
        ),
        networking=Networking(
            security_group_ids=list(place.security_groups),
            subnets=list(place.subnets),
            enable_inter_container_traffic_encryption=True,
        ),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=job.max_runtime_minutes * 60),
        output_data_config=OutputDataConfig(s3_output_path=_output_uri(plan, "train"), kms_key_id=place.key_arn),
        hyperparameters=hyperparameters(job.hyperparameters),
        environment=_environment(plan, job),
        tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in _tags(plan)],
    )
    channels = [
        InputData(channel_name=name, data_source=_uri(preprocess, name), content_type="text/csv")
        for name in ("train", "validation")
    ]
    with sdk_session.without_telemetry(session):
        step = trainer.train(input_data_config=channels)
    cache = CacheConfig(enable_caching=True, expire_after=CACHE)
    return TrainingStep(name="Train", step_args=step, cache_config=cache, retry_policies=_retries())


def _evaluate(plan: Plan, session: Any, preprocess: Any, train: Any) -> tuple[Any, Any]:
    from sagemaker.core.workflow.properties import PropertyFile

    job = plan.project.evaluation
    processor = _processor(plan, session, job, plan.images["training"], "evaluate.py", _environment(plan, job))
    step = processor.run(
        inputs=[
            _input("model", train.properties.ModelArtifacts.S3ModelArtifacts),
            _input("test", _uri(preprocess, "test")),
        ],
        outputs=[_output(plan, "evaluate", "evaluation")],
        arguments=arguments(job.parameters) or None,
    )
    report = PropertyFile(name="Evaluation", output_name="evaluation", path=REPORT)
    return _processing_step("Evaluate", step, [report]), report


def _register(plan: Plan, session: Any, parameters: dict[str, Any], train: Any, evaluate: Any) -> Any:
    from types import SimpleNamespace

    from sagemaker.core.model_registry import create_model_package_from_containers
    from sagemaker.core.workflow.functions import Join
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.retry import StepExceptionTypeEnum, StepRetryPolicy

    report = Join(on="/", values=[_uri(evaluate, "evaluation"), REPORT])
    # ModelBuilder.register() would add a job that packs the model again. The SDK's own composition of the request is
    # used one level below it; what ModelStep wants of a "model" is only its session.
    session.init_model_step_arguments(SimpleNamespace(sagemaker_session=session))
    create_model_package_from_containers(
        session,
        containers=[
            {"Image": plan.images["inference"], "ModelDataUrl": train.properties.ModelArtifacts.S3ModelArtifacts}
        ],
        content_types=CONTENT_TYPES,
        response_types=CONTENT_TYPES,
        inference_instances=_instances(plan),
        transform_instances=["ml.m5.large"],
        model_package_group_name=plan.place.model_package_group,
        model_metrics={"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": report}}},
        approval_status="PendingManualApproval",
        customer_metadata_properties={
            "version": parameters["ModelVersion"],
            "commit": parameters["CommitId"],
            "cause": parameters["Cause"],
            "data": parameters["DataUri"],
            "data-version": parameters["DataVersion"],
        },
    )
    context, session.context = session.context, None
    retry = StepRetryPolicy(
        exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
        interval_seconds=5,
        max_attempts=5,
    )
    return ModelStep(name=REGISTER, step_args=context, retry_policies=[retry])


def _instances(plan: Plan) -> list[str]:
    """Instance types that the model may be served on: those that project.yaml names."""
    return sorted({plan.project.serving.of("staging")[0], plan.project.serving.of("production")[0]})


def _gate(plan: Plan, evaluate: Any, report: Any, register: Any) -> Any:
    """One condition inside the other, in the order of project.yaml: the first bound that is missed gives the reason."""
    inner = register
    for metric, bound in reversed(plan.project.quality_gate.items()):
        inner = _condition(metric, bound, evaluate, report, inner)
    return inner


def _condition(metric: str, bound: Bound, evaluate: Any, report: Any, inner: Any) -> Any:
    from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo, ConditionLessThanOrEqualTo
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep

    figure = JsonGet(step_name=evaluate.name, property_file=report, json_path=f"regression_metrics.{metric}.value")
    before, after = gate_sentence(metric, bound)
    condition = (
        ConditionLessThanOrEqualTo(left=figure, right=bound.max)
        if bound.max is not None
        else ConditionGreaterThanOrEqualTo(left=figure, right=bound.min)
    )
    return ConditionStep(
        name=f"Gate-{metric}",
        conditions=[condition],
        if_steps=[inner],
        else_steps=[FailStep(name=f"Refuse-{metric}", error_message=Join(on="", values=[before, figure, after]))],
    )
