"""The services that the local cloud adds, by botocore's names. Imported when the local cloud starts."""

from __future__ import annotations

import importlib

from localcloud.core.service import Service

# module → classes
_SERVICES: dict[str, tuple[str, ...]] = {
    "localcloud.services.codecommit": ("CodeCommit",),
    "localcloud.services.codeartifact": ("CodeArtifact",),
    "localcloud.services.codeconnections": ("CodeConnections", "CodeStarConnections"),
    "localcloud.services.codebuild": ("CodeBuild",),
    "localcloud.services.codepipeline": ("CodePipeline",),
    "localcloud.services.servicecatalog": ("ServiceCatalog",),
    "localcloud.services.ecr": ("ECR",),
    "localcloud.services.sagemaker": ("SageMaker", "SageMakerRuntime"),
}


def load_services() -> list[type[Service]]:
    """Every service class."""
    return [getattr(importlib.import_module(module), name) for module, names in _SERVICES.items() for name in names]
