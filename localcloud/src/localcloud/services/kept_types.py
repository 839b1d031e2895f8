"""CloudFormation types that a governed account has and that need no behaviour here: kept as records.

Each declares what AWS answers with; AWS's own schema says the rest. ARNs are those of the service authorization
reference.
"""

from __future__ import annotations

from localcloud.core.cfn import Properties
from localcloud.records.declared import Declared
from localcloud.records.kept import Kept

_RESOLVER = "arn:aws:route53resolver:{region}:{account}"


ROUTE53_RESOLVER = (
    Declared(
        "AWS::Route53Resolver::FirewallDomainList",
        Kept(
            {
                "Id": "rslvr-fdl-{hex:16}",
                "Arn": _RESOLVER + ":firewall-domain-list/{Id}",
                "DomainCount": lambda properties: len(properties.get("Domains") or ()),
                "Status": "COMPLETE",
                "CreatorRequestId": "{uuid}",
                "CreationTime": "{created}",
                "ModificationTime": "{updated}",
            },
            never=("StatusMessage", "ManagedOwnerName"),
        ),
        name=("Name", 64),
    ),
    Declared(
        "AWS::Route53Resolver::FirewallRuleGroup",
        Kept(
            {
                "Id": "rslvr-frg-{hex:16}",
                "Arn": _RESOLVER + ":firewall-rule-group/{Id}",
                "RuleCount": lambda properties: len(properties.get("FirewallRules") or ()),
                "Status": "COMPLETE",
                "OwnerId": "{account}",
                "ShareStatus": "NOT_SHARED",
                "CreatorRequestId": "{uuid}",
                "CreationTime": "{created}",
                "ModificationTime": "{updated}",
            },
            never=("StatusMessage",),
        ),
        name=("Name", 64),
    ),
    Declared(
        "AWS::Route53Resolver::FirewallRuleGroupAssociation",
        Kept(
            {
                "Id": "rslvr-frgassoc-{hex:16}",
                "Arn": _RESOLVER + ":firewall-rule-group-association/{Id}",
                "Status": "COMPLETE",
                "CreatorRequestId": "{uuid}",
                "CreationTime": "{created}",
                "ModificationTime": "{updated}",
            },
            never=("StatusMessage", "ManagedOwnerName"),
            unique=("FirewallRuleGroupId", "VpcId"),
        ),
    ),
    Declared(
        "AWS::Route53Resolver::ResolverQueryLoggingConfig",
        Kept(
            {
                "Id": "rqlc-{hex:16}",
                "Arn": _RESOLVER + ":resolver-query-log-config/{Id}",
                "OwnerId": "{account}",
                "Status": "CREATED",
                "ShareStatus": "NOT_SHARED",
                "AssociationCount": 0,
                "CreatorRequestId": "{uuid}",
                "CreationTime": "{created}",
            }
        ),
        name=("Name", 64),
    ),
    Declared(
        "AWS::Route53Resolver::ResolverQueryLoggingConfigAssociation",
        Kept(
            {"Id": "rqlca-{hex:16}", "Status": "ACTIVE", "Error": "NONE", "CreationTime": "{created}"},
            never=("ErrorMessage",),
            unique=("ResolverQueryLogConfigId", "ResourceId"),
        ),
    ),
)

SECURITY = (
    Declared("AWS::GuardDuty::Detector", Kept({"Id": "{hex:32}"}, single=True)),
    Declared(
        "AWS::AccessAnalyzer::Analyzer",
        Kept({"Arn": "arn:aws:access-analyzer:{region}:{account}:analyzer/{AnalyzerName}"}, unique=("AnalyzerName",)),
        name=("AnalyzerName", 255),
    ),
    Declared(
        "AWS::SecurityHub::Hub",
        Kept({"ARN": "arn:aws:securityhub:{region}:{account}:hub/default", "SubscribedAt": "{created}"}, single=True),
    ),
)

