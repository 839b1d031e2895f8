"""What the parts of the service share: records, look-ups, launch paths and who may use them."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from localcloud.core import Call, Cloud, Fault, Service, Table, now, paginate, short_id
from localcloud.core.tags import is_reserved

Document = dict[str, Any]
Item = TypeVar("Item")

# What documents carry for the service itself and no answer shows.
HIDDEN = frozenset({"IdempotencyToken", "Tags", "Hidden"})


@dataclass(frozen=True)
class Path:
    """How a caller gets at a product: through a portfolio that has both."""

    id: str
    product_id: str
    portfolio: Document

    @property
    def name(self) -> str:
        return str(self.portfolio["DisplayName"])


class Base(Service):
    """Records and look-ups. Keys are AWS's ids; associations are keyed by both sides' ids."""

    name = "servicecatalog"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        table = cloud.store.table
        self.portfolios = table("servicecatalog.portfolio")
        self.products = table("servicecatalog.product")
        self.artifacts = table("servicecatalog.artifact")
        self.memberships = table("servicecatalog.membership")  # product in portfolio
        self.principals = table("servicecatalog.principal")  # principal of portfolio
        self.constraints = table("servicecatalog.constraint")
        self.tag_options = table("servicecatalog.tagoption")
        self.tag_option_uses = table("servicecatalog.tagoptionuse")
        self.provisioned = table("servicecatalog.provisioned")
        self.records = table("servicecatalog.record")
        self.started = now()

    # -- look-ups -----------------------------------------------------------------------------------------------

    def need(self, call: Call, table: Table, key: str | None) -> Document:
        """The document of an id.

        Raises:
            Fault: ResourceNotFoundException.
        """
        found = table.get(call.account, call.region, key) if key else None
        if found is None:
            raise not_found(str(key))
        return found

    def product_named(self, call: Call, product_id: str | None, product_name: str | None) -> Document:
        """A product by its id or its name; exactly one of the two is given."""
        one_of("product", product_id, product_name)
        if product_id:
            return self.need(call, self.products, product_id)
        found = [p for p in self.products.list(call.account, call.region) if p["Name"] == product_name]
        return only(found, "product", str(product_name))

    def artifacts_of(self, call: Call, product_id: str) -> list[Document]:
        """A product's versions, oldest first."""
        return [a for a in self.artifacts.list(call.account, call.region) if a["Hidden"]["ProductId"] == product_id]

    def artifact_named(
        self, call: Call, product_id: str, artifact_id: str | None, artifact_name: str | None, *, active: bool = False
    ) -> Document:
        """A version by its id or its name; with `active`, inactive ones are as invisible as AWS makes them."""
        one_of("provisioning artifact", artifact_id, artifact_name)
        key, value = ("Id", artifact_id) if artifact_id else ("Name", artifact_name)
        found = [a for a in self.artifacts_of(call, product_id) if a[key] == value and (a["Active"] or not active)]
        return only(found, "provisioning artifact", str(value))

    def constraints_of(self, call: Call, portfolio_id: str, product_id: str | None = None) -> list[Document]:
        """The constraints of a portfolio, or of one product in it."""
        return [
            c
            for c in self.constraints.list(call.account, call.region)
            if c["PortfolioId"] == portfolio_id and product_id in (None, c["ProductId"])
        ]

    def launch_role(self, call: Call, path: Path) -> str | None:
        """The ARN of the role that a launch constraint names for a path."""
        for constraint in self.constraints_of(call, path.portfolio["Id"], path.product_id):
            if constraint["Type"] == "LAUNCH":
                parameters: Mapping[str, str] = constraint["Hidden"]["Parsed"]
                local = f"arn:aws:iam::{call.account}:role/{parameters.get('LocalRoleName')}"
                return parameters.get("RoleArn") or local
        return None

    # -- who may launch what ------------------------------------------------------------------------------------

    def caller(self, call: Call) -> str:
        """The IAM identity behind the caller: a role's ARN rather than its session's."""
        assert self.cloud.base is not None
        return self.cloud.base.identities.session_role(call.principal)

    def _admits(self, principal: Document, identity: str) -> bool:
        arn = principal["PrincipalARN"]
        if principal["PrincipalType"] == "IAM":
            return bool(arn == identity)
        parts = identity.split(":", 5)
        return fnmatch.fnmatchcase(":".join([*parts[:4], "", *parts[5:]]), arn)

    def paths(self, call: Call, product_id: str | None = None) -> list[Path]:
        """Every path by which the caller gets at a product (or at any)."""
        identity = self.caller(call)
        admitted = {
            principal["Hidden"]["PortfolioId"]
            for principal in self.principals.list(call.account, call.region)
            if self._admits(principal, identity)
        }
        found = []
        for membership in self.memberships.list(call.account, call.region):
            portfolio_id, member = membership["PortfolioId"], membership["ProductId"]
            if portfolio_id not in admitted or product_id not in (None, member):
                continue
            digest = hashlib.sha256(f"{portfolio_id} {member}".encode()).digest()
            path_id = "lpv3-" + "".join("abcdefghijklmnopqrstuvwxyz234567"[byte & 31] for byte in digest[:13])
            found.append(Path(path_id, member, self.need(call, self.portfolios, portfolio_id)))
        return found

    def path_for(self, call: Call, product_id: str, path_id: str | None, path_name: str | None) -> Path:
        """The path that a launch takes.

        Raises:
            Fault: ResourceNotFoundException without access; InvalidParametersException when there are several and
                the request does not choose.
        """
        if path_id and path_name:
            raise Fault("InvalidParametersException", "Both PathId and PathName are given; give one of them")
        paths = self.paths(call, product_id)
        if path_id or path_name:
            paths = [path for path in paths if path_id in (None, path.id) and path_name in (None, path.name)]
        if not paths:
            raise Fault("ResourceNotFoundException", f"No launch paths found for resource: {product_id}")
        if len(paths) > 1:
            listed = ", ".join(f"{path.id} ({path.name})" for path in paths)
            raise Fault(
                "InvalidParametersException",
                f"There are {len(paths)} launch paths for {product_id}; name one by PathId or PathName: {listed}",
            )
        return paths[0]

    # -- tags ---------------------------------------------------------------------------------------------------

    def tag_options_of(self, call: Call, *resources: str) -> list[Document]:
        """The tag options associated with any of the resources."""
        ids = [
            use["TagOptionId"]
            for use in self.tag_option_uses.list(call.account, call.region)
            if use["ResourceId"] in resources
        ]
        found = [self.tag_options.get(call.account, call.region, key) for key in dict.fromkeys(ids)]
        return [option for option in found if option]


