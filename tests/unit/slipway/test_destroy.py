"""What destroy does with an audit, with homes, and with a stack whose role an upgrade replaced, on prepared answers."""

from __future__ import annotations

import datetime
import io
from typing import Any

import pytest
from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.platform.destroy import launched, machine_learning, people, stores, studio_projects
from slipway.platform.destroy.items import Place
from slipway.progress import Progress

from .fakes import Session

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
BUCKET = "ml-audit-111111111111-eu-west-1"


class Prepared(Session):
    """As Session; clients are asked for with a configuration, too."""

    def client(self, service: str, **_: Any) -> Any:
        return super().client(service)


def place(session: Session, **given: Any) -> Place:
    return Place(session, "ml", Progress(io.StringIO()), lambda _: None, **given)


def test_the_records_of_the_audit_are_unlocked_before_they_are_removed() -> None:
    """Protects from a removal that its own bucket policy refuses; and no other bucket's policy is touched."""
    session = Prepared()
    session.stub("sts", "get_caller_identity", {"Account": "111111111111", "Arn": "arn:aws:iam::111111111111:root"})
    session.stub("s3", "list_buckets", {"Buckets": [{"Name": BUCKET}]})
    session.stub("s3", "get_bucket_tagging", {"TagSet": [{"Key": "Namespace", "Value": "ml"}]})
    session.stub("s3", "list_object_versions", {})
    item = stores.buckets(place(session), lambda _: True)[0]
    session.stub("s3", "delete_bucket_policy", {}, {"Bucket": BUCKET})
    session.stub("s3", "list_object_versions", {})
    session.stub("s3", "list_multipart_uploads", {})
    session.stub("s3", "delete_bucket", {}, {"Bucket": BUCKET})
    item.remove()
    session.assert_all_called()


def test_the_files_of_transform_jobs_are_found_by_their_environment() -> None:
    """Protects an account from buckets that nobody remembers: their names end in the environment, not in the region."""
    session, end = Prepared(), BUCKET.removeprefix("ml-audit")
    session.stub("sts", "get_caller_identity", {"Account": "111111111111", "Arn": "arn:aws:iam::111111111111:root"})
    ours = [f"ml-batch{end}-{environment}" for environment in ("production", "staging")]
    names = [*ours, f"ml-batch{end}-copy", f"other-batch{end}-staging"]
    session.stub("s3", "list_buckets", {"Buckets": [{"Name": name} for name in names]})
    for name in ours:
        tags = {"TagSet": [{"Key": "Namespace", "Value": "ml"}]}
        session.stub("s3", "get_bucket_tagging", tags, {"Bucket": name})
        session.stub("s3", "list_object_versions", {"Versions": []})
    assert [item.name for item in stores.buckets(place(session), lambda _: True)] == ours
    session.assert_all_called()


def test_what_the_audit_holds_is_no_leftover() -> None:
    """Protects the audit's parameters while it stands: they are no names that no stack holds."""
    session = Prepared()
    names = ["/ml/platform/audit/bucket", "/ml/platform/lake/bucket"]
    listed = [{"Name": name, "Value": "x", "Type": "String"} for name in names]
    session.stub("ssm", "get_parameters_by_path", {"Parameters": listed})
    item = stores.parameters(place(session, held=frozenset(names[:1])))[0]
    session.stub("ssm", "delete_parameters", {}, {"Names": names[1:]})
    item.remove()
    session.assert_all_called()


def stack(session: Session, name: str, times: int) -> None:
    about = {"StackName": name, "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE"}
    for _ in range(times):
        session.stub("cloudformation", "describe_stacks", {"Stacks": [about]})
        session.stub("cloudformation", "describe_stack_events", {"StackEvents": []})
        session.refuse("cloudformation", "delete_stack", "ValidationError", "Role r is invalid or cannot be assumed")


def test_a_stack_whose_role_was_replaced_goes_with_the_one_that_took_its_place() -> None:
    """Protects the removal of endpoints that 0.1.0 released, when an upgrade has renamed the roles of releases."""
    session = Prepared()
    stack(session, "ml-flights-endpoint", 1)
    arn = "arn:aws:iam::111111111111:role/ml-release-cloudformation-staging"
    role = {"Path": "/", "RoleName": "r", "RoleId": "A" * 16, "Arn": arn, "CreateDate": NOW}
    session.refuse("iam", "get_role", "NoSuchEntity")
    session.stub("iam", "get_role", {"Role": role}, {"RoleName": "ml-release-cloudformation-staging"})
    about = {"StackName": "ml-flights-endpoint", "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE"}
    session.stub("cloudformation", "describe_stacks", {"Stacks": [about]})
    session.stub("cloudformation", "describe_stack_events", {"StackEvents": []})
    expected = {"StackName": "ml-flights-endpoint", "RoleARN": arn}
    session.stub("cloudformation", "delete_stack", {}, expected)
    session.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack with id x does not exist")
    launched._remove_stack(place(session), "ml-flights-endpoint")
    session.assert_all_called()


