"""The user pool and the tracking server: off and on, and what bad input gets."""

from __future__ import annotations

import json
from typing import Any

from tests.localcloud.conftest import REGION, TOOLING
from tests.studio.conftest import NAMESPACE, Account

PERSONAS = {
    "FullStackDeveloper", "DataScienceAdmin", "DataScientist", "DataEngineer", "MLEngineer", "ReleaseApprover",
}  # fmt: skip


def pool(account: Account) -> dict[str, Any]:
    found = account.client("cognito-idp").describe_user_pool(UserPoolId=account.contract("people/user-pool-id"))
    return dict(found["UserPool"])


def test_a_pool_of_six_groups_with_a_second_factor(account: Account) -> None:
    """Protects: nobody signs themselves up, everybody has a second factor, the groups are the personas."""
    account.deploy("user-pool")
    made = pool(account)
    assert made["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert (made["MfaConfiguration"], made["Policies"]["PasswordPolicy"]["MinimumLength"]) == ("ON", 14)
    cognito = account.client("cognito-idp")
    groups = cognito.list_groups(UserPoolId=made["Id"])["Groups"]
    assert {group["GroupName"] for group in groups} == PERSONAS
    assert cognito.list_user_pool_clients(UserPoolId=made["Id"])["UserPoolClients"] == [], "the portal brings its own"
    before = made["Id"]
    cognito.admin_create_user(
        UserPoolId=before, Username="ada@example.com",
        TemporaryPassword="Correct-horse-1",
    )  # fmt: skip
    account.deploy("user-pool", ThreatProtection="AUDIT")
    assert pool(account)["Id"] == before
    assert cognito.admin_get_user(UserPoolId=before, Username="ada@example.com")["UserStatus"]
    account.delete("user-pool")
    # Accounts of people are not thrown away with a stack.
    assert cognito.describe_user_pool(UserPoolId=before)["UserPool"]["Id"] == before
    cognito.delete_user_pool(UserPoolId=before)


def test_the_companys_own_provider(account: Account) -> None:
    """Protects: federation by parameter; what the company keeps secret is fetched, never written into a template."""
    described = {"oidc_issuer": "https://login.example.com", "client_id": "slipway", "client_secret": "s3cret"}
    secrets = account.client("secretsmanager")
    made = secrets.create_secret(Name=f"{NAMESPACE}/identity-provider", SecretString=json.dumps(described))["ARN"]
    account.deploy("user-pool", IdentityProvider="OIDC")
    identifier = account.contract("people/user-pool-id")
    cognito = account.client("cognito-idp")
    found = cognito.describe_identity_provider(UserPoolId=identifier, ProviderName="company")["IdentityProvider"]
    assert found["ProviderType"] == "OIDC"
    assert described.items() <= found["ProviderDetails"].items()
    assert found["AttributeMapping"]["custom:groups"] == "groups"
    account.delete("user-pool")
    cognito.delete_user_pool(UserPoolId=identifier)
    secrets.delete_secret(SecretId=made, ForceDeleteWithoutRecovery=True)


def test_a_provider_that_nobody_described_is_rolled_back_whole(account: Account) -> None:
    """Protects: a half-told provider leaves no pool behind, and the next deployment succeeds."""
    before = account.client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"]
    account.deploy("user-pool", expect="ROLLBACK_COMPLETE", IdentityProvider="SAML")
    assert "identity-provider" in account.reasons("user-pool")
    assert account.client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"] == before
    account.delete("user-pool")


def test_the_tracking_server(account: Account) -> None:
    """Protects: a server whose artifacts are encrypted and stay when it goes."""
    account.deploy("mlflow")
    server = account.client("sagemaker").describe_mlflow_tracking_server(TrackingServerName=NAMESPACE)
    bucket = f"{NAMESPACE}-mlflow-{TOOLING}-{REGION}"
    assert server["ArtifactStoreUri"] == f"s3://{bucket}"
    assert account.contract("mlflow/tracking-server-arn") == server["TrackingServerArn"]
    account.deploy("mlflow", Size="Medium")
    server = account.client("sagemaker").describe_mlflow_tracking_server(TrackingServerName=NAMESPACE)
    assert server["TrackingServerSize"] == "Medium"
    account.delete("mlflow")
    account.client("s3").head_bucket(Bucket=bucket)
    account.client("s3").delete_bucket(Bucket=bucket)
