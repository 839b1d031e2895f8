"""What an environment's names are: they end in it, whether it has an account of its own or shares one.

endpoint.yaml, deploy-pipeline.yaml and release-roles.yaml follow the same rule.
"""

from __future__ import annotations

from typing import Literal

Environment = Literal["staging", "production"]
ENVIRONMENTS: tuple[Environment, ...] = ("staging", "production")


def endpoint(namespace: str, project: str, environment: Environment) -> str:
    """The endpoint that serves a project's model; its stack has the same name."""
    return f"{namespace}-{project}-{environment}"


def verifier(partition: str, account: str, namespace: str, environment: Environment) -> str:
    """ARN of the role with which builds try the endpoints of an environment."""
    return f"arn:{partition}:iam::{account}:role/{namespace}-release-verifier-{environment}"


def deployer(partition: str, account: str, namespace: str, environment: Environment) -> str:
    """ARN of the role with which an environment's endpoints are deployed and removed."""
    return f"arn:{partition}:iam::{account}:role/{namespace}-release-deployer-{environment}"
