"""The one place that touches ministack's internals: everything that the local cloud adds to it from outside.

ministack has no plug-in API, so its dictionaries are filled and a few of its functions wrapped. `EXPECTED` names each
of them; `check_internals` fails by name when one has moved, and a test calls it, so that an upgrade cannot break the
local cloud silently.
"""

from __future__ import annotations

import contextlib
import contextvars
import fnmatch
import importlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from localcloud.core.cfn import ResourceContext, ResourceType
from localcloud.core.cloud import Cloud
from localcloud.core.errors import Fault
from localcloud.core.ids import now, uuid

logger = logging.getLogger("localcloud.base")

EXPECTED: dict[str, Sequence[str]] = {
    "ministack.app": ("app", "SERVICE_REGISTRY", "_get_module", "_build_persistence_save_dict", "_state_map"),
    "ministack.core.persistence": ("_json_default", "_json_object_hook"),
    "ministack.core.responses": (
        "_request_account_id",
        "_request_region",
        "get_account_id",
        "get_region",
    ),
    "ministack.core.iam_actions": ("extract_iam_action", "extract_resource_arn"),
    "ministack.core.iam_evaluator": ("resolve_caller_identity",),
    "ministack.services.sts": ("_sessions",),
    "ministack.services.iam": ("_roles", "_access_keys"),
    "ministack.services.s3": ("_get_object_data",),
    "ministack.services.eventbridge": ("_dispatch_event", "_invoke_target", "_apply_input_transformer"),
    "ministack.services.cloudformation": ("_stacks",),
    "ministack.services.cloudformation.helpers": ("_resolve_document", "_validate_stack_tags"),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS", "_physical_name"),
    "ministack.services.cloudformation.stacks": ("_runs_on_worker_thread",),
}
Target = Callable[[str, str, str, dict[str, Any] | None, dict[str, Any], str], None]


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
            "PERSIST_STATE": "0",  # the state goes into SQLite instead, see `save`
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": os.environ.get("LOCALCLOUD_BASE_LOG", "WARNING"),
        }
    )


