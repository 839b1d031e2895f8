"""What a Full Stack Developer and an administrator do with a platform that stands: look, compare, remove.

The tests run in their order on one platform; the last remove it.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from tests.localcloud.conftest import TOOLING
from tests.operations.conftest import PROJECT, REPOSITORY, Platform

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("operations")]
DEVELOPER = "FullStackDeveloper"
BUCKET, AUDIT = (f"slipway-{name}-{TOOLING}-eu-west-1" for name in (PROJECT, "audit"))


def stacks(platform: Platform) -> dict[str, str]:
    found = platform.cloud.client("cloudformation").get_paginator("describe_stacks").paginate()
    return {stack["StackName"]: stack["StackStatus"] for page in found for stack in page["Stacks"]}


def change_sets(platform: Platform) -> list[str]:
    """Change sets that nobody executed, in all stacks."""
    client = platform.cloud.client("cloudformation")
    return [
        change_set["ChangeSetName"]
        for name in stacks(platform)
        for change_set in client.list_change_sets(StackName=name)["Summaries"]
        if change_set["ExecutionStatus"] == "AVAILABLE"
    ]


def test_a_first_deployment_that_fails_tells_why_and_the_next_needs_no_hand(bootstrapped: Platform) -> None:
    """Protects who deploys for the first time: one message names what stood in the way, far down as it was; nothing is
    left of the attempt, and the same command again, once that is away, removes the failed stack and deploys."""
    iam, before = bootstrapped.cloud.client("iam"), bootstrapped.records()
    role = "slipway-DataEngineer"  # somebody's own, of a name that the platform needs
    iam.create_role(RoleName=role, AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    failed = bootstrapped.deploy()
    assert failed.returncode == 1, failed.stdout[-3000:]
    assert len(failed.stderr.strip().splitlines()) == 1, failed.stderr
    assert re.search(
        rf"stack slipway-platform ended as ROLLBACK_COMPLETE: Personas ▸ DataEngineer: .*{role}.* already exists",
        failed.stderr,
    ), failed.stderr
    assert stacks(bootstrapped)["slipway-platform"] == "ROLLBACK_COMPLETE"
    iam.delete_role(RoleName=role)
    left = {record for record in bootstrapped.records() - before if "cloudformation" not in record}
    assert not left, left
    done = bootstrapped.deploy()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "slipway-platform: rollback_complete since an earlier deployment; removing what it left" in done.stdout
    assert stacks(bootstrapped)["slipway-platform"] == "CREATE_COMPLETE"


def test_preflight_finds_a_deployed_platform_in_order(platform: Platform) -> None:
    """Protects those who deploy daily from a preflight that cries wolf; what the place does not serve is unknown."""
    done = platform.slipway("preflight", role=DEVELOPER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    assert "may not call" not in done.stdout  # the Full Stack Developer may ask all of it
    for subject in ("bootstrap", "permissions", "zones", "endpoints", "addresses", "functions", "Studio"):
        assert re.search(rf"✓\s+{subject}", done.stdout), f"{subject} is not right:\n{done.stdout}"


def test_preflight_refuses_addresses_that_overlap_and_says_which_are_free(platform: Platform) -> None:
    """Protects networks that are to be joined one day: ranges that overlap never can be."""
    ec2 = platform.cloud.client("ec2")
    other = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    try:
        done = platform.slipway("preflight", "--parameter", "VpcCidr=10.99.64.0/18", role=DEVELOPER)
    finally:
        ec2.delete_vpc(VpcId=other)
    assert done.returncode == 1
    assert f"10.99.64.0/18 overlaps 10.99.0.0/16 of {other}" in done.stdout
    assert "--parameter VpcCidr=10.0.0.0/18" in done.stdout


def test_preflight_tells_a_stack_that_takes_no_update(platform: Platform) -> None:
    """Protects from a deployment that AWS refuses only after everything was uploaded."""
    done = platform.slipway("preflight", "--namespace", "other", role=DEVELOPER)
    assert done.returncode == 1
    assert "other-bootstrap is not deployed" in done.stdout
    assert "make bootstrap" in done.stdout


def test_diff_says_that_nothing_would_change(platform: Platform) -> None:
    """Protects the trust in diff: right after a deployment there is nothing to tell."""
    done = platform.slipway("diff", role=DEVELOPER)
    assert done.returncode == 0, done.stderr
    assert "nothing would change" in done.stdout


def test_diff_looks_into_nested_stacks_and_does_nothing(platform: Platform) -> None:
    """Protects whoever deploys: a change far down is named, with its property, and only named."""
    before = platform.records()
    done = platform.slipway("diff", "--parameter", "VpcCidr=10.43.0.0/18", role=DEVELOPER)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "Network ▸ Vpc " in line)
    assert "AWS::EC2::VPC" in line
    assert "CidrBlock" in line
    assert change_sets(platform) == []
    assert platform.records() == before


def test_diff_of_a_platform_that_is_not_there_leaves_no_stack(platform: Platform) -> None:
    """Protects from the empty stack that a first change set leaves, which a later creation would stumble over."""
    done = platform.slipway("diff", "--root", "workload", "--parameter", "ToolingAccountId=222222222222",
                            "--parameter", "Environment=staging")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Add\s+Network\s+AWS::CloudFormation::Stack", done.stdout)
    assert "slipway-workload" not in stacks(platform)


def test_destroy_does_nothing_unless_it_is_meant(platform: Platform) -> None:
    """Protects the data of everybody: a dry run removes nothing, and without an answer or --yes nothing is removed."""
    before = platform.records()
    dry = platform.slipway("destroy", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    for named in (PROJECT, "slipway-platform", "Studio domain", "image repository", "LOST"):
        assert named in dry.stdout
    refused = platform.slipway("destroy")
    assert refused.returncode == 1
    assert "nothing was removed: nobody can be asked here; give --yes" in refused.stderr
    assert platform.records() == before


def test_destroy_asks_for_the_namespace(platform: Platform) -> None:
    """Protects from the wrong account: who answers anything but the platform's name keeps it."""
    before = platform.records()
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "slipway", "platform", "destroy"], cwd=REPOSITORY, env=platform.environment(),
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    os.write(mine, b"yes\n")
    output, _ = process.communicate(timeout=120)
    os.close(mine)
    os.close(theirs)
    assert process.returncode == 1, output
    assert "Type slipway to remove it" in output
    assert "given 'yes', allowed 'slipway'" in output
    assert platform.records() == before


