"""Whether the account is prepared, and whether an earlier deployment stands in the way."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from slipway.platform.preflight.check import Finding, Subject, Verdict
from slipway.release.names import ENVIRONMENTS

# What makes a Studio domain, a recorder and the rest act in the account, by the template that needs it.
SERVICE_ROLES = {
    "AWS::SageMaker::Domain": ("sagemaker.amazonaws.com", "AWSServiceRoleForAmazonSageMakerNotebooks"),
    "AWS::Config::ConfigurationRecorder": ("config.amazonaws.com", "AWSServiceRoleForConfig"),
    "AWS::GuardDuty::Detector": ("guardduty.amazonaws.com", "AWSServiceRoleForAmazonGuardDuty"),
    "AWS::AccessAnalyzer::Analyzer": ("access-analyzer.amazonaws.com", "AWSServiceRoleForAccessAnalyzer"),
}
# What the Full Stack Developer does; the rest is the deployer's business.
NEEDED = (
    "cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet", "cloudformation:DescribeStacks",
    "iam:PassRole", "s3:PutObject",
)  # fmt: skip


def identity(subject: Subject) -> Iterator[Finding]:
    """Who asks, and where."""
    caller = subject.once("identity", lambda: subject.client("sts").get_caller_identity())
    said = f"{caller['Arn']} in {subject.region}"
    if caller["Arn"].endswith(":root"):
        yield Finding(
            Verdict.MIND, "credentials", f"{said}: the account's root user",
            _assume(subject),
        )  # fmt: skip
    else:
        yield Finding(Verdict.RIGHT, "credentials", said)


ONE_OR_THREE = "make deploy for all in this account, else make deploy STAGING=<account> PRODUCTION=<account>"
WORKLOAD = "make workload TOOLING=<account> ENVIRONMENT=staging|production"


def accounts(subject: Subject) -> Iterator[Finding]:
    """Who serves is named, in one of the ways that the roots' rules allow."""
    yield from _serving(subject) if subject.root == "platform" else _of_workload(subject)


def _serving(subject: Subject) -> Iterator[Finding]:
    """Staging and production: both here, both elsewhere, or production alone elsewhere."""
    given = {name: subject.parameter(name) for name in ("StagingAccountId", "ProductionAccountId")}
    if wrong := {name: value for name, value in given.items() if value and not _is_account(value)}:
        for name, value in wrong.items():
            yield Finding(
                Verdict.WRONG, "accounts", f"{name}: given {value}, allowed 12 digits or nothing", ONE_OR_THREE
            )
        return
    staging, production = (value or subject.account for value in given.values())
    if staging != subject.account and production == staging:
        yield Finding(Verdict.WRONG, "accounts", f"staging and production are both {staging}", ONE_OR_THREE)
    elif staging != subject.account and production == subject.account:
        yield Finding(Verdict.WRONG, "accounts", f"staging is {staging}, but production this account", ONE_OR_THREE)
    else:
        for name, account in (("staging", staging), ("production", production)):
            said = f"this account, {account}" if account == subject.account else account
            yield Finding(Verdict.RIGHT, "accounts", f"{name} is {said}")


def _of_workload(subject: Subject) -> Iterator[Finding]:
    tooling, environment = subject.parameter("ToolingAccountId"), subject.parameter("Environment")
    if not tooling:
        yield Finding(Verdict.WRONG, "accounts", "ToolingAccountId is not given", WORKLOAD)
    elif not _is_account(tooling):
        yield Finding(Verdict.WRONG, "accounts", f"ToolingAccountId: given {tooling}, allowed 12 digits", WORKLOAD)
    elif tooling == subject.account:
        yield Finding(
            Verdict.WRONG, "accounts", "ToolingAccountId is this account, where the platform makes what serves",
            "make deploy",
        )  # fmt: skip
    else:
        yield Finding(Verdict.RIGHT, "accounts", f"ToolingAccountId is {tooling}")
    if environment in ENVIRONMENTS:
        yield Finding(Verdict.RIGHT, "accounts", f"this account is {environment}")
    else:
        said = f"given {environment}, allowed staging or production" if environment else "it is not given"
        yield Finding(Verdict.WRONG, "accounts", f"Environment: {said}", WORKLOAD)


def _is_account(text: str) -> bool:
    return text.isdecimal() and len(text) == 12


def bootstrap(subject: Subject) -> Iterator[Finding]:
    """The administrator's stacks stand."""
    mend = "as the account's administrator: make bootstrap"
    standing = subject.stacks()
    for root in ("bootstrap", "guardrails", "deployer"):
        status = standing.get(root, {}).get("StackStatus")
        if status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}:
            yield Finding(Verdict.RIGHT, "bootstrap", f"{subject.namespace}-{root} stands")
        elif status is None:
            yield Finding(Verdict.WRONG, "bootstrap", f"{subject.namespace}-{root} is not deployed", mend)
        else:
            yield Finding(Verdict.WRONG, "bootstrap", f"{subject.namespace}-{root} is {status}", mend)


