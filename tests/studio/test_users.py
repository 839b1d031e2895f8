"""A person's place in a project: launched from the catalogue, theirs alone, changed and gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slipway.platform import catalogue
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud, free_port
from tests.loop import asked
from tests.loop.judging import Judge, Question
from tests.studio.conftest import NAMESPACE, prepared
from tests.studio.office import Office, at_rest, changed, opened, person

ADA, ALAN, GRACE = "ada-lovelace--flight", "alan--flight", "grace-hopper--flight-delays"
PLACES = {
    "ada": {"UserName": "ada.lovelace@example.com", "ProjectName": "flight", "CostCenter": "cc-7"},
    "alan": {"UserName": "alan", "ProjectName": "flight"},
    "grace": {"UserName": "grace_hopper", "ProjectName": "flight-delays"},
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Three people's places in two projects, all launched at once."""
    cloud = LocalCloud(tmp_path_factory.mktemp("office") / "home", free_port())
    cloud.start()
    try:
        made = opened(prepared(cloud, guarded=True))
        begun = [made.begin(name, **parameters) for name, parameters in PLACES.items()]
        records = [made.ended(record) for record in begun]
        assert [record["Status"] for record in records] == ["SUCCEEDED"] * 3, records
        yield made
    finally:
        cloud.stop()


def test_a_launch_binds_a_profile_to_a_person_and_a_project(office: Office) -> None:
    """Protects: names, tags, role and sizes are what the launch was asked for."""
    profile = office.profile(ADA)
    settings = profile["UserSettings"]
    assert settings["ExecutionRole"] == f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}/studio/{ADA}"
    volume = settings["SpaceStorageSettings"]["DefaultEbsStorageSettings"]
    assert (volume["DefaultEbsVolumeSizeInGb"], volume["MaximumEbsVolumeSizeInGb"]) == (20, 100)
    wanted = {"Namespace": NAMESPACE, "Project": "flight", "User": "ada.lovelace@example.com", "CostCenter": "cc-7"}
    listed = office.account.client("sagemaker").list_tags(ResourceArn=profile["UserProfileArn"])["Tags"]
    assert wanted.items() <= {tag["Key"]: tag["Value"] for tag in listed}.items()
    assert wanted.items() <= office.role(ADA).tags.items()
    assert office.contract("flight", "users/ada-lovelace") == ADA
    assert "JupyterLabAppSettings" not in settings, "idle shutdown and lifecycle configuration are the domain's"


def test_nobody_reaches_what_is_not_theirs(office: Office) -> None:
    """Protects projects from one another, and people's spaces from one another: each row is judged by the policies."""
    judge = Judge(office.deployed)
    wrong = []
    for name, action, resource, keys, allowed in _table(office):
        reason = judge.reason(Question(action, resource, office.role(name), keys=_session(office, name) | keys))
        if (reason is None) is not allowed:
            wrong.append(f"{name} {action} on {resource} {keys}: {reason or 'allowed'}")
    assert not wrong, "\n".join(wrong)
    assert not judge.unanswered


def _session(office: Office, name: str) -> dict[str, Any]:
    """What Studio says of who asks (Service Authorization Reference, SageMaker)."""
    return {"sagemaker:DomainId": office.domain, "sagemaker:UserProfileName": name}


