"""slipway image …"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from slipway.cli import common
from slipway.progress import Progress
from slipway.settings import environment

HELP = "the project's images, named by what goes into them"


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    texts = {
        "tag": "print the tag of an image: a hash of what goes into it",
        "build": "build and push an image, unless the registry has it",
    }
    for name, run in (("tag", tag), ("build", build)):
        verb = verbs.add_parser(name, help=texts[name])
        verb.add_argument("name", metavar="NAME", help="preprocessing, training or inference")
        common.add_root(verb)
        common.add_namespace(verb)
        if name == "build":
            verb.add_argument(
                "--pip-configuration",
                type=Path,
                help="pip's configuration file for the build, a build secret (default: the platform's package index)",
            )
        verb.set_defaults(run=run)


def _find(given: argparse.Namespace, session: Any) -> tuple[Any, Any, str]:
    from slipway import images, settings

    images.check_name(given.name)
    namespace, ssm, ecr = common.namespace(given), session.client("ssm"), session.client("ecr")
    base = images.base_image(ecr, settings.platform(ssm, namespace)["builds/base-image"])
    uri = settings.project(ssm, namespace, environment("SLIPWAY_PROJECT"))[f"ecr/{given.name}"]
    return ecr, images.find(ecr, given.root.resolve(), given.name, uri, base), base


def tag(given: argparse.Namespace) -> None:
    """slipway image tag NAME"""
    _, image, _ = _find(given, common.session())
    print(image.tag)


def build(given: argparse.Namespace) -> None:
    """slipway image build NAME"""
    from slipway import images, packages

    progress, session = Progress(), common.session()
    ecr, image, base = _find(given, session)
    if image.digest is not None:
        progress.say(f"{image.tagged}: there already, nothing in it has changed ({image.digest})")
        return
    progress.say(f"{image.tagged}: building")
    images.start_engine(progress)
    images.login(ecr, image.repository_uri.partition("/")[0])
    root = given.root.resolve()
    if given.pip_configuration is not None:
        images.build(image, root, base, given.pip_configuration)
    else:
        with packages.pip_configuration(session, packages.place(session, common.namespace(given))) as configuration:
            images.build(image, root, base, configuration)
    digest = images.digest_of(ecr, image.repository_uri, image.tag)
    progress.say(f"{image.tagged}: pushed {digest}")
