"""Makes a model: from a commit of a project to a version in the registry and a release bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from slipway import champion, configuration, experiment, images, registry, retraining, settings
from slipway.claims import Claim, Claims
from slipway.errors import SlipwayError
from slipway.outputs import report_problems
from slipway.pipeline import run
from slipway.pipeline.constraints import constraints
from slipway.pipeline.plan import Place, Plan, asked
from slipway.progress import Progress, table
from slipway.release import bundle
from slipway.release.authors import authors
from slipway.settings import Parameters
from slipway.versions import Cause, Version


@dataclass(frozen=True)
class Build:
    """What a model build is about."""

    session: Any
    namespace: str
    name: str
    root: Path
    commit: str
    cause: Cause
    token: str = ""
    pusher: str = ""


def prepare(build: Build) -> tuple[Plan, Parameters]:
    """Gather everything that the pipeline's definition depends on. Raises SlipwayError if something is missing."""
    project = configuration.load(build.root / "project.yaml")
    if project.project != build.name:
        raise SlipwayError(
            f"project.yaml: project: given {project.project!r}, allowed {build.name!r}: the name that was launched"
        )
    ssm = build.session.client("ssm")
    platform = settings.platform(ssm, build.namespace)
    own = settings.project(ssm, build.namespace, build.name)
    ecr = build.session.client("ecr")
    base = images.base_image(ecr, platform["builds/base-image"])
    pinned = {name: images.find(ecr, build.root, name, own[f"ecr/{name}"], base).pinned for name in images.NAMES}
    place = Place(
        name=own["sagemaker-pipeline"],
        region=build.session.region_name,
        role_arn=own["execution-role-arn"],
        bucket=own["bucket"],
        key_arn=own["key-arn"],
        subnets=tuple(platform.list("network/private-subnet-ids")),
        security_groups=tuple(platform.list("network/compute-security-group-id")),
        model_package_group=own["model-package-group"],
        # The roles' policies refuse a job without these tags.
        tags={"Namespace": build.namespace, "Project": build.name, "CostCenter": own["cost-center"]},
        tracking_server=platform.get("mlflow/tracking-server-arn"),
    )
    data_uri = f"s3://{platform['lake/bucket']}/curated/{project.data.dataset}/"
    return Plan(project, place, pinned, data_uri), own


