"""slipway batch …"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from slipway.cli import common
from slipway.progress import Progress

HELP = "have a released model answer files, in transform jobs"
ENVIRONMENTS = ("production", "staging")


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    job = verbs.add_parser("run", help="bring a file, run a transform job with the released model, fetch the answers")
    job.add_argument("--project", required=True, help="the project whose model it is")
    job.add_argument("--environment", choices=ENVIRONMENTS, default="production", help="default: production")
    job.add_argument(
        "--input",
        required=True,
        help="a file with a row a line, or s3://… of files that lie in the batch bucket below jobs/PROJECT/in/ already",
    )
    job.add_argument("--output", type=Path, help="folder for the answers (default: they stay where the job writes)")
    job.add_argument(
        "--content-type", choices=("text/csv", "application/jsonlines"), help="default: by the file's name"
    )
    job.add_argument(
        "--account",
        help="the environment's account (default: what the project publishes in your shell's account)",
    )
    common.add_namespace(job)
    job.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """slipway batch run"""
    from slipway import settings
    from slipway.release import names, run_batch
    from slipway.release.verify import assume

    session, namespace = common.session(), common.namespace(given)
    file = run_batch.source(given.input, given.content_type)
    own = session.client("sts").get_caller_identity()
    account = given.account or settings.project(session.client("ssm"), namespace, given.project).get(
        f"{given.environment}-account", own["Account"]
    )
    role = names.batch_operator(own["Arn"].split(":")[1], account, namespace, given.environment)
    operator = assume(session, role, f"batch-{given.project}")
    work = run_batch.Work(namespace, given.project, given.environment, file, given.output)
    run_batch.run(operator, work, Progress())
