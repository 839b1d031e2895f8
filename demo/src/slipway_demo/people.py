"""Who acts: account admins, and personas by assuming their role as anybody would on AWS."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from slipway_demo.console import Stop

TOOLING, STAGING, PRODUCTION = "111111111111", "222222222222", "333333333333"
PERSONAS = (
    "FullStackDeveloper",
    "DataScienceAdmin",
    "DataScientist",
    "DataEngineer",
    "MLEngineer",
    "ReleaseApprover",
)
# The helper signs for the host names of CodeCommit alone, unless told otherwise; git also tells it to store and erase.
_CREDENTIAL_HELPER = '!f() { test "$1" != get || aws codecommit credential-helper --ignore-host-check get; }; f'

# Clients may be used by several threads, but the session that makes them may not.
_MAKING_CLIENTS = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where the local cloud is."""

    endpoint: str
    region: str
    namespace: str = "slipway"


@dataclass(frozen=True)
class Person:
    """Credentials of somebody, at a place."""

    place: Place
    access_key: str
    secret_key: str
    session_token: str | None = None
    name: str = "admin"

    def client(self, service: str) -> Any:
        """A boto3 client acting as that person."""
        with _MAKING_CLIENTS:
            return boto3.client(
                service, endpoint_url=self.place.endpoint, region_name=self.place.region,
                aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key,
                aws_session_token=self.session_token,
                config=Config(retries={"max_attempts": 3, "mode": "standard"}, read_timeout=120),
            )  # fmt: skip

    def environment(self) -> dict[str, str]:
        """The variables for any AWS tool, git included (by AWS's own credential helper)."""
        variables = {
            "AWS_ENDPOINT_URL": self.place.endpoint,
            "AWS_REGION": self.place.region,
            "AWS_DEFAULT_REGION": self.place.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token or "",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": f"{self.place.endpoint}/_sagemaker-mlflow",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": f"credential.{self.place.endpoint}.helper",
            "GIT_CONFIG_VALUE_0": _CREDENTIAL_HELPER,
            "GIT_CONFIG_KEY_1": f"credential.{self.place.endpoint}.UseHttpPath",
            "GIT_CONFIG_VALUE_1": "true",
        }
        if not self.session_token:
            del variables["AWS_SESSION_TOKEN"]
        return variables

    def full_environment(self) -> dict[str, str]:
        """For a child process: this machine's environment with that person's variables in place of its own."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "GIT_CONFIG_"))}
        return {**kept, **self.environment(), "AWS_PAGER": "", "GIT_TERMINAL_PROMPT": "0"}


def admin(place: Place, account: str) -> Person:
    """The account's administrator, as who first deploys into an empty account."""
    return Person(place, account, "test", None, f"admin of {account}")


def persona(place: Place, name: str, project: str | None = None, account: str = TOOLING) -> Person:
    """A persona, by assuming its role with the project as session tag.

    Raises:
        Stop: there is no such persona, or the platform is not deployed.
    """
    if name not in PERSONAS:
        raise Stop(f"PERSONA={name} is unknown; allowed: {', '.join(PERSONAS)}")
    request: dict[str, Any] = {
        "RoleArn": f"arn:aws:iam::{account}:role/{place.namespace}-{name}",
        "RoleSessionName": name.lower(),
    }
    if project:
        request["Tags"] = [{"Key": "Project", "Value": project}]
    try:
        answer = admin(place, account).client("sts").assume_role(**request)["Credentials"]
    except ClientError as error:
        detail = error.response["Error"]
        message = f"{name} could not be assumed in {account}: {detail['Message']} Is the platform deployed? make demo"
        raise Stop(message) from error
    return Person(place, answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], name)
