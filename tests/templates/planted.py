"""Templates with one defect each: rule → (template, what the rule must say)."""

from __future__ import annotations

_ROLE = """
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      PermissionsBoundary: boundary
      AssumeRolePolicyDocument:
        Statement:
          - Effect: Allow
            Principal: {Service: codebuild.amazonaws.com}
            Action: sts:AssumeRole
            Condition: {StringEquals: {"aws:SourceAccount": !Ref "AWS::AccountId"}}
      Policies:
        - PolicyName: work
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: s3:GetObject
                Resource: arn:aws:s3:::bucket/*
"""
_BUCKET = """
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties: {VersioningConfiguration: {Status: Enabled}}
  Policy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Statement:
          - Effect: Deny
            Principal: "*"
            Action: s3:*
            Resource: "*"
            Condition: {Bool: {"aws:SecureTransport": "false"}}
"""
_INTERFACE = """
Metadata:
  AWS::CloudFormation::Interface:
    ParameterGroups: [{Label: {default: All}, Parameters: [%s]}]
    ParameterLabels: {%s}
Parameters:
  Name: {Type: String, Description: %s%s}
"""

_DOOR = """
Resources:
  Door:
    Type: AWS::EC2::VPCEndpoint
    Properties:
      PolicyDocument:
        Statement: [{Effect: Allow, Principal: "*", Action: "s3:GetObject", Resource: %s, Condition: %s}]
"""


def _role(old: str, new: str) -> str:
    assert old in _ROLE, old
    return _ROLE.replace(old, new)


def _pass(line: str) -> str:
    return _role(
        "                Action: s3:GetObject\n                Resource: arn:aws:s3:::bucket/*",
        f"                Action: iam:PassRole\n                {line}",
    )


_ALLOWED = ', AllowedPattern: "^a$"'
_SECRET = """
Resources:
  Source:
    Type: AWS::SecretsManager::Secret
    Properties: {%s}
  Rotation:
    Type: AWS::SecretsManager::RotationSchedule
    Properties: {SecretId: !Ref Source, RotationRules: %s}
"""
_KEY = """
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties:
      EnableKeyRotation: true
      KeyPolicy:
        Statement:
          - {Effect: Allow, Principal: {%s}, Action: "%s", Resource: "*"}
"""

