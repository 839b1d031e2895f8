"""Who gets what, and how: associations, constraints and tag options."""

from __future__ import annotations

import json
import re

from localcloud.core import Call, Conflict, Fault, operation
from localcloud.services.servicecatalog.base import Base, Document, new_id, not_found, page, public

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_PRINCIPAL = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(?:(?:role|user|group)/[\w+=,.@/-]+|root)")
_PATTERN = re.compile(r"arn:aws[a-z-]*:iam:::(?:role|user|group)/[\w+=,.@/*?-]+")
_REFUSED = {"NOTIFICATION", "STACKSET", "TEMPLATE"}


class SharingOperations(Base):
    """AssociateProductWithPortfolio … DisassociateTagOptionFromResource."""

    # -- products in portfolios ---------------------------------------------------------------------------------

    @operation("AssociateProductWithPortfolio")
    def associate_product(self, call: Call) -> Document:
        """Put a product into a portfolio; a second time changes nothing."""
        product = self.need(call, self.products, call.input["ProductId"])["Id"]
        portfolio = self.need(call, self.portfolios, call.input["PortfolioId"])["Id"]
        membership = {"ProductId": product, "PortfolioId": portfolio}
        self.memberships.put(call.account, call.region, f"{portfolio}/{product}", membership)
        return {}

    @operation("DisassociateProductFromPortfolio")
    def disassociate_product(self, call: Call) -> Document:
        """Take a product out of a portfolio."""
        product, portfolio = call.input["ProductId"], call.input["PortfolioId"]
        constraints = self.constraints_of(call, portfolio, product)
        if constraints:
            listed = ", ".join(c["ConstraintId"] for c in constraints)
            problem = f"{product} in {portfolio} has constraints: delete {listed} first"
            raise Fault("ResourceInUseException", problem)
        if not self.memberships.delete(call.account, call.region, f"{portfolio}/{product}"):
            raise not_found(f"{product} in {portfolio}")
        return {}

    @operation("ListPortfoliosForProduct")
    def list_portfolios_for_product(self, call: Call) -> Document:
        """The portfolios that hold a product."""
        product = self.need(call, self.products, call.input["ProductId"])["Id"]
        members = self.memberships.list(call.account, call.region)
        ids = [m["PortfolioId"] for m in members if m["ProductId"] == product]
        listed, token = page([public(self.need(call, self.portfolios, key)) for key in ids], call)
        return {"PortfolioDetails": listed, "NextPageToken": token}

    # -- principals of portfolios -------------------------------------------------------------------------------

    @operation("AssociatePrincipalWithPortfolio")
    def associate_principal(self, call: Call) -> Document:
        """Give a principal, or all whose ARN fits a pattern, access to a portfolio."""
        portfolio = self.need(call, self.portfolios, call.input["PortfolioId"])["Id"]
        arn, kind = call.input["PrincipalARN"], call.input["PrincipalType"]
        expected = _PRINCIPAL if kind == "IAM" else _PATTERN
        if not expected.fullmatch(arn):
            form = "arn:aws:iam::ACCOUNT:role/NAME" if kind == "IAM" else "arn:aws:iam:::role/NAME, with * and ?"
            problem = f"PrincipalARN '{arn}' is not valid for PrincipalType {kind}; its form is {form}"
            raise Fault("InvalidParametersException", problem)
        principal = {"PrincipalARN": arn, "PrincipalType": kind, "Hidden": {"PortfolioId": portfolio}}
        self.principals.put(call.account, call.region, f"{portfolio}/{kind}/{arn}", principal)
        return {}

    @operation("DisassociatePrincipalFromPortfolio")
    def disassociate_principal(self, call: Call) -> Document:
        """Take access away."""
        portfolio = self.need(call, self.portfolios, call.input["PortfolioId"])["Id"]
        key = f"{portfolio}/{call.input.get('PrincipalType') or 'IAM'}/{call.input['PrincipalARN']}"
        if not self.principals.delete(call.account, call.region, key):
            raise not_found(f"{call.input['PrincipalARN']} in {portfolio}")
        return {}

    @operation("ListPrincipalsForPortfolio")
    def list_principals(self, call: Call) -> Document:
        """Who has access."""
        portfolio = self.need(call, self.portfolios, call.input["PortfolioId"])["Id"]
        principals = self.principals.list(call.account, call.region)
        listed, token = page([public(p) for p in principals if p["Hidden"]["PortfolioId"] == portfolio], call)
        return {"Principals": listed, "NextPageToken": token}

    # -- constraints --------------------------------------------------------------------------------------------

    @operation("CreateConstraint")
    def create_constraint(self, call: Call) -> Document:
        """Say how a product of a portfolio is launched: LAUNCH or RESOURCE_UPDATE."""
        given = call.input
        for known in self.constraints.list(call.account, call.region):
            if known["IdempotencyToken"] == given["IdempotencyToken"]:
                return self._constraint(known)
        product, portfolio = given["ProductId"], given["PortfolioId"]
        if not self.memberships.get(call.account, call.region, f"{portfolio}/{product}"):
            raise not_found(f"{product} in {portfolio}")
        parsed = _constraint_parameters(given["Type"], given["Parameters"])
        if any(c["Type"] == given["Type"] for c in self.constraints_of(call, portfolio, product)):
            problem = f"{product} in {portfolio} has a constraint of type {given['Type']} already"
            raise Fault("DuplicateResourceException", problem)
        constraint: Document = {
            "ConstraintId": new_id("cons"),
            "Type": given["Type"],
            "Owner": call.account,
            "ProductId": product,
            "PortfolioId": portfolio,
            "Description": given.get("Description") or _described(given["Type"], parsed),
            "IdempotencyToken": given["IdempotencyToken"],
            "Hidden": {"Parameters": given["Parameters"], "Parsed": parsed},
        }
        self.constraints.put(call.account, call.region, constraint["ConstraintId"], constraint)
        return self._constraint(constraint)

    def _constraint(self, constraint: Document) -> Document:
        return {
            "ConstraintDetail": public(constraint),
            "ConstraintParameters": constraint["Hidden"]["Parameters"],
            "Status": "AVAILABLE",
        }

    @operation("DescribeConstraint")
    def describe_constraint(self, call: Call) -> Document:
        """One constraint."""
        return self._constraint(self.need(call, self.constraints, call.input["Id"]))

    @operation("ListConstraintsForPortfolio")
    def list_constraints(self, call: Call) -> Document:
        """The constraints of a portfolio."""
        portfolio = self.need(call, self.portfolios, call.input["PortfolioId"])["Id"]
        found = self.constraints_of(call, portfolio, call.input.get("ProductId"))
        listed, token = page([public(c) for c in found], call)
        return {"ConstraintDetails": listed, "NextPageToken": token}

    @operation("UpdateConstraint")
    def update_constraint(self, call: Call) -> Document:
        """Change a constraint's parameters or description."""
        found = self.need(call, self.constraints, call.input["Id"])
        if call.input.get("Parameters"):
            parsed = _constraint_parameters(found["Type"], call.input["Parameters"])
            found["Hidden"] = {"Parameters": call.input["Parameters"], "Parsed": parsed}
        if call.input.get("Description"):
            found["Description"] = call.input["Description"]
        self.constraints.put(call.account, call.region, found["ConstraintId"], found)
        return self._constraint(found)

    @operation("DeleteConstraint")
    def delete_constraint(self, call: Call) -> Document:
        """Remove a constraint."""
        key = self.need(call, self.constraints, call.input["Id"])["ConstraintId"]
        self.constraints.delete(call.account, call.region, key)
        return {}

    # -- tag options --------------------------------------------------------------------------------------------

    @operation("CreateTagOption")
    def create_tag_option(self, call: Call) -> Document:
        """A key and value that launches may or must carry."""
        key, value = call.input["Key"], call.input["Value"]
        self._refuse_same_tag_option(call, key, value)
        option = {"Key": key, "Value": value, "Active": True, "Id": new_id("tag"), "Owner": call.account}
        self.tag_options.put(call.account, call.region, str(option["Id"]), option)
        return {"TagOptionDetail": option}

    def _refuse_same_tag_option(self, call: Call, key: str, value: str) -> None:
        for known in self.tag_options.list(call.account, call.region):
            if (known["Key"], known["Value"]) == (key, value):
                raise Fault("DuplicateResourceException", f"A tag option {key}={value} exists: {known['Id']}")

    @operation("DescribeTagOption")
    def describe_tag_option(self, call: Call) -> Document:
        """One tag option."""
        return {"TagOptionDetail": self.need(call, self.tag_options, call.input["Id"])}

    @operation("ListTagOptions")
    def list_tag_options(self, call: Call) -> Document:
        """The account's tag options."""
        wanted = call.input.get("Filters", {})
        options = self.tag_options.list(call.account, call.region)
        found = [o for o in options if all(o[key] == value for key, value in wanted.items())]
        listed, token = page(found, call)
        return {"TagOptionDetails": listed, "PageToken": token}

    @operation("UpdateTagOption")
    def update_tag_option(self, call: Call) -> Document:
        """Change the value, or whether the option counts."""
        found = self.need(call, self.tag_options, call.input["Id"])
        if call.input.get("Value") not in (None, found["Value"]):
            self._refuse_same_tag_option(call, found["Key"], call.input["Value"])
        found |= {key: call.input[key] for key in ("Value", "Active") if call.input.get(key) is not None}
        self.tag_options.put(call.account, call.region, found["Id"], found)
        return {"TagOptionDetail": found}

    @operation("DeleteTagOption")
    def delete_tag_option(self, call: Call) -> Document:
        """Remove a tag option that nothing uses."""
        key = self.need(call, self.tag_options, call.input["Id"])["Id"]
        uses = [u for u in self.tag_option_uses.list(call.account, call.region) if u["TagOptionId"] == key]
        if uses:
            listed = ", ".join(use["ResourceId"] for use in uses)
            raise Fault("ResourceInUseException", f"Tag option {key} is associated with {listed}")
        self.tag_options.delete(call.account, call.region, key)
        return {}

    @operation("AssociateTagOptionWithResource")
    def associate_tag_option(self, call: Call) -> Document:
        """Give a portfolio or a product a tag option."""
        option = self.need(call, self.tag_options, call.input["TagOptionId"])["Id"]
        resource = call.input["ResourceId"]
        self.need(call, self.portfolios if resource.startswith("port-") else self.products, resource)
        use = {"TagOptionId": option, "ResourceId": resource}
        try:
            self.tag_option_uses.insert(call.account, call.region, f"{resource}/{option}", use)
        except Conflict:
            raise Fault("DuplicateResourceException", f"{resource} has the tag option {option} already") from None
        return {}

    @operation("DisassociateTagOptionFromResource")
    def disassociate_tag_option(self, call: Call) -> Document:
        """Take a tag option away."""
        key = f"{call.input['ResourceId']}/{call.input['TagOptionId']}"
        if not self.tag_option_uses.delete(call.account, call.region, key):
            raise not_found(key)
        return {}

    @operation("ListResourcesForTagOption")
    def list_resources_for_tag_option(self, call: Call) -> Document:
        """What has a tag option."""
        option = self.need(call, self.tag_options, call.input["TagOptionId"])["Id"]
        kind = {"Portfolio": "port-", "Product": "prod-"}.get(call.input.get("ResourceType") or "", "")
        found = []
        for use in self.tag_option_uses.list(call.account, call.region):
            resource = use["ResourceId"]
            if use["TagOptionId"] != option or not resource.startswith(kind):
                continue
            is_portfolio = resource.startswith("port-")
            kept = self.need(call, self.portfolios if is_portfolio else self.products, resource)
            arn, name = (kept["ARN"], kept["DisplayName"]) if is_portfolio else (kept["Hidden"]["ARN"], kept["Name"])
            described = {"Id": resource, "ARN": arn, "Name": name, "CreatedTime": kept["CreatedTime"]}
            found.append(described | {"Description": kept.get("Description", "")})
        listed, token = page(found, call)
        return {"ResourceDetails": listed, "PageToken": token}


