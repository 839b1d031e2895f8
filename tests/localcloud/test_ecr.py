"""ECR as boto3 and CloudFormation see it, and images between accounts. Each test has repositories of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from localcloud.core import Fault
from localcloud.services.ecr import lifecycle
from tests.localcloud.conftest import PRODUCTION, STAGING, TOOLING, LocalCloud

OCI = "application/vnd.oci.image.manifest.v1+json"
_names = iter(range(10_000))


def manifest(text: str = "a") -> str:
    """A manifest without layers: nothing of it has to be on this machine."""
    return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": {"digest": text, "size": 7}, "layers": []})


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def ecr(cloud: LocalCloud) -> Any:
    return cloud.client("ecr")


@pytest.fixture
def repository(ecr: Any) -> Iterator[str]:
    """An immutable repository."""
    name = f"team/ecr-test-{next(_names)}"
    ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    yield name
    ecr.delete_repository(repositoryName=name, force=True)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_repository_is_described_as_it_was_created(ecr: Any) -> None:
    """Address and ARN have AWS's form: image addresses are made of them."""
    made = ecr.create_repository(
        repositoryName="shape/one", imageScanningConfiguration={"scanOnPush": True}, tags=[{"Key": "a", "Value": "b"}]
    )["repository"]
    assert made["repositoryUri"] == f"{TOOLING}.dkr.ecr.eu-west-1.amazonaws.com/shape/one"
    assert made["repositoryArn"] == f"arn:aws:ecr:eu-west-1:{TOOLING}:repository/shape/one"
    assert made["encryptionConfiguration"] == {"encryptionType": "AES256"}
    assert ecr.describe_repositories(repositoryNames=["shape/one"])["repositories"] == [made]
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "a", "Value": "b"}]
    with pytest.raises(ClientError) as error:
        ecr.create_repository(repositoryName="shape/one")
    assert code(error) == "RepositoryAlreadyExistsException"
    with pytest.raises(ClientError) as error:
        ecr.describe_repositories(repositoryNames=["shape/none"])
    assert code(error) == "RepositoryNotFoundException"


def test_a_key_that_does_not_exist_is_refused(ecr: Any) -> None:
    """A repository is never created with a key that nobody can use."""
    with pytest.raises(ClientError) as error:
        ecr.create_repository(
            repositoryName="kms/one", encryptionConfiguration={"encryptionType": "KMS", "kmsKey": "alias/none"}
        )
    assert code(error) == "KmsException"


def test_an_immutable_tag_stays_where_it_is(ecr: Any, repository: str) -> None:
    """What was released under a tag is what one gets under it for ever."""
    ecr.put_image(repositoryName=repository, imageManifest=manifest("a"), imageTag="1")
    with pytest.raises(ClientError) as error:
        ecr.put_image(repositoryName=repository, imageManifest=manifest("b"), imageTag="1")
    assert code(error) == "ImageTagAlreadyExistsException"
    with pytest.raises(ClientError) as error:
        ecr.put_image(repositoryName=repository, imageManifest=manifest("a"), imageTag="1")
    assert code(error) == "ImageAlreadyExistsException"
    found = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "1"}])["images"][0]
    assert found["imageManifest"] == manifest("a")
    assert found["imageId"] == {"imageDigest": digest_of(manifest("a")), "imageTag": "1"}


def test_exclusion_filters_turn_mutability_round(ecr: Any, repository: str) -> None:
    """ "latest" may move in a repository whose versions may not."""
    ecr.put_image_tag_mutability(
        repositoryName=repository, imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "latest*"}],
    )  # fmt: skip
    for text in ("a", "b"):
        ecr.put_image(repositoryName=repository, imageManifest=manifest(text), imageTag="latest")
    details = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert {item["imageDigest"]: item.get("imageTags") for item in details} == {
        digest_of(manifest("a")): None,
        digest_of(manifest("b")): ["latest"],
    }