PLANTED: dict[str, list[tuple[str, str]]] = {
    "parameters": [
        (_INTERFACE % ("Name", "Name: {default: Name}", "The name of it", ""), "takes anything"),
        (_INTERFACE % ("", "Name: {default: Name}", "The name of it", _ALLOWED), "in 0 groups"),
        (_INTERFACE % ("Name", "", "The name of it", _ALLOWED), "has no label"),
        (
            _INTERFACE % ("Name, Other", "Name: {default: Name}", "The name of it", _ALLOWED),
            "Other, which is no parameter",
        ),
    ],
    "order": [
        ("Resources: {}\nParameters: {}\n", "sections stand as"),
        ("Description: A bucket\nResources: {}\n", "no Description"),
    ],
    "size": [("Resources: {}\n" + "#\n" * 501, "502 lines")],
    "wide_actions": [
        (_role("Action: s3:GetObject", 'Action: "*"'), r"allows \*"),
        (_role("Action: s3:GetObject", 'Action: ["s3:GetObject", "s3:*"]'), r"allows s3:\*"),
        (_role("Action: s3:GetObject", "NotAction: iam:CreateUser"), "allows all but"),
        (_KEY % ('AWS: "arn:aws:iam::123456789012:root"', "kms:*"), r"allows kms:\*"),
    ],
    "wide_resources": [(_role("Resource: arn:aws:s3:::bucket/*", 'Resource: "*"'), r"Resource \* without a comment")],
    "boundaries": [(_role("      PermissionsBoundary: boundary\n", ""), "Role has no PermissionsBoundary")],
    "confused_deputies": [
        (
            _role('            Condition: {StringEquals: {"aws:SourceAccount": !Ref "AWS::AccountId"}}\n', ""),
            "trusts codebuild",
        ),
        (_KEY % ("Service: logs.amazonaws.com", "kms:Decrypt"), "trusts logs"),
    ],
    "other_accounts": [
        (
            _KEY % ('AWS: !Sub "arn:aws:iam::${StagingAccountId}:root"', "kms:Decrypt"),
            "every principal of another account",
        )
    ],
    "denials": [
        (_BUCKET.replace("{Bool: {", "{StringNotEqualsIfExists: {"), "refuses requests without aws:SecureTransport")
    ],
    "passed_roles": [
        (_pass("Resource: arn:aws:iam::123456789012:role/name"), "passes a role to any service"),
        (_pass('Resource: "*"'), "passes any role"),
    ],
    "vpc": [
        ("Resources: {Test: {Type: AWS::CodeBuild::Project, Properties: {}}}", "Test is not in the VPC"),
        (
            "Resources: {Test: {Type: AWS::Lambda::Function, Metadata: {slipway: {outside-vpc: no}}, Properties: {}}}",
            "Test is not in the VPC",
        ),
    ],
    "buckets": [
        (_BUCKET.replace("Bool", "BoolIfExists"), "without TLS"),
        (_BUCKET.replace("Enabled", "Suspended"), "not versioned"),
    ],
    "keys_and_logs": [
        ("Resources: {Key: {Type: AWS::KMS::Key, Properties: {}}}", "does not rotate"),
        ("Resources: {Logs: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: 30}}}", "has no KmsKeyId"),
        ("Resources: {Logs: {Type: AWS::Logs::LogGroup, Properties: {KmsKeyId: key}}}", "has no RetentionInDays"),
    ],
    "name_lengths": [
        (
            'Resources: {Role: {Type: AWS::IAM::Role, Properties: {RoleName: !Sub "${Namespace}-${ProjectName}-'
            + "x" * 29
            + '"}}}',
            "65 characters long, at most 64",
        ),
        (
            'Resources: {Role: {Type: AWS::IAM::Role, Properties: {RoleName: !Sub "${Team}-a"}}}',
            "depends on Team",
        ),
    ],
    "secrets": [
        (_SECRET % ("SecretString: abc", "{AutomaticallyAfterDays: 30}"), "has its value in the template"),
        (_SECRET % ("Description: abc", "{AutomaticallyAfterDays: 30}"), "has no KmsKeyId"),
        (_SECRET % ("KmsKeyId: abc", "{}"), "does not rotate"),
        ("Parameters: {DatabasePassword: {Type: String, NoEcho: true}}\nResources: {}", "takes a secret"),
    ],
    "described_rules": [
        (
            "Resources: {Jobs: {Type: AWS::EC2::SecurityGroup, Properties: {SecurityGroupIngress: [{FromPort: 1}]}}}",
            "Jobs has a rule without",
        ),
        (
            "Resources: {Jobs: {Type: AWS::EC2::SecurityGroup, Properties: {SecurityGroupEgress: "
            "[!If [Known, {Description: to S3}, {CidrIp: 0.0.0.0/0}]]}}}",
            "Jobs has a rule without",
        ),
        ("Resources: {Self: {Type: AWS::EC2::SecurityGroupEgress, Properties: {}}}", "Self has no description"),
    ],
    "fences": [
        ("Resources: {Door: {Type: AWS::EC2::VPCEndpoint, Properties: {}}}", "no PolicyDocument"),
        (_DOOR % ('"*"', "{}"), "any principal and any resource"),
        (_DOOR % ('"*"', '{StringEquals: {"aws:PrincipalAccount": a}}'), "any resource"),
        (
            _DOOR
            % (
                '"*"',
                '{StringEquals: !If [A, {"aws:PrincipalOrgID": a, "aws:ResourceOrgID": a}, {"aws:ResourceOrgID": b}]}',
            ),
            "any principal",
        ),
        (_DOOR % ("arn:aws:s3:::cloudformation-custom-resource-response-*/*", "{}"), "any principal and any resource"),
    ],
}