def _profile(office: Office, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{TOOLING}:user-profile/{office.domain}/{name}"


def _table(office: Office) -> list[tuple[str, str, str, dict[str, Any], bool]]:
    """(who, action, resource, condition keys, whether it is allowed)."""
    rows: list[tuple[str, str, str, dict[str, Any], bool]] = []
    arn, via = f"{REGION}:{TOOLING}", {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    lake = f"{NAMESPACE}-lake-{TOOLING}-{REGION}"
    lake_key = office.account.contract("lake/key-arn")
    packages = f"{office.account.contract('packages/domain')}/{office.account.contract('packages/repository')}"
    for name, own in {ADA: "flight", ALAN: "flight", GRACE: "flight-delays"}.items():
        for project in ("flight", "flight-delays"):
            mine, user = project == own, name.partition("--")[0]
            bucket, key = office.contract(project, "bucket"), office.contract(project, "key-arn")
            reach: list[tuple[str, str, dict[str, Any]]] = [
                ("s3:GetObject", f"arn:aws:s3:::{bucket}/models/model.tar.gz", {}),
                ("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": ""}),
                ("s3:PutObject", f"arn:aws:s3:::{bucket}/users/{user}/notes.csv", {}),
                ("kms:Decrypt", key, via),
                ("kms:GenerateDataKey", key, via),
                ("ecr:BatchGetImage", f"arn:aws:ecr:{arn}:repository/{NAMESPACE}/{project}/training", {}),
                ("codecommit:GitPull", f"arn:aws:codecommit:{arn}:{project}", {}),
                ("codecommit:GitPush", f"arn:aws:codecommit:{arn}:{project}", {}),
                ("sagemaker:DescribeModelPackageGroup",
                 f"arn:aws:sagemaker:{arn}:model-package-group/{NAMESPACE}-{project}", {}),
                ("ssm:GetParameter", f"arn:aws:ssm:{arn}:parameter/{NAMESPACE}/projects/{project}/bucket", {}),
                ("sagemaker:CreateTrainingJob", f"arn:aws:sagemaker:{arn}:training-job/try", _job(office, project)),
            ]  # fmt: skip
            rows += [(name, action, resource, keys, mine) for action, resource, keys in reach]
            never: list[tuple[str, str, dict[str, Any]]] = [
                ("s3:PutObject", f"arn:aws:s3:::{bucket}/releases/1.zip", {}),
                ("s3:PutObject", f"arn:aws:s3:::{bucket}/users/somebody/notes.csv", {}),
                ("ecr:PutImage", f"arn:aws:ecr:{arn}:repository/{NAMESPACE}/{project}/training", {}),
                ("sagemaker:CreateModelPackage",
                 f"arn:aws:sagemaker:{arn}:model-package/{NAMESPACE}-{project}/1", {}),
                ("sagemaker:UpdateModelPackage",
                 f"arn:aws:sagemaker:{arn}:model-package/{NAMESPACE}-{project}/1", {}),
                ("codepipeline:StartPipelineExecution", f"arn:aws:codepipeline:{arn}:{NAMESPACE}-{project}-build", {}),
                ("iam:PassRole", f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}-{project}-execution",
                 {"iam:PassedToService": "sagemaker.amazonaws.com"}),
                ("sagemaker:CreateTrainingJob", f"arn:aws:sagemaker:{arn}:training-job/try",
                 {key: value for key, value in _job(office, project).items() if "Vpc" not in key}),
            ]  # fmt: skip
            rows += [(name, action, resource, keys, False) for action, resource, keys in never]
        rows += [
            (name, "s3:GetObject", f"arn:aws:s3:::{lake}/curated/flights/a.csv", {}, True),
            (name, "kms:Decrypt", lake_key, via, True),
            (name, "s3:GetObject", f"arn:aws:s3:::{lake}/raw/flights/a.csv", {}, False),
            (name, "s3:PutObject", f"arn:aws:s3:::{lake}/curated/flights/a.csv", {}, False),
            (name, "codeartifact:ReadFromRepository", f"arn:aws:codeartifact:{arn}:repository/{packages}", {}, True),
            (name, "iam:PassRole", f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}/studio/{name}",
             {"iam:PassedToService": "sagemaker.amazonaws.com"}, True),
        ]  # fmt: skip
        for other in (ADA, ALAN, GRACE):
            rows += _of_places(office, name, other)
    return rows


def _job(office: Office, project: str) -> dict[str, Any]:
    return {
        "aws:RequestTag/Project": project,
        "sagemaker:VolumeKmsKey": office.contract(project, "key-arn"),
        "sagemaker:VpcSubnets": office.account.subnets,
        "sagemaker:VpcSecurityGroupIds": [office.account.contract("network/compute-security-group-id")],
    }


def _of_places(office: Office, name: str, owner: str) -> list[tuple[str, str, str, dict[str, Any], bool]]:
    """What somebody may do in a space that `owner` has, or would have."""
    mine, base = name == owner, f"arn:aws:sagemaker:{REGION}:{TOOLING}"
    keys = {
        "sagemaker:OwnerUserProfileArn": _profile(office, owner),
        "sagemaker:SpaceSharingType": "Private",
        "sagemaker:InstanceTypes": ["ml.t3.medium"],
    }
    space, app = f"{base}:space/{office.domain}/lab", f"{base}:app/{office.domain}/lab/JupyterLab/default"
    return [
        *((name, f"sagemaker:{action}Space", space, keys, mine) for action in ("Create", "Update", "Delete")),
        (name, "sagemaker:CreateApp", app, keys, mine),
        (name, "sagemaker:DeleteApp", app, keys, mine),
        (name, "sagemaker:CreateApp", app, {**keys, "sagemaker:InstanceTypes": ["ml.p4d.24xlarge"]}, False),
        (name, "sagemaker:CreateSpace", space, {**keys, "sagemaker:SpaceSharingType": "Shared"}, False),
        (name, "sagemaker:CreateApp", app, {"sagemaker:InstanceTypes": ["ml.t3.medium"]}, False),
        (name, "sagemaker:CreatePresignedDomainUrl", _profile(office, owner), {}, mine),
        (name, "sagemaker:UpdateUserProfile", _profile(office, owner), {}, False),
    ]


