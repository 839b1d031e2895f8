"""What an approval rule says, and whether it is met: CodeCommit's rule language "2018-11-08"."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from localcloud.core import Fault

VERSION = "2018-11-08"
MOST_MEMBERS, MOST_REFERENCES = 50, 100
_NAME = re.compile(r"[A-Za-z0-9][\w. -]{0,99}")
_MEMBER = re.compile(r"CodeCommitApprovers:\d{12}:\S+|arn:[a-z-]+:(iam|sts)::\d{12}:\S+")


@dataclass(frozen=True)
class Statement:
    """So many approvals, by these alone where there is a pool."""

    needed: int
    pool: tuple[str, ...]

    def satisfied(self, approvers: Collection[str]) -> bool:
        """Whether enough of those who approved count."""
        counted = [arn for arn in approvers if not self.pool or any(counts(member, arn) for member in self.pool)]
        return len(counted) >= self.needed


@dataclass(frozen=True)
class Content:
    """A rule's or a template's content. `references` is empty where every branch is meant."""

    statements: tuple[Statement, ...]
    references: tuple[str, ...] = ()

    def concerns(self, reference: str) -> bool:
        """Whether a pull request into `reference` (refs/heads/…) gets this rule."""
        return not self.references or any(_like(pattern, reference) for pattern in self.references)

    def satisfied(self, approvers: Collection[str]) -> bool:
        """Whether every statement is."""
        return all(statement.satisfied(approvers) for statement in self.statements)


def parse(text: str, error: str, *, template: bool) -> Content:
    """Read a content.

    Args:
        text: JSON.
        error: AWS's code for a content that is none.
        template: whether DestinationReferences are allowed.

    Raises:
        Fault: with code `error`, saying what is wrong where.
    """

    def wrong(problem: str) -> Fault:
        return Fault(error, f"The approval rule content is not valid: {problem}")

    try:
        given = json.loads(text)
    except ValueError as problem:
        raise wrong(f"it is no JSON ({problem})") from None
    if not isinstance(given, dict):
        raise wrong("it must be a JSON object")
    allowed = {"Version", "Statements"} | ({"DestinationReferences"} if template else set())
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise wrong(f"{', '.join(unknown)} is not allowed; allowed: {', '.join(sorted(allowed))}")
    if given.get("Version") != VERSION:
        raise wrong(f"Version must be {VERSION}")
    statements = given.get("Statements")
    if not isinstance(statements, list) or len(statements) != 1:
        raise wrong("Statements must be a list of one statement")
    references = given.get("DestinationReferences", [])
    if not isinstance(references, list) or len(references) > MOST_REFERENCES:
        raise wrong(f"DestinationReferences must be a list of at most {MOST_REFERENCES} references")
    for reference in references:
        if not isinstance(reference, str) or not re.fullmatch(r"refs/heads/[^*].*", reference):
            raise wrong(f"{reference!r} is no reference: refs/heads/ and a name that does not begin with *")
    return Content(tuple(_statement(item, wrong) for item in statements), tuple(references))


def _statement(given: Any, wrong: Any) -> Statement:
    if not isinstance(given, dict) or given.get("Type") != "Approvers":
        raise wrong("a statement must be an object of Type Approvers")
    unknown = sorted(set(given) - {"Type", "NumberOfApprovalsNeeded", "ApprovalPoolMembers"})
    if unknown:
        raise wrong(f"a statement has no {', '.join(unknown)}")
    needed = given.get("NumberOfApprovalsNeeded")
    if not isinstance(needed, int) or isinstance(needed, bool) or needed < 1:
        raise wrong("NumberOfApprovalsNeeded must be a whole number of at least 1")
    pool = given.get("ApprovalPoolMembers", [])
    if not isinstance(pool, list) or len(pool) > MOST_MEMBERS:
        raise wrong(f"ApprovalPoolMembers must be a list of at most {MOST_MEMBERS}")
    for member in pool:
        if not isinstance(member, str) or not _MEMBER.fullmatch(member):
            raise wrong(f"{member!r} is neither CodeCommitApprovers:account:name nor an ARN of IAM or STS")
    return Statement(needed, tuple(pool))


def counts(member: str, approver: str) -> bool:
    """Whether an approval by `approver` (an ARN) is one by a member of a pool.

    `CodeCommitApprovers:account:name` is the user or federated user of that name, or `role/session`; an ARN is that
    principal, and an assumed role without a session any session of it. Both may have wildcards.
    """
    service, account, resource = approver.split(":", 5)[2], *approver.split(":", 5)[4:]
    if not member.startswith("arn:"):
        _, owner, name = member.split(":", 2)
        return owner == account and _like(name, resource.partition("/")[2])
    if service == "sts" and member.count("/") == 1 and ":assumed-role/" in member:
        return _like(f"{member}/*", approver) or _like(member, approver)
    return _like(member, approver)


def _like(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None


def check_name(name: str, error: str) -> None:
    """Raise `error` for a name that a rule or template may not have."""
    if not _NAME.fullmatch(name) or name.endswith(".git"):
        problem = "1 to 100 letters, digits, periods, spaces, underscores and dashes, not ending in .git"
        raise Fault(error, f"The name '{name}' is not valid; allowed: {problem}")


def digest(text: str) -> str:
    """The SHA-256 by which AWS names a content."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_digest(given: str | None, text: str) -> None:
    """Raise InvalidRuleContentSha256Exception where the caller thinks of another content than there is."""
    if given and given != digest(text):
        raise Fault("InvalidRuleContentSha256Exception", f"The content's SHA-256 is {digest(text)}, not {given}")
