"""Preflight, diff, destroy and cost, on prepared answers."""

from __future__ import annotations

import datetime
import io
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import SlipwayError
from slipway.platform import difference, stacks
from slipway.platform.costs import bill, counting, tables
from slipway.platform.destroy import stores
from slipway.platform.destroy.items import Place
from slipway.platform.preflight import account, check, limits, network, region
from slipway.platform.preflight.check import Finding, Subject, Verdict
from slipway.progress import Progress

from .fakes import Session

REPOSITORY = Path(__file__).parents[3]
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Prepared(Session):
    """As Session; clients are asked for with a configuration, too."""

    def client(self, service: str, **_: Any) -> Any:
        return super().client(service)

    def get_available_regions(self, _: str) -> list[str]:
        return ["eu-west-1"]


def subject(session: Session, root: str = "platform", **given: str) -> Subject:
    return Subject(session, "slipway", root, given, check.templates(REPOSITORY))


def no_stacks(session: Session) -> None:
    for _ in range(5):
        session.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack with id x does not exist")


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def test_a_question_that_may_not_be_asked_is_unknown_and_not_right() -> None:
    """Protects from a preflight that passes because it could not look."""
    session = Prepared()
    session.refuse("lambda", "get_account_settings", "AccessDeniedException")
    finding = only(list(check.run(subject(session), {"functions": limits.functions})))
    assert (finding.verdict, finding.said) == (Verdict.UNKNOWN, "your role may not call GetAccountSettings")


def test_a_service_that_the_place_lacks_is_unknown() -> None:
    """Protects the same where there is no such service."""
    session = Prepared()
    session.refuse("lambda", "get_account_settings", "NotImplemented", "not here")
    finding = only(list(check.run(subject(session), {"functions": limits.functions})))
    assert finding.verdict is Verdict.UNKNOWN
    assert "NotImplemented" in finding.said


def test_a_quota_of_nothing_is_told_with_the_request_that_raises_it() -> None:
    """Protects those with a new account: the first build would wait for ever."""
    session = Prepared()
    for value in (0.0, 20.0, 20.0, 0.0):
        session.stub("service-quotas", "get_service_quota", {"Quota": {"Value": value}})
    no_stacks(session)
    session.stub("ec2", "describe_vpcs", {"Vpcs": []})
    found = list(limits.quotas(subject(session, "workload", VpcCidr="10.0.0.0/18", EndpointSet="essential")))
    assert [finding.verdict for finding in found] == [Verdict.WRONG, Verdict.RIGHT, Verdict.RIGHT, Verdict.MIND]
    assert "--quota-code L-F678F1CE --desired-value 1" in found[0].mend
    assert found[3].said == "ml.m5.large for transform job usage: 0, needed 1"
    assert "--quota-code L-236AE59F --desired-value 1" in found[3].mend


@pytest.mark.parametrize(
    ("status", "verdict", "mend"),
    [
        ("UPDATE_ROLLBACK_FAILED", Verdict.WRONG, "continue-update-rollback --stack-name slipway-platform"),
        ("ROLLBACK_COMPLETE", Verdict.MIND, ""),
        ("DELETE_FAILED", Verdict.MIND, "make destroy"),
        ("UPDATE_COMPLETE", Verdict.RIGHT, ""),
    ],
)
def test_a_stuck_stack_is_told_with_what_frees_it(status: str, verdict: Verdict, mend: str) -> None:
    """Protects from a deployment that begins with a long upload and ends with a refusal."""
    session = Prepared()
    for _ in range(3):
        session.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack with id x does not exist")
    stack = {"StackName": "slipway-platform", "CreationTime": NOW, "StackStatus": status}
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack]})
    session.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack with id x does not exist")
    finding = only(list(account.stuck(subject(session))))
    assert finding.verdict is verdict
    assert mend in finding.mend


ACCOUNTS: list[tuple[dict[str, str], str]] = [
    ({}, "✓ staging is this account, 111111111111; ✓ production is this account, 111111111111"),
    ({"StagingAccountId": "111111111111"}, "✓ staging is this account, 111111111111; ✓ production is this account"),
    ({"StagingAccountId": "222222222222", "ProductionAccountId": "333333333333"}, "✓ staging is 222222222222; ✓ prod"),
    ({"ProductionAccountId": "333333333333"}, "✓ staging is this account, 111111111111; ✓ production is 333333333333"),
    ({"StagingAccountId": "222222222222"}, "✗ staging is 222222222222, but production this account"),
    ({"StagingAccountId": "2" * 12, "ProductionAccountId": "2" * 12}, "✗ staging and production are both 222222222222"),
    ({"StagingAccountId": "prod"}, "✗ StagingAccountId: given prod, allowed 12 digits or nothing"),
]