def test_destroy_leaves_other_platforms_alone(platform: Platform) -> None:
    """Protects the platform next door whose name begins alike, and everything that is no platform's."""
    s3, logs = platform.cloud.client("s3"), platform.cloud.client("logs")
    where = {"LocationConstraint": "eu-west-1"}
    for name in (f"slipway-two-lake-{TOOLING}-eu-west-1", f"somebody-{TOOLING}-eu-west-1"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    s3.put_bucket_tagging(
        Bucket=f"slipway-two-lake-{TOOLING}-eu-west-1",
        Tagging={"TagSet": [{"Key": "Namespace", "Value": "slipway-two"}]},
    )
    logs.create_log_group(logGroupName="/aws/lambda/slipway-two-x", tags={"Namespace": "slipway-two"})
    dry = platform.slipway("destroy", "--dry-run")
    assert "slipway-two" not in dry.stdout
    assert "somebody" not in dry.stdout
    for name in (f"slipway-two-lake-{TOOLING}-eu-west-1", f"somebody-{TOOLING}-eu-west-1"):
        s3.delete_bucket(Bucket=name)
    logs.delete_log_group(logGroupName="/aws/lambda/slipway-two-x")
    assert platform.until(lambda: not any("slipway-two" in record for record in platform.records()))


def test_the_audit_is_not_removed_before_what_it_watches(platform: Platform) -> None:
    """Protects the records: who removes a platform is seen to the end, and the reason of the refusal is told."""
    before = platform.records()
    refused = platform.slipway("destroy", "--audit", "--yes")
    assert refused.returncode == 1
    assert re.search(r"the audit was not removed: \d+ things of the platform still stand", refused.stderr)
    assert "First: slipway platform destroy --namespace slipway" in refused.stderr
    assert before - platform.records() == set()


def fill(platform: Platform) -> str:
    """What people leave behind: objects, an unfinished upload, a model, a person with a space. Returns the homes."""
    s3, sagemaker = platform.cloud.client("s3"), platform.cloud.client("sagemaker")
    for body in (b"1", b"2"):
        s3.put_object(Bucket=BUCKET, Key="models/model.tar.gz", Body=body)
    s3.delete_object(Bucket=BUCKET, Key="models/model.tar.gz")
    s3.create_multipart_upload(Bucket=BUCKET, Key="unfinished")
    s3.put_object(Bucket=f"slipway-lake-{TOOLING}-eu-west-1", Key="curated/a/data.csv", Body=b"a,b\n1,2\n")
    s3.put_object(Bucket=AUDIT, Key=f"AWSLogs/{TOOLING}/record.json", Body=b"{}")
    image = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/sklearn:1.2-1"
    sagemaker.create_model_package(
        ModelPackageGroupName=f"slipway-{PROJECT}", ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": image, "ModelDataUrl": f"s3://{BUCKET}/models/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"],
        },
    )  # fmt: skip
    domain = sagemaker.list_domains()["Domains"][0]["DomainId"]
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="somebody")
    sagemaker.create_space(
        DomainId=domain, SpaceName="theirs", OwnershipSettings={"OwnerUserProfileName": "somebody"},
        SpaceSharingSettings={"SharingType": "Private"}, SpaceSettings={"AppType": "JupyterLab"},
    )  # fmt: skip
    return str(sagemaker.describe_domain(DomainId=domain)["HomeEfsFileSystemId"])


