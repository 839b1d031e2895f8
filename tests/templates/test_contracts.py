"""Both sides of every promise between templates agree, and every check finds a broken one."""

from __future__ import annotations

from pathlib import Path

from tests.templates import contracts
from tests.templates.library import REPOSITORY, Template, templates

ALL = templates()

_STACK = """
Resources:
  Lake:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: !Sub https://${AssetsBucket}/${AssetsPrefix}/cfn/lake.yaml
      Parameters: {Namespace: a, CostCenter: b, Key: !Sub "/${Namespace}/platform/lake/nothing"}
Outputs:
  Arn: {Value: !GetAtt Lake.Outputs.Arn}
"""
_CHILD = "Parameters: {Namespace: {Type: String}, CostCenter: {Type: String}, Bucket: {Type: String}}\nResources: {}\n"
_BUILD = """
Resources:
  Test:
    Type: AWS::CodeBuild::Project
    Properties:
      Source: {BuildSpec: !Sub "arn:aws:s3:::${AssetsBucket}/${AssetsPrefix}/buildspecs/test.yaml"}
      Environment: {EnvironmentVariables: [{Name: GIVEN, Value: a}]}
"""


def test_contracts_are_kept() -> None:
    assert not list(contracts.contracts(ALL))
    assert len(contracts.published(ALL)) > 30


def test_assets_are_there() -> None:
    assert not list(contracts.assets(ALL, REPOSITORY))


def test_nested_templates_fit() -> None:
    assert not list(contracts.nesting(ALL))


def test_roots_hold_stacks_only() -> None:
    assert not list(contracts.roots(ALL))


def test_builds_have_their_variables() -> None:
    assert not list(contracts.buildspecs(ALL, REPOSITORY))


def test_products_say_what_they_are() -> None:
    assert not list(contracts.product_files(ALL, REPOSITORY))


def test_broken_promises_are_found(tmp_path: Path) -> None:
    planted = [Template("cfn/platform.yaml", _STACK), Template("cfn/lake.yaml", _CHILD)]
    assert any("lake/nothing" in problem for problem in contracts.contracts(planted))
    reader = Template(
        "cfn/a.yaml", "Parameters: {A: {Type: AWS::SSM::Parameter::Value<String>, Default: /x}}\nResources: {}\n"
    )
    assert any("reads /x" in problem for problem in contracts.contracts([reader]))
    twice = "Resources: {A: {Type: AWS::SSM::Parameter, Properties: {Name: !Sub /a}}}"
    assert any("more than once" in p for p in contracts.contracts([Template("a", twice), Template("b", twice)]))
    nesting = list(contracts.nesting(planted))
    assert any("gives Key" in problem for problem in nesting)
    assert any("does not give Bucket" in problem for problem in nesting)
    assert any("no output Arn" in problem for problem in nesting)
    assert any("cfn/lake.yaml is not in" in problem for problem in contracts.assets(planted, tmp_path))
    assert any("is no template" in problem for problem in contracts.nesting(planted[:1]))
    root = Template("cfn/workload.yaml", "Resources: {Lake: {Type: AWS::S3::Bucket}}")
    assert any("Lake is a resource" in problem for problem in contracts.roots([root]))


def test_a_folder_that_is_no_product_is_found(tmp_path: Path) -> None:
    """A product without its page, its role, or a place for its release would fail when it is published: too late."""
    for name, files in {"bare": (), "rootless": ("product.json", "product.yaml")}.items():
        (tmp_path / "service-catalog" / name).mkdir(parents=True)
        for file in files:
            source = REPOSITORY / "service-catalog" / "project" / file
            text = source.read_text(encoding="utf-8").replace("releases/0000000000000000", "releases/fixed")
            (tmp_path / "service-catalog" / name / file).write_text(text, encoding="utf-8")
    found = list(contracts.product_files(ALL, tmp_path))
    assert any("bare: there is no product.json" in problem for problem in found)
    assert any("rootless/product.yaml: needs one line" in problem for problem in found)
    assert sum("-launch-role-arn" in problem for problem in found) == 2


def test_missing_variables_are_found(tmp_path: Path) -> None:
    (tmp_path / "buildspecs").mkdir()
    spec = "phases: {build: {commands: ['echo $GIVEN ${MISSING} $CODEBUILD_BUILD_ID']}}\n"
    (tmp_path / "buildspecs" / "test.yaml").write_text(spec, encoding="utf-8")
    (tmp_path / "buildspecs" / "forgotten.yaml").write_text(spec, encoding="utf-8")
    found = list(contracts.buildspecs([Template("cfn/builds.yaml", _BUILD)], tmp_path))
    assert len(found) == 2
    assert "does not give MISSING" in found[0]
    assert "forgotten.yaml is used by no template" in found[1]