class Base:
    """ministack, extended."""

    def __init__(self, cloud: Cloud) -> None:
        missing = check_internals()
        if missing:
            raise RuntimeError(f"ministack has changed: {', '.join(missing)} not found; pin the version that has them")
        self.cloud = cloud
        self._targets: dict[str, Target] = {}
        self._saved: dict[str, int] = {}
        self._save_lock = threading.Lock()
        self._install_targets()
        self._install_template_urls()
        self._service_tag_values: set[str] = set()
        self._install_service_tags()

    @property
    def app(self) -> Any:
        """ministack's ASGI application."""
        from ministack import app

        return app.app

    # ------------------------------------------------------------------ identity

    def identity(self, access_key: str) -> tuple[str, str] | None:
        """(account, principal ARN) of an access key, or None when it is unknown."""
        if access_key in self.cloud.accounts:
            return access_key, f"arn:aws:iam::{access_key}:root"
        from ministack.core.iam_evaluator import resolve_caller_identity
        from ministack.services import sts

        session = sts._sessions.get(access_key)
        if session:
            arn = str(session.get("Arn", ""))
            return arn.split(":")[4], arn
        with contextlib.suppress(Exception):
            found = resolve_caller_identity(access_key)
            if found and found.get("userArn"):
                arn = str(found["userArn"])
                return arn.split(":")[4], arn
        return None

    def secret(self, access_key: str) -> tuple[str, str | None, float | None] | None:
        """(secret, session token, expiry as epoch seconds) of a key made by STS or IAM; None for any other key."""
        from ministack.services import iam, sts

        session = sts._sessions.get(access_key)
        if session:
            return str(session.get("SecretAccessKey")), session.get("SessionToken"), session.get("Expiration")
        found = self.identity(access_key)
        if found is None:
            return None
        with self.scope(found[0], self.cloud.region):
            key = iam._access_keys.get(access_key)
        return (str(key["SecretAccessKey"]), None, None) if key and key.get("Status") == "Active" else None

    def session_role(self, principal: str) -> str:
        """The ARN of the role behind an assumed-role ARN, with its path; other ARNs as they are."""
        if ":assumed-role/" not in principal:
            return principal
        account, name = principal.split(":")[4], principal.split("/")[1]
        role = self._role(account, name)
        return str(role["Arn"]) if role else f"arn:aws:iam::{account}:role/{name}"

    def _role(self, account: str, name: str) -> dict[str, Any] | None:
        from ministack.services import iam

        with self.scope(account, self.cloud.region):
            found: dict[str, Any] | None = iam._roles.get(name)
            return found

    def check_trust(self, role_arn: str, *, principal: str | None, service: str | None) -> None:
        """Refuse an assumption that the role's trust policy does not admit.

        Raises:
            Fault: AccessDenied.
        """
        account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
        who = principal or service or f"arn:aws:iam::{account}:root"
        denied = Fault(
            "AccessDenied",
            f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
            403,
        )
        role = self._role(account, name)
        if role is None:
            raise denied
        document = role.get("AssumeRolePolicyDocument") or {}
        if isinstance(document, str):
            document = json.loads(unquote(document))
        if principal is None and service is None:
            return
        statements = document.get("Statement", [])
        for statement in statements if isinstance(statements, list) else [statements]:
            if statement.get("Effect") == "Allow" and _trusts(statement.get("Principal", {}), principal, service):
                return
        raise denied

    # ------------------------------------------------------------------ scope and events

    @contextlib.contextmanager
    def scope(self, account: str, region: str) -> Iterator[None]:
        """Run in-process calls of ministack as that account and region."""
        from ministack.core import responses

        account_token = responses._request_account_id.set(account)
        region_token = responses._request_region.set(region)
        try:
            yield
        finally:
            responses._request_account_id.reset(account_token)
            responses._request_region.reset(region_token)

    def emit(
        self, source: str, detail_type: str, detail: dict[str, Any], resources: list[str], account: str, region: str
    ) -> None:
        """Dispatch an AWS service's event to the rules of the account's default bus, in the background.

        ministack refuses PutEvents with an aws.* source, as AWS does; services publish from inside.
        """
        event = {
            "EventId": uuid(),
            "Source": source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail, default=str),
            "EventBusName": "default",
            "Time": int(now().timestamp()),
            "Resources": resources,
            "Account": account,
            "Region": region,
        }
        self.cloud.task(f"event {detail_type}", self._dispatch, event)

    def _dispatch(self, event: dict[str, Any]) -> None:
        from ministack.services import eventbridge

        with self.scope(event["Account"], event["Region"]):
            eventbridge._dispatch_event(event)

    def add_target(self, service: str, target: Target) -> None:
        """Deliver events to targets whose ARN names `service`: called with (account, region, arn, input, event, rule).

        `input` is the target's Input or transformed input as an object, None where the rule passes the event itself.
        """
        self._targets[service] = target

    def _install_targets(self) -> None:
        from ministack.services import eventbridge

        original = eventbridge._invoke_target

        def invoke(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
            arn = str(target.get("Arn", ""))
            parts = arn.split(":")
            ours = self._targets.get(parts[2]) if len(parts) > 5 else None
            if ours is None:
                original(target, event, rule, view)
                return
            view = view or eventbridge._pattern_event_view(event)
            text: str | None = None
            if target.get("InputTransformer"):
                text = eventbridge._apply_input_transformer(target["InputTransformer"], rule, view)
            elif target.get("Input"):
                text = target["Input"]
            try:
                payload = json.loads(text) if text else None
                rule_arn = str(rule.get("Arn", rule.get("Name", "")))
                ours(parts[4], parts[3], arn, payload, view.event_with_detail(), rule_arn)
            except Exception:
                logger.exception("event %s could not be delivered to %s", event.get("DetailType"), arn)

        eventbridge._invoke_target = invoke

    # ------------------------------------------------------------------ CloudFormation

    def add_resource_types(self, resources: Sequence[ResourceType]) -> None:
        """Teach CloudFormation our types. Their provisioning calls back over HTTP, so it runs on worker threads."""
        from ministack.services.cloudformation import provisioners, stacks

        ours = {resource.type for resource in resources}
        for resource in resources:
            provisioners._RESOURCE_HANDLERS[resource.type] = self._handlers(resource)
        original = stacks._runs_on_worker_thread
        stacks._runs_on_worker_thread = lambda kind: kind in ours or original(kind)

    def _handlers(self, resource: ResourceType) -> dict[str, Any]:
        from ministack.core.responses import get_account_id, get_region
        from ministack.services.cloudformation import provisioners

        def context(stack_name: str, logical_id: str) -> ResourceContext:
            def name(limit: int) -> str:
                return str(provisioners._physical_name(stack_name, logical_id, max_len=limit))

            return ResourceContext(self.cloud, get_account_id(), get_region(), stack_name, logical_id, name)

        def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
            with _readable():
                made = resource.do_create(context(stack_name, logical_id), properties or {})
            return made.physical_id, made.attributes

        def update(
            physical_id: str,
            old: dict[str, Any],
            new: dict[str, Any],
            stack_name: str,
            logical_id: str | None = None,
        ) -> tuple[str, dict[str, Any]]:
            with _readable():
                made = resource.do_update(context(stack_name, logical_id or ""), physical_id, old or {}, new or {})
            return made.physical_id, made.attributes

        def delete(physical_id: str, properties: dict[str, Any]) -> None:
            with _readable():
                resource.do_delete(context("", ""), physical_id, properties or {})

        return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}

    def _install_template_urls(self) -> None:
        """AWS takes virtual-hosted template URLs (bucket.s3.region.amazonaws.com/key); ministack path style alone."""
        from ministack.services.cloudformation import helpers

        original = helpers._resolve_document

        def resolve(params: dict[str, Any], body_key: str, url_key: str, label: str) -> Any:
            given = params.get(url_key)
            url = given[0] if isinstance(given, list) and given else given
            if isinstance(url, str) and url:
                parsed = urlparse(url)
                host = parsed.hostname or ""
                if ".s3." in host or ".s3-" in host:
                    bucket = host.split(".s3", 1)[0]
                    params = {**params, url_key: [f"https://s3.amazonaws.com/{bucket}{parsed.path}"]}
            return original(params, body_key, url_key, label)

        helpers._resolve_document = resolve

    def admit_service_tags(self, value: str) -> None:
        """Let stacks that have a tag with this value carry aws:… tags, which AWS's own services alone may set."""
        self._service_tag_values.add(value)

    def _install_service_tags(self) -> None:
        from ministack.services.cloudformation import helpers

        original = helpers._validate_stack_tags

        def validate(tags: list[dict[str, Any]]) -> Any:
            if any(str(tag.get("Value", "")) in self._service_tag_values for tag in tags):
                tags = [tag for tag in tags if not str(tag.get("Key", "")).startswith("aws:")]
            return original(tags)

        helpers._validate_stack_tags = validate

    # ------------------------------------------------------------------ state

    def load(self) -> None:
        """Restore what `save` wrote; stacks that were in progress are failed with the reason."""
        from ministack import app
        from ministack.core import persistence

        for name, blob in self.cloud.store.execute("SELECT module, document FROM base_state"):
            module_name = app._state_map.get(name)
            if module_name is None:
                logger.warning("state of unknown module %s is left alone", name)
                continue
            data = json.loads(blob, object_hook=persistence._json_object_hook)
            app._get_module(module_name).load_persisted_state(data)
            self._saved[name] = hash(blob)
        self._fail_interrupted_stacks()

    def _fail_interrupted_stacks(self) -> None:
        from ministack.services.cloudformation import _stacks

        reason = "The local cloud was stopped while the stack was in progress."
        for stack in list(_stacks._data.values()):
            status = str(stack.get("StackStatus", ""))
            if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
                stack["StackStatus"] = status.removesuffix("_CLEANUP_IN_PROGRESS").removesuffix("_IN_PROGRESS")
                complete = status.endswith("_CLEANUP_IN_PROGRESS")
                stack["StackStatus"] += "" if complete else "_FAILED"
                stack["StackStatusReason"] = "" if complete else reason

    def save(self, only: str | None = None) -> None:
        """Write the state of all modules that changed (or of the one named) to SQLite, as one transaction."""
        from ministack import app

        with self._save_lock:
            changed = []
            for name, get_state in app._build_persistence_save_dict().items():
                if only is not None and app._state_map.get(name) != only:
                    continue
                blob = _snapshot(get_state)
                if blob is not None and self._saved.get(name) != hash(blob):
                    changed.append((name, blob))
            if not changed:
                return
            with self.cloud.store.transaction():
                for name, blob in changed:
                    self.cloud.store.execute(
                        "INSERT INTO base_state (module, document) VALUES (?,?) "
                        "ON CONFLICT (module) DO UPDATE SET document=excluded.document",
                        (name, blob),
                    )
            for name, blob in changed:
                self._saved[name] = hash(blob)

    def stacks_in_progress(self) -> bool:
        """Whether any CloudFormation operation runs."""
        from ministack.services.cloudformation import _stacks

        return any(str(s.get("StackStatus", "")).endswith("_IN_PROGRESS") for s in list(_stacks._data.values()))

    # ------------------------------------------------------------------ recording

    def describe(
        self, service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]],
        account: str, region: str,
    ) -> tuple[str, str]:  # fmt: skip
        """(IAM action, resource ARN) of a request to one of ministack's services."""
        from ministack import app
        from ministack.core import iam_actions

        with contextlib.suppress(Exception), self.scope(account, region):
            parameters = app._routing_params(method, path, headers, body, query)
            action = iam_actions.extract_iam_action(service, method, path, headers, body, parameters)
            if action:
                resource = iam_actions.extract_resource_arn(
                    service, method, path, headers, body, parameters, region, account
                )
                return str(action), str(resource)
        return f"{service}:{method} {path.split('/')[1] if '/' in path else path}", "*"


