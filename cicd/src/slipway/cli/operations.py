"""slipway platform …: what is asked and told before and after a deployment."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from slipway.cli import common
from slipway.errors import SlipwayError
from slipway.progress import Progress, table


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    _add_preflight(verbs)
    _add_cost(verbs)
    _add_diff(verbs)
    _add_destroy(verbs)


def _add_cost(verbs: Any) -> None:
    verb = verbs.add_parser("cost", help="compute a month's bill from the templates and the dated price list")
    verb.add_argument("--repository", type=Path, default=Path(), help="the platform repository (default: here)")
    verb.add_argument("--endpoint-set", choices=("essential", "full"), default="essential")
    verb.add_argument("--zones", type=int, choices=(1, 2, 3), default=2)
    verb.add_argument("--accounts", type=int, choices=(1, 3), default=1, help="one for all, or one each (default: 1)")
    verb.add_argument("--projects", type=int, default=1, metavar="N", help="how many projects (default: 1)")
    verb.set_defaults(run=cost)


def cost(given: argparse.Namespace) -> None:
    """slipway platform cost"""
    from slipway.platform.costs import tables
    from slipway.platform.costs.bill import price_list
    from slipway.platform.costs.counting import Choice

    if given.projects < 0:
        raise SlipwayError(f"--projects: given {given.projects}, allowed 0 or more")
    choice = Choice(given.endpoint_set, given.zones, given.projects, given.accounts)
    print(
        f"{choice.accounts} accounts, {choice.projects} projects, {choice.endpoint_set} endpoints, "
        f"{choice.zones} zones, {price_list()['region']}"
    )
    print(table(tables.lines(given.repository.resolve(), choice), ("", "", "USD a month")))
    print("The prices, their pages and dates, and what a month of work is taken to be: docs/cost.md")


def _add_preflight(verbs: Any) -> None:
    verb = verbs.add_parser("preflight", help="look for what would make a deployment fail, and say how to mend it")
    common.add_deployment(verb)
    verb.add_argument("--root", choices=("platform", "workload"), default="platform", help="(default: platform)")
    verb.set_defaults(run=preflight)


def preflight(given: argparse.Namespace) -> None:
    """slipway platform preflight"""
    from slipway.platform.preflight import check
    from slipway.platform.preflight import run as checks

    deployment = common.deployment(given)
    subject = check.Subject(
        deployment.session, deployment.namespace, given.root, deployment.parameters,
        check.templates(deployment.repository),
    )  # fmt: skip
    found = checks.findings(subject)
    print(table([(finding.verdict, finding.subject, finding.said) for finding in found]))
    mends = dict.fromkeys(f"  {finding.verdict} {finding.subject}: {finding.mend}" for finding in found if finding.mend)
    if mends:
        print("\nTo mend:", *mends, sep="\n")
    if unknown := [finding for finding in found if finding.verdict is check.Verdict.UNKNOWN]:
        print(f"\n{len(unknown)} unknown: AWS did not say. They may be right or wrong.")
    if wrong := checks.wrong(found):
        raise SlipwayError(f"{len(wrong)} of {len(found)} checks found what would make the deployment fail")


def _add_diff(verbs: Any) -> None:
    verb = verbs.add_parser("diff", help="show what a deployment would change; nothing is changed")
    common.add_deployment(verb)
    verb.add_argument("--root", choices=("platform", "workload"), default="platform", help="(default: platform)")
    verb.set_defaults(run=diff)


def diff(given: argparse.Namespace) -> None:
    """slipway platform diff"""
    from slipway.platform import deploy, difference

    progress = Progress()
    deployment = common.deployment(given)
    stack = deploy.prepared(deployment, given.root, progress)
    found = difference.changes(deployment.session.client("cloudformation"), stack)
    if not found:
        progress.say(f"{stack.name}: nothing would change")
        return
    rows = [
        (change.action, change.path, change.kind, _replacement(change.replacement), change.what) for change in found
    ]
    print(table(rows, ("action", "resource", "type", "replaced", "what changes")))
    replaced = sum(change.replacement == "True" for change in found)
    progress.say(f"{stack.name}: {len(found)} changes, {replaced} replacements; nothing was done")


def _replacement(text: str) -> str:
    """A replacement loses what the resource holds: it is red where there are colours."""
    word = {"True": "REPLACED", "Conditional": "perhaps", "False": ""}.get(text, text)
    return f"\033[31m{word}\033[0m" if word == "REPLACED" and sys.stdout.isatty() else word


def _add_destroy(verbs: Any) -> None:
    verb = verbs.add_parser("destroy", help="remove the platform from an account, as its administrator; asks first")
    common.add_namespace(verb)
    verb.add_argument("--dry-run", action="store_true", help="list what would be removed, and stop")
    verb.add_argument("--yes", action="store_true", help="do not ask (for automation)")
    verb.add_argument(
        "--keep-data",
        action="store_true",
        help="leave buckets, repositories, images, packages, model versions, homes, users, logs and their keys",
    )
    verb.add_argument(
        "--audit",
        action="store_true",
        help="remove the audit with its records, and the guardrails: last, when nothing is left that they watch",
    )
    verb.add_argument(
        "--key-days", type=int, default=30, choices=range(7, 31), metavar="7-30",
        help="days until a key is deleted for good (default: 30)",
    )  # fmt: skip
    verb.set_defaults(run=destroy)


def destroy(given: argparse.Namespace) -> None:
    """slipway platform destroy"""
    from slipway.platform.destroy import run as destroyer

    progress = Progress()
    namespace = common.namespace(given)
    where = destroyer.place(
        common.session(), namespace, progress, key_days=given.key_days, keep_data=given.keep_data, audit=given.audit
    )
    print(f"platform {namespace} in account {where.account}, region {where.region}")
    if given.audit:
        destroyer.refuse_while_watched(where)
    plan = destroyer.listed(where)
    print(destroyer.describe(where, plan) or "  there is nothing")
    _tell_unknown(where.unknown)
    if given.dry_run or not any(items for _, items in plan):
        _tell_kept(destroyer, where)
        return
    lost = destroyer.losses(where, plan)
    if lost:
        print(f"\nThis cannot be undone: the data of {len(lost)} of them is lost for good.")
    if not given.yes:
        _confirm(namespace)
    removed = destroyer.run(where)
    destroyer.verify(where)
    _tell_unknown(where.unknown)
    _tell_tagged(destroyer, where)
    left = [*(["the data"] if destroyer.kept(where) else []), *(["the audit"] if where.held else [])]
    progress.say(f"{removed} removed, nothing left{' but ' if left else ''}{' and '.join(left)}")
    _tell_kept(destroyer, where)


def _tell_kept(destroyer: Any, where: Any) -> None:
    """What stays, and the command that removes it one day."""
    command = f"slipway platform destroy --namespace {where.namespace}"
    if kept := destroyer.kept(where):
        print(f"\nKept, with what it costs, until: {command}")
        print(table([(item.kind, item.name, item.detail) for item in kept], ("what", "name", "holds")))
    if where.held:
        print(
            f"\nThe audit stays, with its records and the guardrails, until the administrator asks: {command} --audit"
        )


def _tell_tagged(destroyer: Any, where: Any) -> None:
    """What AWS's index still names is told and not failed upon: the index forgets some minutes later."""
    try:
        arns = destroyer.tagged(where)
    except ClientError as error:
        print(f"  ! the index of tags could not be asked: {error.response['Error'].get('Code')}")
        return
    for arn in arns:
        print(f"  ! AWS's index of tags still names {arn}: look at it if it does so in an hour")


def _confirm(namespace: str) -> None:
    """Whoever removes a platform types its name."""
    if not sys.stdin.isatty():
        raise SlipwayError("nothing was removed: nobody can be asked here; give --yes if you mean it")
    try:
        answer = input(f"Type {namespace} to remove it: ")
    except EOFError:
        answer = ""
    if answer.strip() != namespace:
        raise SlipwayError(f"nothing was removed: given {answer.strip()!r}, allowed {namespace!r}")


def _tell_unknown(unknown: dict[str, str]) -> None:
    for what, reason in sorted(unknown.items()):
        print(f"  ! could not look for {what}: {reason}")