def data_version(s3: Any, uri: str) -> str:
    """A fingerprint of a dataset: the keys, sizes and entity tags below its address. Raises SlipwayError if empty."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    objects = [(item["Key"], item["Size"], item["ETag"]) for page in pages for item in page.get("Contents", [])]
    if not any(size for _, size, _ in objects):
        raise SlipwayError(
            f"project.yaml: data.dataset: there is nothing at {uri}: name a dataset that the lake has below curated/, "
            "or ask the data engineer to put it there"
        )
    return hashlib.sha256(json.dumps(sorted(objects)).encode()).hexdigest()[:16]


def build(build: Build, progress: Progress, define: Callable[[Plan, Any], str]) -> dict[str, Any]:
    """Train, measure and register the model of a commit, and write its release bundle. Returns what release.json says.

    Run again for the same commit, data and cause it finds the model that is registered already and makes no second one.
    A scheduled build that finds nothing new since the newest version makes none either, and returns that version.
    """
    sagemaker, s3 = build.session.client("sagemaker"), build.session.client("s3")
    plan, own = prepare(build)
    group = plan.place.model_package_group
    refuse_going_back(plan.project.tag, registry.highest_tag(sagemaker, group))
    retraining.refuse_without_schedule(plan.project.retraining.schedule, own.get("retraining-schedule"))
    data = data_version(s3, plan.data_uri)
    progress.say(f"data {plan.data_uri} (version {data})")
    newest = registry.newest(sagemaker, group, plan.project.tag)
    if newest is not None and (said := _nothing_new(build, newest.metadata, data, plan.images)):
        progress.say(f"{newest.version} {said}")
        return _finish(build, newest.arn, plan, own, progress)
    standing = champion.standing(sagemaker, group, plan.project, lambda uri: bundle.read(s3, uri))
    if standing is not None:
        progress.say(standing.said)
    claims, claim = _claim(build, plan)
    version = str(claim.version)
    progress.say(f"composing the SageMaker pipeline {plan.place.name} for {version}")
    text = define(plan, build.session)
    done = run.upsert(sagemaker, plan.place.name, text, plan.place.role_arn, plan.place.tags)
    progress.say(f"SageMaker pipeline {plan.place.name}: {done}")
    _keep_constraints(s3, plan)
    parameters = {
        "ModelVersion": version,
        "CommitId": build.commit,
        "Cause": build.cause,
        "DataUri": plan.data_uri,
        "DataVersion": data,
        **(standing.parameters() if standing is not None else {}),
    }
    token = hashlib.sha256("|".join((build.token, *parameters.values())).encode()).hexdigest()
    claims.renew(claim)
    words = run.description(version, build.token, f"{build.cause} {build.commit}")
    arn = run.start(sagemaker, plan.place.name, parameters, token, words)
    progress.say(f"started {arn}")
    execution = run.wait(sagemaker, arn, progress)
    package = execution.model_package()
    _note(build, plan, execution, parameters, package or "", progress)
    if execution.status != "Succeeded" or package is None:
        raise run.failure(execution, build.session, _explain(build, execution, plan))
    return _finish(build, package, plan, own, progress)


def refuse_going_back(tag: int, highest: int | None) -> None:
    """Versions only rise. Raises SlipwayError for a tag below one that a model has already."""
    if highest is not None and tag < highest:
        raise SlipwayError(
            f"project.yaml: tag: versions do not go back: given {tag}, allowed {highest} or more, because there is a "
            f"model of tag {highest} already. To return to an earlier model, release its version again; to train the "
            f"earlier code anew, keep `tag: {highest}`, or raise it"
        )


def next_version(build: Build) -> Version:
    """The version that a build would claim now; nothing is claimed."""
    plan, _ = prepare(build)
    sagemaker, group = build.session.client("sagemaker"), plan.place.model_package_group
    refuse_going_back(plan.project.tag, registry.highest_tag(sagemaker, group))
    return _claims(build, plan).preview(plan.project.tag, _registered(sagemaker, plan), build.cause)


def _nothing_new(build: Build, metadata: Mapping[str, str], data: str, pinned: Mapping[str, str]) -> str:
    """Why the newest version is what this build would make; nothing if it is not."""
    if (metadata.get("commit"), metadata.get("data-version")) != (build.commit, data):
        return ""
    if build.cause == metadata.get("cause"):
        return f"is registered already for commit {build.commit[:8]}, this data and this cause"
    # A base image that was patched gives other images for the same commit.
    same = all(metadata.get(f"image-{name}", image) == image for name, image in pinned.items())
    if build.cause != "merge" and same:
        return "is of this commit, these images and this data: nothing is new, so that no model is made"
    return ""


def _claims(build: Build, plan: Plan) -> Claims:
    sagemaker = build.session.client("sagemaker")

    def state(claim: Claim) -> run.State:
        return run.state(sagemaker, plan.place.name, str(claim.version), claim.build)

    return Claims(build.session.client("s3"), plan.place.bucket, plan.place.key_arn, state)


def _registered(sagemaker: Any, plan: Plan) -> Callable[[], list[Version]]:
    def registered() -> list[Version]:
        newest = registry.newest(sagemaker, plan.place.model_package_group, plan.project.tag)
        return [newest.version] if newest else []

    return registered


def _claim(build: Build, plan: Plan) -> tuple[Claims, Claim]:
    claims = _claims(build, plan)
    registered = _registered(build.session.client("sagemaker"), plan)
    return claims, claims.take(plan.project.tag, registered, build.cause, build.token)


def _keep_constraints(s3: Any, plan: Plan) -> None:
    """Lay down the file that the definition names; the same gate has the same file, so that writing it twice is one."""
    file = constraints(plan.project)
    s3.put_object(
        Bucket=plan.place.bucket,
        Key=file.key,
        Body=file.body,
        ContentType="application/json",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=plan.place.key_arn,
    )


def _explain(build: Build, execution: run.Execution, plan: Plan) -> str:
    """Why the gate could not be asked, if it could not: what is wrong with the evaluation report."""
    if not any(step["StepStatus"] == "Failed" and step["StepName"].startswith("Gate-") for step in execution.steps):
        return ""
    try:
        uri = run.evaluation_uri(build.session.client("sagemaker"), execution)
        report = bundle.read(build.session.client("s3"), uri) if uri else b""
    except (ClientError, SlipwayError) as error:
        return f"the evaluation report cannot be read: {error}"
    problems = report_problems(report, plan.project.problem, asked(plan))
    return "; ".join([*problems, "mend the project's evaluate.py"]) if report else ""


def _note(
    build: Build, plan: Plan, execution: run.Execution, parameters: Mapping[str, str], package: str, progress: Progress
) -> None:
    """Tell the project's experiment, where the platform has a tracking server. A model is made without it, too."""
    if not plan.place.tracking_server:
        return
    sagemaker, s3 = build.session.client("sagemaker"), build.session.client("s3")
    named = experiment.name(build.namespace, build.name)
    if asleep := experiment.asleep(sagemaker, plan.place.tracking_server):
        progress.say(f"experiment {named}: this run is missing from it (no model is lost by that): {asleep}")
        return
    try:
        uri = run.evaluation_uri(sagemaker, execution)
        report = bundle.read(s3, uri) if uri else b""
    except (ClientError, SlipwayError):  # a step failed before there was one
        report = b""
    try:
        noted = experiment.run_of(plan, execution, sagemaker, report, parameters, package)
        run_id = experiment.note(build.session, plan.place.tracking_server, named, noted)
    except (ClientError, experiment.ExperimentError) as error:
        progress.say(f"experiment {named}: this run is missing from it (no model is lost by that): {error}")
    else:
        progress.say(f"experiment {named}: run {run_id}")


