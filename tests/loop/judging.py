"""Whether IAM would allow what was recorded: ministack's evaluator over the deployed policies.

Identity policies, boundary, the policy of the resource and the trust policy of a role, with their conditions. What
ministack's evaluator leaves out is done here: policy variables, the account and tags of a resource, and the keys that
only a look at the resource tells. A condition on a key that nothing here answers is never taken for met or not met: it
is collected in `unanswered`, by statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ministack.core import iam_evaluator as evaluator

from localcloud.core.authorization import _reference
from tests.loop.deployed import Deployed, Document, ResourcePolicy, Role

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
# The evaluator takes these from the caller or from the ARN; here they come from the resource or the role.
_OWN = {"aws:resourceaccount": "judge:resourceaccount", "s3:resourceaccount": "judge:resourceaccount"}
# Condition keys of which it is known whether and with what value a request carries them.
ANSWERED = (
    "aws:calledvia", "aws:principalaccount", "aws:principalarn", "aws:principaltag/", "aws:requestedregion",
    "aws:requesttag/", "aws:resourceaccount", "aws:resourcetag/", "aws:securetransport", "aws:sourceaccount",
    "aws:sourcearn", "aws:tagkeys", "aws:viaawsservice", "cloudformation:rolearn",
    "cloudformation:templateurl", "cloudwatch:namespace", "codecommit:references", "codeconnections:",
    "codestar-connections:",
    "iam:passedtoservice", "kms:encryptioncontext:aws:s3:arn", "kms:resourcealiases", "kms:viaservice",
    "s3:existingobjecttag/", "s3:prefix",
    "s3:x-amz-server-side-encryption", "servicecatalog:accountlevel", "servicecatalog:rolelevel",
    "servicecatalog:userlevel", "sagemaker:instancetypes",
    "s3:x-amz-server-side-encryption-aws-kms-key-id", "sagemaker:modelapprovalstatus", "sagemaker:modelarn",
    "sagemaker:networkisolation",
    "sagemaker:outputkmskey", "sagemaker:taggingaction", "sagemaker:volumekmskey",
    "sagemaker:vpcsecuritygroupids", "sagemaker:vpcsubnets",
    "sagemaker:owneruserprofilearn", "sagemaker:spacesharingtype", "sns:endpoint", "sns:protocol", "sts:sourceidentity",
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """May `role` (or an AWS `service`) do this?"""

    action: str
    resource: str
    role: Role | None = None
    service: str = ""
    region: str = "eu-west-1"
    keys: Mapping[str, Any] = field(default_factory=dict)
    session_tags: Mapping[str, str] = field(default_factory=dict)
    because: str = ""  # the recorded call, where this is asked on its account

    @property
    def tags(self) -> dict[str, str]:
        """Of the principal: those of the role and those of the session."""
        return {**self.role.tags, **self.session_tags} if self.role else {}

    def __str__(self) -> str:
        who = f"{self.role.name} ({self.role.account})" if self.role else self.service
        return f"{who} {self.action} on {self.resource}" + (f", for {self.because}" if self.because else "")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Judge:
    """Answers questions. `unanswered` collects (condition key, statement) that could not be judged."""

    def __init__(self, deployed: Deployed) -> None:
        self.deployed = deployed
        self.unanswered: dict[str, set[str]] = {}

    def reason(self, question: Question) -> str | None:
        """None where it is allowed, else why not."""
        keys = self._keys(question)
        context = self._context(question, keys)
        resource = self._resource_policy(question)
        document = self._prepared([resource.document], question, keys)[0] if resource and resource.document else None
        if question.role is None:
            found = evaluator.evaluate_resource_policy(document, context, service=question.service)
            return None if found.decision == "Allow" else f"{question.service} is not admitted by the policy of it"
        role = question.role
        policies = self._parsed(role.identity, question, keys)
        limits = [] if role.boundary is None else [self._parsed(role.boundary, question, keys)]
        own = evaluator.evaluate(context, policies, *limits)
        result = own
        if resource is not None:
            result = evaluator.combine_resource_policy(
                own, context, document, resource.owner, resource.required, tuple(limits)
            )
        elif self.deployed.owner(question.resource) not in ("", "aws", role.account):
            return "it belongs to another account, and has no policy that could allow it"
        if result.decision == "Allow":
            return None
        if result.decision == "Deny":
            return f"denied by {result.matched_sid or 'a statement'}"
        if own.decision != "Allow":
            bare = evaluator.evaluate(context, policies)
            layer = "permission boundary" if bare.decision == "Allow" else "role"
            return f"no statement of the {layer} allows it"
        return "no statement of the resource's own policy allows it"

    # -- what the evaluator is given --------------------------------------------------------------------------------

    def _resource_policy(self, question: Question) -> ResourcePolicy | None:
        """Of the resource. A role's trust policy says who may take it, and nothing of who may pass or change it."""
        if ":role/" in question.resource and not question.action.startswith("sts:"):
            return None
        return self.deployed.policy(question.resource)

    def _keys(self, question: Question) -> dict[str, Any]:
        owner = self.deployed.owner(question.resource)
        account = question.role.account if question.role else owner
        keys: dict[str, Any] = {"aws:tagkeys": None, "aws:viaawsservice": "false"}
        keys.update({name.lower(): value for name, value in question.keys.items()})
        keys[_OWN["aws:resourceaccount"]] = owner or account
        return keys

    def _context(self, question: Question, keys: dict[str, Any]) -> evaluator.EvalContext:
        role = question.role
        return evaluator.EvalContext(
            principal_arn=role.arn if role else question.service,
            principal_type="AssumedRole" if role else "Service",
            principal_account=role.account if role else "",
            action=question.action,
            resource_arn=question.resource,
            region=question.region,
            secure_transport=True,
            service_context=keys,
            principal_keys={f"aws:principaltag/{name.lower()}": value for name, value in question.tags.items()},
        )

    def _parsed(
        self, documents: list[Document], question: Question, keys: dict[str, Any]
    ) -> list[list[evaluator.ParsedStatement]]:
        return [evaluator.parse_policy_document(document) for document in self._prepared(documents, question, keys)]

    def _prepared(self, documents: list[Document], question: Question, keys: dict[str, Any]) -> list[Document]:
        """The statements that concern the question: variables filled in, and `keys` completed by what they ask."""
        prepared = []
        for document in documents:
            filled = [_filled(statement, question) for statement in _listed(document["Statement"])]
            concerned = [statement for statement in filled if _concerns(statement, question)]
            prepared.append({"Statement": [self._answered(statement, question, keys) for statement in concerned]})
        return prepared

    def _answered(self, statement: Document, question: Question, keys: dict[str, Any]) -> Document:
        """Look at the resource where a condition goes by it; note the keys that nobody can answer."""
        condition: dict[str, dict[str, Any]] = {}
        for operator, test in statement.get("Condition", {}).items():
            for key, expected in test.items():
                name = key.lower()
                if not name.startswith(ANSWERED):
                    self.unanswered.setdefault(key, set()).add(f"{statement.get('Sid', '?')}: {question}")
                if name.startswith("aws:resourcetag/"):
                    if _unknown(question):
                        continue
                    keys.update(
                        {f"aws:resourcetag/{tag}".lower(): value for tag, value in self._tags(question).items()}
                    )
                elif name == "kms:resourcealiases":
                    keys[name] = self.deployed.aliases(question.resource)
                condition.setdefault(operator, {})[_OWN.get(name, key)] = expected
        if _unknown(question) and statement["Effect"] == "Allow":
            kept = {part: value for part, value in statement.items() if part != "NotResource"}
            return {**kept, "Resource": "*", "Condition": condition}
        return {**statement, "Condition": condition}

    def _tags(self, question: Question) -> dict[str, str]:
        if question.resource.endswith("*"):
            return {}
        return self.deployed.tags(question.resource)


