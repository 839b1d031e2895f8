"""The steps of the demonstration. Each looks first whether its result is there already."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from slipway_demo import commands, datasets, flights, packages, watching
from slipway_demo.console import Journal, Stop
from slipway_demo.people import PRODUCTION, STAGING, TOOLING, Person, Place, admin, persona

PROJECT = "flight-delays"
NEVER_WHOLE = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
# How the message of a project's first commit begins; no model is built from it.
_FIRST = "slipway: stamp"


@dataclass
class Demo:
    """What the steps find out, for the report."""

    place: Place
    journal: Journal
    work: Path
    facts: dict[str, Any] = field(default_factory=dict)
    shared: bool = False  # one account is tooling, staging and production

    @property
    def accounts(self) -> dict[str, str]:
        """What an account is for → the account."""
        names = ("tooling", "staging", "production")
        return dict(zip(names, (TOOLING,) * 3 if self.shared else (TOOLING, STAGING, PRODUCTION), strict=True))

    @property
    def production(self) -> str:
        """The account that serves released models."""
        return self.accounts["production"]

    def person(self, name: str, project: str | None = PROJECT) -> Person:
        """A persona of the tooling account."""
        return persona(self.place, name, project)


def start_cloud(demo: Demo, home: Path, port: int) -> None:
    """The local cloud answers."""
    from localcloud.cli import up

    with demo.journal.step("local cloud", "AWS on this machine"):
        sys.stdout.flush()
        if up(home, port, demo.place.region) != 0:
            raise Stop("the local cloud could not be started; the reason stands above")


def deploy_platform(demo: Demo) -> None:
    """Bootstrap in three accounts, the platform in one, a workload in two; or all of it in one."""
    journal, place = demo.journal, demo.place
    accounts = {account: name for name, account in reversed(demo.accounts.items())}
    many = "one account" if demo.shared else "three accounts"
    with journal.step("platform", f"Platform: the Full Stack Developer deploys cfn/ into {many}"):
        if not _deployed(demo):
            packages.need(demo.place.endpoint)
        # No account needs another's stacks, and each waits most of the time: they are deployed side by side.
        with ThreadPoolExecutor(max_workers=3) as pool:
            deployments = [pool.submit(_deploy_account, demo, account, name) for account, name in accounts.items()]
            try:
                for deployment in deployments:
                    deployment.result()
            except KeyboardInterrupt:
                commands.end_all()  # the pool waits for its threads, and those for their commands
                raise
    stacks = resources = 0
    for account in accounts:
        cloudformation = admin(place, account).client("cloudformation")
        for page in cloudformation.get_paginator("describe_stacks").paginate():
            for stack in page["Stacks"]:
                stacks += 1
                summaries = cloudformation.get_paginator("list_stack_resources")
                pages = summaries.paginate(StackName=stack["StackName"])
                resources += sum(len(found["StackResourceSummaries"]) for found in pages)
    demo.facts["platform"] = {"stacks": stacks, "resources": resources}
    journal.line(f"{stacks} stacks, {resources} resources", style="green")


def _deploy_account(demo: Demo, account: str, name: str) -> None:
    """An account's foundation, as its administrator, and its part of the platform, as the Full Stack Developer."""
    who = f"{name:10} "
    # The platform takes longest: the others wait for the processor rather than it.
    yielding = account != TOOLING
    commands.slipway(demo.journal, admin(demo.place, account), who, "platform", "bootstrap", yielding=yielding)
    developer = persona(demo.place, "FullStackDeveloper", account=account)
    if account == TOOLING:
        others = {} if demo.shared else {"StagingAccountId": STAGING, "ProductionAccountId": PRODUCTION}
        commands.slipway(demo.journal, developer, who, "platform", "deploy", *_parameters(others))
    else:
        others = {"ToolingAccountId": TOOLING, "Environment": name}
        given = _parameters(others)
        commands.slipway(demo.journal, developer, who, "platform", "workload", *given, yielding=yielding)


