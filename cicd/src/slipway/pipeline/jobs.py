"""The jobs of the pipeline: Preprocess, Train or Tune, Evaluate.

What a cached step compares is known (AWS documentation, "Default cache key attributes by pipeline step type"): images,
environment, inputs, hyperparameters, and for a training the checkpoint's address, too. So none of these may name the
execution; outputs may, and do, so that executions never write over each other.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from slipway.configuration.model import METRICS, Job, Problem, Range, Tuning
from slipway.configuration.rules import DIRECTIONS
from slipway.outputs import ENCODING, MATRIX, MODEL, PARTS
from slipway.pipeline import session as sdk_session
from slipway.pipeline.plan import REPORT, Plan, arguments, as_text, asked, hyperparameters_of_training

CACHE = "P30D"
PROCESSING = "/opt/ml/processing"
CHECKPOINTS = "/opt/ml/checkpoints"
CHANNELS = ("train", "validation")
# A tuning of the same data and code looks at the same points again.
_SEED = 1


def output_uri(plan: Plan, *parts: str) -> Any:
    """Below the execution's own prefix."""
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join

    start = f"s3://{plan.place.bucket}/pipeline"
    return Join(on="/", values=[start, ExecutionVariables.PIPELINE_EXECUTION_ID, *parts])


def _environment(plan: Plan, job: Job, step: str) -> dict[str, Any]:
    """What slipway.container and the scripts read; what project.yaml says of the step comes on top."""
    project = plan.project
    return {
        "SLIPWAY_PROJECT": project.project,
        "SLIPWAY_PROBLEM": project.problem,
        "SLIPWAY_STEP": step,
        "SLIPWAY_DATASET": project.data.dataset,
        "SLIPWAY_TARGET": project.data.target,
        **({"SLIPWAY_ALGORITHM": project.training.algorithm.name} if project.training.algorithm else {}),
        **job.environment,
    }


def tags(plan: Plan) -> list[dict[str, str]]:
    """The tags of every job; the roles' policies ask for them."""
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
        tags=tags(plan),
        network_config=NetworkConfig(
            encrypt_inter_container_traffic=True,
            security_group_ids=list(place.security_groups),
            subnets=list(place.subnets),
        ),
        sagemaker_session=session,
    )


def _input(name: str, where: Any) -> Any:
    from sagemaker.core.shapes import ProcessingInput, ProcessingS3Input

    source = ProcessingS3Input(
        s3_uri=where, local_path=f"{PROCESSING}/input/{name}", s3_data_type="S3Prefix", s3_input_mode="File"
    )
    return ProcessingInput(input_name=name, s3_input=source)


def _output(plan: Plan, step: str, name: str) -> Any:
    from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output

    target = ProcessingS3Output(
        s3_uri=output_uri(plan, step, name), local_path=f"{PROCESSING}/output/{name}", s3_upload_mode="EndOfJob"
    )
    return ProcessingOutput(output_name=name, s3_output=target)


def uri(step: Any, output: str) -> Any:
    """Where an output of a processing step lies; taken from the cache, that is another execution's folder."""
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


def preprocess(plan: Plan, session: Any, parameters: dict[str, Any]) -> Any:
    """The step that makes features: it sees the fingerprint of the data, so that new data runs it again."""
    job = plan.project.preprocessing
    environment = {**_environment(plan, job, "preprocess"), "SLIPWAY_DATA_VERSION": parameters["DataVersion"]}
    processor = _processor(plan, session, job, plan.images["preprocessing"], "preprocess.py", environment)
    step = processor.run(
        inputs=[_input("dataset", parameters["DataUri"])],
        outputs=[_output(plan, "preprocess", name) for name in made_by_preprocess(plan)],
        arguments=arguments(job.parameters) or None,
    )
    return _processing_step("Preprocess", step)


def made_by_preprocess(plan: Plan) -> tuple[str, ...]:
    """Its outputs: the rows, and for a built-in algorithm what it reads, with what turns columns into its numbers."""
    if plan.project.training.algorithm is None:
        return PARTS
    return (*PARTS, *(f"{MATRIX}{name}" for name in CHANNELS), ENCODING)


def training_image(plan: Plan) -> str:
    """What trains: the project's image, or SageMaker's own, which SageMaker fetches by itself for every account."""
    algorithm = plan.project.training.algorithm
    if algorithm is None:
        return plan.images["training"]
    from sagemaker.core import image_uris

    return str(image_uris.retrieve(algorithm.name, plan.place.region, version=algorithm.version))


