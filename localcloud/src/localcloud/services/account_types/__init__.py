"""CloudFormation types of a governed account, made through ministack's APIs, whose CloudFormation lacks them."""

from __future__ import annotations

from localcloud.services.account_types import audit, identity, keeping, network

DECLARED = (*network.DECLARED, *audit.DECLARED, *identity.DECLARED, *keeping.DECLARED)
RESOURCES = tuple(declared.resource_type() for declared in DECLARED)
