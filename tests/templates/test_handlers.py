"""What CloudFormation's own handlers of resource types call, against the roles that CloudFormation is given.

The registry says for each type which actions its create, read, update and delete handlers call; cfn-lint ships it. Most
handlers list more than one template needs, since they serve every property of the type. What a role does not allow must
be argued here, by the properties that no template gives.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import re
from pathlib import Path
from typing import Any

import cfnlint
import pytest
from ministack.core.iam_evaluator import fnmatch_iam

from tests.templates.library import Template, templates
from tests.templates.policies import actions, policies

# The template that has a role → the logical ids of its policies → the templates that CloudFormation deploys with it.
ADMINISTRATORS = {
    f"cfn/{name}.yaml"
    for name in (
        "access-analyzer", "audit", "audit-findings", "audit-store", "audit-trail", "bootstrap", "config-recorder",
        "config-rules", "deployer", "deployer-policies", "guard", "guardrails", "threat-detection",
    )
}  # fmt: skip
DEPLOYED_BY = {
    "platform-deployer": ("cfn/deployer*.yaml", None, "cfn/"),
    "launch-project": ("cfn/launch-role-project.yaml", None, "service-catalog/project/"),
    "launch-studio-user": ("cfn/launch-role-studio-user.yaml", None, "service-catalog/studio-user/"),
    "release-cloudformation": ("cfn/release-roles.yaml", "CloudFormation", "service-catalog/project/endpoint.yaml"),
}
_ENDPOINT = "service-catalog/project/endpoint.yaml"

# Type → (pattern of actions, why no role needs them).
NOT_NEEDED: dict[str, list[tuple[str, str]]] = {
    "AWS::CloudFormation::Stack": [
        ("cloudformation:UpdateTerminationProtection", "no nested stack is protected by itself; its root is"),
        ("cloudformation:SetStackPolicy", "no nested stack has a stack policy"),
    ],
    "AWS::CodeArtifact::Domain": [
        ("codeartifact:[PD]*DomainPermissionsPolicy", "PermissionsPolicyDocument is not given")
    ],
    "AWS::CodeArtifact::Repository": [
        ("codeartifact:[PD]*RepositoryPermissionsPolicy", "PermissionsPolicyDocument is not given"),
    ],
    "AWS::CodeCommit::Repository": [
        ("codecommit:PutRepositoryTriggers", "Triggers are not given: events go to EventBridge"),
        ("codecommit:CreateCommit", "Code is not given: the stamping build makes the first commit"),
        ("s3:GetObject*", "Code is not given"),
        ("codecommit:UpdateRepositoryName", "a new ProjectName is another product"),
        ("codecommit:UpdateRepositoryEncryptionKey", "KmsKeyId is not given"),
    ],
    "AWS::CodePipeline::Pipeline": [
        ("codestar-connections:*", "sources are CodeCommit and S3, not connections"),
        ("codepipeline:StartPipelineExecution", "RestartExecutionOnUpdate is false, and the boundary forbids it"),
    ],
    "AWS::EC2::FlowLog": [
        ("autoscaling:DescribeTags", "flow logs are of VPCs"),
        ("logs:*LogDelivery", "for buckets and Firehose; these logs go to CloudWatch with a role"),
    ],
    "AWS::EC2::Subnet": [("ec2:*SubnetCidrBlock", "IPv6 is not given")],
    "AWS::EC2::VPC": [
        ("ec2:CreateVpcEncryptionControl", "VpcEncryptionControl is not given"),
        ("ec2:ModifyVpcTenancy", "InstanceTenancy is not given"),
    ],
    "AWS::EC2::VPCEndpoint": [
        ("vpc-lattice:*", "no endpoint is of a service network"),
        ("vpce:AllowMultiRegion", "ServiceRegion is not given"),
    ],
    "AWS::Budgets::Budget": [("billing:GetBillingViewData", "the budget is of the account, not of a billing view")],
    "AWS::Cognito::UserPool": [("kms:ReEncrypt*", "KeyConfiguration is not given")],
    "AWS::Cognito::UserPoolDomain": [
        ("cloudfront:updateDistribution", "CustomDomainConfig is not given"),
        ("kms:ReEncrypt*", "the pool has no key of its own: its KeyConfiguration is not given"),
    ],
    "AWS::IAM::Policy": [
        ("iam:*UserPolicy", "Users are not given"),
        ("iam:*GroupPolicy", "Groups are not given"),
    ],
    "AWS::IAM::ManagedPolicy": [
        ("iam:*UserPolicy", "Users are not given"),
        ("iam:*GroupPolicy", "Groups are not given"),
    ],
    "AWS::IAM::Role": [("iam:DeleteRolePermissionsBoundary", "every role keeps its boundary, which forbids it")],
    "AWS::Lambda::Function": [
        ("lambda:PutFunctionConcurrency", "ReservedConcurrentExecutions is not given"),
        ("s3files:ListMountTargets", "FileSystemConfigs are not given"),
        ("lambda:GetLayerVersion", "Layers are not given"),
        ("lambda:PutFunctionScalingConfig", "FunctionScalingConfig is not given"),
        ("lambda:PassCapacityProvider", "CapacityProviderConfig is not given"),
        ("lambda:AssociateRuntimeAlias", "Runtime is one of AWS's"),
        ("lambda:PutFunctionCodeSigningConfig", "CodeSigningConfigArn is not given"),
        ("lambda:PublishVersion", "PublishToLatestPublished is not given"),
    ],
    "AWS::Logs::LogGroup": [
        ("logs:PutDataProtectionPolicy", "DataProtectionPolicy is not given"),
        ("logs:*LogDelivery", "only for groups of the class DELIVERY"),
        ("s3:REST.PUT.OBJECT", "only for groups of the class DELIVERY"),
        ("firehose:TagDeliveryStream", "only for groups of the class DELIVERY"),
        ("logs:[PD]*ResourcePolicy", "ResourcePolicyDocument is not given"),
        ("logs:*IndexPolicy", "FieldIndexPolicies are not given"),
        ("logs:PutLogGroupDeletionProtection", "DeletionProtectionEnabled is not given"),
        ("logs:PutBearerTokenAuthentication", "BearerTokenAuthenticationEnabled is not given"),
    ],
    "AWS::SNS::Topic": [
        ("sns:Subscribe", "Subscription is not given: who is told stands in project.yaml"),
        ("sns:PutDataProtectionPolicy", "DataProtectionPolicy is not given"),
    ],
    "AWS::Route53Resolver::ResolverQueryLoggingConfig": [
        ("resolverquerylogging:*", "no service has this prefix; route53resolver's actions stand beside it"),
    ],
    "AWS::Route53Resolver::ResolverQueryLoggingConfigAssociation": [
        ("resolverquerylogging:*", "no service has this prefix; route53resolver's actions stand beside it"),
    ],
    "AWS::S3::Bucket": [
        ("s3:PutBucketAbac", "AbacStatus is not given"),
        ("s3:Put*AnalyticsConfiguration", "AnalyticsConfigurations are not given"),
        ("s3:DeleteBucketAnalyticsConfiguration", "AnalyticsConfigurations are not given"),
        ("s3:PutBucketCORS", "CorsConfiguration is not given"),
        ("s3:DeleteBucketCors", "CorsConfiguration is not given"),
        ("s3:PutInventoryConfiguration", "InventoryConfigurations are not given"),
        ("s3:PutMetricsConfiguration", "MetricsConfigurations are not given"),
        ("s3:DeleteBucketMetricsConfiguration", "MetricsConfigurations are not given"),
        ("s3:PutBucketNotification", "only the lake tells EventBridge of its objects; its role has it"),
        ("s3:PutBucketReplication", "ReplicationConfiguration is not given"),
        ("s3:DeleteBucketReplication", "ReplicationConfiguration is not given"),
        ("s3:PutReplicationConfiguration", "ReplicationConfiguration is not given"),
        ("s3:PutBucketWebsite", "WebsiteConfiguration is not given"),
        ("s3:DeleteBucketWebsite", "WebsiteConfiguration is not given"),
        ("s3:PutAccelerateConfiguration", "AccelerateConfiguration is not given"),
        ("s3:PutObjectAcl", "AccessControl is not given"),
        ("s3:PutBucketAcl", "AccessControl is not given"),
        ("s3:Put*ObjectLockConfiguration", "ObjectLockConfiguration is not given"),
        ("s3:DeleteObject", "for the metadata tables, which are not given"),
        ("s3:PutIntelligentTieringConfiguration", "IntelligentTieringConfigurations are not given"),
        ("s3:*eBucketMetadata*TableConfiguration", "MetadataTableConfiguration is not given"),
        ("s3tables:*", "MetadataTableConfiguration is not given"),
        ("s3:DeleteBucketEncryption", "a bucket keeps its encryption"),
        ("s3:DeleteBucketLifecycle", "a bucket keeps its lifecycle"),
    ],
    "AWS::SageMaker::Domain": [
        ("sagemaker:CreateApp", "apps belong to users, whom a product of their own makes"),
        ("sagemaker:DeleteApp", "apps belong to users, whom a product of their own makes"),
        ("sagemaker:DescribeImage*", "CustomImages are not given"),
        ("efs:*", "no service has this prefix; SageMaker's service-linked role makes the file system"),
    ],
    "AWS::SageMaker::UserProfile": [("sagemaker:DescribeImage*", "CustomImages are not given")],
    "AWS::ServiceCatalog::CloudFormationProduct": [("codestar-connections:*", "SourceConnection is not given")],
    "AWS::ServiceCatalog::PortfolioPrincipalAssociation": [("iam:Get[GU]*", "principals are roles")],
}


_PROPERTY = re.compile(r"^(\w+) (?:is|are) not given")


@functools.cache
def handlers(kind: str) -> dict[str, list[str]]:
    """Handler → the actions that it calls, for the types that have any in the registry."""
    schemas = Path(cfnlint.__file__).parent / "data" / "schemas"
    found = json.loads((schemas / "providers" / "eu-west-1.json").read_text()).get(kind)
    if found is None:
        return {}
    schema = json.loads((schemas / "resources" / f"{found}.json").read_text())
    return {name: handler["permissions"] for name, handler in schema.get("handlers", {}).items() if name != "list"}


def allowed(template: Template, role: str | None) -> list[str]:
    """The actions that the identity policies of a template (of one role of it) allow."""
    found: list[str] = []
    for policy in policies(template):
        if policy.kind == "identity" and role in (None, policy.owner):
            for statement in policy.statements:
                if statement["Effect"] == "Allow":
                    found += actions(statement)
    return found


def deployed_with(start: str) -> dict[str, list[str]]:
    """Type → the templates that have it, of those that begin so."""
    found: dict[str, list[str]] = {}
    for template in templates():
        fits = template.name.startswith(start) and template.name not in ADMINISTRATORS
        if fits and (start == _ENDPOINT or template.name != _ENDPOINT):
            for resource in template.resources.values():
                found.setdefault(resource["Type"], []).append(template.name)
    return found


def lacking(granted: list[str], kinds: dict[str, list[str]]) -> list[str]:
    """What handlers of these types call, that is neither granted nor argued."""
    return [
        f"{kind} ({handler}, {names[0]}): {action}"
        for kind, names in sorted(kinds.items())
        for handler, called in handlers(kind).items()
        for action in called
        if not any(fnmatch_iam(action, pattern) for pattern in granted) and not _argued(kind, action)
    ]


def _argued(kind: str, action: str) -> bool:
    return any(fnmatch.fnmatchcase(action, pattern) for pattern, _ in NOT_NEEDED.get(kind, ()))


@pytest.mark.parametrize("role", DEPLOYED_BY)
def test_cloudformation_may_call_what_its_handlers_call(role: str) -> None:
    """Protects deployments: a layer with a new type fails here, not half-way through a stack on AWS."""
    name, owner, start = DEPLOYED_BY[role]
    granted = [
        action
        for template in templates()
        if fnmatch.fnmatch(template.name, name)
        for action in allowed(template, owner)
    ]
    kinds = deployed_with(start)
    assert kinds
    missing = lacking(granted, kinds)
    assert not missing, "\n".join(missing)


def test_a_handler_without_its_action_is_found() -> None:
    """Shows that the judgement above can fail: a role that lacks one action of a handler."""
    granted = [
        action
        for template in templates()
        if fnmatch.fnmatch(template.name, "cfn/deployer*.yaml")
        for action in allowed(template, None)
        if action != "kms:EnableKeyRotation"
    ]
    assert any("kms:EnableKeyRotation" in line for line in lacking(granted, deployed_with("cfn/")))


def test_what_is_said_not_to_be_given_is_not_given() -> None:
    """Protects the list above: a template that begins to use such a property needs the actions."""
    given = [
        f"{template.name}: {name} gives {match[1]}"
        for template in templates()
        if template.name not in ADMINISTRATORS  # who deploys those is not limited by a role of ours
        for name, resource in template.resources.items()
        for _, reason in NOT_NEEDED.get(resource["Type"], ())
        if (match := _PROPERTY.match(reason)) and match[1] in resource.get("Properties", {})
    ]
    assert not given, "\n".join(given)


def test_nothing_is_argued_that_no_handler_calls() -> None:
    """Protects the list above from growing old."""
    used: dict[str, Any] = {kind: [a for called in handlers(kind).values() for a in called] for kind in NOT_NEEDED}
    stale = [
        f"{kind}: {pattern}"
        for kind, argued in NOT_NEEDED.items()
        for pattern, _ in argued
        if not any(fnmatch.fnmatchcase(action, pattern) for action in used[kind])
    ]
    assert not stale, stale


# Role → action (or pattern) that no handler is known to call → why the role has it all the same.
BEYOND_HANDLERS: dict[str, dict[str, str]] = {
    "platform-deployer": {
        "cloudformation:*": "nested stacks, and templates with loops, of which CloudFormation makes change sets",
        "codebuild:*": "the registry has no handlers for AWS::CodeBuild::Project",
        "codeconnections:PassConnection": "the registry names the service as before, codestar-connections",
        "ec2:DescribeAvailabilityZones": "Fn::GetAZs",
        "lambda:InvokeFunction": "custom resources",
        "secretsmanager:GetSecretValue": "a dynamic reference: the company's identity provider",
    },
    "launch-project": {
        "codeconnections:PassConnection": "the registry names the service as before, codestar-connections",
        "cloudformation:*": "nested stacks, and templates with loops, of which CloudFormation makes change sets",
        "codebuild:*": "the registry has no handlers for AWS::CodeBuild::Project",
        "ec2:Describe*": "parameters that are typed as a VPC, subnets and groups are looked up",
        "kms:Decrypt": "the templates of a release are encrypted",
        "lambda:InvokeFunction": "custom resources",
    },
    "launch-studio-user": {
        "cloudformation:*": "nested stacks, of which CloudFormation may make change sets",
        "kms:Decrypt": "the templates of a release are encrypted",
        "lambda:InvokeFunction": "custom resources",
        "s3:GetObject": "the templates of a release are read",
    },
    "release-cloudformation": {
        "ec2:Describe*": "parameters that are typed as subnets and groups are looked up",
        "kms:CreateGrant": "SageMaker encrypts the volumes of an endpoint; the registry does not say so",
        "sagemaker:DescribeModelPackage": "a model is made of a package of another account",
        "ssm:GetParameters": "parameters that are contracts are looked up",
    },
}


@functools.cache
def uncalled(role: str) -> list[str]:
    """What a role may do that no handler of what it deploys calls."""
    name, owner, start = DEPLOYED_BY[role]
    called = {action for kind in deployed_with(start) for found in handlers(kind).values() for action in found}
    granted = {
        action
        for template in templates()
        if fnmatch.fnmatch(template.name, name)
        for action in allowed(template, owner)
    }
    return sorted(action for action in granted if not any(fnmatch_iam(one, action) for one in called))


@pytest.mark.parametrize("role", DEPLOYED_BY)
def test_cloudformation_may_not_do_more_than_its_handlers(role: str) -> None:
    """Protects least privilege: what nothing that is deployed needs any more is taken away again."""
    found = [action for action in uncalled(role) if not any(fnmatch_iam(action, one) for one in BEYOND_HANDLERS[role])]
    assert not found, f"{role} may {', '.join(found)}: take it away, or say in BEYOND_HANDLERS why not"


@pytest.mark.parametrize("role", DEPLOYED_BY)
def test_what_is_said_to_be_beyond_handlers_is_granted_and_is(role: str) -> None:
    """Protects the list above from growing old; what it takes out of the test before, that test would find."""
    stale = [one for one in BEYOND_HANDLERS[role] if not any(fnmatch_iam(action, one) for action in uncalled(role))]
    assert stale == []