def _deployed(demo: Demo) -> bool:
    """Whether the platform's stack is there and whole, of whichever version."""
    cloudformation = admin(demo.place, TOOLING).client("cloudformation")
    try:
        stack = cloudformation.describe_stacks(StackName=f"{demo.place.namespace}-platform")["Stacks"][0]
    except ClientError:
        return False
    return str(stack["StackStatus"]) in ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def load_lake(demo: Demo) -> None:
    """The data lies in the lake."""
    with demo.journal.step("data", "Data: the Data Engineer puts January to March 2013 into the lake"):
        put_dataset(demo, flights.DATASET)


def put_dataset(demo: Demo, dataset: str) -> None:
    """Put a data set into the lake, as the Data Engineer.

    Raises:
        Stop: there is no such data set.
    """
    files = datasets.files(dataset)
    engineer = demo.person("DataEngineer")
    bucket = _parameter(engineer, f"/{demo.place.namespace}/platform/lake/bucket")
    s3 = engineer.client("s3")
    for name, content in files:
        key = f"curated/{dataset}/{name}"
        if not _exists(s3, bucket, key, len(content)):
            s3.put_object(Bucket=bucket, Key=key, Body=content)
        demo.journal.line(f"s3://{bucket}/{key}  {len(content) / 1e6:.1f} MB")


def launch_project(demo: Demo) -> None:
    """The project exists, launched from Service Catalog."""
    with demo.journal.step("project", f"Project: the Data Science Admin launches {PROJECT} from Service Catalog"):
        catalogue = demo.person("DataScienceAdmin", None).client("servicecatalog")
        provisioned = _provisioned(catalogue)
        if provisioned is None or provisioned["Status"] not in ("AVAILABLE", "UNDER_CHANGE"):
            provisioned = _provision(demo, catalogue, provisioned)
        while provisioned["Status"] == "UNDER_CHANGE":
            time.sleep(0.5)
            provisioned = catalogue.describe_provisioned_product(Id=provisioned["Id"])["ProvisionedProductDetail"]
        if provisioned["Status"] != "AVAILABLE":
            raise Stop(f"the launch ended {provisioned['Status']}: {provisioned.get('StatusMessage', '')}")
    scientist = demo.person("DataScientist")
    repository = scientist.client("codecommit").get_repository(repositoryName=PROJECT)["repositoryMetadata"]
    demo.facts["project"] = {
        "name": PROJECT,
        "provisioned_product_id": provisioned["Id"],
        "clone_url": repository["cloneUrlHttp"],
    }


def _provisioned(catalogue: Any) -> dict[str, Any] | None:
    found = catalogue.search_provisioned_products(
        AccessLevelFilter={"Key": "Account", "Value": "self"}, Filters={"SearchQuery": [f"name:{PROJECT}"]}
    )["ProvisionedProducts"]
    exact = [item for item in found if item["Name"] == PROJECT]
    return exact[0] if exact else None


def _provision(demo: Demo, catalogue: Any, failed: dict[str, Any] | None) -> dict[str, Any]:
    if failed is not None:  # an earlier launch failed: what it left is removed, and it is launched anew
        catalogue.terminate_provisioned_product(
            ProvisionedProductId=failed["Id"], TerminateToken=f"demo-{time.time_ns()}"
        )
        while _provisioned(catalogue) is not None:
            time.sleep(0.5)
    products = catalogue.search_products(Filters={"FullTextSearch": ["project"]})["ProductViewSummaries"]
    if not products:
        raise Stop("Service Catalog shows the Data Science Admin no project product")
    product = products[0]["ProductId"]
    artifacts = catalogue.describe_product(Id=product)["ProvisioningArtifacts"]
    artifacts = [artifact for artifact in artifacts if artifact.get("Guidance") != "DEPRECATED"]
    path = catalogue.list_launch_paths(ProductId=product)["LaunchPathSummaries"][0]["Id"]
    given = {
        "ProjectName": PROJECT,
        "Description": "Arrival delay of flights, predicted at push-back",
        "MergePolicy": "direct",  # one person plays the Data Scientist: nobody else could approve a pull request
    }
    record = catalogue.provision_product(
        ProductId=product,
        ProvisioningArtifactId=max(artifacts, key=lambda item: item["CreatedTime"])["Id"],
        PathId=path,
        ProvisionedProductName=PROJECT,
        ProvisioningParameters=[{"Key": key, "Value": value} for key, value in given.items()],
        ProvisionToken=f"demo-{time.time_ns()}",
    )["RecordDetail"]
    _follow_stack(demo, record)
    return dict(catalogue.describe_provisioned_product(Id=record["ProvisionedProductId"])["ProvisionedProductDetail"])


