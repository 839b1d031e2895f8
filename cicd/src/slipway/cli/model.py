"""slipway model …"""

from __future__ import annotations

import argparse
import json
import uuid
from pathlib import Path
from typing import Any

from slipway import versions
from slipway.cli import common
from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.settings import environment

HELP = "makes models: the SageMaker pipeline, the registry and the release bundle"


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    texts = {
        "build": "train, measure and register a model of this commit, and write its release bundle",
        "definition": "print the definition of the SageMaker pipeline, as JSON",
        "version": "print the version that the next model will have",
    }
    for name, run in (("build", build), ("definition", definition), ("version", version)):
        verb = verbs.add_parser(name, help=texts[name])
        common.add_root(verb)
        common.add_namespace(verb)
        if name == "build":
            verb.add_argument("--output", type=Path, help="write what release.json says to this file, too")
        verb.set_defaults(run=run)


def _build(given: argparse.Namespace) -> Any:
    from slipway.model import Build

    given_cause = environment("CAUSE", "merge")
    cause = versions.cause(given_cause)
    if cause is None:
        raise SlipwayError(f"CAUSE: given {given_cause!r}, allowed {', '.join(versions.CAUSES)}")
    # CodePipeline hands the commit over as a variable; CodeBuild says what it checked out.
    commit = environment("COMMIT_ID", environment("CODEBUILD_RESOLVED_SOURCE_VERSION", "unknown"))
    # The pipeline's variable: "by" and the ARN, which would otherwise be empty where the event names nobody.
    pusher = environment("PUSHER", "").removeprefix("by ")
    return Build(
        session=common.session(),
        namespace=common.namespace(given),
        name=environment("SLIPWAY_PROJECT"),
        root=given.root.resolve(),
        commit=commit,
        cause=cause,
        token=environment("CODEBUILD_BUILD_ID", f"by hand {uuid.uuid4()}"),
        pusher=pusher if pusher.startswith("arn:") else "",
    )


def build(given: argparse.Namespace) -> None:
    """slipway model build"""
    from slipway import model
    from slipway.pipeline.definition import definition as define

    release = model.build(_build(given), Progress(), define)
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(release, indent=2) + "\n", encoding="utf-8")


def definition(given: argparse.Namespace) -> None:
    """slipway model definition"""
    from slipway import model
    from slipway.pipeline.definition import definition as define

    wanted = _build(given)
    plan, _ = model.prepare(wanted)
    print(define(plan, wanted.session))


def version(given: argparse.Namespace) -> None:
    """slipway model version"""
    from slipway import model

    print(model.next_version(_build(given)))
