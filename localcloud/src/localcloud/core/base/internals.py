"""What of ministack is touched, checked by name; and the settings it reads."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

EXPECTED: dict[str, Sequence[str]] = {
    "ministack.app": (
        "app",
        "SERVICE_REGISTRY",
        "_get_module",
        "_build_persistence_save_dict",
        "_state_map",
        "SERVICE_HANDLERS",
    ),
    "ministack.core.router": ("detect_service",),
    "ministack.core.persistence": ("_json_default", "_json_object_hook"),
    "ministack.core.responses": (
        "_BOTOCORE_NAME",
        "_service_model",
        "_request_account_id",
        "_request_region",
        "AccountRegionScopedDict",
        "AccountScopedDict",
        "get_account_id",
        "get_region",
    ),
    "ministack.core.iam_actions": (
        "_load_botocore_model",
        "extract_iam_action",
        "extract_resource_arn",
        "request_tag_context",
        "s3_service_context",
    ),
    "ministack.core.iam_evaluator": (
        "resolve_caller_identity",
        "EvalContext",
        "evaluate",
        "evaluate_resource_policy",
        "_gather_role_policies",
        "_gather_user_policies",
        "_permissions_boundary",
    ),
    "ministack.core.lambda_runtime": ("execution_credentials",),
    "ministack.services.lambda_svc": ("execution_credentials", "_execute_function_with_config_scope"),
    "ministack.services.cloudtrail": ("_visible_trail_items", "_event_selectors", "_DEFAULT_EVENT_SELECTORS"),
    "ministack.services.sts": ("_sessions", "register_session"),
    "ministack.services.iam": ("_roles", "_users", "_policies", "_access_keys", "_IAM_HANDLERS"),
    "ministack.services.s3": (
        "_buckets",
        "_object_versions",
        "_get_object_data",
        "_foreign_bucket_allows",
        "_bucket_policies",
        "_request_access_key",
        "_put_bucket_encryption",
        "_delete_bucket_encryption",
        "_buckets",
        "_bucket_has_versions",
    ),
    "ministack.services.sns": (
        "_topics",
        "_subscribe",
        "_unsubscribe",
        "_list_subscriptions",
        "_list_subscriptions_by_topic",
        "_fanout",
        "_get_topic",
        "_topic_by_arn_any_scope",
        "_refresh_subscription_counts",
        "_resolve_message_for_protocol",
        "_matches_filter_policy",
        "_build_envelope",
        "_p",
        "_xml",
        "_error",
    ),
    "ministack.services.eventbridge": ("_dispatch_event", "_invoke_target", "_apply_input_transformer"),
    "ministack.services.config": ("_recorders", "_delivery_channels"),
    "ministack.services.ec2": ("_ACTION_MAP", "_parse_member_list", "_parse_filters", "get_region"),
    "ministack.services.cloudformation": ("_stacks", "_change_sets", "_exports", "handle_request"),
    "ministack.services.cloudwatch": ("_composite_system_tag_error",),
    "ministack.services.cloudformation.helpers": ("_resolve_document", "_resolve_template", "_validate_stack_tags"),
    "ministack.services.cloudformation.provisioners": (
        "_RESOURCE_HANDLERS",
        "_physical_name",
        "_cfn_nested_stack_deploy",
        "_cfn_nested_stack_update",
        "_nested_stack_lookup_name",
        "_delete_resource",
        "_provision_resource",
        "_update_resource",
        "_with_stack_tags",
    ),
    "ministack.services.cloudformation.engine": (
        "CfnLoader",
        "_parse_template",
        "_apply_transforms",
        "_topological_sort",
        "_TransformFailed",
        "_NO_VALUE",
        "validate_template_support",
        "_evaluate_conditions",
        "_resolve_parameters",
        "_resolve_refs",
        "_resolve_dynamic_references",
    ),
    "ministack.services.cloudformation.changesets": (
        "_evaluate_conditions",
        "_parse_template",
        "_find_change_set",
        "_resolve_props_for_diff",
        "validate_template_support",
    ),
    "ministack.services.cloudformation.handlers": (
        "_evaluate_conditions",
        "_parse_template",
        "_ACTION_HANDLERS",
        "validate_template_support",
    ),
    "ministack.services.cloudformation.stacks": (
        "_evaluate_conditions",
        "_runs_on_worker_thread",
        "_resource_policy",
        "_with_stack_tags",
        "_add_event",
        "_delete_resource",
        "_provision_resource",
        "_update_resource",
    ),
    "ministack.services.cloudformation.custom_resource": ("_pending", "deliver_response"),
}


def check_internals() -> list[str]:
    """What of `EXPECTED` is missing, as module.name."""
    missing = []
    for module_name, names in EXPECTED.items():
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            missing.append(module_name)
            continue
        missing += [f"{module_name}.{name}" for name in names if not hasattr(module, name)]
    return missing


def prepare_environment(home: Path, port: int, region: str, account: str) -> None:
    """ministack reads its settings from the environment when it is imported."""
    # ministack asks a Docker engine wherever the client library happens to be installed. Containers are the business of
    # localcloud.runtime; without the library ministack starts faster and asks nobody.
    sys.modules.setdefault("docker", None)  # type: ignore[arg-type]
    objects = home / "s3"
    objects.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        {
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": "127.0.0.1",
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_REGION": region,
            "MINISTACK_ACCOUNT_ID": account,
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(objects),
            # The code of Lambda functions. The default is one folder for all servers, each deleting what others keep.
            "STATE_DIR": str(home / "base"),
            "PERSIST_STATE": "0",  # the state goes into SQLite instead, see `save`
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": os.environ.get("LOCALCLOUD_BASE_LOG", "WARNING"),
        }
    )