def test_tags_are_listed_and_deleted_one_by_one(ecr: Any, repository: str) -> None:
    """A tag that goes leaves the image to its other tags; the last one takes the image along."""
    for tag in ("1", "2"):
        ecr.put_image(repositoryName=repository, imageManifest=manifest(), imageTag=tag)
    digest = digest_of(manifest())
    listed = ecr.list_images(repositoryName=repository)["imageIds"]
    assert listed == [{"imageDigest": digest, "imageTag": tag} for tag in ("1", "2")]
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "1"}])
    assert ecr.list_images(repositoryName=repository)["imageIds"] == [{"imageDigest": digest, "imageTag": "2"}]
    answer = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "2"}, {"imageTag": "3"}])
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"
    with pytest.raises(ClientError) as error:
        ecr.describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    assert code(error) == "ImageNotFoundException"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "InvalidParameterException"),
        ("{}", "InvalidParameterException"),
        (json.dumps({"schemaVersion": 2, "layers": []}), "InvalidParameterException"),
        (
            json.dumps({"schemaVersion": 2, "mediaType": OCI, "layers": [{"digest": "sha256:" + "0" * 64}]}),
            "LayersNotFoundException",
        ),
    ],
)
def test_a_manifest_that_cannot_be_pulled_is_refused(ecr: Any, repository: str, text: str, expected: str) -> None:
    """An image in the registry always has its bytes: a record of nothing would fail only when it is run."""
    with pytest.raises(ClientError) as error:
        ecr.put_image(repositoryName=repository, imageManifest=text, imageTag="1")
    assert code(error) == expected


def test_a_repository_with_images_goes_only_by_force(ecr: Any) -> None:
    """Nobody loses images by a plain delete."""
    ecr.create_repository(repositoryName="full/one")
    ecr.put_image(repositoryName="full/one", imageManifest=manifest(), imageTag="1")
    with pytest.raises(ClientError) as error:
        ecr.delete_repository(repositoryName="full/one")
    assert code(error) == "RepositoryNotEmptyException"
    ecr.delete_repository(repositoryName="full/one", force=True)
    ecr.create_repository(repositoryName="full/one")
    assert ecr.list_images(repositoryName="full/one")["imageIds"] == []


def test_another_account_pulls_by_the_repository_policy_alone(cloud: LocalCloud, ecr: Any, repository: str) -> None:
    """Staging may pull what its policy statement says, production may not, and neither may push."""
    ecr.put_image(repositoryName=repository, imageManifest=manifest(), imageTag="1")
    staging, production = cloud.client("ecr", STAGING), cloud.client("ecr", PRODUCTION)
    request = {"registryId": TOOLING, "repositoryName": repository, "imageIds": [{"imageTag": "1"}]}
    with pytest.raises(ClientError) as error:
        staging.batch_get_image(**request)
    assert code(error) == "AccessDeniedException"
    statement = {
        "Sid": "Pull", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{STAGING}:root"},
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    ecr.set_repository_policy(repositoryName=repository, policyText=policy)
    assert ecr.get_repository_policy(repositoryName=repository)["policyText"] == policy
    assert staging.batch_get_image(**request)["images"][0]["registryId"] == TOOLING
    with pytest.raises(ClientError) as error:
        production.batch_get_image(**request)
    assert code(error) == "AccessDeniedException"
    with pytest.raises(ClientError) as error:
        staging.put_image(registryId=TOOLING, repositoryName=repository, imageManifest=manifest("b"), imageTag="2")
    assert code(error) == "AccessDeniedException"
    ecr.delete_repository_policy(repositoryName=repository)
    with pytest.raises(ClientError) as error:
        staging.batch_get_image(**request)
    assert code(error) == "AccessDeniedException"


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*"}]}']
)
def test_a_policy_that_is_none_is_refused(ecr: Any, repository: str, text: str) -> None:
    """AWS takes no Resource in a repository policy, and a template that has one has to fail here too."""
    with pytest.raises(ClientError) as error:
        ecr.set_repository_policy(repositoryName=repository, policyText=text)
    assert code(error) == "InvalidParameterException"