@pytest.mark.parametrize(("given", "said"), ACCOUNTS, ids=lambda value: str(value)[:60])
def test_who_serves_is_told_before_a_deployment(given: dict[str, str], said: str) -> None:
    """Protects from half-shared accounts, which the platform's rules refuse; one for all, or one each, is fine."""
    session = Prepared()
    no_stacks(session)
    session.stub("sts", "get_caller_identity", {"Account": "111111111111", "Arn": "arn:aws:sts::111111111111:x"})
    found = check.run(subject(session, **given), {"accounts": account.accounts})
    assert said in "; ".join(f"{finding.verdict} {finding.said}" for finding in found)


def test_a_workload_account_says_what_it_is_for() -> None:
    """Protects the names in it: roles, endpoints and stacks end in the environment."""
    session = Prepared()
    no_stacks(session)
    session.stub("sts", "get_caller_identity", {"Account": "222222222222", "Arn": "arn:aws:sts::222222222222:x"})
    given = {"ToolingAccountId": "222222222222", "Environment": "test"}
    found = list(check.run(subject(session, "workload", **given), {"accounts": account.accounts}))
    assert [finding.verdict for finding in found] == [Verdict.WRONG, Verdict.WRONG]
    assert "where the platform makes what serves" in found[0].said
    assert found[1].said == "Environment: given test, allowed staging or production"


def test_zones_that_the_region_lacks_are_told() -> None:
    """Protects from a rollback after half of the network is made."""
    session = Prepared()
    one = {"ZoneName": "eu-west-1a", "ZoneType": "availability-zone"}
    session.stub("ec2", "describe_availability_zones", {"AvailabilityZones": [one]})
    no_stacks(session)
    finding = only(list(region.zones(subject(session, ZoneCount="3"))))
    assert finding.verdict is Verdict.WRONG
    assert "--parameter ZoneCount=1" in finding.mend


def test_endpoints_that_a_zone_lacks_are_told() -> None:
    """Protects from an endpoint that cannot be made where its subnet is."""
    session = Prepared()
    zones = [{"ZoneName": f"eu-west-1{letter}"} for letter in "ab"]
    session.stub("ec2", "describe_availability_zones", {"AvailabilityZones": zones})
    no_stacks(session)
    wanted = subject(session, ZoneCount="2", EndpointSet="essential")
    names = network.endpoint_services(wanted)
    assert "com.amazonaws.eu-west-1.sagemaker.api" in names
    details = [{"ServiceName": name, "AvailabilityZones": ["eu-west-1a"]} for name in names[1:]]
    session.stub("ec2", "describe_vpc_endpoint_services", {"ServiceDetails": details})
    found = list(region.services(wanted))
    assert f"does not offer {names[0]}" in found[0].said
    assert "is not offered in eu-west-1b" in found[1].said


def place(session: Session, *others: str) -> Place:
    return Place(session, "ml", Progress(io.StringIO()), lambda _: None, others=frozenset(others))


@pytest.mark.parametrize(
    ("name", "tags", "owned"),
    [
        ("ml-lake", None, True),
        ("/aws/lambda/ml-build-runner", None, True),
        ("/ml/network/flow", None, True),
        ("mlops-lake", None, False),
        ("ml-two-lake", None, False),
        ("/aws/codebuild/ml-two-stamp", None, False),
        ("ml-two-lake", {"Namespace": "ml"}, True),
        ("ml-lake", {"Namespace": "ml-two"}, False),
        ("flights", {"Namespace": "ml"}, True),
        ("flights", {"Project": "ml"}, False),
    ],
)
def test_whose_a_thing_is(name: str, tags: dict[str, str] | None, owned: bool) -> None:
    """Protects the platform next door: its tag decides, and where there is none, the longest namespace that fits."""
    assert place(Prepared(), "ml-two").owns(name, tags) is owned


def test_a_bucket_is_emptied_of_everything_and_again_when_something_comes_late() -> None:
    """Protects from BucketNotEmpty: versions, delete markers, unfinished uploads, and logs delivered meanwhile."""
    session = Prepared()
    entry = {"Key": "a", "VersionId": "1"}
    deleted = {"Bucket": "b", "Delete": {"Objects": [entry, {"Key": "a", "VersionId": "2"}], "Quiet": True}}
    session.stub("s3", "list_object_versions", {"Versions": [entry], "DeleteMarkers": [{"Key": "a", "VersionId": "2"}]})
    session.stub("s3", "delete_objects", {}, deleted)
    session.stub("s3", "list_object_versions", {})
    session.stub("s3", "list_multipart_uploads", {"Uploads": [{"Key": "u", "UploadId": "7"}]})
    session.stub("s3", "abort_multipart_upload", {}, {"Bucket": "b", "Key": "u", "UploadId": "7"})
    session.refuse("s3", "delete_bucket", "BucketNotEmpty", status=409)
    session.stub("s3", "list_object_versions", {})
    session.stub("s3", "list_multipart_uploads", {})
    session.stub("s3", "delete_bucket", {})
    stores.remove_bucket(place(session), "b", clock=itertools.count().__next__)
    session.assert_all_called()


