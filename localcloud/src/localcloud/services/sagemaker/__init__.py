"""Amazon SageMaker: the control plane, and the runtime that endpoints are invoked through."""

from localcloud.services.sagemaker.runtime import SageMakerRuntime
from localcloud.services.sagemaker.service import SageMaker

__all__ = ["SageMaker", "SageMakerRuntime"]