@pytest.mark.parametrize(
    ("persona", "user", "project", "profile", "allowed"),
    [
        ("DataScientist", "ada.lovelace@example.com", "flight", ADA, True),
        ("DataScientist", "ada.lovelace@example.com", "flight", ALAN, False),
        ("DataScientist", "grace_hopper", "flight-delays", GRACE, True),
        ("DataScientist", "grace_hopper", "flight", GRACE, False),
        ("DataScientist", "ada.lovelace@example.com", "flight-delays", GRACE, False),
        ("DataScientist", "", "flight", ADA, False),
        ("ReleaseApprover", "ada.lovelace@example.com", "flight", ADA, False),
        ("DataScienceAdmin", "ada.lovelace@example.com", "flight", ADA, False),
        ("DataEngineer", "ada.lovelace@example.com", "flight", ADA, False),
        ("MLEngineer", "ada.lovelace@example.com", "flight", ADA, False),
        ("FullStackDeveloper", "ada.lovelace@example.com", "flight", ADA, False),
    ],
)
def test_a_door_opens_to_the_person_alone(
    office: Office, persona: str, user: str, project: str, profile: str, allowed: bool
) -> None:
    """Protects: who signs in opens the own place in the project that they signed in for, and no other."""
    tags = {"Project": project, **({"User": user} if user else {})}
    question = Question(
        "sagemaker:CreatePresignedDomainUrl", _profile(office, profile), office.role(f"{NAMESPACE}-{persona}"),
        session_tags=tags,
    )  # fmt: skip
    reason = Judge(office.deployed).reason(question)
    assert (reason is None) is allowed, reason


@pytest.mark.parametrize(("identity", "allowed"), [(ADA, True), (ALAN, False), ("", True)])
def test_a_role_is_taken_in_its_own_persons_name(office: Office, identity: str, allowed: bool) -> None:
    """Protects what CloudTrail says: another profile that was given the role cannot use it. Jobs have no person."""
    keys = {"aws:SourceAccount": TOOLING, "aws:SourceArn": f"arn:aws:sagemaker:{REGION}:{TOOLING}:domain/d-1"}
    if identity:
        keys["sts:SourceIdentity"] = identity
    for action in ("sts:AssumeRole", *(["sts:SetSourceIdentity"] if identity else [])):
        question = Question(action, office.role(ADA).arn, service="sagemaker.amazonaws.com", keys=keys)
        assert (Judge(office.deployed).reason(question) is None) is allowed


def test_one_person_has_one_place_in_a_project(office: Office) -> None:
    """Protects what somebody has: a second launch for the same person and project is undone, and says why."""
    before = office.there_is()
    record = office.launch("ada-again", **PLACES["ada"])
    assert record["Status"] == "FAILED"
    assert f"{ADA} already exists" in office.causes(record)
    assert office.profile(ADA)["Status"] == "InService"
    assert office.terminate("ada-again")["Status"] == "SUCCEEDED"
    assert not changed(before, office.there_is())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"UserName": "ada..lovelace", "ProjectName": "flight"}, "UserName"),
        ({"UserName": "a" * 38, "ProjectName": "flight"}, "UserName"),
        ({"UserName": "-ada", "ProjectName": "flight"}, "UserName"),
        ({"UserName": "ada", "ProjectName": "Flight"}, "ProjectName"),
        ({"UserName": "ada", "ProjectName": "flight", "InstanceTypes": "t3.medium"}, "InstanceTypes"),
        ({"UserName": "ada", "ProjectName": "no-such-project"}, "/slipway/projects/no-such-project/"),
    ],
)
def test_bad_input_is_refused_by_name(office: Office, parameters: dict[str, str], words: str) -> None:
    """Protects: what would fail half-way fails at once, says which parameter, and leaves nothing."""
    before = office.there_is()
    record = office.launch("wrong", **parameters)
    assert record["Status"] == "FAILED"
    assert words in record["RecordErrors"][0]["Description"], record["RecordErrors"]
    office.terminate("wrong")
    assert not changed(before, office.there_is())


