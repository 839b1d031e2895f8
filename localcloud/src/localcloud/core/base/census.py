"""What ministack's services hold: the entries of the dictionaries that they keep, each under the account and region.

What is not named here counts as a resource, so that a service that ministack adds is not overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from localcloud.core.base.state import State, patiently
from localcloud.inventory import DEFAULT, GLOBAL, HISTORY, PRESENT, Resource

# What a resource consists of, and ministack's own notes, as service.dictionary. They are no resources of their own.
_INNER = re.compile(
    r".*(tags|_attrs|counters?|positions|client_tokens|account_settings?|_config)|"
    r"alb\.(_targets|_oidc_pending)|apigateway\w*\.(\w*responses|deployments\w*|resources)|"
    r"appsync\.(schemas|types|caches)|bedrock_agent\.kb_document_texts|cloudwatch\.composite_triggers|"
    r"cloudwatch_logs\.(log_group_policies|log_records)|cognito\.pool_domain_map|config\._conformance|"
    r"dynamodb\.(ttl_settings|pitr_settings|contributor_insights|resource_policies)|"
    r"ec2\.default_initialized_scopes|ecs\.(task_def_latest|attributes)|"
    r"efs\.(lifecycle_configs|backup_policies)|elasticache\.param_group_params|eventbridge\.(targets|event_bus_policies)|"
    r"glue\.(partition_indexes|\w+_statistics)|iam\.(aws_managed_attachment_counts|credential_reports|login_profiles|"
    r"user_inline_policies|group_inline_policies)|iot\.(registration_codes|ownership_tokens|mtls_server|mqtt_broker)|"
    r"kinesis\.(shard_iterators|resource_policies)|kms\.alias_dates|lambda_core\..*|"
    r"mq\.name_index|opensearch\.change_progress|resource_groups\.(group_queries|group_configs|group_members)|"
    r"route53\.(records|caller_refs|hc_caller_refs)|s3\.(bucket_\w+|mrap_operations)|secretsmanager\.resource_policies|"
    r"servicediscovery\.(service_attributes|instance_health_status|instances_revision)|sns\.sub_arn_to_topic|"
    r"sqs\.queue_name_to_url|s3files\.(policies|sync_configs)|cloudtrail\.event_selectors|"
    r"ses\._account_details|waf\._associations|budgets\.notification_store|organizations\.(attachments|roots)"
)
# What is kept of the past, or goes by itself.
_PAST = re.compile(
    r"athena\._executions|backup\.jobs|batch\.jobs|bedrock\.\w+_jobs|bedrock_agent\.ingestion_jobs|"
    r"bedrock_agent_runtime\..*|bedrock_runtime\..*|cloudcontrol\.requests|cloudformation\.stack_events|"
    r"cloudfront\.\w*invalidations|cloudwatch\.(metrics|alarm_history)|cloudwatch_logs\.queries|"
    r"cognito\.challenge_sessions|dynamodb\.(exports|imports)|ecs\.tasks|elasticache\.events|emr\._steps|"
    r"eventbridge\.replays|glue\.(job_runs|workflow_runs)|iam\.(service_linked_role_deletion_tasks|sla_jobs)|"
    r"inspector2\.(findings|coverage|scan_history)|iot\.job_executions|lambda_durable\.executions|"
    r"organizations\.create_statuses|rds\.events|route53\.changes|servicediscovery\.operations|signer\.jobs|"
    r"sns\.sms_messages|ssm\.(commands|parameter_history)|stepfunctions\.(executions|map_runs)|transcribe\.jobs|"
    r"translate\.jobs"
)
# What every account has, as service.dictionary.key.
_DEFAULTS = re.compile(
    r"athena\._workgroups\.primary|athena\._data_catalogs\.AwsDataCatalog|elasticache\.param_groups\.default\..*|"
    r"elasticache\.users\.default|eventbridge\.buses\.default|rds\.\w*param_groups\.default\..*|"
    r"rds\.option_groups\.default:.*|scheduler\.schedule_groups\.(.*[|/])?default|ecs\.capacity_providers\.FARGATE.*|"
    r"kms\.aliases\..*alias/aws/.*|glue\.databases\.default|xray\..*\.Default|"
    r"ec2\.\w+\.(vpc|subnet|sg|rtb|acl|igw|dopt|eni)-0000000\d|appconfig\.deployment_strategies\.AppConfig\..*"
)
# Names of services in ARNs, where ministack's differ.
_SERVICES = {"alb": "elasticloadbalancing", "cloudwatch_logs": "logs", "apigateway_v1": "apigateway", "waf": "wafv2",
             "stepfunctions": "states", "eventbridge": "events", "documentdb": "rds", "ses_v2": "ses"}  # fmt: skip
_ENDED: tuple[Callable[[Mapping[str, Any]], bool], ...] = (
    lambda document: document.get("StackStatus") == "DELETE_COMPLETE",
    lambda document: document.get("KeyState") in ("PendingDeletion", "PendingReplicaDeletion"),
    lambda document: bool(document.get("DeletedDate")),  # a secret in its recovery window
    lambda document: document.get("State") in ("deleted", {"Code": 48, "Name": "terminated"}),
    lambda document: document.get("ExecutionStatus") in ("EXECUTE_COMPLETE", "EXECUTE_FAILED", "OBSOLETE"),
)


def resources(state: State) -> Iterator[Resource]:
    """Every entry that ministack keeps."""
    for module, document in state.documents().items():
        for name, entries in document.items():
            path = f"{module}.{name}"
            if _INNER.fullmatch(path):
                continue
            service, kind = _SERVICES.get(module, module), name.lstrip("_")
            for account, region, key, value in _entries(entries):
                if value in ({}, [], None, ""):
                    continue  # what is left of a container whose contents are gone
                if path == "s3.buckets_meta":
                    yield Resource(account, str(value.get("region") or GLOBAL), "s3", "buckets", key)
                else:
                    yield Resource(account, region, service, kind, key, _state(path, key, value))
    yield from _objects()
    yield from _sessions()


def _entries(entries: Any) -> Iterator[tuple[str, str, str, Any]]:
    """(account, region, key, value) of a dictionary; numbers and lists are ministack's own notes."""
    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    if isinstance(entries, AccountRegionScopedDict):
        for (account, region, key), value in list(entries._data.items()):
            yield account, region, _text(key), value
    elif isinstance(entries, AccountScopedDict):
        for (account, key), value in list(entries._data.items()):
            yield account, GLOBAL, _text(key), value
    elif isinstance(entries, Mapping):
        for key, value in list(entries.items()):
            yield "", GLOBAL, _text(key), value