def stuck(subject: Subject) -> Iterator[Finding]:
    """No stack is in a state that takes no update."""
    for root, stack in subject.stacks().items():
        name, status = stack["StackName"], stack["StackStatus"]
        if status == "UPDATE_ROLLBACK_FAILED":
            yield Finding(
                Verdict.WRONG, "stacks", f"{name} is {status}",
                f"aws cloudformation continue-update-rollback --stack-name {name}",
            )  # fmt: skip
        elif status in {"DELETE_FAILED", "ROLLBACK_FAILED"}:
            yield Finding(
                Verdict.MIND, "stacks", f"{name} is {status}: make deploy tries to remove what is left of it",
                "if that fails, as the administrator: make destroy",
            )  # fmt: skip
        elif status in {"ROLLBACK_COMPLETE", "CREATE_FAILED"}:
            yield Finding(Verdict.MIND, "stacks", f"{name} is {status}: make deploy removes it and makes it anew")
        elif status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            yield Finding(Verdict.MIND, "stacks", f"{name} is {status}: make deploy waits for its end")
        elif root == subject.root:
            yield Finding(Verdict.RIGHT, "stacks", f"{name} is {status}")
    if subject.root not in subject.stacks():
        yield Finding(Verdict.RIGHT, "stacks", f"{subject.namespace}-{subject.root} will be made")


def remains(subject: Subject) -> Iterator[Finding]:
    """A first deployment does not meet what an earlier platform of this namespace has left."""
    if not subject.first or subject.root != "platform":
        return
    s3 = subject.client("s3")
    name = f"{subject.namespace}-lake-{subject.account}-{subject.region}"
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        code = str(error.response["Error"].get("Code", ""))
        if code in {"404", "NoSuchBucket", "NotFound"}:
            yield Finding(Verdict.RIGHT, "remains", "nothing is left of an earlier platform")
            return
        if code != "403":
            raise
        yield Finding(Verdict.UNKNOWN, "remains", f"bucket {name} may exist: your role may not look")
        return
    yield Finding(
        Verdict.WRONG, "remains", f"bucket {name} is left of an earlier platform, and cannot be made again",
        f"as the administrator: slipway platform destroy --namespace {subject.namespace}, or choose another namespace",
    )  # fmt: skip


def service_roles(subject: Subject) -> Iterator[Finding]:
    """The roles by which services act in the account are there, or come by themselves."""
    for kind, (service, role) in SERVICE_ROLES.items():
        if not subject.uses(kind):
            continue
        try:
            subject.client("iam").get_role(RoleName=role)
        except ClientError as error:
            if error.response["Error"].get("Code") != "NoSuchEntity":
                raise
            yield Finding(
                Verdict.MIND, "service-linked roles", f"{role} is not there: the first use makes it, if it may",
                f"aws iam create-service-linked-role --aws-service-name {service}",
            )  # fmt: skip
        else:
            yield Finding(Verdict.RIGHT, "service-linked roles", role)


def permissions(subject: Subject) -> Iterator[Finding]:
    """The caller may do what a deployment begins with."""
    arn = subject.once("identity", lambda: subject.client("sts").get_caller_identity())["Arn"]
    if ":assumed-role/" in arn:
        partition, account, role = arn.split(":")[1], arn.split(":")[4], arn.split("/")[1]
        arn = f"arn:{partition}:iam::{account}:role/{role}"
    if arn.endswith(":root"):
        yield Finding(Verdict.RIGHT, "permissions", "the root user may do everything")
        return
    prefix = f"arn:aws:cloudformation:{subject.region}:{subject.account}:stack/{subject.namespace}-{subject.root}/*"
    deployer = f"arn:aws:iam::{subject.account}:role/{subject.namespace}-platform-deployer"
    resources = {
        "iam:PassRole": deployer,
        "s3:PutObject": f"arn:aws:s3:::{subject.namespace}-assets-{subject.account}-{subject.region}/releases/x",
    }
    context = [
        {"ContextKeyName": "cloudformation:RoleArn", "ContextKeyValues": [deployer], "ContextKeyType": "string"},
        {
            "ContextKeyName": "iam:PassedToService",
            "ContextKeyValues": ["cloudformation.amazonaws.com"],
            "ContextKeyType": "string",
        },
        {"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": [subject.region], "ContextKeyType": "string"},
    ]
    denied = []
    for action in NEEDED:
        answer = subject.client("iam").simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=[action], ResourceArns=[resources.get(action, prefix)],
            ContextEntries=context,
        )  # fmt: skip
        denied += [
            result["EvalActionName"] for result in answer["EvaluationResults"] if result["EvalDecision"] != "allowed"
        ]
    if denied:
        yield Finding(
            Verdict.WRONG, "permissions", f"{arn} may not {', '.join(denied)}",
            _assume(subject),
        )  # fmt: skip
    else:
        yield Finding(Verdict.RIGHT, "permissions", f"{arn} may deploy")


def _assume(subject: Subject) -> str:
    role = f"arn:aws:iam::{subject.account}:role/{subject.namespace}-FullStackDeveloper"
    return f"aws sts assume-role --role-arn {role} --role-session-name deploy"