def test_objects_that_are_held_are_told() -> None:
    """Protects from an endless loop over objects under a legal hold."""
    session = Prepared()
    session.stub("s3", "list_object_versions", {"Versions": [{"Key": "a", "VersionId": "1"}]})
    refused = {"Errors": [{"Key": "a", "Code": "AccessDenied", "Message": "object is locked"}]}
    session.stub("s3", "delete_objects", refused)
    with pytest.raises(SlipwayError, match=r"bucket b: 1 object cannot be deleted, the first is a: AccessDenied"):
        stores.empty(place(session), "b")


def test_the_change_set_is_deleted_also_when_diff_is_interrupted() -> None:
    """Protects from change sets that pile up, which somebody might execute by mistake."""
    session = Prepared()
    stack = {"StackName": "s", "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE"}
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack]})
    session.stub("cloudformation", "create_change_set", {"Id": "arn:aws:cloudformation:eu-west-1:1:changeSet/x/1"})
    session.stub("cloudformation", "describe_change_set", {"Status": "CREATE_IN_PROGRESS"})
    session.stub("cloudformation", "delete_change_set", {})

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        difference.changes(session.client("cloudformation"), stacks.Stack("s", "{}"), sleep=interrupted)
    session.assert_all_called()


def test_parameters_that_are_not_given_stay_as_the_stack_has_them() -> None:
    """Protects an update from going back to defaults: accounts and addresses are given once."""
    session = Prepared()
    has = [
        {"ParameterKey": "VpcCidr", "ParameterValue": "10.9.0.0/18"},
        {"ParameterKey": "Gone", "ParameterValue": "x"},
    ]
    stack = {"StackName": "s", "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE", "Parameters": has}
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack]})
    wanted = stacks.Stack("s", "{}", {"Namespace": "ml"}, names=frozenset({"Namespace", "VpcCidr", "New"}))
    assert stacks.arguments(session.client("cloudformation"), wanted, creating=False) == [
        {"ParameterKey": "Namespace", "ParameterValue": "ml"},
        {"ParameterKey": "VpcCidr", "UsePreviousValue": True},
    ]


def test_an_update_that_could_not_roll_back_is_told_with_its_command() -> None:
    """Protects from a deployment that tries what CloudFormation refuses in that state."""
    session = Prepared()
    stack = {"StackName": "s", "CreationTime": NOW, "StackStatus": "UPDATE_ROLLBACK_FAILED"}
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack]})
    session.stub("cloudformation", "describe_stack_events", {"StackEvents": []})
    with pytest.raises(SlipwayError, match="aws cloudformation continue-update-rollback --stack-name s"):
        stacks.deploy(session.client("cloudformation"), stacks.Stack("s", "{}"), Progress(io.StringIO()))


def test_every_price_is_dated_and_has_its_page() -> None:
    """Protects those who decide by the bill: a price of unknown age is none."""
    content = bill.price_list()
    assert len(content["prices"]) > 15
    for name, price in content["prices"].items():
        assert ("verified" in price) != ("assumed" in price), name


def test_the_bill_follows_the_templates_and_the_choice() -> None:
    """Protects the table: endpoints are counted in the templates, by zone, and projects add to it."""
    one = {line.what: line.usd for line in bill.bill(REPOSITORY, counting.Choice(zones=1))}
    two = {line.what: line.usd for line in bill.bill(REPOSITORY, counting.Choice(zones=2))}
    endpoints = counting.resources(REPOSITORY, "cfn/platform.yaml", counting.Choice())[
        "AWS::EC2::VPCEndpoint:Interface"
    ]
    assert endpoints >= 14
    first = next(what for what in one if "interface endpoints in" in what)
    second = next(what for what in two if "interface endpoints in" in what)
    assert two[second] == pytest.approx(2 * one[first])
    none, five = (bill.total(bill.bill(REPOSITORY, counting.Choice(projects=number))) for number in (0, 5))
    assert five > none + 5 * 200
    counted = {accounts: _counted(accounts) for accounts in (1, 3)}
    assert counted[3]["AWS::EC2::VPCEndpoint:Interface"] == 3 * counted[1]["AWS::EC2::VPCEndpoint:Interface"]
    # One account has the roles and the key of releases beside the platform, three have them elsewhere.
    assert counted[1]["AWS::KMS::Key"] == counted[3]["AWS::KMS::Key"] - 2 * _foundation()["AWS::KMS::Key"] - 1


def _counted(accounts: int) -> Counter[str]:
    choice = counting.Choice(accounts=accounts)
    made = counting.resources(REPOSITORY, bill.PLATFORM, choice)
    for _ in range(accounts - 1):
        made += counting.resources(REPOSITORY, bill.WORKLOAD, choice)
    for _ in range(accounts):
        made += _foundation()
    return made


def _foundation() -> Counter[str]:
    return sum((counting.resources(REPOSITORY, root, counting.Choice()) for root in bill.FOUNDATION), Counter())


def test_the_tables_have_a_row_for_each_choice() -> None:
    """Protects the documents from a table that lost a choice."""
    assert tables.summary(REPOSITORY).count("\n") == 2 + len(tables.ACCOUNTS) * len(tables.SETS) * len(tables.ZONES)
    assert tables.lines(REPOSITORY, counting.Choice())[-1][1] == "a month, in US dollars"
