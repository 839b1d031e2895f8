"""What an environment's names are: they end in it, whether it has an account of its own or shares one.

endpoint.yaml, deploy-pipeline.yaml and the templates of release roles follow the same rule.
"""

from __future__ import annotations

from typing import Literal

Environment = Literal["staging", "production"]
ENVIRONMENTS: tuple[Environment, ...] = ("staging", "production")


def endpoint(namespace: str, project: str, environment: Environment) -> str:
    """The endpoint that serves a project's model; the stack of a release has the same name, with or without one."""
    return f"{namespace}-{project}-{environment}"


def verifier(partition: str, account: str, namespace: str, environment: Environment) -> str:
    """ARN of the role with which builds try the endpoints of an environment."""
    return f"arn:{partition}:iam::{account}:role/{namespace}-release-verifier-{environment}"


def deployer(partition: str, account: str, namespace: str, environment: Environment) -> str:
    """ARN of the role with which an environment's endpoints are deployed and removed."""
    return f"arn:{partition}:iam::{account}:role/{namespace}-release-deployer-{environment}"


def batch_model(namespace: str, project: str, environment: Environment, digits: str) -> str:
    """The model that transform jobs use; it ends in the environment, as the roles' policies have it."""
    return f"{namespace}-{project}-{digits}-{environment}"


def batch_operator(partition: str, account: str, namespace: str, environment: Environment) -> str:
    """ARN of the role with which transform jobs are run with what is released to an environment."""
    return f"arn:{partition}:iam::{account}:role/{namespace}-release-batch-operator-{environment}"