def test_a_scan_says_that_it_could_not_be_made(ecr: Any, repository: str) -> None:
    """No image is shown as free of findings that nobody has looked for."""
    ecr.put_image_scanning_configuration(repositoryName=repository, imageScanningConfiguration={"scanOnPush": True})
    ecr.put_image(repositoryName=repository, imageManifest=manifest(), imageTag="1")
    found = ecr.describe_image_scan_findings(repositoryName=repository, imageId={"imageTag": "1"})
    assert found["imageScanStatus"]["status"] == "FAILED"
    assert "imageScanFindings" not in found
    assert ecr.describe_images(repositoryName=repository)["imageDetails"][0]["imageScanStatus"]["status"] == "FAILED"


def test_a_token_logs_in_for_twelve_hours(ecr: Any) -> None:
    """The token is user and password, as `aws ecr get-login-password` takes it apart."""
    data = ecr.get_authorization_token()["authorizationData"][0]
    user, password = base64.b64decode(data["authorizationToken"]).decode().split(":", 1)
    assert user == "AWS"
    assert password
    assert data["proxyEndpoint"] == f"https://{TOOLING}.dkr.ecr.eu-west-1.amazonaws.com"
    assert data["expiresAt"] > datetime.now(UTC) + timedelta(hours=11)


TEMPLATE = {
    "Resources": {
        "Images": {
            "Type": "AWS::ECR::Repository",
            "Properties": {
                "RepositoryName": "cfn/images",
                "ImageTagMutability": "IMMUTABLE",
                "ImageScanningConfiguration": {"ScanOnPush": True},
                "EncryptionConfiguration": {"EncryptionType": "KMS"},
                "LifecyclePolicy": {
                    "LifecyclePolicyText": json.dumps({
                        "rules": [{
                            "rulePriority": 1, "action": {"type": "expire"},
                            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
                        }]
                    })
                },
                "RepositoryPolicyText": {
                    "Version": "2012-10-17",
                    "Statement": [{
                        "Effect": "Allow", "Principal": {"AWS": {"Fn::Sub": f"arn:aws:iam::{STAGING}:root"}},
                        "Action": "ecr:BatchGetImage",
                    }],
                },
                "EmptyOnDelete": True,
                "Tags": [{"Key": "a", "Value": "b"}],
            },
        }
    },
    "Outputs": {
        "Uri": {"Value": {"Fn::GetAtt": ["Images", "RepositoryUri"]}},
        "Arn": {"Value": {"Fn::GetAtt": ["Images", "Arn"]}},
        "Name": {"Value": {"Ref": "Images"}},
    },
}  # fmt: skip


def test_cloudformation_makes_changes_and_removes_a_repository(cloud: LocalCloud, ecr: Any) -> None:
    """Every property that the platform's templates use takes effect, at creation and at an update."""
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName="ecr-one", TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="ecr-one", WaiterConfig={"Delay": 1})
    stack = cloudformation.describe_stacks(StackName="ecr-one")["Stacks"][0]
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}
    assert outputs["Uri"] == f"{TOOLING}.dkr.ecr.eu-west-1.amazonaws.com/cfn/images"
    assert outputs["Name"] == "cfn/images"
    found = ecr.describe_repositories(repositoryNames=["cfn/images"])["repositories"][0]
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["encryptionConfiguration"]["encryptionType"] == "KMS"
    assert "untagged" in ecr.get_lifecycle_policy(repositoryName="cfn/images")["lifecyclePolicyText"]
    assert STAGING in ecr.get_repository_policy(repositoryName="cfn/images")["policyText"]
    changed = json.loads(json.dumps(TEMPLATE))
    changed["Resources"]["Images"]["Properties"]["ImageTagMutability"] = "MUTABLE"
    del changed["Resources"]["Images"]["Properties"]["RepositoryPolicyText"]
    cloudformation.update_stack(StackName="ecr-one", TemplateBody=json.dumps(changed))
    cloudformation.get_waiter("stack_update_complete").wait(StackName="ecr-one", WaiterConfig={"Delay": 1})
    found = ecr.describe_repositories(repositoryNames=["cfn/images"])["repositories"][0]
    assert found["imageTagMutability"] == "MUTABLE"
    with pytest.raises(ClientError):
        ecr.get_repository_policy(repositoryName="cfn/images")
    ecr.put_image(repositoryName="cfn/images", imageManifest=manifest(), imageTag="1")
    cloudformation.delete_stack(StackName="ecr-one")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="ecr-one", WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError):
        ecr.describe_repositories(repositoryNames=["cfn/images"])


