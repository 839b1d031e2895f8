"""AWS CodePipeline: pipelines of type V1 and V2, and the engine that runs them."""

from localcloud.services.codepipeline.service import CodePipeline

__all__ = ["CodePipeline"]
