"""AWS CodeBuild: projects, and builds that run their buildspec for real."""

from localcloud.services.codebuild.service import CodeBuild

__all__ = ["CodeBuild"]