def _follow_stack(demo: Demo, record: dict[str, Any]) -> None:
    """Show the launch's resources as they come, by the stack's events."""
    admin_catalogue = demo.person("DataScienceAdmin", None).client("servicecatalog")
    cloudformation = admin(demo.place, TOOLING).client("cloudformation")
    stack = f"SC-{TOOLING}-{record['ProvisionedProductId']}"
    seen: set[str] = set()
    while True:
        status = admin_catalogue.describe_record(Id=record["RecordId"])["RecordDetail"]["Status"]
        try:
            events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        except ClientError:
            events = []
        for event in reversed(events):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            if event["ResourceStatus"] in ("CREATE_COMPLETE", "CREATE_FAILED"):
                reason = f"  {event['ResourceStatusReason']}" if event.get("ResourceStatusReason") else ""
                demo.journal.line(f"{event['ResourceStatus']}  {event['LogicalResourceId']}{reason}")
        if status not in ("CREATED", "IN_PROGRESS", "IN_PROGRESS_IN_ERROR"):
            return
        time.sleep(0.5)


def push_change(demo: Demo) -> None:
    """The Data Scientist's change is on main. Skipped when a model exists, or is built at this moment."""
    journal = demo.journal
    scientist = demo.person("DataScientist")
    pipelines = scientist.client("codepipeline")
    if _packages(demo, scientist) or watching.runs(pipelines, f"{demo.place.namespace}-{PROJECT}-build", _FIRST):
        return
    packages.need(demo.place.endpoint)
    with journal.step("push", "Change: the Data Scientist clones, edits project.yaml and pushes to main"):
        clone = demo.work / PROJECT
        shutil.rmtree(clone, ignore_errors=True)
        environment = {
            **scientist.full_environment(),
            "GIT_AUTHOR_NAME": "Data Scientist",
            "GIT_AUTHOR_EMAIL": "data.scientist@example.com",
            "GIT_COMMITTER_NAME": "Data Scientist",
            "GIT_COMMITTER_EMAIL": "data.scientist@example.com",
        }
        commands.run(journal, ["git", "clone", "--quiet", demo.facts["project"]["clone_url"], str(clone)], environment)
        path = clone / "project.yaml"
        text = path.read_text()
        changed = re.sub(r"(?m)^description:.*$", "description: Arrival delay in minutes, known at push-back", text)
        changed = re.sub(r"(?m)^(\s+max_iter:\s*)(\d+)", lambda m: f"{m[1]}{int(m[2]) + 50}", changed)
        if changed == text:
            raise Stop(f"{path}: nothing to edit was found")
        path.write_text(changed)
        commands.run(journal, ["git", "-C", str(clone), "diff", "--stat"], environment)
        commands.run(journal, ["git", "-C", str(clone), "commit", "--quiet", "--all", "--message",
                       "Train longer, and say when the delay is predicted"], environment)  # fmt: skip
        commands.run(journal, ["git", "-C", str(clone), "push", "--quiet", "origin", "main"], environment)


