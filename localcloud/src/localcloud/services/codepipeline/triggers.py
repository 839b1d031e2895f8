"""Triggers of V2 pipelines: what a connection's push may start.

The rules are those of "Automate starting pipelines using triggers and filtering" in the CodePipeline User Guide. Pull
requests are refused by name: a directory of git repositories has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from localcloud.core import Fault

PROVIDER = "CodeStarSourceConnection"
MAX_FILTERS = 3


def validate(pipeline: dict[str, Any]) -> None:
    """Refuse triggers that AWS would refuse.

    Raises:
        Fault: InvalidStructureException.
    """
    sources = {
        action["name"]: action["actionTypeId"]["provider"]
        for action in pipeline["stages"][0]["actions"]
        if pipeline["stages"]
    }
    seen: set[str] = set()
    for trigger in pipeline.get("triggers") or []:
        git = trigger["gitConfiguration"]
        name = git["sourceActionName"]
        if sources.get(name) != PROVIDER:
            given = f"is of provider {sources[name]}" if name in sources else "is no source action of the pipeline"
            raise _fault(f"The trigger's source action [{name}] {given}; a trigger needs one of provider {PROVIDER}.")
        if name in seen:
            raise _fault(f"The source action [{name}] has more than one trigger; one with several filters is allowed.")
        seen.add(name)
        if not git.get("push") and not git.get("pullRequest"):
            raise _fault(f"The trigger of source action [{name}] has neither push nor pullRequest.")
        for kind in ("push", "pullRequest"):
            _check_filters(name, kind, git.get(kind) or [])
        if git.get("pullRequest"):
            raise _fault(
                f"The trigger of source action [{name}] has pullRequest filters, which are not served by the local "
                "cloud: its provider, a directory of git repositories, has no pull requests. Served is push."
            )


def _check_filters(name: str, kind: str, filters: list[dict[str, Any]]) -> None:
    if len(filters) > MAX_FILTERS:
        raise _fault(f"The trigger of source action [{name}] has {len(filters)} {kind} filters; at most {MAX_FILTERS}.")
    for one in filters:
        if one.get("tags") and (one.get("branches") or one.get("filePaths")):
            raise _fault(f"A {kind} filter of source action [{name}] has tags beside branches or file paths.")
        if one.get("filePaths") and not one.get("branches"):
            raise _fault(f"A {kind} filter of source action [{name}] has file paths without branches.")


def starts(
    pipeline: dict[str, Any], action: dict[str, Any], reference: str, files: Callable[[], Sequence[str]]
) -> bool:
    """Whether a push that moved a reference starts the pipeline by one of its source actions.

    Args:
        action: a source action of the provider CodeStarSourceConnection.
        reference: e.g. "refs/heads/main".
        files: reads which files the push changed.
    """
    kind, _, name = reference.removeprefix("refs/").partition("/")
    for trigger in pipeline.get("triggers") or []:
        git = trigger["gitConfiguration"]
        if git["sourceActionName"] == action["name"]:
            return any(_passes(one, kind, name, files) for one in git.get("push") or [])
    given = action["configuration"]
    detects = str(given.get("DetectChanges", "true")).lower() != "false"
    return detects and (kind, name) == ("heads", given["BranchName"])


def _passes(one: dict[str, Any], kind: str, name: str, files: Callable[[], Sequence[str]]) -> bool:
    """Whether a push passes one filter: its branch or tag, and at least one of the changed files."""
    if one.get("tags"):
        return kind == "tags" and _matches(one["tags"], name)
    if kind != "heads" or not _matches(one.get("branches") or {}, name):
        return False
    paths = one.get("filePaths")
    return not paths or any(_matches(paths, path) for path in files())


def _matches(criteria: dict[str, list[str]], name: str) -> bool:
    """Whether a name is included, or nothing says what is, and it is not excluded, which counts more."""
    includes, excludes = criteria.get("includes") or [], criteria.get("excludes") or []
    if any(_glob(pattern).fullmatch(name) for pattern in excludes):
        return False
    return not includes or any(_glob(pattern).fullmatch(name) for pattern in includes)


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within a part between slashes, `**` does not; `{a,b}` and `[a-z]` choose."""
    made, depth, rest = "", 0, pattern
    while rest:
        if rest.startswith("**"):
            made, rest = made + ".*", rest[2:]
            continue
        one, rest = rest[0], rest[1:]
        if one == "[" and "]" in rest:
            inner, _, rest = rest.partition("]")
            made += f"[{'^' + inner[1:] if inner.startswith('!') else inner}]".replace("\\", "\\\\")
        elif one == "{" and "}" in rest:
            made, depth = made + "(?:", depth + 1
        elif one == "}" and depth:
            made, depth = made + ")", depth - 1
        else:
            made += {"*": "[^/]*", "?": "[^/]", ",": "|" if depth else ","}.get(one) or re.escape(one)
    try:
        return re.compile(made)
    except re.error:  # what is no pattern matches itself alone
        return re.compile(re.escape(pattern))


def _fault(message: str) -> Fault:
    return Fault("InvalidStructureException", message)