def _state(path: str, key: str, value: Any) -> str:
    if _PAST.fullmatch(path) or (isinstance(value, Mapping) and any(ended(value) for ended in _ENDED)):
        return HISTORY
    inherent = _DEFAULTS.fullmatch(f"{path}.{key}") or (
        path.startswith("iam.policies") and key.startswith("arn:aws:iam::aws:")
    )
    return DEFAULT if inherent else PRESENT


def _objects() -> Iterator[Resource]:
    """One row for the objects of a bucket, and one for the versions that are not the newest or are markers."""
    from ministack.services import s3

    def count() -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        objects = {scope: len(bucket["objects"]) for scope, bucket in s3._buckets._data.items()}
        versions: dict[tuple[str, str], int] = {}
        for (account, (bucket, _)), kept in s3._object_versions._data.items():
            versions[account, bucket] = versions.get((account, bucket), 0) + len(kept)
        return objects, versions

    for kind, counted in zip(("objects", "object-versions"), patiently(count), strict=True):
        for (account, bucket), number in counted.items():
            if number:
                record = s3._buckets._data.get((account, bucket), {})
                yield Resource(account, str(record.get("region") or GLOBAL), "s3", kind, f"{bucket} ({number})")


def _sessions() -> Iterator[Resource]:
    from ministack.services import sts

    for key, session in patiently(lambda: list(sts._sessions.items())):
        account = str(session.get("Arn", ":::::")).split(":")[4] if isinstance(session, Mapping) else ""
        yield Resource(account, GLOBAL, "sts", "sessions", key, HISTORY)


def _text(key: Any) -> str:
    return "|".join(map(str, key)) if isinstance(key, tuple) else str(key)