def _finish(build: Build, package: str, plan: Plan, own: Parameters, progress: Progress) -> dict[str, Any]:
    sagemaker, s3 = build.session.client("sagemaker"), build.session.client("s3")
    model = registry.describe(sagemaker, package)
    # Who decides on the model must be somebody else: `slipway release package` goes by what is written here.
    made = authors(build.session.client("codecommit"), own["repository"], build.commit, build.pusher)
    release = bundle.write(
        s3,
        bundle.Source(build.name, build.root / "project.yaml", registry.report_uri(sagemaker, package), tuple(made)),
        model,
        bundle.Target(own["bucket"], own["key-arn"]),
        plan.images["inference"],
    )
    progress.say(f"release bundle {release['bundle']}")
    rows = []
    for metric, value in release["metrics"].items():
        bound = plan.project.quality_gate.get(metric)
        limit = "" if bound is None else f"at most {bound.max}" if bound.max is not None else f"at least {bound.min}"
        rows.append((metric, f"{value:.4f}", limit))
    print(table(rows, ("metric", "value", "allowed")))
    progress.say(f"{model.version} registered ({model.approval}): {model.arn}")
    _keep_schedule(build, plan.project.retraining.schedule, own, progress)
    return release


def _keep_schedule(build: Build, wanted: str | None, own: Parameters, progress: Progress) -> None:
    """Keep the schedule as the commit says, now that its model is good."""
    # An endpoint that the network lacks is told soon, not after the usual minute for each of five tries.
    soon = Config(connect_timeout=10, retries={"max_attempts": 2})
    noted = retraining.Note(build.session.client("s3"), own["bucket"], own["key-arn"])
    # Who never had a schedule asks nobody for it: not every platform has the endpoint.
    if (schedule := own.get("retraining-schedule")) and (wanted or noted.read()):
        progress.say(retraining.apply(build.session.client("scheduler", config=soon), schedule, wanted))
        noted.write(wanted)
