"""Triggers of V2 pipelines: what a connection's push or pull request may start.

The rules are those of "Automate starting pipelines using triggers and filtering" in the CodePipeline User Guide. A
trigger is kept and shown; nothing outside this machine reaches the local cloud, so none ever fires.
"""

from __future__ import annotations

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


def _check_filters(name: str, kind: str, filters: list[dict[str, Any]]) -> None:
    if len(filters) > MAX_FILTERS:
        raise _fault(f"The trigger of source action [{name}] has {len(filters)} {kind} filters; at most {MAX_FILTERS}.")
    for one in filters:
        if one.get("tags") and (one.get("branches") or one.get("filePaths")):
            raise _fault(f"A {kind} filter of source action [{name}] has tags beside branches or file paths.")
        if one.get("filePaths") and not one.get("branches"):
            raise _fault(f"A {kind} filter of source action [{name}] has file paths without branches.")


def _fault(message: str) -> Fault:
    return Fault("InvalidStructureException", message)