def _filled(statement: Document, question: Question) -> Document:
    """The statement with its policy variables filled in; a variable without a value matches nothing."""
    values = {name.lower(): value for name, value in question.keys.items() if isinstance(value, str)}
    values |= {f"aws:PrincipalTag/{name}".lower(): value for name, value in question.tags.items()}

    def fill(match: re.Match[str]) -> str:
        return values.get(match[1].lower(), "<no value>")

    parts = {key: value for key, value in statement.items() if key in ("Resource", "NotResource", "Condition")}
    filled: Document = json.loads(_VARIABLE.sub(fill, json.dumps(parts)))
    return {**statement, **filled}


def _unknown(question: Question) -> bool:
    """Of some calls of the base services the record does not know the resource: then the action alone is judged."""
    return question.resource == "*" and question.action.partition(":")[0] not in _reference()


def _concerns(statement: Document, question: Question) -> bool:
    principal = statement.get("Principal")
    if question.role and isinstance(principal, dict) and "AWS" not in principal:
        return False  # said of a service, not of roles
    parsed = evaluator.parse_policy_document({"Statement": [statement]})[0]
    return bool(
        evaluator._action_matches(question.action, parsed.actions, parsed.not_actions)
        and (
            (_unknown(question) and statement["Effect"] == "Allow")
            or evaluator._resource_matches(question.resource, parsed.resources, parsed.not_resources)
        )
    )
