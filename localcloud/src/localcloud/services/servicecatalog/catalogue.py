"""What the administrator keeps: portfolios, products and their versions."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Fault, now, operation
from localcloud.services.servicecatalog import templates
from localcloud.services.servicecatalog.base import Base, Document, merge_tags, new_id, page, public

_SUMMARY = ("Name", "Owner", "Distributor", "SupportEmail", "SupportDescription", "SupportUrl")


class CatalogueOperations(Base):
    """CreatePortfolio … DeleteProvisioningArtifact."""

    # -- portfolios ---------------------------------------------------------------------------------------------

    @operation("CreatePortfolio")
    def create_portfolio(self, call: Call) -> Document:
        """An empty portfolio."""
        given = call.input
        for known in self.portfolios.list(call.account, call.region):
            if known["IdempotencyToken"] == given["IdempotencyToken"]:
                return {"PortfolioDetail": public(known), "Tags": known["Tags"]}
        portfolio_id = new_id("port")
        portfolio: Document = {
            "Id": portfolio_id,
            "ARN": f"arn:aws:catalog:{call.region}:{call.account}:portfolio/{portfolio_id}",
            "DisplayName": given["DisplayName"],
            "ProviderName": given["ProviderName"],
            "CreatedTime": now(),
            "Tags": merge_tags([], given.get("Tags", [])),
            "IdempotencyToken": given["IdempotencyToken"],
        }
        if given.get("Description"):
            portfolio["Description"] = given["Description"]
        self.portfolios.put(call.account, call.region, portfolio_id, portfolio)
        return {"PortfolioDetail": public(portfolio), "Tags": portfolio["Tags"]}

    @operation("DescribePortfolio")
    def describe_portfolio(self, call: Call) -> Document:
        """One portfolio."""
        found = self.need(call, self.portfolios, call.input["Id"])
        options = self.tag_options_of(call, found["Id"])
        return {"PortfolioDetail": public(found), "Tags": found["Tags"], "TagOptions": options, "Budgets": []}

    @operation("ListPortfolios")
    def list_portfolios(self, call: Call) -> Document:
        """All portfolios of the account."""
        listed, token = page(self.portfolios.list(call.account, call.region), call)
        return {"PortfolioDetails": [public(p) for p in listed], "NextPageToken": token}

    @operation("UpdatePortfolio")
    def update_portfolio(self, call: Call) -> Document:
        """Change names, description, tags."""
        found = self.need(call, self.portfolios, call.input["Id"])
        found |= {
            k: call.input[k] for k in ("DisplayName", "Description", "ProviderName") if call.input.get(k) is not None
        }
        found["Tags"] = merge_tags(found["Tags"], call.input.get("AddTags", []), call.input.get("RemoveTags", []))
        self.portfolios.put(call.account, call.region, found["Id"], found)
        return {"PortfolioDetail": public(found), "Tags": found["Tags"]}

    @operation("DeletePortfolio")
    def delete_portfolio(self, call: Call) -> Document:
        """Remove a portfolio that holds nothing any more."""
        key = self.need(call, self.portfolios, call.input["Id"])["Id"]
        here = (call.account, call.region)
        holds = {
            "products": [m for m in self.memberships.list(*here) if m["PortfolioId"] == key],
            "principals": [p for p in self.principals.list(*here) if p["Hidden"]["PortfolioId"] == key],
            "constraints": self.constraints_of(call, key),
            "tag options": self.tag_options_of(call, key),
        }
        _refuse_in_use(f"Portfolio {key}", holds)
        self.portfolios.delete(*here, key)
        return {}

    # -- products -----------------------------------------------------------------------------------------------

    @operation("CreateProduct")
    def create_product(self, call: Call) -> Document:
        """A product with its first version."""
        given = call.input
        for known in self.products.list(call.account, call.region):
            if known["IdempotencyToken"] == given["IdempotencyToken"]:
                first = self.artifacts_of(call, known["Id"])[0]
                return self._product(known) | {"ProvisioningArtifactDetail": public(first)}
        if given["ProductType"] != "CLOUD_FORMATION_TEMPLATE":
            problem = f"ProductType {given['ProductType']} is not served by the local cloud"
            raise Fault("NotImplemented", f"{problem}; served: CLOUD_FORMATION_TEMPLATE", 501)
        if given.get("SourceConnection"):
            raise Fault("NotImplemented", "SourceConnection is not served by the local cloud", 501)
        if not given.get("ProvisioningArtifactParameters"):
            raise Fault("InvalidParametersException", "ProvisioningArtifactParameters is required")
        product_id = new_id("prod")
        product: Document = {
            "Id": product_id,
            **{key: given[key] for key in (*_SUMMARY, "Description") if given.get(key)},
            "CreatedTime": now(),
            "Tags": merge_tags([], given.get("Tags", [])),
            "IdempotencyToken": given["IdempotencyToken"],
            "Hidden": {
                "ViewId": new_id("prodview"),
                "ARN": f"arn:aws:catalog:{call.region}:{call.account}:product/{product_id}",
            },
        }
        artifact = self._new_artifact(
            call, product_id, given["ProvisioningArtifactParameters"], given["IdempotencyToken"]
        )
        with self.cloud.store.transaction():
            self.products.put(call.account, call.region, product_id, product)
            self.artifacts.put(call.account, call.region, artifact["Id"], artifact)
        return self._product(product) | {"ProvisioningArtifactDetail": public(artifact)}

    def summary(self, product: Document) -> Document:
        """A product as end users see it."""
        return {
            "Id": product["Hidden"]["ViewId"],
            "ProductId": product["Id"],
            **{key: product[key] for key in _SUMMARY if product.get(key)},
            "ShortDescription": product.get("Description", ""),
            "Type": "CLOUD_FORMATION_TEMPLATE",
            "HasDefaultPath": False,
        }

    def detail(self, product: Document) -> Document:
        """A product as its administrator sees it."""
        return {
            "ProductViewSummary": self.summary(product),
            "Status": "AVAILABLE",
            "ProductARN": product["Hidden"]["ARN"],
            "CreatedTime": product["CreatedTime"],
        }

    def _product(self, product: Document) -> Document:
        return {"ProductViewDetail": self.detail(product), "Tags": product["Tags"]}

    @operation("DescribeProductAsAdmin")
    def describe_product_as_admin(self, call: Call) -> Document:
        """One product with its versions."""
        product = self.product_named(call, call.input.get("Id"), call.input.get("Name"))
        members = ("Id", "Name", "Description", "CreatedTime")
        versions = [{k: a[k] for k in members if k in a} for a in self.artifacts_of(call, product["Id"])]
        options = self.tag_options_of(call, product["Id"])
        more = {"ProvisioningArtifactSummaries": versions, "TagOptions": options, "Budgets": []}
        return self._product(product) | more

    @operation("SearchProductsAsAdmin")
    def search_products_as_admin(self, call: Call) -> Document:
        """The account's products, or those of one portfolio."""
        products = self.products.list(call.account, call.region)
        portfolio_id = call.input.get("PortfolioId")
        if portfolio_id:
            self.need(call, self.portfolios, portfolio_id)
            members = self.memberships.list(call.account, call.region)
            inside = {m["ProductId"] for m in members if m["PortfolioId"] == portfolio_id}
            products = [p for p in products if p["Id"] in inside]
        found = sort_products(self, call, filter_products(products, call.input.get("Filters", {})))
        listed, token = page(found, call)
        return {"ProductViewDetails": [self.detail(p) for p in listed], "NextPageToken": token}

    @operation("UpdateProduct")
    def update_product(self, call: Call) -> Document:
        """Change texts and tags."""
        if call.input.get("SourceConnection"):
            raise Fault("NotImplemented", "SourceConnection is not served by the local cloud", 501)
        found = self.need(call, self.products, call.input["Id"])
        found |= {key: call.input[key] for key in (*_SUMMARY, "Description") if call.input.get(key) is not None}
        found["Tags"] = merge_tags(found["Tags"], call.input.get("AddTags", []), call.input.get("RemoveTags", []))
        self.products.put(call.account, call.region, found["Id"], found)
        return self._product(found)

    @operation("DeleteProduct")
    def delete_product(self, call: Call) -> Document:
        """Remove a product that is in no portfolio."""
        key = self.need(call, self.products, call.input["Id"])["Id"]
        here = (call.account, call.region)
        holds = {
            "portfolios": [m for m in self.memberships.list(*here) if m["ProductId"] == key],
            "tag options": self.tag_options_of(call, key),
        }
        _refuse_in_use(f"Product {key}", holds)
        with self.cloud.store.transaction():
            for artifact in self.artifacts_of(call, key):
                self.artifacts.delete(*here, artifact["Id"])
            self.products.delete(*here, key)
        return {}

    # -- versions -----------------------------------------------------------------------------------------------

    def _new_artifact(self, call: Call, product_id: str, given: dict[str, Any], token: str) -> Document:
        kind = given.get("Type") or "CLOUD_FORMATION_TEMPLATE"
        if kind != "CLOUD_FORMATION_TEMPLATE":
            problem = f"The provisioning artifact type {kind} is not served by the local cloud"
            raise Fault("NotImplemented", f"{problem}; served: CLOUD_FORMATION_TEMPLATE", 501)
        validate = not given.get("DisableTemplateValidation")
        url, text = templates.fetch(self.cloud, call, given.get("Info") or {}, validate=validate)
        artifact: Document = {
            "Id": new_id("pa"),
            "Name": given.get("Name") or "v1",
            "Type": kind,
            "CreatedTime": now(),
            "Active": True,
            "Guidance": "DEFAULT",
            "IdempotencyToken": token,
            "Hidden": {"ProductId": product_id, "Url": url, "Template": text},
        }
        if given.get("Description"):
            artifact["Description"] = given["Description"]
        return artifact

    def _artifact(self, artifact: Document) -> Document:
        info = {"TemplateUrl": artifact["Hidden"]["Url"]}
        return {"ProvisioningArtifactDetail": public(artifact), "Info": info, "Status": "AVAILABLE"}

    @operation("CreateProvisioningArtifact")
    def create_provisioning_artifact(self, call: Call) -> Document:
        """Another version of a product."""
        product = self.need(call, self.products, call.input["ProductId"])
        for known in self.artifacts_of(call, product["Id"]):
            if known["IdempotencyToken"] == call.input["IdempotencyToken"]:
                return self._artifact(known)
        artifact = self._new_artifact(call, product["Id"], call.input["Parameters"], call.input["IdempotencyToken"])
        self.artifacts.put(call.account, call.region, artifact["Id"], artifact)
        return self._artifact(artifact)

    @operation("DescribeProvisioningArtifact")
    def describe_provisioning_artifact(self, call: Call) -> Document:
        """One version."""
        given = call.input
        artifact_id = given.get("ProvisioningArtifactId")
        if artifact_id and not given.get("ProductId") and not given.get("ProductName"):
            artifact = self.need(call, self.artifacts, artifact_id)
        else:
            product = self.product_named(call, given.get("ProductId"), given.get("ProductName"))
            artifact = self.artifact_named(call, product["Id"], artifact_id, given.get("ProvisioningArtifactName"))
        answer = self._artifact(artifact)
        if given.get("IncludeProvisioningArtifactParameters"):
            answer["ProvisioningArtifactParameters"] = templates.parameters(artifact["Hidden"]["Template"])
        return answer

    @operation("ListProvisioningArtifacts")
    def list_provisioning_artifacts(self, call: Call) -> Document:
        """All versions of a product."""
        product = self.need(call, self.products, call.input["ProductId"])
        return {"ProvisioningArtifactDetails": [public(a) for a in self.artifacts_of(call, product["Id"])]}

    @operation("UpdateProvisioningArtifact")
    def update_provisioning_artifact(self, call: Call) -> Document:
        """Change a version's name, description, guidance, or whether end users see it."""
        artifact = self._artifact_of(call)
        members = ("Name", "Description", "Active", "Guidance")
        artifact |= {key: call.input[key] for key in members if call.input.get(key) is not None}
        self.artifacts.put(call.account, call.region, artifact["Id"], artifact)
        return self._artifact(artifact)

    @operation("DeleteProvisioningArtifact")
    def delete_provisioning_artifact(self, call: Call) -> Document:
        """Remove a version; a product keeps at least one."""
        artifact = self._artifact_of(call)
        if len(self.artifacts_of(call, call.input["ProductId"])) == 1:
            problem = f"{artifact['Id']} is the last provisioning artifact of {call.input['ProductId']}"
            raise Fault("ResourceInUseException", f"{problem}: a product must have at least one")
        self.artifacts.delete(call.account, call.region, artifact["Id"])
        return {}

    def _artifact_of(self, call: Call) -> Document:
        product = self.need(call, self.products, call.input["ProductId"])
        return self.artifact_named(call, product["Id"], call.input["ProvisioningArtifactId"], None)