COST = (
    Declared(
        "AWS::CE::AnomalyMonitor",
        Kept(
            {
                "MonitorArn": "arn:aws:ce::{account}:anomalymonitor/{uuid}",
                "CreationDate": "{created}",
                "LastUpdatedDate": "{updated}",
                "LastEvaluatedDate": "NOT_EVALUATED_YET",
                "DimensionalValueCount": 0,
            },
            service_wide=True,
        ),
    ),
    Declared(
        "AWS::CE::AnomalySubscription",
        Kept(
            {"SubscriptionArn": "arn:aws:ce::{account}:anomalysubscription/{uuid}", "AccountId": "{account}"},
            service_wide=True,
        ),
    ),
)


def _principal(properties: Properties) -> str:
    return str(properties["Principal"].get("DataLakePrincipalIdentifier"))


SHARED = (
    Declared(
        "AWS::RAM::ResourceShare",
        Kept(
            {
                "Arn": "arn:aws:ram:{region}:{account}:resource-share/{uuid}",
                "Status": "ACTIVE",
                "CreationTime": "{created}",
                "LastUpdatedTime": "{updated}",
                "FeatureSet": "STANDARD",
                "OwningAccountId": "{account}",
            }
        ),
    ),
    Declared("AWS::Logs::QueryDefinition", Kept({"QueryDefinitionId": "{uuid}"})),
    Declared("AWS::SSM::Document", Kept(unique=("Name",)), name=("Name", 128)),
    Declared("AWS::ServiceCatalog::PortfolioShare", Kept(unique=("PortfolioId", "AccountId"))),
    Declared("AWS::ServiceCatalog::ServiceAction", Kept({"Id": "act-{short:13}"})),
)

ATTACHED = (
    # ministack's ReplaceNetworkAclAssociation loses the subnet.
    Declared(
        "AWS::EC2::SubnetNetworkAclAssociation", Kept({"AssociationId": "aclassoc-{hex:17}"}, unique=("SubnetId",))
    ),
    # A secret that is rotated needs its function to be run.
    Declared("AWS::SecretsManager::RotationSchedule", Kept({"Id": "{SecretId}"})),
)

LAKE = (
    Declared("AWS::LakeFormation::DataLakeSettings", Kept({"Id": "{account}"}, single=True)),
    Declared("AWS::LakeFormation::Resource", Kept({"Id": "{ResourceArn}"}, unique=("ResourceArn",))),
    Declared(
        "AWS::LakeFormation::PrincipalPermissions",
        Kept(
            {"PrincipalIdentifier": _principal, "ResourceIdentifier": "{sha:Resource}"},
            unique=("Principal", "Resource"),
        ),
    ),
)


def _target(properties: Properties) -> Properties:
    """A policy may name its target by the value of Ref of the target."""
    names = ("ResourceId", "ScalableDimension", "ServiceNamespace")
    given = str(properties.get("ScalingTargetId", "")).split("|")
    return {**properties, **dict(zip(names, given, strict=True))} if len(given) == len(names) else properties


SCALING = (
    Declared(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        Kept(
            {"Id": "{ResourceId}|{ScalableDimension}|{ServiceNamespace}"},
            unique=("ResourceId", "ScalableDimension", "ServiceNamespace"),
        ),
    ),
    Declared(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        Kept(
            {
                "Arn": "arn:aws:autoscaling:{region}:{account}:scalingPolicy:{uuid}:resource/{ServiceNamespace}/"
                "{ResourceId}:policyName/{PolicyName}"
            },
            unique=("PolicyName", "ResourceId", "ScalableDimension", "ServiceNamespace"),
        ),
        ref=("Arn",),
        complete=_target,
    ),
)

KEPT = (*ROUTE53_RESOLVER, *SECURITY, *COST, *SHARED, *ATTACHED, *LAKE, *SCALING)
RESOURCES = tuple(declared.resource_type() for declared in KEPT)
