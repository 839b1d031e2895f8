"""slipway project …"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.cli import common
from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.settings import environment

if TYPE_CHECKING:
    from slipway.configuration.operation import Notifications

HELP = "the project configuration file, and the stamping of new projects"


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    check = verbs.add_parser("validate", help="check project.yaml: exit code 2 and one message for each problem")
    common.add_root(check)
    common.add_namespace(check)
    check.add_argument(
        "--subscribe", action="store_true", help="and ask the addresses of a good file whether they agree to be told"
    )
    check.set_defaults(run=validate)
    page = verbs.add_parser("reference", help="print the reference of project.yaml, in Markdown")
    page.set_defaults(run=reference)
    schema = verbs.add_parser("schema", help="print the JSON Schema of project.yaml")
    schema.set_defaults(run=print_schema)
    first = verbs.add_parser("stamp", help="render the seed code and push it as a repository's first commit")
    first.add_argument("--template", type=Path, required=True, help="the cookiecutter template: a folder or a zip")
    common.add_namespace(first)
    first.set_defaults(run=stamp)
    later = verbs.add_parser("update", help="offer every project the release's seed code, by a pull request")
    common.add_namespace(later)
    later.set_defaults(run=update)
    end = verbs.add_parser("remove", help="take away what a project made beside its stack, which is being deleted")
    common.add_namespace(end)
    end.set_defaults(run=remove)


def validate(given: argparse.Namespace) -> None:
    """slipway project validate"""
    from slipway import configuration

    path = given.root / "project.yaml"
    project = configuration.load(path)
    print(f"{path}: good ({project.project}, tag {project.tag}, {project.problem} on {project.data.dataset})")
    if given.subscribe and project.notifications is not None:  # not every platform has the endpoint
        _subscribe(project.notifications, common.namespace(given))


def _subscribe(wanted: Notifications, namespace: str) -> None:
    """Which project comes from the environment, as its builds have it."""
    from botocore.config import Config

    from slipway import notifications, settings

    progress, session = Progress(), common.session()
    own = settings.project(session.client("ssm"), namespace, environment("SLIPWAY_PROJECT"))
    # An endpoint that the network lacks is told soon, not after the usual minute for each of five tries.
    sns = session.client("sns", config=Config(connect_timeout=10, retries={"max_attempts": 2}))
    for said in notifications.apply(sns, own.get("topic-arn"), wanted):
        progress.say(said)


def reference(given: argparse.Namespace) -> None:
    """slipway project reference"""
    from slipway.configuration.reference import reference as page

    print(page(), end="")


def print_schema(given: argparse.Namespace) -> None:
    """slipway project schema"""
    from slipway.configuration.reference import json_schema

    print(json_schema(), end="")


def stamp(given: argparse.Namespace) -> None:
    """slipway project stamp: all about the project comes from the environment, as the stamp build has it."""
    from slipway import settings
    from slipway.stamp import Stamp, put_placeholder
    from slipway.stamp import stamp as run

    text = environment("SLIPWAY_ANSWERS", "{}")
    try:
        answers = {str(name): str(value) for name, value in json.loads(text).items()}
    except (ValueError, AttributeError):
        raise SlipwayError(
            f"SLIPWAY_ANSWERS: given {text!r}, allowed a JSON object of the template's answers"
        ) from None
    progress, session = Progress(), common.session()
    release = environment("SLIPWAY_ASSETS_PREFIX", "")
    elsewhere = environment("SLIPWAY_CLONE_URL", "")
    wanted = Stamp(environment("SLIPWAY_PROJECT"), environment("SLIPWAY_REPOSITORY"), answers, release, elsewhere)
    run(session.client("codecommit"), wanted, given.template, progress)
    own = settings.project(session.client("ssm"), common.namespace(given), wanted.project)
    put_placeholder(session.client("s3"), own["bucket"], own["key-arn"], progress)


def update(given: argparse.Namespace) -> None:
    """slipway project update: which release comes from the environment, as the template-update build has it."""
    from slipway.template import job

    bucket, prefix = environment("SLIPWAY_ASSETS_BUCKET"), environment("SLIPWAY_ASSETS_PREFIX")
    job.run(common.session(), common.namespace(given), bucket, prefix, Progress())


def remove(given: argparse.Namespace) -> None:
    """slipway project remove: all about the project comes from the environment, as the removal build has it."""
    from slipway import removal
    from slipway.release.verify import assume

    data = environment("SLIPWAY_DATA", "keep")
    if data not in ("keep", "delete"):
        raise SlipwayError(f"SLIPWAY_DATA: given {data!r}, allowed keep, delete")
    session = common.session()
    identity = session.client("sts").get_caller_identity()
    wanted = removal.Removal(
        namespace=common.namespace(given),
        project=environment("SLIPWAY_PROJECT"),
        account=identity["Account"],
        region=session.region_name,
        partition=identity["Arn"].split(":")[1],
        environments={
            "staging": environment("SLIPWAY_STAGING_ACCOUNT"),
            "production": environment("SLIPWAY_PRODUCTION_ACCOUNT"),
        },
        data="delete" if data == "delete" else "keep",
        connected=environment("SLIPWAY_SOURCE_PROVIDER", "CodeCommit") != "CodeCommit",
    )
    removal.remove(session, wanted, Progress(), assume)
