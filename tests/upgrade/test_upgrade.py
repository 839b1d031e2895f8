"""From the first release to the present tree: nothing is lost, what serves goes on serving, and work goes on.

The tests run in their order on one local cloud: the platform is brought up to date, then the project, then a change is
pushed and released, and in the end all of it is removed.
"""

from __future__ import annotations

import re

import pytest

from localcloud.inventory import resources
from slipway_demo.people import PRODUCTION, STAGING, TOOLING
from tests.loop.conftest import BUILD, PROJECT
from tests.upgrade.conftest import FIRST_ENDPOINT, ROOT, Asking, Upgrade

pytestmark = [pytest.mark.upgrade, pytest.mark.slow]
# Services that hold what people or the platform made; of others, roles for instance, a release may make new ones.
HOLDING = {
    "codeartifact", "codecommit", "cognito-idp", "dynamodb", "ecr", "efs", "elasticfilesystem", "kms", "logs", "s3",
    "sagemaker", "secretsmanager", "servicecatalog", "ssm",
}  # fmt: skip


def lost(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What is not there any more, or holds something else."""
    return [
        f"{name}: {content} → {after.get(name, 'gone')}"
        for name, content in before.items()
        if after.get(name) != content
    ]


def test_the_platform_is_brought_up_to_date_and_keeps_everything(upgrade: Upgrade) -> None:
    """Protects whoever upgrades: no object, commit, package, model, image, key, home or log is lost or made anew."""
    before, standing = upgrade.data(), set(resources(upgrade.cloud.endpoint))
    assert {name.split()[0] for name in before} == {
        "objects", "commits", "packages", "models", "images", "keys", "parameters", "studio", "logs",
    }  # fmt: skip
    with Asking(upgrade, FIRST_ENDPOINT) as asking:
        upgrade.deploy_the_present()
    assert asking.answers > 5
    assert asking.failures == []
    assert lost(before, upgrade.data()) == []
    gone = standing - set(resources(upgrade.cloud.endpoint))
    # What objects there are was compared above, one by one; here they are counted, and a release adds some.
    assert [one for one in gone if one.service in HOLDING and one.kind not in ("objects", "object-versions")] == []


def test_the_project_takes_the_newest_version_and_keeps_everything(upgrade: Upgrade) -> None:
    """Protects running projects: an update of the product changes how they work, not what they have."""
    before, builds = upgrade.data(), runs(upgrade)
    with Asking(upgrade, FIRST_ENDPOINT) as asking:
        assert upgrade.update_project() == "SUCCEEDED"
    assert asking.failures == []
    assert lost(before, upgrade.data()) == []
    assert runs(upgrade) == builds, "an update of the product started a build: nobody had merged anything"


def test_work_goes_on_from_where_it_was(upgrade: Upgrade) -> None:
    """Protects the Data Scientist: the present platform builds a repository of the first release, and counts on."""
    before = upgrade.data()
    clone = upgrade.clone()
    path = clone / "project.yaml"
    text = path.read_text()
    changed = re.sub(r"(?m)^(\s+max_iter:\s*)(\d+)", lambda match: f"{match[1]}{int(match[2]) + 25}", text)
    assert changed != text
    path.write_text(changed)
    execution = upgrade.execution(upgrade.push(clone, "Train longer still"))
    assert upgrade.wait(execution) == "Succeeded", upgrade.causes(execution)
    sagemaker = upgrade.client(TOOLING, "sagemaker")
    arns = [package["ModelPackageArn"] for package in upgrade.packages()]
    described = [sagemaker.describe_model_package(ModelPackageName=arn) for arn in arns]
    known = [(one["CustomerMetadataProperties"]["version"], one["ModelApprovalStatus"]) for one in described]
    assert known == [("V1.0.0", "Approved"), ("V1.1.0", "PendingManualApproval")]
    assert lost(before, upgrade.data()) == []


def test_the_next_version_is_released_while_the_first_goes_on_serving(upgrade: Upgrade) -> None:
    """Protects those who call the endpoint: whatever the next is called, the first serves until somebody removes it."""
    with Asking(upgrade, FIRST_ENDPOINT) as asking:
        assert upgrade.release(upgrade.packages()[-1]["ModelPackageArn"]) == "Succeeded"
    assert asking.failures == []
    serving = upgrade.serving(PRODUCTION)
    assert "V1.1.0" in serving.values()
    assert FIRST_ENDPOINT in serving


def test_the_first_endpoint_is_removed_by_the_command_of_the_documentation(upgrade: Upgrade) -> None:
    """Protects the bill, and who reads docs/upgrade.md: the old stack goes with the role of the environment."""
    stack, new = f"slipway-{PROJECT}-endpoint", [name for name in upgrade.serving(STAGING) if name != FIRST_ENDPOINT]
    if not new:
        pytest.skip("endpoints are called as in 0.1.0: there is none to remove")
    text = (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")
    command = re.search(r"aws cloudformation delete-stack --stack-name (\S+) \\\s+--role-arn (\S+)", text)
    assert command
    assert command[1].replace("<project>", PROJECT) == stack
    role = command[2].replace("<account>", STAGING).replace("<environment>", "staging")
    cloudformation = upgrade.client(STAGING, "cloudformation")
    cloudformation.delete_stack(StackName=stack, RoleARN=role)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    assert list(upgrade.serving(STAGING)) == new


def test_destroy_removes_accounts_with_live_endpoints(upgrade: Upgrade) -> None:
    """Protects the bill: production goes while its model serves, staging when its project has taken its own along."""
    assert upgrade.serving(PRODUCTION)
    for account in (PRODUCTION, TOOLING, STAGING):
        if account == TOOLING:
            assert upgrade.terminate_project() == "SUCCEEDED"
            assert not upgrade.serving(STAGING)
        for step in ([], ["--audit"]):
            upgrade.slipway(upgrade.admin(account), "destroy", "--yes", "--key-days", "7", *step)
        left = [one for one in resources(upgrade.cloud.endpoint) if one.account == account]
        # SageMaker's own groups are the account's: others' jobs write there, too.
        assert [one for one in left if not one.id.startswith("/aws/sagemaker/")] == []


def runs(upgrade: Upgrade) -> list[str]:
    pipelines = upgrade.client(TOOLING, "codepipeline")
    listed = pipelines.list_pipeline_executions(pipelineName=BUILD)["pipelineExecutionSummaries"]
    return [execution["pipelineExecutionId"] for execution in listed]
