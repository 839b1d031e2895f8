"""One local cloud for these tests, whose accounts have the guardrails and a release of the templates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.localcloud.conftest import PRODUCTION, STAGING, TOOLING, LocalCloud, free_port
from tests.platform.stacks import ASSETS, PREFIX, Account, template
from tests.templates.library import REPOSITORY


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    running = LocalCloud(tmp_path_factory.mktemp("platform") / "home", free_port())
    running.start()
    yield running
    running.stop()


def prepared(cloud: LocalCloud, number: str) -> Account:
    """An account with the boundary, the platform's key and the templates."""
    account = Account(cloud, number)
    assert account.deploy("slipway-guardrails", template("guardrails")).status == "CREATE_COMPLETE"
    s3 = account.client("s3")
    bucket = f"{ASSETS}-{number}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for path in sorted((REPOSITORY / "cfn").glob("*.yaml")):
        s3.put_object(Bucket=bucket, Key=f"{PREFIX}/cfn/{path.name}", Body=path.read_bytes())
    return account


@pytest.fixture(scope="package")
def tooling(cloud: LocalCloud) -> Account:
    return prepared(cloud, TOOLING)


@pytest.fixture(scope="package")
def staging(cloud: LocalCloud) -> Account:
    return prepared(cloud, STAGING)


@pytest.fixture(scope="package")
def production(cloud: LocalCloud) -> Account:
    return prepared(cloud, PRODUCTION)