def train(plan: Plan, session: Any, parameters: dict[str, Any], preprocess: Any) -> tuple[Any, Any]:
    """The step that trains or tunes, and where its model lies."""
    from sagemaker.core.training.configs import InputData

    prefix = MATRIX if plan.project.training.algorithm is not None else ""
    channels = [
        InputData(channel_name=name, data_source=uri(preprocess, f"{prefix}{name}"), content_type="text/csv")
        for name in CHANNELS
    ]
    trainer = _trainer(plan, session, parameters)
    tuning = plan.project.training.tuning
    if tuning is not None:
        return _tune(plan, tuning, session, trainer, channels)
    return _train_once(session, trainer, channels)


def _train_once(session: Any, trainer: Any, channels: list[Any]) -> tuple[Any, Any]:
    from sagemaker.mlops.workflow.steps import CacheConfig, TrainingStep

    with sdk_session.without_telemetry(session):
        arguments = trainer.train(input_data_config=channels)
    cache = CacheConfig(enable_caching=True, expire_after=CACHE)
    step = TrainingStep(name="Train", step_args=arguments, cache_config=cache, retry_policies=_retries())
    return step, step.properties.ModelArtifacts.S3ModelArtifacts


def _trainer(plan: Plan, session: Any, parameters: dict[str, Any]) -> Any:
    from sagemaker.core.training.configs import (
        CheckpointConfig,
        Compute,
        Networking,
        OutputDataConfig,
        StoppingCondition,
    )
    from sagemaker.train.model_trainer import ModelTrainer

    job, place = plan.project.training, plan.place
    stopping = {"max_runtime_in_seconds": job.max_runtime_minutes * 60}
    spot: dict[str, Any] = {}
    if job.spot is not None:
        stopping["max_wait_time_in_seconds"] = job.spot.max_wait_minutes * 60
        where = _checkpoint_uri(plan, parameters)
        spot = {"checkpoint_config": CheckpointConfig(s3_uri=where, local_path=CHECKPOINTS)}
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=place.role_arn,
        base_job_name=place.name,
        training_image=training_image(plan),
        training_input_mode="File",
        compute=Compute(
            instance_type=job.instance_type,
            instance_count=job.instance_count,
            volume_size_in_gb=job.volume_size_gb,
            volume_kms_key_id=place.key_arn,
            enable_managed_spot_training=True if job.spot is not None else None,
        ),
        networking=Networking(
            security_group_ids=list(place.security_groups),
            subnets=list(place.subnets),
            enable_inter_container_traffic_encryption=True,
        ),
        stopping_condition=StoppingCondition(**stopping),
        output_data_config=OutputDataConfig(s3_output_path=output_uri(plan, "train"), kms_key_id=place.key_arn),
        hyperparameters=hyperparameters_of_training(plan.project),
        environment=_environment(plan, job, "train"),
        tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in tags(plan)],
        **spot,
    )
    # SageMaker knows by itself how to read what its algorithms print.
    return trainer if job.algorithm is not None else trainer.with_metric_definitions(_metric_definitions(plan))


def _metric_definitions(plan: Plan) -> list[Any]:
    """How SageMaker reads the metrics of the problem from the lines that the training script prints."""
    from sagemaker.core.shapes import MetricDefinition

    return [
        MetricDefinition(name=metric_name(name), regex=metric_regex(name)) for name in METRICS[plan.project.problem]
    ]


def metric_name(metric: str) -> str:
    """The name by which SageMaker knows a metric of the validation data."""
    return f"validation:{metric}"


def objective_type(problem: Problem, metric: str) -> str:
    """Minimize or Maximize."""
    return DIRECTIONS[METRICS[problem][metric]].capitalize()


def metric_regex(metric: str) -> str:
    """What finds the figure in a line such as `validation:rmse=12.3`."""
    return rf"{metric_name(metric)}=([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"


def _checkpoint_uri(plan: Plan, parameters: dict[str, Any]) -> Any:
    """The same for the same code, settings and data: an interrupted training goes on, another one begins anew."""
    from sagemaker.core.workflow.functions import Join

    project = plan.project
    made_of = [
        plan.images["preprocessing"],
        training_image(plan),
        project.preprocessing.model_dump(mode="json", include={"parameters", "environment"}),
        project.training.model_dump(
            mode="json", include={"hyperparameters", "environment", "instance_count", "tuning"}
        ),
        project.data.model_dump(mode="json"),
    ]
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    return Join(on="/", values=[f"s3://{plan.place.bucket}/checkpoints/{digest}", parameters["DataVersion"]])