def test_an_interrupted_destroy_goes_on_and_keeps_the_data_that_it_was_told_to_keep(platform: Platform) -> None:
    """Protects what people made: every stack goes; lake, buckets, commits, packages, models, homes and keys stay."""
    homes = fill(platform)
    before = platform.data()
    process = platform.start("destroy", "--yes", "--keep-data")
    assert process.stdout
    for line in process.stdout:
        if "stack slipway-platform: removing" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.stdout.read()
    assert process.wait(timeout=120) == 130, rest
    assert "interrupted" in rest

    done = platform.slipway("destroy", "--yes", "--keep-data")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing left but the data and the audit" in done.stdout + done.stderr
    assert "until: slipway platform destroy --namespace slipway\n" in done.stdout
    for named in (BUCKET, f"slipway-lake-{TOOLING}", homes, "model versions", "git repository", "package domain"):
        assert named in done.stdout.rpartition("Kept")[2]
    assert {name for name in stacks(platform) if not re.match("slipway-(audit|guardrails)", name)} == set()
    assert platform.lost(before) == []
    efs = platform.cloud.client("efs")
    assert [one["FileSystemId"] for one in efs.describe_file_systems()["FileSystems"]] == [homes]
    assert efs.describe_mount_targets(FileSystemId=homes)["MountTargets"] == []


def test_what_was_kept_is_removed_by_the_command_that_was_told(platform: Platform) -> None:
    """Protects the bill: data that was kept is found again when no stack tells of it any more; the audit stands."""
    done = platform.slipway("destroy", "--yes", "--key-days", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing left but the audit" in done.stdout + done.stderr
    assert "slipway platform destroy --namespace slipway --audit" in done.stdout
    assert platform.cloud.client("s3").list_objects_v2(Bucket=AUDIT)["KeyCount"] >= 1
    assert platform.cloud.client("cloudtrail").get_trail_status(Name="slipway-audit")["IsLogging"] is True


def test_the_audit_goes_last_and_leaves_nothing(platform: Platform) -> None:
    """Protects the bill: after the last step every service holds what it held before the platform came."""
    done = platform.slipway("destroy", "--audit", "--yes", "--key-days", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "removed, nothing left\n" in done.stdout + done.stderr
    platform.until(lambda: platform.records() == platform.before)
    assert platform.records() - platform.before == set()
    assert platform.before - platform.records() == set()
    keys = platform.cloud.client("kms")
    for key in keys.list_keys()["Keys"]:
        about = keys.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        assert about["KeyState"] == "PendingDeletion"
    again = platform.slipway("destroy", "--audit", "--yes")
    assert again.returncode == 0, again.stderr
    assert "there is nothing" in again.stdout


def test_what_was_removed_can_be_deployed_again(platform: Platform) -> None:
    """Protects the second try: nothing that is left stands in the way of the same namespace."""
    done = platform.slipway("bootstrap")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
