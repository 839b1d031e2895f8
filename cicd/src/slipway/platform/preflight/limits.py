"""What AWS lets an account have: quotas, services that take no new customers, and things there may be only one of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from slipway.platform.preflight.check import Finding, Subject, Verdict
from slipway.platform.preflight.network import endpoint_services

SMALLEST_CONCURRENCY = 10
# A domain for each of the account's teams is allowed, but not without end.
DOMAINS = 5


@dataclass(frozen=True)
class Quota:
    """A quota and what the platform needs of it. Codes are those of Service Quotas."""

    service: str
    code: str
    name: str
    needed: Callable[[Subject], int]


def _count(operation: str, key: str) -> Callable[[Subject], int]:
    def count(subject: Subject) -> int:
        return len(getattr(subject.client("ec2"), operation)()[key])

    return count


def _one_more(count: Callable[[Subject], int]) -> Callable[[Subject], int]:
    return lambda subject: count(subject) + (1 if subject.first and not subject.parameter("ExistingVpcId") else 0)


def _always(number: int) -> Callable[[Subject], int]:
    return lambda _: number


QUOTAS = (
    Quota("vpc", "L-F678F1CE", "VPCs per Region", _one_more(_count("describe_vpcs", "Vpcs"))),
    Quota("vpc", "L-29B6F2EB", "Interface VPC endpoints per VPC", lambda subject: len(endpoint_services(subject))),
    Quota("codebuild", "L-9D07B6EF", "Concurrently running builds for Linux/Small environment", _always(2)),
    Quota("sagemaker", "L-8541302D", "ml.m5.large for processing job usage", _always(1)),
    Quota("sagemaker", "L-611FA074", "ml.m5.large for training job usage", _always(1)),
    Quota("sagemaker", "L-614B09FD", "ml.m5.large for endpoint usage", _always(2)),
    # Of models that answer files, whose releases are verified by a transform job. A new account has 0.
    Quota("sagemaker", "L-236AE59F", "ml.m5.large for transform job usage", _always(1)),
    Quota("sagemaker", "L-71FAF417", "Studio JupyterLab Apps running on ml.t3.medium instances", _always(1)),
)
# Which root needs which: a workload account builds and trains nothing.
WORKLOAD = {"L-F678F1CE", "L-29B6F2EB", "L-614B09FD", "L-236AE59F"}


def quotas(subject: Subject) -> Iterator[Finding]:
    """The quotas are as large as the platform and a first project need. An account that is new has some of 0."""
    client = subject.client("service-quotas")
    for quota in QUOTAS:
        if subject.root == "workload" and quota.code not in WORKLOAD:
            continue
        try:
            value = _value(client, quota)
        except ClientError as error:
            if error.response["Error"].get("Code") != "NoSuchResourceException":
                raise
            yield Finding(Verdict.UNKNOWN, "quotas", f"{quota.name}: Service Quotas knows none here")
            continue
        needed = quota.needed(subject)
        if value < needed:
            verdict = Verdict.WRONG if quota.service != "sagemaker" else Verdict.MIND
            yield Finding(
                verdict, "quotas", f"{quota.name}: {value:g}, needed {needed}",
                f"aws service-quotas request-service-quota-increase --service-code {quota.service} "
                f"--quota-code {quota.code} --desired-value {needed}",
            )  # fmt: skip
        else:
            yield Finding(Verdict.RIGHT, "quotas", f"{quota.name}: {value:g}, needed {needed}")


def _value(client: Any, quota: Quota) -> float:
    """What the account has; where nobody ever asked for more, that is AWS's default."""
    wanted = {"ServiceCode": quota.service, "QuotaCode": quota.code}
    try:
        return float(client.get_service_quota(**wanted)["Quota"]["Value"])
    except ClientError as error:
        if error.response["Error"].get("Code") != "NoSuchResourceException":
            raise
    return float(client.get_aws_default_service_quota(**wanted)["Quota"]["Value"])