def test_the_longest_name_fits(office: Office) -> None:
    """Protects the length budget: 37 characters of a person and 24 of a project make 63, which AWS takes."""
    name = "x" * 37
    assert len(f"{name}--{'y' * 24}") == 63
    record = office.launch("longest", UserName=f"{name}@example.com", ProjectName="flight-delays")
    assert record["Status"] == "SUCCEEDED", record
    assert office.terminate("longest")["Status"] == "SUCCEEDED"


def test_an_update_keeps_the_place_and_what_is_in_it(office: Office) -> None:
    """Protects somebody's work: larger volumes and other instances cost nobody their space."""
    office.space("desk", ALAN)
    record = office.update("alan", LargestVolumeGb="200", InstanceTypes="ml.m5.large")
    assert record["Status"] == "SUCCEEDED", record
    volume = office.profile(ALAN)["UserSettings"]["SpaceStorageSettings"]["DefaultEbsStorageSettings"]
    assert volume["MaximumEbsVolumeSizeInGb"] == 200
    assert "desk" in office.there_is()["spaces"]
    office.deployed.role.cache_clear()
    keys = {"sagemaker:OwnerUserProfileArn": _profile(office, ALAN), "sagemaker:SpaceSharingType": "Private"}
    space = f"arn:aws:sagemaker:{REGION}:{TOOLING}:space/{office.domain}/desk"
    for instance, allowed in (("ml.t3.medium", False), ("ml.m5.large", True)):
        asked_for = {**_session(office, ALAN), **keys, "sagemaker:InstanceTypes": [instance]}
        question = Question("sagemaker:UpdateSpace", space, office.role(ALAN), keys=asked_for)
        assert (Judge(office.deployed).reason(question) is None) is allowed


def test_who_leaves_leaves_nothing_and_takes_nobody_elses(office: Office) -> None:
    """Protects: a place that ends takes its spaces, profile, role and contract with it, and leaves all others."""
    before = office.there_is()
    assert office.launch("lin", UserName="lin", ProjectName="flight")["Status"] == "SUCCEEDED"
    office.space("lins", "lin--flight")
    office.space("adas", ADA)
    assert office.terminate("lin")["Status"] == "SUCCEEDED"
    assert changed(before, office.there_is()) == {"spaces": ["+adas"]}


def test_a_launch_did_what_its_role_allows(office: Office) -> None:
    """Protects launches on AWS: all that was done above as the launch role and as the clean-up was allowed."""
    office.deployed.role.cache_clear()
    names = {f"{NAMESPACE}-launch-studio-user", f"{NAMESPACE}-studio-cleanup"}
    questions = [
        question
        for question in asked.questions(office.account.cloud.home, office.deployed)
        if question.role and question.role.name in names
    ]
    assert len(questions) > 50
    judge = Judge(office.deployed)
    refused = {f"{question}: {reason}" for question in questions if (reason := judge.reason(question))}
    assert not refused, "\n".join(sorted(refused))


# What SageMaker asks of a project's template, and a resource that the launch role may make.
_TEMPLATE = """
Parameters:
  SageMakerProjectName: {Type: String}
  SageMakerProjectId: {Type: String}
  Namespace: {Type: String, Default: slipway}
Resources:
  Contract:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Value: here, Name: !Sub "/${Namespace}/projects/${SageMakerProjectName}/made-by"}
"""


