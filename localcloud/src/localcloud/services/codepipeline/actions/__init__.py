"""The action providers, by (category, provider)."""

from __future__ import annotations

from localcloud.services.codepipeline.actions.approval import Approval
from localcloud.services.codepipeline.actions.base import ActionProvider
from localcloud.services.codepipeline.actions.builds import CodeBuildAction
from localcloud.services.codepipeline.actions.connections import ConnectionSource
from localcloud.services.codepipeline.actions.deploys import S3Deploy
from localcloud.services.codepipeline.actions.invokes import LambdaInvoke, StepFunctionsInvoke
from localcloud.services.codepipeline.actions.sources import CodeCommitSource, ECRSource, S3Source
from localcloud.services.codepipeline.actions.stacks import CloudFormationDeploy

REGISTRY: dict[tuple[str, str], ActionProvider] = {
    ("Source", "CodeCommit"): CodeCommitSource(),
    ("Source", "CodeStarSourceConnection"): ConnectionSource(),
    ("Source", "S3"): S3Source(),
    ("Source", "ECR"): ECRSource(),
    ("Build", "CodeBuild"): CodeBuildAction(),
    ("Test", "CodeBuild"): CodeBuildAction(),
    ("Approval", "Manual"): Approval(),
    ("Deploy", "CloudFormation"): CloudFormationDeploy(),
    ("Deploy", "S3"): S3Deploy(),
    ("Invoke", "Lambda"): LambdaInvoke(),
    ("Invoke", "StepFunctions"): StepFunctionsInvoke(),
}