def functions(subject: Subject) -> Iterator[Finding]:
    """Lambda runs enough functions at once. A new account may have ten for everything."""
    limit = subject.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if limit < SMALLEST_CONCURRENCY:
        yield Finding(
            Verdict.WRONG, "functions", f"{limit} concurrent executions, needed {SMALLEST_CONCURRENCY}",
            "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
            "--desired-value 1000",
        )  # fmt: skip
    else:
        yield Finding(Verdict.RIGHT, "functions", f"{limit} concurrent executions")


def domains(subject: Subject) -> Iterator[Finding]:
    """There is room for a Studio domain, and nobody else's has this platform's name."""
    if subject.root != "platform":
        return
    sagemaker = subject.client("sagemaker")
    found = [domain for page in sagemaker.get_paginator("list_domains").paginate() for domain in page["Domains"]]
    own = [domain for domain in found if domain["DomainName"] == subject.namespace]
    others = [domain for domain in found if domain["DomainName"] != subject.namespace]
    if own and subject.first:
        yield Finding(
            Verdict.WRONG, "Studio", f"domain {own[0]['DomainId']} is left of an earlier platform {subject.namespace}",
            f"as the administrator: slipway platform destroy --namespace {subject.namespace}",
        )  # fmt: skip
    elif len(others) >= DOMAINS and not own:
        yield Finding(
            Verdict.MIND, "Studio", f"the account has {len(others)} domains here; AWS may allow no more",
            "delete one that nobody uses, or ask for more: https://console.aws.amazon.com/servicequotas/home/services/sagemaker",
        )  # fmt: skip
    else:
        yield Finding(Verdict.RIGHT, "Studio", f"{len(others)} other domains here")


def repositories(subject: Subject) -> Iterator[Finding]:
    """CodeCommit is there: for a time it took no new customers, who are told so only when they create something."""
    provider = subject.parameter("SourceProvider")
    if subject.root != "platform" or (provider and provider != "CodeCommit"):
        return
    if subject.region not in subject.session.get_available_regions("codecommit"):
        yield Finding(
            Verdict.WRONG, "CodeCommit", f"not offered in {subject.region}",
            "another AWS_REGION, or repositories elsewhere: --parameter SourceProvider=GitHub",
        )  # fmt: skip
        return
    if subject.client("codecommit").list_repositories()["repositories"]:
        yield Finding(Verdict.RIGHT, "CodeCommit", "the account has repositories")
        return
    yield Finding(
        Verdict.MIND, "CodeCommit",
        "the account has no repository yet: whether it may have one is told only when one is created",
        f"aws codecommit create-repository --repository-name {subject.namespace}-probe && aws codecommit "
        f"delete-repository --repository-name {subject.namespace}-probe; if that is an OperationNotAllowedException, "
        "keep repositories elsewhere",
    )  # fmt: skip


def singletons(subject: Subject) -> Iterator[Finding]:
    """What a region may have only one of is not there already."""
    if not subject.first:
        return
    if subject.uses("AWS::Config::ConfigurationRecorder"):
        found = subject.client("config").describe_configuration_recorders()["ConfigurationRecorders"]
        if found:
            yield Finding(
                Verdict.WRONG, "Config", f"the region has the recorder {found[0]['name']}, and may have only one",
                "leave it to its owner and deploy without: see the parameters of cfn/platform.yaml on Config",
            )  # fmt: skip
        else:
            yield Finding(Verdict.RIGHT, "Config", "the region has no recorder yet")
    if subject.uses("AWS::GuardDuty::Detector"):
        detectors = subject.client("guardduty").list_detectors()["DetectorIds"]
        if detectors:
            yield Finding(
                Verdict.WRONG, "GuardDuty", f"the region has the detector {detectors[0]}, and may have only one",
                "leave it to its owner and deploy without: see the parameters of cfn/platform.yaml on GuardDuty",
            )  # fmt: skip
        else:
            yield Finding(Verdict.RIGHT, "GuardDuty", "the region has no detector yet")