def test_records_survive_a_power_cut(own_cloud: LocalCloud) -> None:
    """What was pushed is there after kill -9."""
    ecr = own_cloud.client("ecr")
    ecr.create_repository(repositoryName="kept/one", imageTagMutability="IMMUTABLE")
    ecr.put_image(repositoryName="kept/one", imageManifest=manifest(), imageTag="1")
    own_cloud.kill()
    own_cloud.start()
    images = own_cloud.client("ecr").describe_images(repositoryName="kept/one")["imageDetails"]
    assert [item["imageTags"] for item in images] == [["1"]]


def rule(priority: int, **selection: Any) -> dict[str, Any]:
    return {"rulePriority": priority, "selection": selection, "action": {"type": "expire"}}


def image(day: int, *tags: str) -> dict[str, Any]:
    return {"tags": list(tags), "pushed_at": datetime(2026, 1, day, tzinfo=UTC)}


def test_lifecycle_rules_claim_images_by_priority() -> None:
    """An image that an earlier rule selects is not counted by a later one."""
    rules = lifecycle.check(json.dumps({"rules": [
        rule(2, tagStatus="any", countType="imageCountMoreThan", countNumber=1),
        rule(1, tagStatus="tagged", tagPatternList=["v*"], countType="imageCountMoreThan", countNumber=2),
    ]}))  # fmt: skip
    images = [image(1, "v1"), image(2, "v2"), image(3, "v3"), image(4), image(5)]
    gone = lifecycle.expired(rules, images, datetime(2026, 2, 1, tzinfo=UTC))
    assert [(item["pushed_at"].day, priority) for item, priority in gone] == [(1, 1), (4, 2)]


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [rule(0, tagStatus="any", countType="imageCountMoreThan", countNumber=1)],
        [rule(1, tagStatus="tagged", countType="imageCountMoreThan", countNumber=1)],
        [rule(1, tagStatus="any", countType="sinceImagePushed", countNumber=1)],
        [rule(1, tagStatus="any", countType="imageCountMoreThan", countUnit="days", countNumber=1)],
        [
            rule(1, tagStatus="any", countType="imageCountMoreThan", countNumber=1),
            rule(2, tagStatus="untagged", countType="imageCountMoreThan", countNumber=1),
        ],
    ],
)
def test_a_lifecycle_policy_that_aws_refuses_is_refused(rules: list[Any]) -> None:
    """Better here than at the first deployment."""
    with pytest.raises(Fault) as error:
        lifecycle.check(json.dumps({"rules": rules}))
    assert error.value.code == "InvalidParameterException"


def test_a_preview_shows_what_would_go(ecr: Any, repository: str) -> None:
    """A policy can be tried before it is set."""
    for number in range(3):
        ecr.put_image(repositoryName=repository, imageManifest=manifest(str(number)), imageTag=str(number))
        time.sleep(0.01)
    text = json.dumps({"rules": [rule(1, tagStatus="any", countType="imageCountMoreThan", countNumber=1)]})
    ecr.start_lifecycle_policy_preview(repositoryName=repository, lifecyclePolicyText=text)
    found = ecr.get_lifecycle_policy_preview(repositoryName=repository)
    assert found["summary"]["expiringImageTotalCount"] == 2
    assert {tag for item in found["previewResults"] for tag in item["imageTags"]} == {"0", "1"}


def test_the_registry_protocol_is_refused_by_name_and_others_of_that_path_are_not(cloud: LocalCloud) -> None:
    """Protects a Docker engine's user from a push that nobody would see; API Gateway's /v2/ paths stay its own."""
    for path in ("/v2/", "/v2/slipway/base/python/manifests/latest"):
        answer = httpx.get(f"{cloud.endpoint}{path}")
        assert answer.status_code == 501
        assert answer.json()["errors"][0]["code"] == "UNSUPPORTED"
        assert "docker command within a build" in answer.json()["errors"][0]["message"]
    assert "Items" in cloud.client("apigatewayv2").get_apis()
