"""slipway packages …"""

from __future__ import annotations

import argparse
from typing import Any

from slipway.cli import common

HELP = "the platform's package index"


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    verb = verbs.add_parser("index", help="print the index's address with a new token in it, for pip or uv: a secret")
    common.add_namespace(verb)
    verb.set_defaults(run=index)


def index(given: argparse.Namespace) -> None:
    """slipway packages index"""
    from slipway import packages

    session = common.session()
    print(packages.index(session, packages.place(session, common.namespace(given))))
