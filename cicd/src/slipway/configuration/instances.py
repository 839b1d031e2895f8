"""Which instance types there are: AWS's own lists, from the service model that botocore ships."""

from __future__ import annotations

from functools import cache

from botocore.model import ServiceModel, StringShape
from botocore.session import get_session


@cache
def instance_types(shape: str) -> tuple[str, ...]:
    """The values of an enumeration of SageMaker's service model, such as `TrainingInstanceType`."""
    found = _model().shape_for(shape)
    return tuple(found.enum) if isinstance(found, StringShape) else ()


@cache
def _model() -> ServiceModel:
    return get_session().get_service_model("sagemaker")
