"""A project's repository in CodeCommit or at another provider: what is made, what starts the build, who may fetch."""

from __future__ import annotations

import json
from typing import Any

import parliament
import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document
from ministack.services.cloudformation import engine

from tests.templates.library import ACCOUNT, REGION, REPOSITORY, templates

CONNECTION = f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/0d9d6f2e-0000-4000-8000-000000000000"
OLD = CONNECTION.replace("codeconnections", "codestar-connections")
PROVIDERS = ("Bitbucket", "GitHub", "GitHubEnterpriseServer", "GitLab", "GitLabSelfManaged")
USE = "codeconnections:UseConnection"
FETCHED = {
    "codeconnections:FullRepositoryId": "acme/delays",
    "codeconnections:BranchName": "main",
    "codeconnections:ProviderAction": "StartUploadArchiveToS3",
}
# Any value that fits; what the tests are about is given by them.
FILLED = {
    "ProjectName": "delays", "CostCenter": "ml", "ProjectBucket": "slipway-delays", "RepositoryName": "delays",
    "TestProject": "test", "ImagesProject": "images", "ModelProject": "model", "BuildPipeline": "build",
    "DeployPipeline": "deploy",
    **{f"{name}Arn": f"arn:aws:iam::{ACCOUNT}:role/r" for name in ("PipelineRole", "EventsRole", "ProjectKey")},
}  # fmt: skip


def elsewhere(provider: str = "GitHub", arn: str = CONNECTION, repository: str = "acme/delays") -> dict[str, str]:
    return {"SourceProvider": provider, "ConnectionArn": arn, "RepositoryId": repository}


class Made:
    """A template, of the project unless said otherwise, as CloudFormation resolves it with these parameters."""

    def __init__(self, name: str, folder: str = "service-catalog/project", **given: str) -> None:
        text = (REPOSITORY / folder / f"{name}.yaml").read_text(encoding="utf-8")
        template = engine._parse_template(text)
        for parameter in template["Parameters"].values():
            if parameter["Type"].startswith("AWS::SSM::"):
                parameter["Type"] = "String"  # the contract's name stands for its value
        wanted = {key: value for key, value in {**FILLED, **given}.items() if key in template["Parameters"]}
        parameters = [{"Key": key, "Value": value} for key, value in wanted.items()]
        self.parameters = engine._resolve_parameters(template, parameters)
        self.conditions = engine._evaluate_conditions(template, self.parameters)
        engine._evaluate_rules(template, self.parameters, self.conditions)
        self.template = template
        held = {
            title: item
            for title, item in template["Resources"].items()
            if self.conditions.get(item.get("Condition", ""), True)
        }
        known = {title: {"PhysicalResourceId": title, "Attributes": _Named(title)} for title in held}
        self.resources = {title: self._resolve(item, known) for title, item in held.items()}
        self.outputs = self._resolve(template.get("Outputs", {}), known)

    def _resolve(self, value: Any, known: dict[str, Any]) -> Any:
        return engine._resolve_refs(value, known, self.parameters, self.conditions, {}, "stack", "id")

    def properties(self, title: str) -> dict[str, Any]:
        return dict(self.resources[title]["Properties"])


