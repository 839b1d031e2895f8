"""slipway release …"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from slipway.cli import common
from slipway.progress import Progress, table
from slipway.settings import environment

HELP = "from an approved model to an endpoint"


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    pack = verbs.add_parser("package", help="write what the deploy pipeline deploys, if the model is still approved")
    pack.add_argument("--bundle", type=Path, default=Path(), help="the unpacked release bundle (default: here)")
    pack.add_argument("--output", type=Path, default=Path("build"), help="folder for the files (default: build)")
    common.add_namespace(pack)
    pack.set_defaults(run=package)
    check = verbs.add_parser("verify", help="send the sample rows to staging's endpoint and compare the answers")
    check.add_argument("--bundle", type=Path, default=Path(), help="the unpacked release bundle (default: here)")
    common.add_namespace(check)
    check.set_defaults(run=verify)


def package(given: argparse.Namespace) -> None:
    """slipway release package"""
    from slipway.release.package import Bundle
    from slipway.release.package import package as run

    files = run(common.session(), common.namespace(given), Bundle(given.bundle), given.output)
    Progress().say(f"wrote {', '.join(files)} to {given.output}")


def verify(given: argparse.Namespace) -> None:
    """slipway release verify"""
    from slipway import settings
    from slipway.release import names
    from slipway.release import verify as smoke
    from slipway.release.package import Bundle

    progress, session, namespace = Progress(), common.session(), common.namespace(given)
    project = environment("SLIPWAY_PROJECT")
    own = settings.project(session.client("ssm"), namespace, project)
    partition = own["execution-role-arn"].split(":")[1]
    role = names.verifier(partition, own["staging-account"], namespace, "staging")
    staging = smoke.assume(session, role, f"verify-{project}")
    endpoint, samples = names.endpoint(namespace, project, "staging"), Bundle(given.bundle).samples
    smoke.wait_in_service(staging.client("sagemaker"), endpoint, progress)
    predictions = smoke.verify(staging.client("sagemaker-runtime"), endpoint, samples, progress)
    rows = [(f"{given:.2f}", truth) for given, truth in zip(predictions, samples["truth"], strict=True)]
    print(table(rows[:10], ("predicted", samples["target"])))
    progress.say(f"{endpoint} answers as the model did when it was evaluated")
