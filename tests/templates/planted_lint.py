"""For each of the repository's cfn-lint rules: templates with a defect and what is said of it, and sound ones."""

from __future__ import annotations

DANGLING = '{"StartAt": "Begin", "States": {"Begin": {"Type": "Pass", "Next": "Nowhere"}, "End": {"Type": "Succeed"}}}'
SOUND = DANGLING.replace("Nowhere", "End")
TASK = SOUND.replace('"Type": "Pass"', '"Type": "Task", "Resource": "${Job}"')


def _machine(properties: str) -> str:
    return f"Resources:\n  Machine:\n    Type: AWS::StepFunctions::StateMachine\n    Properties:\n      {properties}\n"


def _pipeline(rest: str = "", configuration: str = "RepositoryName: a, BranchName: main") -> str:
    return f"""
Resources:
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
{rest}
      Stages:
        - Name: Source
          Actions:
            - Name: Fetch
              ActionTypeId: {{Category: Source, Owner: AWS, Provider: CodeCommit, Version: "1"}}
              Configuration: {{{configuration}}}
        - Name: Build
          Actions:
            - Name: Compile
              ActionTypeId: {{Category: Build, Owner: AWS, Provider: CodeBuild, Version: "1"}}
              Configuration: {{ProjectName: build}}
"""


def _conditional(configuration: str) -> str:
    """The same with a stage that is there under a condition."""
    return (
        _pipeline()
        + f"""        - Fn::If:
          - Wanted
          - Name: Deploy
            Actions:
              - Name: Deploy
                ActionTypeId: {{Category: Build, Owner: AWS, Provider: CodeBuild, Version: "1"}}
                Configuration: {{{configuration}}}
          - Ref: AWS::NoValue
"""
    )


def _trigger(name: str) -> str:
    return (
        "      PipelineType: V2\n      Triggers:\n        - ProviderType: CodeStarSourceConnection\n"
        f"          GitConfiguration: {{SourceActionName: {name}}}"
    )


def _key(value: str) -> str:
    return (
        f"Resources:\n  Bucket: {{Type: AWS::S3::Bucket}}\n  Key: {{Type: AWS::KMS::Key}}\n"
        f"  Logs: {{Type: AWS::Logs::LogGroup, Properties: {{KmsKeyId: {value}}}}}\n"
    )


def _event(pattern: str) -> str:
    return f"Resources: {{Rule: {{Type: AWS::Events::Rule, Properties: {{EventPattern: {pattern}}}}}}}\n"


def _condition(key: str) -> str:
    return _conditions(f'{{"{key}": v}}')


def _conditions(keys: str) -> str:
    statement = f"{{Effect: Allow, Action: s3:GetObject, Resource: x, Condition: {{StringEquals: {keys}}}}}"
    properties = f"{{PolicyDocument: {{Statement: [{statement}]}}}}"
    return f"Resources: {{P: {{Type: AWS::IAM::ManagedPolicy, Properties: {properties}}}}}\n"


def _tagged(*names: str) -> str:
    tags = ", ".join(f"{{Key: {name}, Value: v}}" for name in names)
    return f"Resources: {{Vpc: {{Type: AWS::EC2::VPC, Properties: {{Tags: [{tags}]}}}}}}\n"