def _tune(plan: Plan, tuning: Tuning, session: Any, trainer: Any, channels: list[Any]) -> tuple[Any, Any]:
    from sagemaker.core.shapes import HyperbandStrategyConfig, HyperParameterTuningJobStrategyConfig
    from sagemaker.core.workflow.functions import Join
    from sagemaker.mlops.workflow.steps import CacheConfig, TuningStep

    metric = tuning.objective.metric
    hyperband = None
    if tuning.max_epochs is not None:
        limits = HyperbandStrategyConfig(min_resource=1, max_resource=tuning.max_epochs)
        hyperband = HyperParameterTuningJobStrategyConfig(hyperband_strategy_config=limits)
    tuner = _tuner_class(plan)(
        model_trainer=trainer,
        objective_metric_name=metric_name(metric),
        objective_type=objective_type(plan.project.problem, metric),
        hyperparameter_ranges={name: _range(found) for name, found in tuning.ranges.items()},
        metric_definitions=None
        if plan.project.training.algorithm is not None
        else [{"Name": metric_name(name), "Regex": metric_regex(name)} for name in METRICS[plan.project.problem]],
        strategy=tuning.strategy,
        strategy_config=hyperband,
        max_jobs=tuning.max_jobs,
        max_parallel_jobs=tuning.max_parallel_jobs,
        early_stopping_type="Auto" if tuning.early_stopping else "Off",
        random_seed=_SEED,
        tags=tags(plan),
    )
    with sdk_session.without_telemetry(session):
        arguments = tuner.tune(inputs=channels, wait=False)
    step = TuningStep(
        name="Tune",
        step_args=arguments,
        cache_config=CacheConfig(enable_caching=True, expire_after=CACHE),
        retry_policies=_retries(),
    )
    # Where the tuning that ran wrote to: taken from the cache, that is another execution's folder.
    folder = step.properties.TrainingJobDefinition.OutputDataConfig.S3OutputPath
    best = step.properties.BestTrainingJob.TrainingJobName
    return step, Join(on="/", values=[folder, best, "output/model.tar.gz"])


def _tuner_class(plan: Plan) -> type[Any]:
    from sagemaker.train.tuner import HyperparameterTuner

    class Tuner(HyperparameterTuner):  # type: ignore[misc]
        """The SDK's tuner leaves out two settings of the trainer that keep data encrypted."""

        def _build_training_job_definition(self, inputs: Any) -> Any:
            found = super()._build_training_job_definition(inputs)
            found.resource_config.volume_kms_key_id = plan.place.key_arn
            found.enable_inter_container_traffic_encryption = True
            return found

    return Tuner


def _range(found: Range) -> Any:
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

    if found.values is not None:
        return CategoricalParameter([as_text(value) for value in found.values])
    kind = IntegerParameter if isinstance(found.min, int) and isinstance(found.max, int) else ContinuousParameter
    return kind(found.min, found.max, scaling_type=found.scale or "Auto")


def registered(plan: Plan, trained: Any, evaluate: Any) -> Any:
    """The archive that goes to the registry: the training's, or the one that Evaluate completed and measured."""
    from sagemaker.core.workflow.functions import Join

    if plan.project.training.algorithm is None:
        return trained
    return Join(on="/", values=[uri(evaluate, "model"), MODEL])


def evaluate(plan: Plan, session: Any, parameters: dict[str, Any], preprocess: Any, model: Any) -> tuple[Any, Any]:
    """The step that measures the model, and its report as a property file. The report tells the version of the data."""
    from sagemaker.core.workflow.properties import PropertyFile

    project = plan.project
    job = project.evaluation
    environment = {
        **_environment(plan, job, "evaluate"),
        "SLIPWAY_DATA_VERSION": parameters["DataVersion"],
        "SLIPWAY_METRICS": ",".join(asked(plan)),
    }
    processor = _processor(plan, session, job, plan.images["training"], "evaluate.py", environment)
    inputs = [_input("model", model), _input("test", uri(preprocess, "test"))]
    outputs = [_output(plan, "evaluate", "evaluation")]
    if project.monitoring.baseline:
        inputs.append(_input("train", uri(preprocess, "train")))
        outputs.append(_output(plan, "evaluate", "baseline"))
    if project.training.algorithm is not None:
        inputs.append(_input(ENCODING, uri(preprocess, ENCODING)))
        outputs.append(_output(plan, "evaluate", "model"))
    step = processor.run(inputs=inputs, outputs=outputs, arguments=arguments(job.parameters) or None)
    report = PropertyFile(name="Evaluation", output_name="evaluation", path=REPORT)
    return _processing_step("Evaluate", step, [report]), report
