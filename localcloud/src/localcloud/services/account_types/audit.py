"""CloudTrail, Config, Budgets and composite alarms."""

from __future__ import annotations

from typing import Any

from localcloud.core.cfn import Properties, ResourceContext
from localcloud.core.schema import Schema
from localcloud.records.api import Api, gone_is_fine, tag_changes
from localcloud.records.declared import Declared


def _trail_extras(context: ResourceContext, old: Properties, new: Properties) -> None:
    """Event selectors, tags and whether it logs are calls of their own."""
    trail = context.client("cloudtrail")
    name = new["TrailName"]
    selectors = {part: new[part] for part in ("EventSelectors", "AdvancedEventSelectors") if new.get(part)}
    if selectors:
        trail.put_event_selectors(TrailName=name, **selectors)
    added, gone = tag_changes(old, new)
    if gone:
        trail.remove_tags(ResourceId=new["Arn"], TagsList=[{"Key": key} for key in gone])
    if added:
        trail.add_tags(ResourceId=new["Arn"], TagsList=[{"Key": key, "Value": value} for key, value in added.items()])
    if new["IsLogging"]:
        trail.start_logging(Name=name)
    elif old:
        trail.stop_logging(Name=name)


class Recorder:
    """AWS::Config::ConfigurationRecorder: an account and region have one. It records as soon as it can."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        config = context.client("config")
        if config.describe_configuration_recorders()["ConfigurationRecorders"]:
            raise ValueError(
                f"Failed to put configuration recorder '{properties['Name']}' because the maximum number of "
                "customer managed configuration recorders: 1 is reached. (Service: AmazonConfig, Status Code: 400, "
                "Error Code: MaxNumberOfConfigurationRecordersExceededException)"
            )
        return self._put(context, properties)

    def _put(self, context: ResourceContext, properties: Properties) -> dict[str, Any]:
        config, name = context.client("config"), properties["Name"]
        recorder: dict[str, Any] = {"name": name, "roleARN": properties["RoleARN"]}
        if "RecordingGroup" in properties:
            recorder["recordingGroup"] = _lower(properties["RecordingGroup"])
        if "RecordingMode" in properties:
            recorder["recordingMode"] = _lower(properties["RecordingMode"])
        config.put_configuration_recorder(ConfigurationRecorder=recorder)
        if properties.get("StartedOnCreate", True):
            config.start_configuration_recorder(ConfigurationRecorderName=name)
        place = f"{context.region}:{context.account}"
        return {"ResourceARN": f"arn:aws:config:{place}:configuration-recorder/{name}/{context.account}"}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        return self._put(context, new)

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        context.cloud.forget("config", "_recorders", physical_id, context.account, context.region)


class DeliveryChannel:
    """AWS::Config::DeliveryChannel: an account and region have one."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        if context.client("config").describe_delivery_channels()["DeliveryChannels"]:
            raise ValueError(
                f"Failed to put delivery channel '{properties['Name']}' because the maximum number of delivery "
                "channels: 1 is reached. (Service: AmazonConfig, Status Code: 400, "
                "Error Code: MaxNumberOfDeliveryChannelsExceededException)"
            )
        return self._put(context, properties)

    def _put(self, context: ResourceContext, properties: Properties) -> dict[str, Any]:
        names = {
            "Name": "name", "S3BucketName": "s3BucketName", "S3KeyPrefix": "s3KeyPrefix", "S3KmsKeyArn": "s3KmsKeyArn",
            "SnsTopicARN": "snsTopicARN",
        }  # fmt: skip
        channel = {member: properties[name] for name, member in names.items() if name in properties}
        if "ConfigSnapshotDeliveryProperties" in properties:
            channel["configSnapshotDeliveryProperties"] = _lower(properties["ConfigSnapshotDeliveryProperties"])
        context.client("config").put_delivery_channel(DeliveryChannel=channel)
        return {}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        return self._put(context, new)

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        context.cloud.forget("config", "_delivery_channels", physical_id, context.account, context.region)


