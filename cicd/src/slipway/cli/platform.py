"""slipway platform …"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from slipway.cli import common, operations
from slipway.cli import delivery as deliveries
from slipway.errors import SlipwayError
from slipway.progress import Progress, table
from slipway.settings import environment

HELP = "brings the platform into an account"


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    texts = {
        "bootstrap": "deploy an account's foundation, as its administrator: once for each account, and for upgrades",
        "deploy": "deploy the platform into the tooling account, as the Full Stack Developer",
        "workload": "deploy a staging or production account's part, as its Full Stack Developer",
        "delivery": "deploy the pipeline that delivers the platform from its repository, beside the platform",
        "upload": "lay a release into the account's assets bucket, for who deploys by other means, and say its prefix",
        "package": "pack the assets of a release into a folder, for a look at them",
    }
    runs = (bootstrap, deploy, workload, delivery, upload, package)
    for name, run in ((run.__name__, run) for run in runs):
        verb = verbs.add_parser(name, help=texts[name])
        verb.add_argument("--repository", type=Path, default=Path(), help="the platform repository (default: here)")
        if name == "package":
            verb.add_argument(
                "--output", type=Path, default=Path("build/assets"), help="folder (default: build/assets)"
            )
        else:
            common.add_deployment(verb, repository=False)
        verb.set_defaults(run=run)
    deliveries.add(verbs)
    made = verbs.add_parser("artifacts", help="mirror the base image, publish the package, build the build image")
    made.add_argument("--wheel", type=Path, required=True, help="the wheel to publish")
    made.add_argument("--context", type=Path, default=Path(), help="the build image's context (default: here)")
    made.add_argument("--pinned", type=Path, help="file to write the base image to, pinned by its digest")
    common.add_namespace(made)
    common.add_pip_configuration(made)
    made.set_defaults(run=artifacts)
    operations.add(verbs)


def _tell(outputs: dict[str, str], progress: Progress) -> None:
    if outputs:
        print(table(sorted(outputs.items()), ("output", "value")))
    progress.say("done")


def bootstrap(given: argparse.Namespace) -> None:
    """slipway platform bootstrap"""
    from slipway.platform import deploy as deployer

    progress = Progress()
    _tell(deployer.bootstrap(common.deployment(given), progress), progress)


def deploy(given: argparse.Namespace) -> None:
    """slipway platform deploy"""
    from slipway.platform import deploy as deployer

    progress = Progress()
    _tell(deployer.release(common.deployment(given), "platform", progress), progress)


def workload(given: argparse.Namespace) -> None:
    """slipway platform workload"""
    from slipway.platform import deploy as deployer

    progress = Progress()
    _tell(deployer.release(common.deployment(given), "workload", progress), progress)


def delivery(given: argparse.Namespace) -> None:
    """slipway platform delivery"""
    from slipway.platform import deploy as deployer

    progress = Progress()
    _tell(deployer.release(common.deployment(given), "delivery", progress), progress)


def upload(given: argparse.Namespace) -> None:
    """slipway platform upload"""
    from slipway.platform import deploy as deployer

    print(deployer.upload(common.deployment(given), Progress()))


def package(given: argparse.Namespace) -> None:
    """slipway platform package"""
    from slipway.platform import assets

    packed = assets.collect(given.repository.resolve())
    folder = given.output / packed.prefix
    for name, content in packed.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    size = sum(map(len, packed.files.values()))
    Progress().say(f"{len(packed.files)} files, {size / 1e6:.1f} MB in {folder}")


def artifacts(given: argparse.Namespace) -> None:
    """slipway platform artifacts: all about the registries comes from the environment, as the build has it."""
    from slipway.platform.artifacts import Artifacts, make

    configuration = common.pip_configuration(given)
    if configuration is None:
        raise SlipwayError("pip has no configuration file: run `aws codeartifact login --tool pip` first")
    wanted = Artifacts(
        release=environment("SLIPWAY_RELEASE"),
        base_source=environment("SLIPWAY_BASE_IMAGE"),
        base_repository=environment("BASE_REPOSITORY_URI"),
        build_repository=environment("BUILD_REPOSITORY_URI"),
        wheel=given.wheel,
        context=given.context,
        pip_configuration=configuration,
    )
    base = make(common.session(), common.namespace(given), wanted, Progress())
    if given.pinned is not None:
        given.pinned.write_text(f"{base}\n", encoding="utf-8")
