"""What end users see: the products they have access to, how they get at them, and what a launch asks."""

from __future__ import annotations

from localcloud.core import Call, operation
from localcloud.services.servicecatalog import templates
from localcloud.services.servicecatalog.base import Document, not_found, page
from localcloud.services.servicecatalog.catalogue import CatalogueOperations, filter_products, sort_products


class BrowseOperations(CatalogueOperations):
    """SearchProducts … DescribeProvisioningParameters."""

    def _visible(self, call: Call, product: Document) -> Document:
        if not self.paths(call, product["Id"]):
            raise not_found(product["Id"])
        return product

    @operation("SearchProducts")
    def search_products(self, call: Call) -> Document:
        """The products of all portfolios that the caller has access to."""
        ids = {path.product_id for path in self.paths(call)}
        mine = [p for p in self.products.list(call.account, call.region) if p["Id"] in ids]
        found = sort_products(self, call, filter_products(mine, call.input.get("Filters", {})))
        listed, token = page(found, call)
        counts: dict[str, int] = {}
        for product in found:
            counts[product["Owner"]] = counts.get(product["Owner"], 0) + 1
        owners = [{"Value": owner, "ApproximateCount": count} for owner, count in counts.items()]
        return {
            "ProductViewSummaries": [self.summary(p) for p in listed],
            "ProductViewAggregations": {"Owner": owners} if owners else {},
            "NextPageToken": token,
        }

    @operation("DescribeProduct")
    def describe_product(self, call: Call) -> Document:
        """One product, its active versions and the caller's paths to it."""
        product = self._visible(call, self.product_named(call, call.input.get("Id"), call.input.get("Name")))
        paths = [{"Id": path.id, "Name": path.name} for path in self.paths(call, product["Id"])]
        return self._view(call, product) | {"Budgets": [], "LaunchPaths": paths}

    @operation("DescribeProductView")
    def describe_product_view(self, call: Call) -> Document:
        """As DescribeProduct, by the view's id."""
        for product in self.products.list(call.account, call.region):
            if product["Hidden"]["ViewId"] == call.input["Id"]:
                return self._view(call, self._visible(call, product))
        raise not_found(call.input["Id"])

    def _view(self, call: Call, product: Document) -> Document:
        members = ("Id", "Name", "Description", "CreatedTime", "Guidance")
        active = [a for a in self.artifacts_of(call, product["Id"]) if a["Active"]]
        versions = [{key: a[key] for key in members if key in a} for a in active]
        return {"ProductViewSummary": self.summary(product), "ProvisioningArtifacts": versions}

    @operation("ListLaunchPaths")
    def list_launch_paths(self, call: Call) -> Document:
        """How the caller gets at a product."""
        product = self.need(call, self.products, call.input["ProductId"])
        found = []
        for path in self.paths(call, product["Id"]):
            constraints = self.constraints_of(call, path.portfolio["Id"], product["Id"])
            summaries = [{"Type": c["Type"], "Description": c["Description"]} for c in constraints]
            tags = path.portfolio["Tags"] + product["Tags"]
            found.append({"Id": path.id, "Name": path.name, "ConstraintSummaries": summaries, "Tags": tags})
        if not found:
            raise not_found(f"No launch paths found for resource: {product['Id']}")
        listed, token = page(found, call)
        return {"LaunchPathSummaries": listed, "NextPageToken": token}

    @operation("DescribeProvisioningParameters")
    def describe_provisioning_parameters(self, call: Call) -> Document:
        """What a launch of a version asks."""
        given = call.input
        product = self.product_named(call, given.get("ProductId"), given.get("ProductName"))
        path = self.path_for(call, product["Id"], given.get("PathId"), given.get("PathName"))
        artifact = self.artifact_named(
            call, product["Id"], given.get("ProvisioningArtifactId"), given.get("ProvisioningArtifactName"), active=True
        )
        text = artifact["Hidden"]["Template"]
        constraints = self.constraints_of(call, path.portfolio["Id"], product["Id"])
        role = self.launch_role(call, path)
        usage = [{"Type": "version", "Value": "1.0"}]
        usage += [{"Type": "launchAsRole", "Value": role}] if role else []
        allowed = "ALLOWED" if self.tags_may_change(call, path.portfolio["Id"], product["Id"]) else "NOT_ALLOWED"
        usage.append({"Type": "tagUpdateOnProvisionedProduct", "Value": allowed})
        options: dict[str, list[str]] = {}
        for option in self.tag_options_of(call, path.portfolio["Id"], product["Id"]):
            if option["Active"]:
                options.setdefault(option["Key"], []).append(option["Value"])
        outputs = templates.outputs(text)
        return {
            "ProvisioningArtifactParameters": templates.parameters(text),
            "ConstraintSummaries": [{"Type": c["Type"], "Description": c["Description"]} for c in constraints],
            "UsageInstructions": usage,
            "TagOptions": [{"Key": key, "Values": values} for key, values in options.items()],
            "ProvisioningArtifactOutputs": outputs,
            "ProvisioningArtifactOutputKeys": outputs,
        }

    def tags_may_change(self, call: Call, portfolio_id: str, product_id: str) -> bool:
        """Whether a RESOURCE_UPDATE constraint lets end users change the tags of what they launched."""
        return any(
            c["Type"] == "RESOURCE_UPDATE"
            and c["Hidden"]["Parsed"].get("Properties", {}).get("TagUpdateOnProvisionedProduct") == "ALLOWED"
            for c in self.constraints_of(call, portfolio_id, product_id)
        )
