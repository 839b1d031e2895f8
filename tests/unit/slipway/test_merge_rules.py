"""The approval rule of a project: kept, changed and removed whatever was there before."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from slipway.functions.merge_rules import act

NAME = "slipway-flights-merge"
POOL = ["arn:aws:sts::111111111111:assumed-role/slipway-DataScientist/*"]
PROPERTIES = {"RuleName": NAME, "RepositoryName": "flights", "MergePolicy": "pull-request", "Approvers": POOL}


class CodeCommit:
    """Approval rule templates as CodeCommit keeps them; refuses what it refuses. One name a page."""

    def __init__(self) -> None:
        self.templates: dict[str, str] = {}
        self.ties: dict[str, list[str]] = {}
        self.written = 0

    def get_approval_rule_template(self, **given: str) -> dict[str, Any]:
        name = given["approvalRuleTemplateName"]
        if name not in self.templates:
            raise ClientError({"Error": {"Code": "ApprovalRuleTemplateDoesNotExistException", "Message": ""}}, "Get")
        text = self.templates[name]
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {"approvalRuleTemplate": {"approvalRuleTemplateContent": text, "ruleContentSha256": digest}}

    def create_approval_rule_template(self, **given: str) -> None:
        assert given["approvalRuleTemplateName"] not in self.templates
        self.templates[given["approvalRuleTemplateName"]] = given["approvalRuleTemplateContent"]
        self.ties[given["approvalRuleTemplateName"]] = []
        self.written += 1

    def update_approval_rule_template_content(self, **given: str) -> None:
        found = self.get_approval_rule_template(**given)["approvalRuleTemplate"]
        assert given["existingRuleContentSha256"] == found["ruleContentSha256"]
        self.templates[given["approvalRuleTemplateName"]] = given["newRuleContent"]
        self.written += 1

    def list_repositories_for_approval_rule_template(self, **given: str) -> dict[str, Any]:
        ties, at = self.ties[given["approvalRuleTemplateName"]], int(given.get("nextToken", 0))
        more = {"nextToken": str(at + 1)} if at + 1 < len(ties) else {}
        return {"repositoryNames": ties[at : at + 1], **more}

    def associate_approval_rule_template_with_repository(self, **given: str) -> None:
        ties = self.ties[given["approvalRuleTemplateName"]]
        if given["repositoryName"] not in ties:
            ties.append(given["repositoryName"])

    def disassociate_approval_rule_template_from_repository(self, **given: str) -> None:
        self.ties[given["approvalRuleTemplateName"]].remove(given["repositoryName"])

    def delete_approval_rule_template(self, **given: str) -> None:
        assert not self.ties.pop(given["approvalRuleTemplateName"]), "CodeCommit deletes no template in use"
        del self.templates[given["approvalRuleTemplateName"]]


def test_a_project_of_pull_requests_gets_one_rule_once() -> None:
    """A repeated request must neither fail nor write: CloudFormation repeats, and a rule's change is an event."""
    codecommit = CodeCommit()
    for kind in ("Create", "Create", "Update"):
        act(codecommit, kind, PROPERTIES, "slipway")
    assert (codecommit.written, codecommit.ties) == (1, {NAME: ["flights"]})
    rule = json.loads(codecommit.templates[NAME])
    assert rule["DestinationReferences"] == ["refs/heads/main"]
    assert rule["Statements"] == [{"Type": "Approvers", "NumberOfApprovalsNeeded": 1, "ApprovalPoolMembers": POOL}]


def test_what_was_changed_by_hand_is_put_right() -> None:
    """A rule that says something else, or is tied elsewhere, is no rule of this project."""
    codecommit = CodeCommit()
    act(codecommit, "Create", PROPERTIES, "slipway")
    codecommit.templates[NAME] = "{}"
    codecommit.ties[NAME] = ["one", "two"]
    act(codecommit, "Update", PROPERTIES, "slipway")
    assert codecommit.ties == {NAME: ["flights"]}
    assert "NumberOfApprovalsNeeded" in codecommit.templates[NAME]


@pytest.mark.parametrize(("kind", "policy"), [("Update", "direct"), ("Delete", "pull-request"), ("Create", "direct")])
def test_the_rule_goes_with_its_reason(kind: str, policy: str) -> None:
    """Direct pushes, and the project's end, leave no rule behind; what is gone already is no error."""
    codecommit = CodeCommit()
    act(codecommit, "Create", PROPERTIES, "slipway")
    codecommit.ties[NAME] = ["flights", "copy", "other"]
    for _ in range(2):
        act(codecommit, kind, {**PROPERTIES, "MergePolicy": policy}, "slipway")
        assert not codecommit.templates


@pytest.mark.parametrize(
    ("wrong", "allowed"), [({"MergePolicy": "anything"}, "direct, pull-request"), ({"RuleName": "mine"}, "slipway-")]
)
def test_bad_properties_are_refused_by_name(wrong: dict[str, str], allowed: str) -> None:
    """The stack shows what was given and what is allowed; a rule of somebody else is never touched."""
    codecommit = CodeCommit()
    with pytest.raises(ValueError, match=allowed):
        act(codecommit, "Create", {**PROPERTIES, **wrong}, "slipway")
    assert not codecommit.templates
    act(codecommit, "Delete", {**PROPERTIES, "RuleName": "mine"}, "slipway")
