"""All checks, in the order in which a person would mend what they find."""

from __future__ import annotations

from slipway.platform.preflight import account, limits, network, region
from slipway.platform.preflight.check import Check, Finding, Subject, Verdict, run

CHECKS: dict[str, Check] = {
    "credentials": account.identity,
    "accounts": account.accounts,
    "bootstrap": account.bootstrap,
    "permissions": account.permissions,
    "stacks": account.stuck,
    "remains": account.remains,
    "zones": region.zones,
    "endpoints": region.services,
    "addresses": network.addresses,
    "existing VPC": network.existing,
    "quotas": limits.quotas,
    "functions": limits.functions,
    "Studio": limits.domains,
    "CodeCommit": limits.repositories,
    "service-linked roles": account.service_roles,
    "one in a region": limits.singletons,
}


def findings(subject: Subject) -> list[Finding]:
    """What all checks find."""
    return list(run(subject, CHECKS))


def wrong(found: list[Finding]) -> list[Finding]:
    """What would make the deployment fail."""
    return [finding for finding in found if finding.verdict is Verdict.WRONG]
