"""CloudFormation: our resource types, and what AWS accepts that ministack does not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlparse

from localcloud.core.base import (
    conditions,
    deletion,
    dropped,
    hierarchy,
    interrupted,
    nested,
    private_names,
    stack_tags,
    taken,
    told,
)
from localcloud.core.base.acting import Acting
from localcloud.core.cfn import ResourceContext, ResourceType
from localcloud.core.cloud import Cloud


class Stacks:
    """ministack's CloudFormation engine, extended."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._service_tag_values: set[str] = set()
        self.ready = threading.Event()
        self._made = interrupted.Made(cloud.store)
        self._acting = Acting(cloud)

    def install(self) -> None:
        """Wrap what AWS accepts and ministack does not."""
        self._install_template_urls()
        self._install_service_tags()
        self._acting.install()
        dropped.install()
        conditions.install()
        nested.install()
        private_names.install()
        taken.install()
        hierarchy.install()
        deletion.install()
        told.install()

    def add_resource_types(self, resources: Sequence[ResourceType]) -> None:
        """Teach CloudFormation our types. Their provisioning calls back over HTTP, so it runs on worker threads."""
        from ministack.services.cloudformation import provisioners, stacks

        ours = {resource.type for resource in resources}
        for resource in resources:
            provisioners._RESOURCE_HANDLERS[resource.type] = self._handlers(resource)
        stack_tags.install(ours)
        original = stacks._runs_on_worker_thread
        stacks._runs_on_worker_thread = lambda kind: kind in ours or original(kind)
        self._made.install(ours)

    def _handlers(self, resource: ResourceType) -> dict[str, Any]:
        from ministack.core.responses import get_account_id, get_region
        from ministack.services.cloudformation import provisioners

        def context(stack_name: str, logical_id: str) -> ResourceContext:
            def name(limit: int) -> str:
                return str(provisioners._physical_name(stack_name, logical_id, max_len=limit))

            account, region = get_account_id(), get_region()
            who = self._acting.credentials(account, region, stack_name)
            return ResourceContext(self.cloud, account, region, stack_name, logical_id, name, who)

        def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
            with _readable():
                made = resource.do_create(context(stack_name, logical_id), properties or {})
            self._made.note(get_account_id(), get_region(), stack_name, logical_id, {
                "PhysicalResourceId": made.physical_id, "ResourceType": resource.type,
                "Properties": stack_tags.own(resource.type, get_region(), properties or {}),
                "Attributes": made.attributes,
            })  # fmt: skip
            return made.physical_id, made.attributes

        def update(
            physical_id: str,
            old: dict[str, Any],
            new: dict[str, Any],
            stack_name: str,
            logical_id: str | None = None,
        ) -> tuple[str, dict[str, Any]]:
            if not stack_tags.updatable(resource.type, get_region()):
                old, new = (stack_tags.own(resource.type, get_region(), given or {}) for given in (old, new))
            with _readable():
                made = resource.do_update(context(stack_name, logical_id or ""), physical_id, old or {}, new or {})
            return made.physical_id, made.attributes

        def delete(physical_id: str, properties: dict[str, Any]) -> None:
            with _readable():
                resource.do_delete(context("", ""), physical_id, properties or {})
            self._made.forget(get_account_id(), get_region(), resource.type, physical_id)

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

    def fail_interrupted(self) -> None:
        """After a restart nothing works on: stacks in progress are failed with the reason."""
        from ministack.services.cloudformation import _stacks

        interrupted.fail(list(_stacks._data.values()), self._made)

    def in_progress(self) -> bool:
        """Whether any CloudFormation operation runs."""
        if not self.ready.is_set():
            return False
        from ministack.services.cloudformation import _stacks

        return any(str(s.get("StackStatus", "")).endswith("_IN_PROGRESS") for s in list(_stacks._data.values()))

    def settled(self) -> frozenset[tuple[str, str]]:
        """(stack id, status) of every stack on which nothing works at the moment."""
        self.ready.wait()
        from ministack.services.cloudformation import _stacks

        found = [(str(stack.get("StackId")), str(stack.get("StackStatus"))) for stack in list(_stacks._data.values())]
        return frozenset(pair for pair in found if not pair[1].endswith("_IN_PROGRESS"))


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
