"""A month's bill: what stands still and costs, and what a month of work costs."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources as package
from pathlib import Path
from typing import Any

import yaml

from slipway.errors import SlipwayError
from slipway.platform.costs.counting import Choice, resources

PRICES = "prices.yaml"
# What every account has; the tooling account has PLATFORM besides, and every other one WORKLOAD.
FOUNDATION = ("cfn/bootstrap.yaml", "cfn/guardrails.yaml", "cfn/deployer.yaml")
PLATFORM, WORKLOAD = "cfn/platform.yaml", "cfn/workload.yaml"
PROJECT = "service-catalog/project/product.yaml"


@dataclass(frozen=True)
class Line:
    """One line of the bill, in US dollars a month. `standing` costs are due without any work being done."""

    subject: str
    what: str
    price: str
    quantity: float
    usd: float
    standing: bool


@cache
def price_list() -> dict[str, Any]:
    """prices.yaml. Raises SlipwayError if a price has no source or no date."""
    text = package.files("slipway.platform.costs").joinpath(PRICES).read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    for name, price in content["prices"].items():
        dated = price.get("verified") or price.get("assumed")
        if not isinstance(dated, datetime.date) or not str(price.get("source", "")).startswith("https://"):
            raise SlipwayError(f"{PRICES}: {name}: a price needs a source and the date it was verified or assumed on")
    return content


def usage(name: str) -> float:
    """How much of something a month of work is taken to be."""
    return float(price_list()["usage"][name]["quantity"])


def bill(repository: Path, choice: Choice) -> list[Line]:
    """The bill of a platform in `choice.accounts` accounts with `choice.projects` projects."""
    made: Counter[str] = Counter()
    roots = {**dict.fromkeys(FOUNDATION, choice.accounts), PLATFORM: 1, WORKLOAD: choice.accounts - 1}
    for root, accounts in roots.items():
        for kind, count in resources(repository, root, choice).items():
            made[kind] += count * accounts
    project = resources(repository, PROJECT, choice)
    return [*_standing(made, project, choice), *_work(made, choice)]


def _line(subject: str, what: str, price: str, quantity: float, *, standing: bool) -> Line:
    return Line(subject, what, price, quantity, quantity * float(price_list()["prices"][price]["usd"]), standing)


def _standing(made: Counter[str], project: Counter[str], choice: Choice) -> Iterator[Line]:
    hours = float(price_list()["hours_in_a_month"])
    endpoints, projects = made["AWS::EC2::VPCEndpoint:Interface"], choice.projects
    yield _line(
        "network", f"{endpoints} interface endpoints in {choice.zones} zones", "interface-endpoint-zone-hour",
        endpoints * choice.zones * hours, standing=True,
    )  # fmt: skip
    keys = made["AWS::KMS::Key"] + project["AWS::KMS::Key"] * projects
    yield _line("encryption", f"{keys} keys", "kms-key-month", keys, standing=True)
    alarms = made["AWS::CloudWatch::Alarm"] + project["AWS::CloudWatch::Alarm"] * projects
    if alarms:
        yield _line("watching", f"{alarms} alarms", "alarm-month", alarms, standing=True)
    secrets = made["AWS::SecretsManager::Secret"] + project["AWS::SecretsManager::Secret"] * projects
    if secrets:
        yield _line("encryption", f"{secrets} secrets", "secret-month", secrets, standing=True)
    for stage in ("staging", "production"):
        instances = usage(f"{stage}-instances") * projects
        yield _line(
            "serving", f"{instances:g} ml.m5.large of {stage} endpoints", "ml.m5.large-hour", instances * hours,
            standing=True,
        )  # fmt: skip


def _work(made: Counter[str], choice: Choice) -> Iterator[Line]:
    projects = choice.projects
    pushes = usage("pushes-per-project") * projects
    users = usage("users-per-project") * projects

    def line(subject: str, what: str, price: str, quantity: float) -> Line:
        return _line(subject, what, price, quantity, standing=False)

    minutes = pushes * usage("pipeline-minutes-per-push")
    minutes += usage("releases-per-project") * projects * usage("minutes-per-release")
    built = pushes * usage("build-minutes-per-push")
    trained = pushes * usage("training-hours-per-push")
    studio = users * usage("studio-hours-per-user")
    yield line("building", f"{minutes:,.0f} minutes of pipelines", "codepipeline-v2-minute", minutes)
    yield line("building", f"{built:,.0f} minutes of builds", "codebuild-small-minute", built)
    yield line("building", f"{trained:,.0f} hours of training and processing", "ml.m5.large-hour", trained)
    yield line("Studio", f"{studio:,.0f} hours of {users:g} users", "ml.t3.medium-hour", studio)
    homes = users * usage("home-gb-per-user")
    yield line("Studio", f"{homes:g} GB of home folders", "efs-gb-month", homes)
    stored = usage("platform-gb") + usage("project-gb") * projects
    yield line("storage", f"{stored:g} GB in buckets", "s3-standard-gb-month", stored)
    images = usage("platform-images-gb") + usage("images-gb-per-project") * projects
    yield line("storage", f"{images:g} GB of images", "ecr-gb-month", images)
    packages = usage("packages-gb")
    yield line("storage", f"{packages:g} GB of packages", "codeartifact-gb-month", packages)
    data = usage("endpoint-gb") * choice.accounts
    yield line("network", f"{data:g} GB through endpoints", "interface-endpoint-gb", data)
    logs = usage("logs-gb") * choice.accounts
    yield line("logs", f"{logs:g} GB taken in", "logs-gb-in", logs)
    yield line("logs", f"{logs * 12:g} GB kept for a year", "logs-gb-month", logs * 12)
    yield from _audit(made)


def _audit(made: Counter[str]) -> Iterator[Line]:
    """What the guardrails cost, where the templates have them."""
    if recorders := made["AWS::Config::ConfigurationRecorder"]:
        items = usage("config-items") * recorders
        yield _line("audit", f"{items:,.0f} configuration items", "config-item", items, standing=False)
        checks = usage("config-evaluations-per-rule") * made["AWS::Config::ConfigRule"]
        yield _line("audit", f"{checks:,.0f} evaluations of rules", "config-evaluation", checks, standing=False)
    if detectors := made["AWS::GuardDuty::Detector"]:
        events = usage("cloudtrail-events-millions") * detectors
        yield _line("audit", f"{events:g} million events", "guardduty-million-events", events, standing=False)
    if lists := made["AWS::Route53Resolver::FirewallRuleGroup"]:
        domains = usage("dns-domains") * lists
        yield _line(
            "network", f"{domains:g} domains of firewalls", "dns-firewall-domain-month", domains, standing=False
        )


def total(lines: list[Line], *, standing: bool | None = None) -> float:
    """US dollars a month of all lines, or of those that stand still or do not."""
    return sum(line.usd for line in lines if standing is None or line.standing is standing)