def build_model(demo: Demo) -> None:
    """A model is registered, pending or approved."""
    journal, namespace = demo.journal, demo.place.namespace
    scientist = demo.person("DataScientist")
    pipelines = scientist.client("codepipeline")
    pipeline = f"{namespace}-{PROJECT}-build"
    head = scientist.client("codecommit").get_branch(repositoryName=PROJECT, branchName="main")["branch"]["commitId"]
    with journal.step("build", "Build: test ▸ images ▸ preprocess ▸ train ▸ evaluate ▸ gate ▸ register"):
        execution = watching.execution_of(pipelines, pipeline, head)
        try:
            watching.follow(journal, scientist, pipeline, execution)
        except Stop as failed:
            raise Stop(
                f"{failed}\n{_what_serves(demo)} Mend the project, push to main, and run make demo again."
            ) from None
        models = _packages(demo, scientist)
        if not models:
            raise Stop(f"{pipeline} succeeded, but no model is registered")
    sagemaker = scientist.client("sagemaker")
    runs = sagemaker.list_pipeline_executions(PipelineName=f"{namespace}-{PROJECT}")["PipelineExecutionSummaries"]
    demo.facts["build"] = {
        "pipeline": pipeline,
        "execution_id": execution,
        "commit_id": head,
        "sagemaker_execution_arn": runs[0]["PipelineExecutionArn"],
        "metrics": {},
    }
    newest = models[0]
    described = sagemaker.describe_model_package(ModelPackageName=newest["ModelPackageArn"])
    demo.facts["model"] = {
        "version": described.get("CustomerMetadataProperties", {}).get("version", ""),
        "model_package_arn": newest["ModelPackageArn"],
    }
    release = _release(demo, scientist, described["ModelPackageVersion"])
    demo.facts["build"]["metrics"] = release["release.json"]["metrics"]
    demo.facts["samples"] = release["samples.json"]
    figures = ", ".join(f"{name} {value:.3g}" for name, value in demo.facts["build"]["metrics"].items())
    journal.line(f"{demo.facts['model']['version']}: {figures}", style="green")


def release_model(demo: Demo) -> None:
    """The model serves from the production endpoint."""
    journal, namespace = demo.journal, demo.place.namespace
    endpoint, pipeline = f"{namespace}-{PROJECT}-production", f"{namespace}-{PROJECT}-deploy"
    arn = demo.facts["model"]["model_package_arn"]
    demo.facts["release"] = {"staging_endpoint": f"{namespace}-{PROJECT}-staging", "production_endpoint": endpoint}
    if _serves(demo, demo.production, endpoint):
        return
    with journal.step("release", "Release: package ▸ staging ▸ smoke test ▸ approval ▸ production"):
        approver = demo.person("ReleaseApprover")
        pipelines, sagemaker = approver.client("codepipeline"), approver.client("sagemaker")
        status = sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"]
        known = set(watching.executions(pipelines, pipeline))
        if status == "Approved" and watching.has_failed(pipelines, pipeline):
            _remove_what_was_never_whole(demo, endpoint)
            # Nobody starts a pipeline by hand: a release that failed is begun anew by approving anew.
            sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="PendingManualApproval")
            status = "PendingManualApproval"
        if status != "Approved":
            sagemaker.update_model_package(
                ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="The metrics hold."
            )
            journal.line("the Release Approver approves the package in the registry")
            execution = watching.newest_execution(pipelines, pipeline, known)
        else:
            execution = watching.executions(pipelines, pipeline)[0]
        if watching.follow(journal, approver, pipeline, execution, until_action="Approve") == "Waiting":
            _approve(journal, pipelines, pipeline)
            watching.follow(journal, approver, pipeline, execution)
        if not _serves(demo, demo.production, endpoint):
            raise Stop(f"{pipeline} succeeded, but endpoint {endpoint} in {demo.production} is not in service")


