"""IAM providers and service-linked roles, Cognito identity providers, organisation policies."""

from __future__ import annotations

import json
from typing import Any

from localcloud.core.cfn import Properties, ResourceContext
from localcloud.core.schema import Schema
from localcloud.records.api import Api, gone_is_fine, tag_changes
from localcloud.records.declared import Declared


class ServiceLinkedRole(Api):
    """AWS::IAM::ServiceLinkedRole; only its description can be changed."""

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        context.client("iam").update_role(RoleName=physical_id, Description=new.get("Description", ""))
        return {"RoleName": physical_id}


class OrganizationPolicy:
    """AWS::Organizations::Policy, attached to its targets."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        organizations = context.client("organizations")
        made = organizations.create_policy(
            Name=properties["Name"], Type=properties["Type"], Content=_text(properties["Content"]),
            Description=properties.get("Description", ""), Tags=properties.get("Tags") or [],
        )["Policy"]["PolicySummary"]  # fmt: skip
        for target in properties.get("TargetIds") or ():
            organizations.attach_policy(PolicyId=made["Id"], TargetId=target)
        return {"Id": made["Id"], "Arn": made["Arn"], "AwsManaged": False}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        organizations = context.client("organizations")
        made = organizations.update_policy(
            PolicyId=physical_id, Name=new["Name"], Content=_text(new["Content"]),
            Description=new.get("Description", ""),
        )["Policy"]["PolicySummary"]  # fmt: skip
        before, after = set(old.get("TargetIds") or ()), set(new.get("TargetIds") or ())
        for target in sorted(after - before):
            organizations.attach_policy(PolicyId=physical_id, TargetId=target)
        for target in sorted(before - after):
            organizations.detach_policy(PolicyId=physical_id, TargetId=target)
        added, gone = tag_changes(old, new)
        if gone:
            organizations.untag_resource(ResourceId=physical_id, TagKeys=gone)
        if added:
            tags = [{"Key": key, "Value": value} for key, value in added.items()]
            organizations.tag_resource(ResourceId=physical_id, Tags=tags)
        return {"Id": physical_id, "Arn": made["Arn"], "AwsManaged": False}

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        organizations = context.client("organizations")
        with gone_is_fine():
            for target in organizations.list_targets_for_policy(PolicyId=physical_id)["Targets"]:
                organizations.detach_policy(PolicyId=physical_id, TargetId=target["TargetId"])
            organizations.delete_policy(PolicyId=physical_id)


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


DECLARED = (
    Declared(
        "AWS::IAM::ServiceLinkedRole",
        ServiceLinkedRole(
            "iam", "CreateServiceLinkedRole", "UpdateRole", "DeleteServiceLinkedRole",
            named={"RoleName": "id"}, values={"RoleName": "answer.Role.RoleName"},
        ),
    ),
    Declared(
        "AWS::IAM::SAMLProvider",
        Api(
            "iam", "CreateSAMLProvider", "UpdateSAMLProvider", "DeleteSAMLProvider",
            named={"SAMLProviderArn": "id"},
            values={"Arn": "answer.SAMLProviderArn"},
        ),
        name=("Name", 128),
    ),
    Declared(
        "AWS::IAM::OIDCProvider",
        # ministack has none of the operations that change a provider; the ARN of a new one is the same.
        Api(
            "iam", "CreateOpenIDConnectProvider", delete_with="DeleteOpenIDConnectProvider",
            named={"OpenIDConnectProviderArn": "id"}, values={"Arn": "answer.OpenIDConnectProviderArn"},
        ),
    ),
    Declared(
        "AWS::Cognito::UserPoolIdentityProvider",
        Api(
            "cognito-idp", "CreateIdentityProvider", "UpdateIdentityProvider", "DeleteIdentityProvider",
            named={"UserPoolId": "properties.UserPoolId", "ProviderName": "properties.ProviderName"},
        ),
    ),
    Declared("AWS::Organizations::Policy", OrganizationPolicy()),
)  # fmt: skip
