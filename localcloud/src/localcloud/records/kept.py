"""Resources that are kept as records, without behaviour: what AWS would say of them, and nothing that they would do."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.core import Conflict, now, short_id, uuid
from localcloud.core.cfn import Properties, ResourceContext
from localcloud.core.schema import Schema
from localcloud.records.declared import flat
from localcloud.records.types import Record

PREFIX = "kept."
GLOBAL = "aws-global"
Value = str | int | Callable[[Properties], Any]
_TOKEN = re.compile(r"{([^}]+)}")
_KEPT_TOKENS = re.compile(r"{(hex|short|digits):\d+}|{uuid}|{created}")


@dataclass(frozen=True)
class Kept:
    """What AWS makes of a resource.

    Args:
        values: read-only path → its value: a text with tokens, a number, or a function of the properties. Tokens are
            {account}, {region}, {uuid}, {hex:N}, {short:N} (lower-case letters and digits), {digits:N},
            {created}, {updated}, {sha:Path} (16 hexadecimal digits of a property), and {Path} of a property or of a
            value that stands before.
        never: read-only paths that have no value here: what AWS fills in when something goes wrong, or much later.
        unique: properties that no two have in common; `single` where an account and region have one at most.
        service_wide: it belongs to the account, not to a region.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    never: Sequence[str] = ()
    unique: Sequence[str] = ()
    single: bool = False
    service_wide: bool = False

    def mistakes(self, schema: Schema) -> list[str]:
        """Where the declaration and AWS's schema do not agree."""
        found = [
            f"{schema.type} has no property {path}" for path in (*self.values, *self.never) if schema.node(path) is None
        ]
        found += [f"{schema.type} has no property {name}" for name in self.unique if schema.node(name) is None]
        wanted = {path for path in schema.read_only if path not in self.values and path not in self.never}
        found += [f"{schema.type} declares no value of {path}" for path in sorted(wanted)]
        found += [f"{schema.type}: {path} is not read-only" for path in self.values if path not in schema.read_only]
        for path, value in self.values.items():
            for token in _TOKEN.findall(value) if isinstance(value, str) else ():
                name = token.removeprefix("sha:")
                if not _known(name) and schema.node(name) is None:
                    found.append(f"{schema.type}: {path} uses {{{token}}}, which is no property")
        return found

    def place(self, context: ResourceContext) -> tuple[str, str]:
        """(account, region) under which it is kept."""
        return context.account, GLOBAL if self.service_wide else context.region

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        """Keep it.

        Raises:
            ValueError: one of that name exists already, as CloudFormation words it.
        """
        made = self._made(context, properties, {})
        key = self._key(schema, {**flat(properties), **made})
        table = context.cloud.store.table(PREFIX + schema.type)
        stamp = now().isoformat(timespec="milliseconds")
        document = {
            "properties": properties, "attributes": made, "stack": context.stack_name, "created": stamp,
            "updated": stamp,
        }  # fmt: skip
        with context.cloud.store.transaction():
            twin = self._twin(schema, table.all(), self.place(context), properties)
            try:
                if twin is not None:
                    raise Conflict(twin)
                table.insert(*self.place(context), key, document)
            except Conflict as conflict:
                raise ValueError(
                    f"Resource of type '{schema.type}' with identifier '{conflict}' already exists. "
                    f"(RequestToken: {uuid()}, HandlerErrorCode: AlreadyExists)"
                ) from None
        return made

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        """Keep the new properties; what identifies it stays."""
        table = context.cloud.store.table(PREFIX + schema.type)
        place = self.place(context)
        found = self._find(schema, table.all(), place, physical_id)
        if found is None:
            raise ValueError(
                f"Resource of type '{schema.type}' with identifier '{physical_id}' was not found. "
                f"(RequestToken: {uuid()}, HandlerErrorCode: NotFound)"
            )
        key, document = found
        # A generated name is in no template; what cannot be changed without a new resource is as it was.
        kept = {name: document["properties"][name] for name in schema.create_only if name in document["properties"]}
        new = {**kept, **new}
        made = self._made(context, new, document["attributes"])
        stamp = now().isoformat(timespec="milliseconds")
        table.put(*place, key, {**document, "properties": new, "attributes": made, "updated": stamp})
        return made

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        """Forget it."""
        table = context.cloud.store.table(PREFIX + schema.type)
        place = self.place(context)
        found = self._find(schema, table.all(), place, physical_id)
        if found is not None:
            table.delete(*place, found[0])

    def _twin(self, schema: Schema, rows: Any, place: tuple[str, str], properties: Properties) -> str | None:
        for account, region, key, document in rows:
            if (account, region) != place:
                continue
            other = document["properties"]
            given = [properties.get(name) for name in self.unique]
            same = any(value is not None for value in given) and [other.get(name) for name in self.unique] == given
            if self.single or same:
                return str(key)
        return None

    @staticmethod
    def _find(schema: Schema, rows: Any, place: tuple[str, str], physical_id: str) -> tuple[str, Record] | None:
        for account, region, key, document in rows:
            if (account, region) == place and (key == physical_id or key.split("|")[0] == physical_id):
                return key, document
        return None

    @staticmethod
    def _key(schema: Schema, known: Mapping[str, Any]) -> str:
        return "|".join(str(known[path]) for path in schema.identifier)

    def _made(self, context: ResourceContext, properties: Properties, before: Mapping[str, Any]) -> dict[str, Any]:
        stamp = now().strftime("%Y-%m-%dT%H:%M:%SZ")
        place = {"account": context.account, "region": context.region, "created": stamp, "updated": stamp}
        made: dict[str, Any] = {}
        for path, value in self.values.items():
            if callable(value):
                made[path] = value(properties)
            elif not isinstance(value, str):
                made[path] = value
            elif path in before and _KEPT_TOKENS.search(value):
                made[path] = before[path]
            else:
                known = {**flat(properties), **made, **place}
                made[path] = _TOKEN.sub(lambda found, known=known: _token(found[1], known), value)  # type: ignore[misc]
        return made


def _known(name: str) -> bool:
    fixed = ("account", "region", "uuid", "created", "updated")
    return name in fixed or re.fullmatch(r"(hex|short|digits):\d+", name) is not None


def _token(token: str, known: Mapping[str, Any]) -> str:
    kind, _, argument = token.partition(":")
    if kind == "uuid":
        return uuid()
    if kind == "hex":
        return secrets.token_hex(int(argument))[: int(argument)]
    if kind == "short":
        return short_id(int(argument))
    if kind == "digits":
        return "".join(secrets.choice("0123456789") for _ in range(int(argument)))
    if kind == "sha":
        return hashlib.sha256(json.dumps(known.get(argument), sort_keys=True).encode()).hexdigest()[:16]
    return str(known.get(token, ""))