def _remove_what_was_never_whole(demo: Demo, stack: str) -> None:
    """As docs/troubleshooting.md has it: the pipeline deletes nothing in production, and updates no such stack."""
    cloudformation = admin(demo.place, demo.production).client("cloudformation")
    try:
        status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if "does not exist" in str(error):
            return
        raise
    if status not in NEVER_WHOLE:
        return
    role = f"arn:aws:iam::{demo.production}:role/{demo.place.namespace}-release-cloudformation-production"
    cloudformation.delete_stack(StackName=stack, RoleARN=role)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    demo.journal.line(f"the administrator of production removes {stack}, {status.lower()}: it was never whole")


def _approve(journal: Journal, pipelines: Any, pipeline: str) -> None:
    for stage in pipelines.get_pipeline_state(name=pipeline)["stageStates"]:
        for action in stage["actionStates"]:
            token = action.get("latestExecution", {}).get("token")
            if token and action["latestExecution"]["status"] == "InProgress":
                pipelines.put_approval_result(
                    pipelineName=pipeline, stageName=stage["stageName"], actionName=action["actionName"], token=token,
                    result={"summary": "Staging answers as evaluated.", "status": "Approved"},
                )  # fmt: skip
                journal.line("the Release Approver approves the release")
                return
    raise Stop(f"{pipeline} waits for an approval, but shows no token")


def predict(demo: Demo) -> None:
    """Ten real flights."""
    with demo.journal.step("predictions", "Use: the production endpoint predicts ten real flights"):
        samples = demo.facts["samples"]
        rows = samples["rows"][:10]
        lines = [",".join("" if value is None else str(value) for value in row) for row in rows]
        body = "\n".join([",".join(samples["columns"]), *lines])
        runtime = admin(demo.place, demo.production).client("sagemaker-runtime")
        answer = runtime.invoke_endpoint(
            EndpointName=demo.facts["release"]["production_endpoint"],
            ContentType="text/csv; header=present",
            Accept="application/json",
            Body=body.encode(),
        )
        predicted = json.loads(answer["Body"].read())["predictions"]
        demo.facts["predictions"] = [
            {"predicted": round(float(value), 2), "actual": float(truth)}
            for value, truth in zip(predicted, samples["truth"][:10], strict=True)
        ]
        demo.facts["sample_rows"] = [dict(zip(samples["columns"], row, strict=True)) for row in rows]


def _serves(demo: Demo, account: str, endpoint: str) -> bool:
    sagemaker = admin(demo.place, account).client("sagemaker")
    try:
        return bool(sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "InService")
    except ClientError:
        return False


def _what_serves(demo: Demo) -> str:
    """One sentence on production, for who has just read that a build failed."""
    endpoint = f"{demo.place.namespace}-{PROJECT}-production"
    if not _serves(demo, demo.production, endpoint):
        return "No model serves in production yet."
    sagemaker = admin(demo.place, demo.production).client("sagemaker")
    arn = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    return (
        f"Nothing was released: {tags.get('ModelVersion', 'the old model')} still serves from {endpoint} in production."
    )


def _packages(demo: Demo, person: Person) -> list[dict[str, Any]]:
    answer = person.client("sagemaker").list_model_packages(
        ModelPackageGroupName=f"{demo.place.namespace}-{PROJECT}", SortBy="CreationTime", SortOrder="Descending"
    )
    return list(answer["ModelPackageSummaryList"])


def _release(demo: Demo, person: Person, version: int) -> dict[str, Any]:
    bucket = _parameter(person, f"/{demo.place.namespace}/projects/{PROJECT}/bucket")
    content = person.client("s3").get_object(Bucket=bucket, Key=f"releases/{version}.zip")["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        return {name: json.loads(bundle.read(name)) for name in bundle.namelist() if name.endswith(".json")}


def _parameter(person: Person, name: str) -> str:
    return str(person.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def _exists(s3: Any, bucket: str, key: str, size: int) -> bool:
    try:
        return bool(s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == size)
    except ClientError:
        return False


def _parameters(values: Mapping[str, str]) -> list[str]:
    return [argument for name, value in values.items() for argument in ("--parameter", f"{name}={value}")]