def _constraint_parameters(kind: str, text: str) -> Document:
    if kind in _REFUSED:
        problem = f"Constraints of type {kind} are not served by the local cloud"
        raise Fault("NotImplemented", f"{problem}; served: LAUNCH, RESOURCE_UPDATE", 501)
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise Fault("InvalidParametersException", f"Parameters is not JSON: {error}") from error
    members: dict[str, set[str]] = {
        "LAUNCH": {"RoleArn", "LocalRoleName"},
        "RESOURCE_UPDATE": {"Version", "Properties"},
    }
    if kind not in members:
        allowed = ", ".join(sorted({*members, *_REFUSED}))
        raise Fault("InvalidParametersException", f"Constraint type '{kind}' is not valid; allowed: {allowed}")
    if not isinstance(parsed, dict) or not parsed or set(parsed) - members[kind]:
        problem = f"Parameters of a {kind} constraint are a JSON object of {', '.join(sorted(members[kind]))}"
        raise Fault("InvalidParametersException", f"{problem}; given: {text}")
    if kind == "LAUNCH":
        if len(parsed) != 1:
            raise Fault("InvalidParametersException", "Give RoleArn or LocalRoleName, not both")
        if "RoleArn" in parsed and not _ROLE.fullmatch(str(parsed["RoleArn"])):
            raise Fault("InvalidParametersException", f"RoleArn '{parsed['RoleArn']}' is not the ARN of an IAM role")
    return parsed


def _described(kind: str, parsed: Document) -> str:
    if kind == "LAUNCH":
        return (
            f"Launch as {parsed['RoleArn']}"
            if "RoleArn" in parsed
            else f"Launch as local role {parsed['LocalRoleName']}"
        )
    return "Tag update on provisioned product"
