"""Amazon SageMaker."""

from localcloud.services.sagemaker.service import SageMaker

__all__ = ["SageMaker"]
