"""What the roles of releases reach where staging, production and the platform share an account."""

from __future__ import annotations

from tests.templates.library import REPOSITORY, Template, listed, templates
from tests.templates.policies import Policy, policies

ALL = templates()
# Roles that read projects' buckets by a pattern: template → role.
READERS = {"cfn/release.yaml": "EndpointExecution", "cfn/release-roles.yaml": "Deployer"}


def policy(name: str, role: str) -> Policy:
    template = Template(name, (REPOSITORY / name).read_text(encoding="utf-8"))
    (found,) = (found for found in policies(template) if found.owner == role and found.kind == "identity")
    return found


def test_a_release_reads_nothing_of_the_platforms_own_buckets() -> None:
    """Protects the lake: its name fits the pattern of projects' buckets, and one account asks no bucket policy."""
    own = {
        properties["BucketName"]["Fn::Sub"].replace("${AWS::AccountId}", "${ToolingAccountId}")
        for template in ALL
        if template.name.startswith("cfn/")
        for _, properties in template.of("AWS::S3::Bucket")
    }
    assert len(own) >= 6
    wanted = {f"arn:${{AWS::Partition}}:s3:::{name}{end}" for name in own for end in ("", "/*")}
    for name, role in READERS.items():
        (denied,) = (
            statement for statement in policy(name, role).statements if statement.get("Sid") == "NothingOfThePlatform"
        )
        assert (denied["Effect"], denied["Action"], "Condition" in denied) == ("Deny", "s3:*", False)
        assert wanted == {resource["Fn::Sub"] for resource in denied["Resource"]}, name


def test_no_role_of_an_environment_changes_the_other() -> None:
    """Protects production from a bundle that nobody approved: what it changes bears its environment's name or tag."""
    changing = ("sagemaker:AddTags", "sagemaker:Create", "sagemaker:Delete", "sagemaker:Update")
    found = 0
    for statement in policy("cfn/release-roles.yaml", "CloudFormation").statements:
        if not any(action.startswith(changing) for action in listed(statement["Action"])):
            continue
        for arn in (resource["Fn::Sub"] for resource in listed(statement["Resource"])):
            if statement["Sid"] == "ReadRegisteredModels" or (
                statement["Sid"] == "MakeEndpoints" and arn.endswith(":endpoint-config/*")
            ):
                continue  # a model package is read, and so is a configuration that an endpoint is made of
            found += 1
            assert arn.endswith("-${Environment}") or "Tag/Environment" in str(statement["Condition"]), statement["Sid"]
    assert found > 6
