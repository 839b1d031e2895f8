"""Granted against used: for each role, how much of what it may do a loop made use of."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

import parliament
from ministack.core.iam_evaluator import fnmatch_iam

from tests.loop.deployed import Document, Role
from tests.loop.judging import Question


@functools.cache
def _known() -> list[str]:
    """Every action of AWS, as parliament lists them."""
    text = (Path(parliament.__file__).parent / "iam_definition.json").read_text()
    return [f"{item['prefix']}:{action['privilege']}" for item in json.loads(text) for action in item["privileges"]]


def granted(documents: list[Document]) -> set[str]:
    """The actions that policies allow, wildcards spelt out; what they deny is no less granted elsewhere."""
    found: set[str] = set()
    for document in documents:
        statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
        for statement in statements:
            actions = statement.get("Action", [])
            for action in [actions] if isinstance(actions, str) else actions:
                if statement["Effect"] == "Allow":
                    found |= {name for name in _known() if fnmatch_iam(name, action)} if "*" in action else {action}
    return found


def table(roles: Iterable[Role], questions: Iterable[Question]) -> str:
    """A Markdown table: role, account, granted, used, and what was never used."""
    used: dict[str, set[str]] = {}
    for question in questions:
        if question.role:
            used.setdefault(question.role.arn, set()).add(question.action)
    lines = ["| role | account | granted | used | never used in this loop |", "|---|---|---:|---:|---|"]
    for role in sorted(roles, key=lambda role: (role.name, role.account)):
        allowed, seen = granted(role.identity), used.get(role.arn, set())
        spare = ", ".join(sorted(allowed - seen)) or "none"
        lines.append(f"| {role.name} | {role.account} | {len(allowed)} | {len(allowed & seen)} | {spare} |")
    return "\n".join(lines) + "\n"
