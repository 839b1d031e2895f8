"""What Studio needs to show S3 templates of SageMaker projects agrees with where the publishing build lays them."""

from __future__ import annotations

from typing import Any

from slipway.platform import catalogue
from tests.templates.library import Template, templates
from tests.templates.policies import policies

ALL = {template.name: template for template in templates()}


def _template(name: str) -> Template:
    return ALL[f"cfn/{name}.yaml"]


def test_studio_looks_where_products_are_laid_down() -> None:
    """Protects: one prefix in the domain's tag, in the publishing role and in the rights of who launches."""
    choice = _template("studio").resources["Domain"]["Properties"]["Tags"][-1]["Fn::If"]
    assert choice[0] == "ShowsTemplates"
    assert choice[1]["Key"] == "sagemaker:projectS3TemplatesLocation"
    assert choice[1]["Value"] == {"Fn::Sub": f"s3://${{AssetsBucket}}/{catalogue.STUDIO}/"}
    for name in ("publishing", "launch-templates", "launch-role-project"):
        assert f"s3:::${{AssetsBucket}}/{catalogue.STUDIO}/*" in _template(name).text, name


def test_a_browser_may_read_and_no_more() -> None:
    """Protects releases: Studio's pages, and no others, may ask to read; none may ask to write or delete."""
    (rule,) = _template("bootstrap").resources["Assets"]["Properties"]["CorsConfiguration"]["CorsRules"]
    assert (rule["AllowedOrigins"], rule["AllowedMethods"]) == (["https://*.sagemaker.aws"], ["GET", "HEAD"])
    assert "CorsConfiguration" not in _template("bootstrap").resources["AccessLogs"]["Properties"]


def test_the_launch_role_is_lent_to_published_templates_only() -> None:
    """Protects: with the launch role's rights, nobody runs a template of their own."""
    statements: dict[str, Any] = {}
    for policy in policies(_template("launch-templates")):
        statements.update({statement["Sid"]: statement for statement in policy.statements})
    for sid in ("LaunchPublishedTemplatesWithTheLaunchRole", "UpdateFromPublishedTemplates"):
        condition = statements[sid]["Condition"]
        for url in condition["StringLike"]["cloudformation:TemplateUrl"]:
            assert url["Fn::Sub"].endswith(f"/{catalogue.STUDIO}/*")
            assert "${AssetsBucket}" in url["Fn::Sub"]
    create = statements["LaunchPublishedTemplatesWithTheLaunchRole"]["Condition"]
    assert create["StringEquals"] == {"cloudformation:RoleArn": {"Ref": "LaunchRoleArn"}}
    assert statements["GiveStacksTheLaunchRole"]["Resource"] == {"Ref": "LaunchRoleArn"}


def test_it_is_off_until_it_is_asked_for() -> None:
    """Protects accounts that launch from the catalogue alone: no second way in, no second trust."""
    assert _template("projects").resources["LaunchTemplates"]["Condition"] == "FromTemplates"
    trust = _template("launch-role-project").resources["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    (extra,) = [statement["Fn::If"] for statement in trust if "Fn::If" in statement]
    assert extra[0] == "FromTemplates"
    assert extra[2] == {"Ref": "AWS::NoValue"}
    for name in ("platform", "projects", "publishing", "studio", "launch-role-project"):
        assert _template(name).parameters["StudioTemplates"]["Default"] == "false", name
