"""Which instance types there are: AWS's own lists, from the service model that botocore ships."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from botocore.model import ServiceModel, StringShape
from botocore.session import get_session

from slipway.configuration.model import ProjectFile


@cache
def instance_types(shape: str) -> tuple[str, ...]:
    """The values of an enumeration of SageMaker's service model, such as `TrainingInstanceType`."""
    found = _model().shape_for(shape)
    return tuple(found.enum) if isinstance(found, StringShape) else ()


@cache
def _model() -> ServiceModel:
    return get_session().get_service_model("sagemaker")


def wrong_instance_types(project: ProjectFile) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    """(key path, given, allowed) of each instance type that SageMaker does not offer for its kind of job."""
    serving = project.serving
    used: list[tuple[tuple[str, ...], str | None, str]] = [
        (("preprocessing", "instance_type"), project.preprocessing.instance_type, "ProcessingInstanceType"),
        (("training", "instance_type"), project.training.instance_type, "TrainingInstanceType"),
        (("evaluation", "instance_type"), project.evaluation.instance_type, "ProcessingInstanceType"),
        (("serving", "instance_type"), serving.instance_type, "ProductionVariantInstanceType"),
    ]
    for name in ("staging", "production"):
        own = getattr(serving.environments, name).instance_type
        used.append((("serving", "environments", name, "instance_type"), own, "ProductionVariantInstanceType"))
    for path, given, shape in used:
        if given is not None and given not in instance_types(shape):
            yield path, given, list(instance_types(shape))
