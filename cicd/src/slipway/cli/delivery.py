"""slipway platform …: the verbs of the delivery pipeline's builds, and of the build that publishes products."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from slipway.cli import common
from slipway.progress import Progress
from slipway.settings import environment

REQUESTS = ("Create", "Update", "Delete")


def add(verbs: Any) -> None:
    """Add the verbs to the parser of `slipway platform`."""
    verb = verbs.add_parser("check", help="whether templates, buildspecs and products can be read; seconds, no account")
    _add_repository(verb)
    verb.set_defaults(run=check)
    verb = verbs.add_parser("release", help="pack a release, lay it into every account, describe what is deployed")
    _add_repository(verb)
    verb.add_argument("--output", type=Path, default=Path("build/release"), help="folder (default: build/release)")
    common.add_namespace(verb)
    verb.set_defaults(run=release)
    verb = verbs.add_parser("changes", help="show what a change set and a packed release change")
    verb.add_argument("--release", type=Path, default=Path(), help="the packed release (default: here)")
    verb.add_argument("--change-set", required=True, help="name of the change set of the platform's stack")
    common.add_namespace(verb)
    verb.set_defaults(run=changes)
    verb = verbs.add_parser("publish", help="publish the products of the deployed release and their versions")
    verb.add_argument("--request", choices=REQUESTS, default="Update", help="what a stack asks for (default: Update)")
    common.add_namespace(verb)
    verb.set_defaults(run=publish)


def _add_repository(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--repository", type=Path, default=Path(), help="the platform repository (default: here)")


def check(given: argparse.Namespace) -> None:
    """slipway platform check"""
    from slipway.platform import delivery

    Progress().say(f"{delivery.check(given.repository.resolve())} files can be read")


def release(given: argparse.Namespace) -> None:
    """slipway platform release"""
    from slipway.platform import delivery

    delivery.pack(common.session(), common.namespace(given), given.repository.resolve(), given.output, Progress())


def changes(given: argparse.Namespace) -> None:
    """slipway platform changes"""
    from slipway.platform import delivery

    for line in delivery.changes(common.session(), common.namespace(given), given.release, given.change_set):
        print(line)


def publish(given: argparse.Namespace) -> None:
    """slipway platform publish: what is the platform's comes from its contracts, the rest from the environment."""
    from slipway import settings
    from slipway.platform import catalogue

    session, namespace = common.session(), common.namespace(given)
    contracts = settings.platform(session.client("ssm"), namespace)
    shelf = catalogue.Shelf(
        session=session,
        namespace=namespace,
        cost_center=environment("SLIPWAY_COST_CENTER", "ml-platform"),
        bucket=contracts["assets/bucket"],
        prefix=contracts["assets/prefix"],
        studio_templates=environment("SLIPWAY_STUDIO_TEMPLATES", "false") == "true",
    )
    catalogue.request(shelf, given.request, Progress())