# rule → (template, expected words)
DEFECTS: dict[str, list[tuple[str, str]]] = {
    "E2901": [
        ("Parameters: {Zones: {Type: Number}}\nResources: {}\n", "Zones has no Description"),
        ("Parameters: {Zones: {Type: Number, Description: Zones}}\nResources: {}\n", "Zones has no Description"),
    ],
    "E3901": [
        ("Resources: {Lake: {Type: AWS::S3::Bucket, DeletionPolicy: Retain}}\n", "Lake has no UpdateReplacePolicy"),
        ("Resources: {Code: {Type: AWS::CodeCommit::Repository}}\n", "Code has no DeletionPolicy"),
        ("Resources: {Layer: {Type: AWS::CloudFormation::Stack}}\n", "Layer has no DeletionPolicy"),
    ],
    "E3902": [
        (_tagged(), "Vpc lacks the tags Namespace, Project, CostCenter"),
        (_tagged("Namespace", "Project"), "Vpc lacks the tags CostCenter"),
        (
            "Resources: {Name: {Type: AWS::SSM::Parameter, Properties: {Tags: {Namespace: a, Project: b}}}}\n",
            "Name lacks the tags CostCenter",
        ),
        (
            "Resources: {Limit: {Type: AWS::Budgets::Budget, Properties: {ResourceTags: [{Key: Project, Value: b}]}}}",
            r"Limit lacks the tags Namespace, CostCenter \(ResourceTags\)",
        ),
    ],
    "E3903": [
        (_machine(f"Definition: {DANGLING}"), "Nowhere"),
        (_machine(f"DefinitionString: !Sub '{DANGLING}'"), "Nowhere"),
        (_machine(f"DefinitionString: !Sub |-\n        {DANGLING}"), "Nowhere"),
        (_machine(f"DefinitionString: !Sub ['{DANGLING.replace('Nowhere', '${N}')}', {{N: Nowhere}}]"), "Nowhere"),
        (_machine(f"DefinitionString: !Join ['', ['{DANGLING[:30]}', '{DANGLING[30:]}']]"), "Nowhere"),
        (_machine(f"DefinitionString: '{SOUND.replace('Succeed', 'Suceed')}'"), "Suceed"),
        (_machine("DefinitionString: '{'"), "not JSON"),
        (_machine("DefinitionString: '[]'"), "no object"),
    ],
    "E3904": [
        (_pipeline(_trigger("Compile")), "'Compile', which is no source action; allowed: Fetch"),
        (_pipeline(_trigger("Fetch").replace("V2", "V1")), "Triggers need PipelineType: V2"),
    ],
    "E3905": [
        (_pipeline(configuration="RepositoryName: a, Branch: main"), "takes no configuration 'Branch'; do you mean"),
        (_pipeline(configuration="RepositoryName: a"), "lacks the configuration 'BranchName'"),
        (_pipeline(configuration=""), "lacks the configuration 'RepositoryName'"),
        (_conditional("Project: build"), "takes no configuration 'Project'; do you mean"),
    ],
    "E3906": [
        (_key("arn:aws:s3:::bucket"), "KmsKeyId is 'arn:aws:s3:::bucket'"),
        (_key("!GetAtt Bucket.Arn"), "KmsKeyId is the AWS::S3::Bucket Bucket"),
        (_key("!Ref Bucket"), "KmsKeyId is the AWS::S3::Bucket Bucket"),
        (_key('!Sub "arn:${AWS::Partition}:s3:::x"'), "KmsKeyId is 'arn"),
        (_key("not-a-key"), "KmsKeyId is 'not-a-key'"),
    ],
    "E3907": [
        (_event("{source: [aws.s3], detailType: [Object Created]}"), "'detailType' is no field of an event"),
        (_event("{source: aws.s3}"), "source is 'aws.s3'; the values that match stand in a list"),
        (_event("{source: [aws.s3], detail: {key: [{startsWith: raw/}]}}"), "detail.key compares by 'startsWith'"),
        (_event("{source: [aws.codebuild], detail-type: [Build Done]}"), "aws.codebuild sends no 'Build Done'"),
        (_event("{source: []}"), "source is an empty list"),
    ],
    "E3908": [
        (_condition("aws:SourceAcount"), "'aws:SourceAcount' does not exist; do you mean aws:sourceaccount"),
        (_condition("s3:VpcSubnets"), "'s3:VpcSubnets' does not exist"),
        (_condition("sage:VpcSubnets"), "has the prefix of no service"),
        (_condition("SourceAccount"), "has the prefix of no service"),
        (_conditions('!If [Org, {"aws:PrincipalOrgID": v}, {"aws:PrincipalAcount": v}]'), "aws:principalaccount"),
    ],
}  # fmt: skip

# rule → templates in which it finds nothing
SOUND_ONES: dict[str, list[str]] = {
    "E2901": ["Parameters: {Zones: {Type: Number, Description: How many zones}}\nResources: {}\n"],
    "E3901": [
        "Resources: {Lake: {Type: AWS::S3::Bucket, DeletionPolicy: Retain, UpdateReplacePolicy: Retain}}\n",
        "Resources: {Vpc: {Type: AWS::EC2::VPC}}\n",
    ],
    "E3902": [
        _tagged("Namespace", "Project", "CostCenter", "Other"),
        "Resources: {Alias: {Type: AWS::KMS::Alias}, Own: {Type: Custom::Thing}}\n",
    ],
    "E3903": [
        _machine(f"Definition: {SOUND}"),
        _machine(f"DefinitionString: !Sub '{SOUND}'"),
        _machine(f"DefinitionString: !Sub '{TASK}'"),
        _machine(f"DefinitionString: '{TASK}'\n      DefinitionSubstitutions: {{Job: !GetAtt Function.Arn}}"),
        _machine("DefinitionString: !Ref Text"),
        _machine("DefinitionS3Location: {Bucket: bucket, Key: key}"),
    ],
    "E3904": [_pipeline(_trigger("Fetch")), _pipeline()],
    "E3905": [
        _pipeline(),
        _conditional("ProjectName: build"),
        _pipeline().replace("Provider: CodeCommit", "Provider: Unheard"),
    ],
    "E3906": [
        _key("!GetAtt Key.Arn"),
        _key("!Ref Key"),
        _key("!Ref SomeParameter"),
        _key("alias/slipway"),
        _key('!Sub "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:alias/x"'),
        _key("arn:aws:kms:eu-west-1:123456789012:key/0d9d6f2e-0000-4000-8000-000000000000"),
    ],
    "E3907": [
        _event("{source: [aws.s3], detail-type: [Object Created], detail: {object: {key: [{prefix: raw/}]}}}"),
        _event("{source: [aws.sagemaker], detail-type: [AWS API Call via CloudTrail]}"),
        _event('{source: [aws.codecommit], detail: {referenceName: [main], "$or": [{event: [x]}, {event: [y]}]}}'),
    ],
    "E3908": [
        _condition("aws:SourceAccount"),
        _condition("aws:RequestTag/Project"),
        _condition("kms:EncryptionContext:aws:s3:arn"),
        _condition("sagemaker:VpcSubnets"),
        _condition("s3:ExistingObjectTag/a:b"),
        _condition("aws:PrincipalTag/Project"),
        _condition("aws:SourceOrgID"),
        _conditions('!If [Org, {"aws:PrincipalOrgID": v}, !Ref "AWS::NoValue"]'),
    ],
}