def test_a_stack_without_any_role_says_so() -> None:
    """Protects from a removal that pretends: where no role took the place, CloudFormation's refusal is told."""
    session = Prepared()
    stack(session, "ml-flights-endpoint", 1)
    session.refuse("iam", "get_role", "NoSuchEntity")
    session.refuse("iam", "get_role", "NoSuchEntity")
    with pytest.raises(ClientError, match="cannot be assumed"):
        launched._remove_stack(place(session), "ml-flights-endpoint")


def test_homes_that_were_kept_are_found_and_those_of_a_domain_are_not() -> None:
    """Protects both ends: what --keep-data kept is removed one day, what people work in goes with its domain alone."""
    session = Prepared()
    domain = "arn:aws:sagemaker:eu-west-1:111111111111:domain/d-1"
    session.stub("sagemaker", "list_domains", {"Domains": [{"DomainId": "d-1", "DomainArn": domain}]})
    ours = {"Key": "Namespace", "Value": "ml"}
    of_domains = [{"Key": machine_learning.MANAGED, "Value": arn} for arn in (domain, domain.replace("d-1", "d-0"))]
    systems = [
        _file_system("fs-00000001", [ours]),
        _file_system("fs-00000002", [ours, of_domains[0]]),
        _file_system("fs-00000003", [ours, of_domains[1]]),
        _file_system("fs-00000004", [{"Key": "Namespace", "Value": "ml-two"}]),
    ]
    session.stub("efs", "describe_file_systems", {"FileSystems": systems})
    found = people.homes(place(session))
    assert [item.name for item in found] == ["fs-00000001", "fs-00000003"]
    assert all(item.data for item in found)


def _file_system(name: str, tags: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "FileSystemId": name, "OwnerId": "111111111111", "CreationToken": name, "CreationTime": NOW,
        "LifeCycleState": "available", "NumberOfMountTargets": 0, "SizeInBytes": {"Value": 1}, "PerformanceMode":
        "generalPurpose", "Tags": tags,
    }  # fmt: skip


def listed(status: str, *names: str, **more: Any) -> dict[str, Any]:
    return {
        "ProjectSummaryList": [
            {"ProjectName": name, "ProjectArn": f"arn:aws:sagemaker:eu-west-1:111111111111:project/{name}",
             "ProjectId": f"p-{name}", "CreationTime": NOW, "ProjectStatus": status}
            for name in names
        ],
        **more,
    }  # fmt: skip


def of_namespace(session: Session, name: str, namespace: str) -> None:
    """A project whose template's stack has this namespace."""
    stack_id = f"arn:aws:cloudformation:eu-west-1:111111111111:stack/SP-{name}/1"
    detail = {"Name": f"SP-{name}", "Id": stack_id, "StatusMessage": "CREATE_COMPLETE"}
    provider = {"TemplateName": "project", "TemplateURL": "https://b.s3.amazonaws.com/a", "StackDetail": detail}
    project = {
        "ProjectName": name, "ProjectArn": f"arn:aws:sagemaker:eu-west-1:111111111111:project/{name}",
        "ProjectId": f"p-{name}", "CreationTime": NOW, "ProjectStatus": "CreateCompleted",
        "TemplateProviderDetails": [{"CfnTemplateProviderDetail": provider}],
    }  # fmt: skip
    session.stub("sagemaker", "describe_project", project, {"ProjectName": name})
    about = {"StackName": f"SP-{name}", "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE"}
    parameters = [{"ParameterKey": "Namespace", "ParameterValue": namespace}]
    answer = {"Stacks": [{**about, "Parameters": parameters}]}
    session.stub("cloudformation", "describe_stacks", answer, {"StackName": stack_id})


def test_projects_that_studio_launched_go_and_those_of_another_platform_stay() -> None:
    """Protects what S3 templates made: no stack of such a project bears the platform's name, and none is forgotten."""
    session = Prepared()
    session.stub("sagemaker", "list_projects", listed("CreateCompleted", "churn", NextToken="more"))
    of_namespace(session, "churn", "ml")
    session.stub("sagemaker", "list_projects", listed("CreateCompleted", "theirs"), {"NextToken": "more"})
    of_namespace(session, "theirs", "other")
    (item,) = studio_projects.projects(place(session))
    assert (item.name, item.detail) == ("churn", "CreateCompleted")
    session.stub("sagemaker", "delete_project", {}, {"ProjectName": "churn"})
    for answer in (listed("DeleteInProgress", "churn", "churn-2"), listed("CreateCompleted", "churn-2")):
        session.stub("sagemaker", "list_projects", answer, {"NameContains": "churn"})
    item.remove()
    session.stub("sagemaker", "delete_project", {}, {"ProjectName": "churn"})
    session.stub("sagemaker", "list_projects", listed("DeleteFailed", "churn"), {"NameContains": "churn"})
    with pytest.raises(SlipwayError, match="describe-project --project-name churn"):
        item.remove()
    session.assert_all_called()
