"""What several commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.settings import environment


def session() -> Any:
    """A boto3 session from the environment, as everywhere on AWS."""
    import boto3

    # boto3 reads AWS_DEFAULT_REGION only; CodeBuild and Lambda set AWS_REGION as well.
    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)


def add_root(parser: argparse.ArgumentParser) -> None:
    """`--root`: the project's folder."""
    parser.add_argument("--root", type=Path, default=Path(), help="the project's root folder (default: here)")


def add_namespace(parser: argparse.ArgumentParser) -> None:
    """`--namespace`: which platform."""
    parser.add_argument("--namespace", help="namespace of the platform (default: SLIPWAY_NAMESPACE, or slipway)")


def namespace(given: argparse.Namespace) -> str:
    """The namespace of the platform."""
    return str(given.namespace or environment("SLIPWAY_NAMESPACE", "slipway"))


def add_pip_configuration(parser: argparse.ArgumentParser) -> None:
    """`--pip-configuration`: the file that `aws codeartifact login --tool pip` writes."""
    parser.add_argument(
        "--pip-configuration",
        type=Path,
        help="pip's configuration file with the package index; a build secret (default: where pip looks for it)",
    )


def pip_configuration(given: argparse.Namespace) -> Path | None:
    """pip's configuration file, None if there is none."""
    if given.pip_configuration is not None:
        return Path(given.pip_configuration)
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = [os.environ.get("PIP_CONFIG_FILE"), base / "pip" / "pip.conf", Path.home() / ".pip" / "pip.conf"]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


def add_deployment(parser: argparse.ArgumentParser, *, repository: bool = True) -> None:
    """`--repository`, `--namespace` and `--parameter`: what is deployed, and how."""
    if repository:
        parser.add_argument("--repository", type=Path, default=Path(), help="the platform repository (default: here)")
    add_namespace(parser)
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the root template; may be given several times",
    )


def deployment(given: argparse.Namespace) -> Any:
    """What `add_deployment` asked for. Raises SlipwayError if a parameter is not NAME=VALUE."""
    from slipway.platform.deploy import Deployment

    parameters = {}
    for pair in given.parameter:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise SlipwayError(f"--parameter: given {pair!r}, allowed NAME=VALUE")
        parameters[name] = value
    return Deployment(session(), namespace(given), given.repository.resolve(), parameters)