def _refuse_in_use(what: str, holds: dict[str, list[Document]]) -> None:
    used = [f"{len(items)} {noun}" for noun, items in holds.items() if items]
    if used:
        raise Fault("ResourceInUseException", f"{what} is associated with {', '.join(used)}: disassociate these first")


def filter_products(products: list[Document], filters: dict[str, list[str]]) -> list[Document]:
    """The products that fit every filter: FullTextSearch, Owner, ProductType, SourceProductId."""
    for name, values in filters.items():
        if name == "FullTextSearch":
            texts = ("Name", "Owner", "Description", "Distributor")
            products = [
                p
                for p in products
                if all(v.lower() in " ".join(str(p.get(t, "")) for t in texts).lower() for v in values)
            ]
        elif name == "Owner":
            products = [p for p in products if p["Owner"] in values]
        elif name == "ProductType":
            products = products if "CLOUD_FORMATION_TEMPLATE" in values else []
        else:
            products = []
    return products


def sort_products(service: Base, call: Call, products: list[Document]) -> list[Document]:
    """In the order that the request asks for."""
    by = call.input.get("SortBy")
    if by == "Title":
        products = sorted(products, key=lambda p: str(p["Name"]).lower())
    elif by == "VersionCount":
        products = sorted(products, key=lambda p: len(service.artifacts_of(call, p["Id"])))
    return products[::-1] if call.input.get("SortOrder") == "DESCENDING" else products
