"""Amazon ECR: repositories, records of images, policies; across accounts as repository policies say."""

from localcloud.services.ecr.service import ECR

__all__ = ["ECR"]
