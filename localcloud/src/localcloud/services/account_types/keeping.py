"""Secrets' policies, Glue's encryption, resource groups."""

from __future__ import annotations

import json
from typing import Any

from localcloud.core.cfn import Properties, ResourceContext
from localcloud.core.schema import Schema
from localcloud.records.api import Api, gone_is_fine, tag_changes, tags_of
from localcloud.records.declared import Declared


class SecretPolicy:
    """AWS::SecretsManager::ResourcePolicy."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        policy = properties["ResourcePolicy"]
        answer = context.client("secretsmanager").put_resource_policy(
            SecretId=properties["SecretId"], ResourcePolicy=policy if isinstance(policy, str) else json.dumps(policy),
            BlockPublicPolicy=bool(properties.get("BlockPublicPolicy", False)),
        )  # fmt: skip
        return {"Id": answer["ARN"]}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        return self.create(context, schema, new)

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        with gone_is_fine():
            context.client("secretsmanager").delete_resource_policy(SecretId=physical_id)


class ResourceGroup:
    """AWS::ResourceGroups::Group."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        names = ("Name", "Description", "ResourceQuery", "Configuration")
        request = {name: properties[name] for name in names if properties.get(name)}
        request["Tags"] = tags_of(properties)
        # The API takes a query's text, templates write its structure.
        if "ResourceQuery" in request:
            request["ResourceQuery"] = _query(request["ResourceQuery"])
        made = context.client("resource-groups").create_group(**request)["Group"]
        if properties.get("Resources"):
            client = context.client("resource-groups")
            client.group_resources(Group=made["GroupArn"], ResourceArns=properties["Resources"])
        return {"Arn": made["GroupArn"]}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        client = context.client("resource-groups")
        made = client.update_group(Group=physical_id, Description=new.get("Description", ""))["Group"]
        if new.get("ResourceQuery") and new["ResourceQuery"] != old.get("ResourceQuery"):
            client.update_group_query(Group=physical_id, ResourceQuery=_query(new["ResourceQuery"]))
        added, gone = tag_changes(old, new)
        if gone:
            client.untag(Arn=made["GroupArn"], Keys=gone)
        if added:
            client.tag(Arn=made["GroupArn"], Tags=added)
        return {"Arn": made["GroupArn"]}

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        with gone_is_fine():
            context.client("resource-groups").delete_group(Group=physical_id)


def _query(query: dict[str, Any]) -> dict[str, Any]:
    text = query.get("Query", {})
    return {"Type": query["Type"], "Query": text if isinstance(text, str) else json.dumps(text)}


DECLARED = (
    Declared("AWS::SecretsManager::ResourcePolicy", SecretPolicy()),
    Declared("AWS::ResourceGroups::Group", ResourceGroup()),
    Declared(
        "AWS::Glue::SecurityConfiguration",
        Api(
            "glue", "CreateSecurityConfiguration", delete_with="DeleteSecurityConfiguration",
            named={"Name": "properties.Name"}, rename={"S3Encryptions": "S3Encryption"},
        ),
        name=("Name", 255),
    ),
)  # fmt: skip