class _Named(dict[str, str]):
    """Attributes of a resource that none was asked of: each is named after itself."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return f"{self.title}.{name}"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("missing", ["ConnectionArn", "RepositoryId"])
def test_a_provider_without_its_connection_is_refused_before_anything_is_made(provider: str, missing: str) -> None:
    with pytest.raises(ValueError, match="ConnectionArn and RepositoryId"):
        Made("product", **(elsewhere(provider) | {missing: ""}))


@pytest.mark.parametrize("given", ["ConnectionArn", "RepositoryId"])
def test_codecommit_takes_no_connection(given: str) -> None:
    with pytest.raises(ValueError, match="ConnectionArn and RepositoryId are for other providers"):
        Made("product", **{given: elsewhere()[given]})


@pytest.mark.parametrize("bad", [{"RepositoryId": "delays"}, {"ConnectionArn": "delays"}])
def test_what_is_no_repository_or_no_connection_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Made("product", **(elsewhere() | bad))


def test_a_project_in_codecommit_is_as_it_was() -> None:
    product, repository = Made("product"), Made("repository")
    assert "SLIPWAY_CLONE_URL" not in product.properties("SeedCode")["Variables"]
    assert "MergeRules" in product.resources
    assert "PushToMain" in Made("events").resources
    assert repository.outputs["CloneUrl"]["Value"] == "Repository.CloneUrlHttp"
    pipeline = Made("build-pipeline").properties("Pipeline")
    assert "Triggers" not in pipeline
    (source,) = pipeline["Stages"][0]["Actions"]
    assert source["ActionTypeId"]["Provider"] == "CodeCommit"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_project_elsewhere_makes_no_repository_and_is_started_by_its_connection(provider: str) -> None:
    """Two starts of one push would train twice; a repository in CodeCommit would be a second truth."""
    given = elsewhere(provider)
    product, repository = Made("product", **given), Made("repository", **given)
    assert [item["Type"] for item in repository.resources.values()] == ["AWS::SSM::Parameter"] * 2
    assert repository.properties("RepositoryContract")["Value"] == "acme/delays"
    assert repository.properties("ProviderContract")["Value"] == provider
    assert "MergeRules" not in product.resources
    assert product.properties("SeedCode")["Variables"]["SLIPWAY_CLONE_URL"] == "Repository.Outputs.CloneUrl"
    events = Made("events", **given).resources
    assert "PushToMain" not in events
    assert "ModelApproved" in events
    pipeline = Made("build-pipeline", **(given | {"RepositoryName": "acme/delays"})).properties("Pipeline")
    (source,) = pipeline["Stages"][0]["Actions"]
    assert source["ActionTypeId"]["Provider"] == "CodeStarSourceConnection"
    assert source["Configuration"] == {
        "ConnectionArn": CONNECTION,
        "FullRepositoryId": "acme/delays",
        "BranchName": "main",
        "OutputArtifactFormat": "CODE_ZIP",
        "DetectChanges": "false",
    }
    (trigger,) = pipeline["Triggers"]
    assert trigger["ProviderType"] == "CodeStarSourceConnection"
    assert trigger["GitConfiguration"] == {
        "SourceActionName": source["Name"],
        "Push": [{"Branches": {"Includes": ["main"]}}],
    }


@pytest.mark.parametrize("given", [{}, elsewhere()])
def test_the_stamped_commit_is_not_trained_wherever_it_comes_from(given: dict[str, str]) -> None:
    """Both source actions have a variable CommitMessage; the stages behind read it under the action's namespace."""
    pipeline = Made("build-pipeline", **given).properties("Pipeline")
    (source,), *_ = (stage["Actions"] for stage in pipeline["Stages"])
    assert source["Namespace"] == "Source"
    for stage in pipeline["Stages"][1:]:
        (condition,) = stage["BeforeEntry"]["Conditions"]
        (rule,) = condition["Rules"]
        assert (condition["Result"], rule["Name"]) == ("SKIP", "NotTheStampedCommit")
        assert rule["Configuration"] == {
            "Variable": "#{Source.CommitMessage}",
            "Operator": "NE",
            "Value": "slipway: stamp delays",
        }


@pytest.mark.parametrize(("arn", "service"), [(CONNECTION, "codeconnections"), (OLD, "codestar-connections")])
def test_the_address_of_a_connected_repository_is_its_connections(arn: str, service: str) -> None:
    found = Made("repository", **elsewhere(arn=arn, repository="acme/team/delays")).outputs["CloneUrl"]["Value"]
    path = f"{ACCOUNT}/{REGION}/0d9d6f2e-0000-4000-8000-000000000000/acme/team/delays.git"
    host, _, rest = found.removeprefix("https://").partition("/git-http/")
    assert host.startswith(f"{service}.")
    assert host.endswith(".amazonaws.com")
    assert rest == path


def allowed(policies: list[Any], action: str, resource: str, keys: dict[str, str]) -> bool:
    context = {name.lower(): value for name, value in keys.items()}
    asked = EvalContext(
        "arn:aws:iam::1:role/r", "AssumedRole", ACCOUNT, action, resource, REGION, service_context=context
    )
    return bool(evaluate(asked, [parse_policy_document(document) for document in policies]).decision == "Allow")


def pipeline_policies(**given: str) -> list[Any]:
    role = Made("pipeline-roles", **given).properties("PipelineRole")
    return [json.loads(json.dumps(policy["PolicyDocument"])) for policy in role["Policies"]]