def new_id(kind: str) -> str:
    """An id in AWS's form, e.g. prod-abcdefghijklm."""
    return f"{kind}-{short_id(13)}"


def not_found(what: str) -> Fault:
    """AWS's answer to an id that is not there."""
    return Fault("ResourceNotFoundException", f"Resource not found: {what}")


def public(document: Document, *also: str) -> Document:
    """The members that answers show."""
    return {key: value for key, value in document.items() if key not in HIDDEN and key not in also}


def one_of(what: str, first: str | None, second: str | None) -> None:
    """Refuse a request that names a thing by neither or by both of id and name."""
    if bool(first) == bool(second):
        given = "both are" if first else "neither is"
        raise Fault("InvalidParametersException", f"Name the {what} by its id or by its name: {given} given")


def only(found: Sequence[Document], what: str, name: str) -> Document:
    """The one document that was found."""
    if len(found) > 1:
        raise Fault("InvalidParametersException", f"Multiple {what}s with name {name} found; use the id")
    if not found:
        raise not_found(name)
    return found[0]


def page(items: Sequence[Item], call: Call, default: int = 20) -> tuple[list[Item], str | None]:
    """One page, by Service Catalog's member names."""
    names = {"token": "PageToken", "limit": "PageSize", "error": "InvalidParametersException"}
    return paginate(items, call.input, default=default, **names)


def merge_tags(old: Sequence[Document], add: Sequence[Document], remove: Sequence[str] = ()) -> list[Document]:
    """A tag list with some added or replaced and some removed."""
    merged = {tag["Key"]: tag["Value"] for tag in old if tag["Key"] not in remove}
    merged |= {tag["Key"]: tag["Value"] for tag in add}
    for key in (tag["Key"] for tag in add):
        if is_reserved(key):
            raise Fault("InvalidParametersException", f"The tag key '{key}' begins with aws:, which is AWS's own")
    if len(merged) > 50:
        raise Fault("InvalidParametersException", f"At most 50 tags are allowed; this makes {len(merged)}")
    return [{"Key": key, "Value": value} for key, value in merged.items()]