def _lower(value: Any) -> Any:
    """Config's API begins its members with small letters."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _lower(item) for name, item in value.items()}
    return [_lower(item) for item in value] if isinstance(value, list) else value


class ConfigRule:
    """AWS::Config::ConfigRule. AWS refuses a rule where nothing is recorded."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        config = context.client("config")
        if not config.describe_configuration_recorders()["ConfigurationRecorders"]:
            raise ValueError(
                "Configuration recorder is not available to put config rule. (Service: AmazonConfig, "
                "Status Code: 400, Error Code: NoAvailableConfigurationRecorderException)"
            )
        return self._put(context, schema, properties)

    def _put(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        config, name = context.client("config"), properties["ConfigRuleName"]
        _RULE.call(context, "PutConfigRule", _RULE._request("PutConfigRule", properties))
        rule = config.describe_config_rules(ConfigRuleNames=[name])["ConfigRules"][0]
        return {"Arn": rule["ConfigRuleArn"], "ConfigRuleId": rule["ConfigRuleId"]}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        return self._put(context, schema, new)

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        with gone_is_fine():
            context.client("config").delete_config_rule(ConfigRuleName=physical_id)


_RULE = Api("config", "PutConfigRule", wrap="ConfigRule", rename={"Compliance": ""})


def _budget(properties: Properties) -> Properties:
    budget = properties["Budget"]
    # Actual spending is AWS's to say.
    return {**properties, "Budget": {name: value for name, value in budget.items() if name != "CalculatedSpend"}}


class Budget(Api):
    """AWS::Budgets::Budget; its name stands inside a structure."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        budget = properties["Budget"]
        named = {**budget, "BudgetName": budget.get("BudgetName") or context.name(100)}
        return super().create(context, schema, {**properties, "Budget": named})

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        named = {**new["Budget"], "BudgetName": physical_id}
        request = {
            "AccountId": context.account,
            "NewBudget": self._request("CreateBudget", {"Budget": named})["Budget"],
        }
        self.call(context, "UpdateBudget", request)
        self.retag(context, schema, f"arn:aws:budgets::{context.account}:budget/{physical_id}", old, new)
        return {"Id": physical_id}


DECLARED = (
    Declared(
        "AWS::CloudTrail::Trail",
        Api(
            "cloudtrail", "CreateTrail", "UpdateTrail", "DeleteTrail",
            named={"Name": "properties.TrailName"},
            rename={
                "TrailName": "Name", "EnableLogFileValidation": "EnableLogFileValidation", "KMSKeyId": "KmsKeyId",
                "Tags": "", "EventSelectors": "", "AdvancedEventSelectors": "",
            },
            values={"Arn": "answer.TrailARN", "SnsTopicArn": "answer.SnsTopicARN"},
            after=_trail_extras,
        ),
        name=("TrailName", 128),
    ),
    Declared("AWS::Config::ConfigurationRecorder", Recorder(), name=("Name", 256)),
    Declared("AWS::Config::DeliveryChannel", DeliveryChannel(), name=("Name", 256)),
    Declared("AWS::Config::ConfigRule", ConfigRule(), name=("ConfigRuleName", 128)),
    Declared(
        "AWS::Budgets::Budget",
        Budget(
            "budgets", "CreateBudget", "UpdateBudget", "DeleteBudget",
            named={"AccountId": "account", "BudgetName": "id"}, fixed={"AccountId": "account"},
            values={"Id": "properties.Budget.BudgetName"}, tagging=("TagResource", "UntagResource", ""),
        ),
        complete=_budget,
    ),
    Declared(
        "AWS::CloudWatch::CompositeAlarm",
        Api(
            "cloudwatch", "PutCompositeAlarm", "PutCompositeAlarm", "DeleteAlarms",
            named={"AlarmNames": "[id]"}, tagging=("TagResource", "UntagResource", "Arn"),
            values={"Arn": "join('', ['arn:aws:cloudwatch:', region, ':', account, ':alarm:', properties.AlarmName])"},
        ),
        name=("AlarmName", 255),
    ),
)  # fmt: skip