def test_a_project_from_an_s3_template(office: Office) -> None:
    """Protects Studio's second way in: the domain says where templates lie, who may launch reads and launches them
    with the launch role, and that role serves nothing but published templates."""
    account, before, domain = office.account, office.there_is(), office.domain
    account.deploy("studio", StudioTemplates="true")
    assert office.domain == domain, "a tag replaced the domain"
    arn = f"arn:aws:sagemaker:{REGION}:{TOOLING}:domain/{domain}"
    listed = account.client("sagemaker").list_tags(ResourceArn=arn)["Tags"]
    place = {tag["Key"]: tag["Value"] for tag in listed}["sagemaker:projectS3TemplatesLocation"]
    for name in ("stamp", "merge-rules"):
        function = f"arn:aws:lambda:{REGION}:{TOOLING}:function:{name}"
        account.publish(f"builds/{name}-function-arn", function)
    account.deploy("launch-role-project", StudioTemplates="true")
    account.deploy("launch-templates")
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    tag = f"{catalogue.STUDIO_TAG}=true"
    account.client("s3").put_object(Bucket=bucket, Key=f"{prefix}small.yaml", Body=_TEMPLATE.encode(), Tagging=tag)
    launch = account.contract("catalogue/project-launch-role-arn")
    url = f"https://{bucket}.s3.{REGION}.amazonaws.com/{prefix}small.yaml"
    people = person(account, f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}-DataScienceAdmin", "joan")
    (shown,) = people("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    assert people("s3").get_object_tagging(Bucket=bucket, Key=shown["Key"])["TagSet"][0]["Value"] == "true"
    sagemaker = people("sagemaker")
    provider = {"TemplateName": "small", "TemplateURL": url, "RoleARN": launch}
    sagemaker.create_project(ProjectName="churn", TemplateProviders=[{"CfnTemplateProvider": provider}])
    project = at_rest(sagemaker, "churn")
    assert project["ProjectStatus"] == "CreateCompleted", project
    assert office.contract("churn", "made-by") == "here"
    changed_url = {"TemplateName": "small", "TemplateURL": url}
    sagemaker.update_project(ProjectName="churn", TemplateProvidersToUpdate=[{"CfnTemplateProvider": changed_url}])
    assert at_rest(sagemaker, "churn")["ProjectStatus"] == "UpdateCompleted"
    sagemaker.delete_project(ProjectName="churn")
    assert at_rest(sagemaker, "churn") == {}
    _judge_templates(office, launch, url)
    assert not changed(before, office.there_is()).keys() - {"roles", "stacks"}


def _judge_templates(office: Office, launch: str, url: str) -> None:
    """All of it was allowed; and what would lend the launch role to anything else is not."""
    office.deployed.role.cache_clear()
    judge = Judge(office.deployed)
    names = {f"{NAMESPACE}-{name}" for name in ("DataScienceAdmin", "launch-project")}
    questions = [
        question
        for question in asked.questions(office.account.cloud.home, office.deployed)
        if question.role and question.role.name in names
    ]
    made = {question.action for question in questions}
    assert {"cloudformation:CreateStack", "cloudformation:UpdateStack", "iam:PassRole", "s3:GetObjectTagging"} <= made
    refused = {f"{question}: {reason}" for question in questions if (reason := judge.reason(question))}
    assert not refused, "\n".join(sorted(refused))
    stack = f"arn:aws:cloudformation:{REGION}:{TOOLING}:stack/SP-churn/1"
    roles, template = {"cloudformation:RoleArn": launch}, {"cloudformation:TemplateUrl": url}
    foreign = {"cloudformation:TemplateUrl": f"https://mine.s3.{REGION}.amazonaws.com/studio-templates/small.yaml"}
    table = [
        ("DataScienceAdmin", "CreateStack", stack, roles | template, True),
        ("studio-admin", "CreateStack", stack, roles | template, True),
        ("DataScienceAdmin", "CreateStack", stack, roles | foreign, False),
        ("DataScienceAdmin", "CreateStack", stack, roles, False),
        ("DataScienceAdmin", "CreateStack", stack, template, False),
        ("DataScienceAdmin", "CreateStack", stack.replace("SP-", "slipway-"), roles | template, False),
        ("DataScienceAdmin", "UpdateStack", stack, foreign, False),
        ("DataScienceAdmin", "UpdateStack", stack, {}, False),
        ("DataScientist", "CreateStack", stack, roles | template, False),
        ("launch-project", "CreateStack", stack.replace("/1", "-Storage-1/1"), {}, True),
    ]  # fmt: skip
    for who, action, resource, keys, allowed in table:
        question = Question(f"cloudformation:{action}", resource, office.role(f"{NAMESPACE}-{who}"), keys=keys)
        assert (judge.reason(question) is None) is allowed, (who, action, resource, keys)
    trusted = Question("sts:AssumeRole", launch, service="cloudformation.amazonaws.com", keys={"aws:SourceArn": stack})
    assert judge.reason(trusted) is None
    assert not judge.unanswered
