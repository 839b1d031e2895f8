"""What the roles of releases reach where staging, production and the platform share an account."""

from __future__ import annotations

from typing import Any

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
        if properties["BucketName"]["Fn::Sub"].endswith("-${AWS::Region}")  # the others do not fit the pattern
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


def statements(name: str, role: str, sid: str) -> list[dict[str, Any]]:
    return [statement for statement in policy(name, role).statements if statement.get("Sid") == sid]


def test_a_transform_job_is_of_its_environment_and_under_the_key() -> None:
    """Protects production's model from staging's jobs, and disks and answers from AWS's own keys."""
    for name, role, sid, ending in (
        ("cfn/release-operator.yaml", "Operator", "RunJobsOfReleasedModelsUnderTheKey", "-${Environment}"),
        ("cfn/release-roles.yaml", "Verifier", "TryModelsInTransformJobs", "-staging"),
    ):
        (found,) = statements(name, role, sid)
        assert found["Action"] == "sagemaker:CreateTransformJob"
        assert found["Resource"]["Fn::Sub"].endswith(f":transform-job/${{Namespace}}-*{ending}")
        condition = found["Condition"]
        assert condition["ArnLike"]["sagemaker:ModelArn"]["Fn::Sub"].endswith(f":model/${{Namespace}}-*{ending}")
        for kind in ("OutputKmsKey", "VolumeKmsKey"):
            assert condition["StringEquals"][f"sagemaker:{kind}"] == {"Ref": "ReleaseKeyArn"}
        assert {"aws:RequestTag/Environment", "aws:RequestTag/Namespace"} <= set(condition["StringEquals"])
    verifier = (REPOSITORY / "cfn/release-roles.yaml").read_text(encoding="utf-8").partition("  Verifier:")[2]
    given = [statement["Sid"] for statement in policy("cfn/release-roles.yaml", "Verifier").statements]
    assert verifier.count("- Staging") == len(given) - 1, "a production verifier may more than try endpoints"


def test_who_runs_transform_jobs() -> None:
    """Protects projects' files: the account decides about its own, and of the tooling account ML Engineers come."""
    template = Template("o", (REPOSITORY / "cfn/release-operator.yaml").read_text(encoding="utf-8"))
    own, others = template.resources["Operator"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert own["Principal"] == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    (arn,) = others["Condition"]["ArnEquals"].values()
    assert arn["Fn::Sub"] == "arn:${AWS::Partition}:iam::${ToolingAccountId}:role/${Namespace}-MLEngineer"
    may = [
        (found.owner, resource["Fn::Sub"])
        for item in ALL
        for found in policies(item)
        for statement in found.statements
        if found.kind == "identity" and "sts:AssumeRole" in listed(statement.get("Action", []))
        for resource in listed(statement["Resource"])
        if isinstance(resource, dict) and "release-batch-operator" in resource.get("Fn::Sub", "")
    ]
    role = "arn:${AWS::Partition}:iam::${%sAccountId}:role/${Namespace}-release-batch-operator-%s"
    assert may == [("MLEngineer", role % (name.title(), name)) for name in ("staging", "production")]


def test_a_model_for_files_reads_artefacts_of_projects_and_no_data() -> None:
    """Protects projects from one another: who makes a job says what it reads, and the model's role reads it."""
    reading = [
        resource["Fn::Sub"]
        for statement in policy("cfn/release-batch.yaml", "Model").statements
        if "s3:GetObject" in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    ]
    projects = "arn:${AWS::Partition}:s3:::${Namespace}-*-${ToolingAccountId}-${AWS::Region}"
    assert reading == ["${Files.Arn}/jobs/*", "${Files.Arn}/verify/*", f"{projects}/pipeline/*/output/model.tar.gz"]
    (listing,) = statements("cfn/release-batch.yaml", "Model", "FindModels")
    assert listing["Condition"]["StringLike"] == {"s3:prefix": "pipeline/*"}


def test_a_release_makes_what_its_mode_needs() -> None:
    """Protects the bill: without requests no endpoint, without files no model for them."""
    body = Template("e", (REPOSITORY / "service-catalog/project/endpoint.yaml").read_text(encoding="utf-8")).body
    conditions = {name: part["Condition"] for name, part in body["Resources"].items()}
    requests = dict.fromkeys(("Model", "EndpointConfiguration", "Endpoint"), "AnswersRequests")
    assert conditions == {**requests, "BatchModel": "AnswersFiles"}
    told = {name: part.get("Condition") for name, part in body["Outputs"].items()}
    assert told.pop("ModelVersion") is None
    assert told.pop("EndpointName") == "AnswersRequests"
    assert set(told.values()) == {"AnswersFiles"}
    assert body["Conditions"] == {
        "AnswersRequests": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Serving"}, "batch"]}]},
        "AnswersFiles": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Serving"}, "real-time"]}]},
    }