def _snapshot(get_state: Callable[[], Any]) -> str | None:
    from ministack.core import persistence

    for attempt in range(20):
        try:
            state = get_state()
            return None if state is None else json.dumps(state, default=persistence._json_default)
        except RuntimeError:  # a dictionary changed while it was read: the event loop goes on meanwhile
            if attempt == 19:
                raise
            threading.Event().wait(0.005)
    return None


def _trusts(principal: Any, arn: str | None, service: str | None) -> bool:
    if principal == "*":
        return True
    if not isinstance(principal, Mapping):
        return False
    if service is not None:
        services = principal.get("Service", [])
        return service in (services if isinstance(services, list) else [services])
    named = principal.get("AWS", [])
    assert arn is not None
    account = arn.split(":")[4]
    for candidate in named if isinstance(named, list) else [named]:
        if candidate in ("*", account, f"arn:aws:iam::{account}:root") or fnmatch.fnmatchcase(arn, str(candidate)):
            return True
    return False


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """CloudFormation shows the message of a failed call as AWS does, not a Python exception's name."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        detail = error.response["Error"]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        raise ValueError(
            f"{detail.get('Message', '')} (Service: {error.operation_name}, Status Code: {status}, "
            f"Error Code: {detail.get('Code', '')})"
        ) from error


def run_in_context(function: Callable[..., Any], *args: Any) -> Any:
    """Run with a copy of the current context variables."""
    return contextvars.copy_context().run(function, *args)
