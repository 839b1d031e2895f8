"""slipway release …"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from slipway.cli import common
from slipway.progress import Progress, table
from slipway.settings import environment

HELP = "from an approved model to staging and production"


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    pack = verbs.add_parser("package", help="write what the deploy pipeline deploys, if the model is still approved")
    pack.add_argument("--bundle", type=Path, default=Path(), help="the unpacked release bundle (default: here)")
    pack.add_argument("--output", type=Path, default=Path("build"), help="folder for the files (default: build)")
    common.add_namespace(pack)
    pack.set_defaults(run=package)
    check = verbs.add_parser("verify", help="have staging answer the sample rows, and compare the answers")
    check.add_argument("--bundle", type=Path, default=Path(), help="the unpacked release bundle (default: here)")
    common.add_namespace(check)
    check.set_defaults(run=verify)


def package(given: argparse.Namespace) -> None:
    """slipway release package"""
    from slipway.release.package import Bundle
    from slipway.release.package import package as run

    build = environment("CODEBUILD_BUILD_ID", "by hand")
    files = run(common.session(), common.namespace(given), Bundle(given.bundle), given.output, build)
    Progress().say(f"wrote {', '.join(files)} to {given.output}")


def verify(given: argparse.Namespace) -> None:
    """slipway release verify"""
    from slipway import settings
    from slipway.errors import SlipwayError
    from slipway.release import batch, names
    from slipway.release import verify as smoke
    from slipway.release.package import Bundle

    progress, session, namespace = Progress(), common.session(), common.namespace(given)
    project = environment("SLIPWAY_PROJECT")
    own = settings.project(session.client("ssm"), namespace, project)
    partition = own["execution-role-arn"].split(":")[1]
    role = names.verifier(partition, own["staging-account"], namespace, "staging")
    staging, bundle = smoke.assume(session, role, f"verify-{project}"), Bundle(given.bundle)
    samples, serving, predictions = bundle.samples, bundle.serving, list[float]()
    if serving != "batch":
        endpoint = names.endpoint(namespace, project, "staging")
        smoke.wait_in_service(staging.client("sagemaker"), endpoint, progress)
        predictions = smoke.verify(staging.client("sagemaker-runtime"), endpoint, samples, progress)
    if serving != "real-time":
        release = batch.released(staging.client("cloudformation"), namespace, project, "staging")
        if release.version != bundle.release["version"]:
            raise SlipwayError(f"staging has {release.version}, not {bundle.release['version']}: release it again")
        job = batch.job_name(namespace, project, "staging")
        predictions = smoke.verify_batch(staging, release, project, job, samples, progress)
    rows = [(f"{given:.2f}", truth) for given, truth in zip(predictions, samples["truth"], strict=True)]
    print(table(rows[:10], ("predicted", samples["target"])))
    progress.say(f"staging ({serving}) answers as the model did when it was evaluated")