@pytest.mark.parametrize("arn", [CONNECTION, OLD])
def test_a_pipeline_fetches_main_of_its_own_repository_alone(arn: str) -> None:
    """A connection opens every repository that its app was given, other projects' among them."""
    own = pipeline_policies(**elsewhere(arn=arn))
    prefix = arn.split(":")[2]
    use = f"{prefix}:UseConnection"
    keys = {name.replace("codeconnections", prefix): value for name, value in FETCHED.items()}
    assert allowed(own, use, arn, keys)
    assert allowed(own, use, arn, {}), "some requests are about no repository"
    assert not allowed(own, use, arn, keys | {f"{prefix}:FullRepositoryId": "acme/arrivals"})
    assert not allowed(own, use, arn, keys | {f"{prefix}:BranchName": "mine"})
    assert not allowed(own, use, arn.replace("0d9d6f2e", "1d9d6f2e"), keys)
    assert not allowed(own, "codecommit:GetBranch", f"arn:aws:codecommit:{REGION}:{ACCOUNT}:delays", {})


@pytest.mark.parametrize("arn", [CONNECTION, OLD])
def test_the_conditions_of_a_connected_pipeline_exist(arn: str) -> None:
    """IAM takes a condition of a key that no request has, and then it never holds, or always."""
    for document in pipeline_policies(**elsewhere(arn=arn)):
        found = parliament.analyze_policy_string(json.dumps(document)).findings
        assert not [f"{finding.issue} {finding.detail}" for finding in found if finding.issue.startswith("UNKNOWN")]


def test_a_pipeline_in_codecommit_uses_no_connection() -> None:
    own = pipeline_policies()
    assert not allowed(own, USE, CONNECTION, FETCHED)
    # The local cloud's account and region stand in what CloudFormation resolves.
    assert any("codecommit:GetBranch" in json.dumps(policy) for policy in own)


def platform_policies(name: str, kind: str, title: str) -> list[Any]:
    template = next(item for item in templates() if item.name == name)
    found = next(properties for logical, properties in template.of(kind) if logical == title)
    documents = [policy["PolicyDocument"] for policy in found.get("Policies", [found])]
    return [template.resolve(document) for document in documents]


def test_the_stamp_pushes_by_connections_that_were_given_to_the_platform() -> None:
    """One whose tag names another platform, or none, is not this platform's; and git alone goes through one that is."""
    stamp = platform_policies("cfn/stamping.yaml", "AWS::IAM::Role", "Role")
    given = {"aws:ResourceTag/Namespace": "name"}
    for action in ("GitPull", "GitPush"):
        assert allowed(stamp, USE, CONNECTION, given | {"codeconnections:ProviderAction": action})
    assert not allowed(stamp, USE, CONNECTION, given | {"codeconnections:ProviderAction": "DeleteRepository"})
    assert not allowed(stamp, USE, CONNECTION, {"codeconnections:ProviderAction": "GitPush"})
    assert not allowed(stamp, USE, CONNECTION, {"aws:ResourceTag/Namespace": "other"})


def test_a_launch_gives_pipelines_connections_that_were_given_to_the_platform() -> None:
    launch = platform_policies("cfn/launch-role-project.yaml", "AWS::IAM::ManagedPolicy", "Pipelines")
    action = "codeconnections:PassConnection"
    keys = {"aws:ResourceTag/Namespace": "name", "codeconnections:PassedToService": "codepipeline.amazonaws.com"}
    assert allowed(launch, action, CONNECTION, keys)
    assert not allowed(launch, action, CONNECTION, keys | {"aws:ResourceTag/Namespace": "other"})
    assert not allowed(
        launch, action, CONNECTION, keys | {"codeconnections:PassedToService": "codebuild.amazonaws.com"}
    )


@pytest.mark.parametrize("arn", [CONNECTION, OLD])
def test_the_platforms_own_pipeline_fetches_its_branch_alone(arn: str) -> None:
    """The platform's repository may lie beside others that the connection's app was given."""
    given = {"ConnectionArn": arn, "RepositoryId": "acme/platform", "BranchName": "main", "Bucket": "artefacts"}
    given["KeyArn"] = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    role = Made("delivery-roles", folder="cfn", **given).properties("Pipeline")
    own = [json.loads(json.dumps(policy["PolicyDocument"])) for policy in role["Policies"]]
    for prefix in ("codeconnections", "codestar-connections"):
        keys = {f"{prefix}:FullRepositoryId": "acme/platform", f"{prefix}:BranchName": "main"}
        assert allowed(own, f"{prefix}:UseConnection", arn, keys)
        assert not allowed(own, f"{prefix}:UseConnection", arn, keys | {f"{prefix}:FullRepositoryId": "acme/delays"})
        assert not allowed(own, f"{prefix}:UseConnection", arn, keys | {f"{prefix}:BranchName": "mine"})
