"""A smallest template of every declared type: what it needs beside it, its properties, and changes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ACCOUNT, REGION = "111111111111", "eu-west-1"
BUCKET = "a-bucket-of-logs"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/dns"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
TAGS = [{"Key": "project", "Value": "one"}]
METADATA = "<EntityDescriptor>" + "x" * 1000 + "</EntityDescriptor>"


@dataclass(frozen=True)
class Example:
    """`change`: properties of an update in place; `replace`: of one that makes a new resource."""

    properties: dict[str, Any]
    beside: dict[str, Any] = field(default_factory=dict)
    change: dict[str, Any] = field(default_factory=dict)
    replace: dict[str, Any] = field(default_factory=dict)


VPC = {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}}}
SUBNET = {
    **VPC,
    "Subnet": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.9.1.0/24"},
    },
    "Acl": {"Type": "AWS::EC2::NetworkAcl", "Properties": {"VpcId": {"Ref": "Vpc"}}},
}
OPTIONS = {
    **VPC,
    "Options": {"Type": "AWS::EC2::DHCPOptions", "Properties": {"DomainName": "example.internal"}},
}
RECORDER = {
    "Recorder": {
        "Type": "AWS::Config::ConfigurationRecorder",
        "Properties": {"RoleARN": f"arn:aws:iam::{ACCOUNT}:role/config"},
    }
}
SECRET = {"Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "{}"}}}
POOL = {"Pool": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolName": "people"}}}
PORTFOLIO = {
    "Portfolio": {
        "Type": "AWS::ServiceCatalog::Portfolio",
        "Properties": {"DisplayName": "shelf", "ProviderName": "us"},
    }
}
TARGET = {
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    "ServiceNamespace": "sagemaker",
}
VARIANT = {
    "Target": {
        "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
        "Properties": {**TARGET, "MinCapacity": 1, "MaxCapacity": 2},
    }
}
STEPS = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
}
ALARM = {
    "Alarm": {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "MetricName": "Errors", "Namespace": "AWS/Lambda", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold",
        },
    }
}  # fmt: skip

EXAMPLES: dict[str, Example] = {
    "AWS::EC2::NetworkAcl": Example({"VpcId": {"Ref": "Vpc"}}, VPC, {"Tags": TAGS}),
    "AWS::EC2::NetworkAclEntry": Example(
        {"NetworkAclId": {"Ref": "Acl"}, "RuleNumber": "100", "Protocol": -1, "RuleAction": "allow",
         "CidrBlock": "10.0.0.0/8"},
        SUBNET, {"RuleAction": "deny"}, {"RuleNumber": 110},
    ),
    "AWS::EC2::SubnetNetworkAclAssociation": Example(
        {"SubnetId": {"Ref": "Subnet"}, "NetworkAclId": {"Ref": "Acl"}}, SUBNET
    ),
    "AWS::EC2::DHCPOptions": Example({"DomainName": "a.internal"}, {}, {"Tags": TAGS}, {"DomainName": "b.internal"}),
    "AWS::EC2::VPCDHCPOptionsAssociation": Example(
        {"VpcId": {"Ref": "Vpc"}, "DhcpOptionsId": {"Ref": "Options"}}, OPTIONS
    ),
    "AWS::CloudTrail::Trail": Example(
        {"S3BucketName": BUCKET, "IsLogging": "true", "EnableLogFileValidation": True}, {},
        {"IsMultiRegionTrail": True, "IsLogging": False, "Tags": TAGS},
    ),
    "AWS::Config::ConfigurationRecorder": Example(
        {"RoleARN": f"arn:aws:iam::{ACCOUNT}:role/config", "RecordingGroup": {"AllSupported": True}}, {},
        {"RecordingGroup": {"AllSupported": "true", "IncludeGlobalResourceTypes": True}},
    ),
    "AWS::Config::DeliveryChannel": Example({"S3BucketName": BUCKET}, RECORDER, {"S3KeyPrefix": "config"}),
    "AWS::Config::ConfigRule": Example(
        {"Source": {"Owner": "AWS", "SourceIdentifier": "S3_BUCKET_PUBLIC_READ_PROHIBITED"}}, RECORDER,
        {"Description": "no public bucket"}, {"ConfigRuleName": "another-rule"},
    ),
    "AWS::Budgets::Budget": Example(
        {"Budget": {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": 100, "Unit": "USD"}}}, {},
        {"Budget": {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": "200", "Unit": "USD"}}},
    ),
    "AWS::CloudWatch::CompositeAlarm": Example(
        {"AlarmRule": {"Fn::Sub": "ALARM(${Alarm})"}}, ALARM, {"AlarmDescription": "both"},
        {"AlarmName": "another-alarm"},
    ),
    "AWS::IAM::ServiceLinkedRole": Example({"AWSServiceName": "config.amazonaws.com"}, {}, {"Description": "x"}),
    "AWS::IAM::SAMLProvider": Example({"SamlMetadataDocument": METADATA}, {}, {"SamlMetadataDocument": METADATA + " "}),
    "AWS::IAM::OIDCProvider": Example(
        {"Url": "https://token.example.com", "ClientIdList": ["a"]}, {}, {"ClientIdList": ["a", "b"]}
    ),
    "AWS::Cognito::UserPoolIdentityProvider": Example(
        {"UserPoolId": {"Ref": "Pool"}, "ProviderName": "corporate", "ProviderType": "SAML",
         "ProviderDetails": {"MetadataURL": "https://example.com/saml"}},
        POOL, {"AttributeMapping": {"email": "Email"}}, {"ProviderName": "another"},
    ),
    "AWS::Organizations::Policy": Example(
        {"Name": "deny-leaving", "Type": "SERVICE_CONTROL_POLICY", "Content": POLICY}, {}, {"Description": "stay"}
    ),
    "AWS::SecretsManager::ResourcePolicy": Example(
        {"SecretId": {"Ref": "Secret"}, "ResourcePolicy": POLICY}, SECRET, {"BlockPublicPolicy": True}
    ),
    "AWS::ResourceGroups::Group": Example(
        {"Name": "mine"}, {}, {"Description": "all of mine", "Tags": TAGS}, {"Name": "yours"}
    ),
    "AWS::Glue::SecurityConfiguration": Example(
        {"Name": "sealed", "EncryptionConfiguration": {"S3Encryptions": [{"S3EncryptionMode": "SSE-S3"}]}}, {}, {},
        {"Name": "sealed-again"},
    ),
    "AWS::ServiceCatalog::PortfolioShare": Example(
        {"PortfolioId": {"Ref": "Portfolio"}, "AccountId": "222222222222"}, PORTFOLIO, {},
        {"AccountId": "333333333333"},
    ),
    "AWS::Route53Resolver::FirewallDomainList": Example(
        {"Domains": ["example.com."]}, {}, {"Domains": ["example.com.", "example.org."]}, {"Name": "another-list"}
    ),
    "AWS::Route53Resolver::FirewallRuleGroup": Example(
        {"FirewallRules": [{"FirewallDomainListId": "rslvr-fdl-0123456789abcdef", "Priority": "1", "Action": "ALLOW"}]},
        {}, {"Tags": TAGS}, {"Name": "another-group"},
    ),
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": Example(
        {"FirewallRuleGroupId": "rslvr-frg-0123456789abcdef", "VpcId": {"Ref": "Vpc"}, "Priority": 101}, VPC,
        {"Priority": 102}, {"FirewallRuleGroupId": "rslvr-frg-0123456789abcde0"},
    ),
    "AWS::Route53Resolver::ResolverQueryLoggingConfig": Example(
        {"DestinationArn": LOGS}, {}, {}, {"DestinationArn": LOGS + "2"}
    ),
    "AWS::Route53Resolver::ResolverQueryLoggingConfigAssociation": Example(
        {"ResolverQueryLogConfigId": "rqlc-0123456789abcdef", "ResourceId": {"Ref": "Vpc"}}, VPC, {},
        {"ResolverQueryLogConfigId": "rqlc-0123456789abcde0"},
    ),
    "AWS::GuardDuty::Detector": Example({"Enable": "true"}, {}, {"FindingPublishingFrequency": "ONE_HOUR"}),
    "AWS::AccessAnalyzer::Analyzer": Example({"Type": "ACCOUNT"}, {}, {"Tags": TAGS}, {"AnalyzerName": "another"}),
    "AWS::SecurityHub::Hub": Example({}, {}, {"AutoEnableControls": True}),
    "AWS::CE::AnomalyMonitor": Example(
        {"MonitorName": "services", "MonitorType": "DIMENSIONAL", "MonitorDimension": "SERVICE"}, {},
        {"MonitorName": "all services"},
    ),
    "AWS::CE::AnomalySubscription": Example(
        {"SubscriptionName": "weekly", "Frequency": "WEEKLY", "Threshold": "10",
         "MonitorArnList": [f"arn:aws:ce::{ACCOUNT}:anomalymonitor/0f2c5d6e-0000-4000-8000-000000000000"],
         "Subscribers": [{"Type": "EMAIL", "Address": "ml@example.com"}]},
        {}, {"Frequency": "DAILY"},
    ),
    "AWS::RAM::ResourceShare": Example({"Name": "shared"}, {}, {"Name": "shared widely"}),
    "AWS::Logs::QueryDefinition": Example(
        {"Name": "errors", "QueryString": "fields @message"}, {}, {"QueryString": "fields @timestamp"}
    ),
    "AWS::SSM::Document": Example(
        {"Content": {"schemaVersion": "2.2", "mainSteps": []}, "DocumentType": "Command"}, {},
        {"Tags": TAGS}, {"Name": "another-document"},
    ),
    "AWS::ServiceCatalog::ServiceAction": Example(
        {"Name": "stop", "DefinitionType": "SSM_AUTOMATION",
         "Definition": [{"Key": "Name", "Value": "AWS-StopEC2Instance"}]}, {}, {"Description": "stops it"},
    ),
    "AWS::SecretsManager::RotationSchedule": Example(
        {"SecretId": {"Ref": "Secret"}, "RotationRules": {"ScheduleExpression": "rate(30 days)"}}, SECRET,
        {"RotationRules": {"ScheduleExpression": "rate(10 days)"}},
    ),
    "AWS::LakeFormation::DataLakeSettings": Example({}, {}, {"TrustedResourceOwners": [ACCOUNT]}),
    "AWS::LakeFormation::Resource": Example(
        {"ResourceArn": f"arn:aws:s3:::{BUCKET}", "UseServiceLinkedRole": "true"}, {}, {"UseServiceLinkedRole": False},
        {"ResourceArn": f"arn:aws:s3:::{BUCKET}-2"},
    ),
    "AWS::LakeFormation::PrincipalPermissions": Example(
        {"Principal": {"DataLakePrincipalIdentifier": f"arn:aws:iam::{ACCOUNT}:role/r"},
         "Resource": {"Database": {"CatalogId": ACCOUNT, "Name": "curated"}}, "Permissions": ["DESCRIBE"],
         "PermissionsWithGrantOption": []},
        {}, {}, {"Resource": {"Database": {"CatalogId": ACCOUNT, "Name": "raw"}}},
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": Example(
        {**TARGET, "MinCapacity": "1", "MaxCapacity": 2}, {}, {"MaxCapacity": 4},
        {"ResourceId": "endpoint/other/variant/AllTraffic"},
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Example(
        {"PolicyName": "half", "PolicyType": "TargetTrackingScaling", "ScalingTargetId": {"Ref": "Target"},
         "TargetTrackingScalingPolicyConfiguration": STEPS},
        VARIANT, {"TargetTrackingScalingPolicyConfiguration": {**STEPS, "TargetValue": 50}},
        {"PolicyName": "quarter"},
    ),
}  # fmt: skip
