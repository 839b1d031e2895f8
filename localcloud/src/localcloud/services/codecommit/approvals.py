"""Approval rules of a pull request, approvals, overrides, and whether it may be merged."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Fault, now, operation, uuid
from localcloud.services.codecommit import rules
from localcloud.services.codecommit.pull_base import Pull, Review
from localcloud.services.codecommit.rule_templates import TemplateOperations

MOST_RULES, MOST_APPROVALS = 30, 200
_CONTENT = "InvalidApprovalRuleContentException"
_NAME = "InvalidApprovalRuleNameException"
Rule = dict[str, Any]


class ApprovalOperations(TemplateOperations):
    """CreatePullRequestApprovalRule … GetPullRequestOverrideState."""

    def rules_from_templates(self, call: Call, repository: dict[str, Any], reference: str) -> list[Rule]:
        """What a new pull request into `reference` gets from the templates of its repository."""
        made = []
        for template in self.templates_of(call.account, call.region, repository["repositoryId"]):
            content = template["approvalRuleTemplateContent"]
            if not rules.parse(content, _CONTENT, template=True).concerns(reference):
                continue
            origin = {key: template[key] for key in ("approvalRuleTemplateId", "approvalRuleTemplateName")}
            name = template["approvalRuleTemplateName"]
            made.append(_rule(name, content, template["lastModifiedUser"], {"originApprovalRuleTemplate": origin}))
        return made

    @operation("CreatePullRequestApprovalRule")
    def create_pull_request_approval_rule(self, call: Call) -> dict[str, Any]:
        """One more rule, for this pull request alone."""
        name, content = call.input["approvalRuleName"], call.input["approvalRuleContent"]
        rules.check_name(name, _NAME)
        rules.parse(content, _CONTENT, template=False)
        rule = _rule(name, content, call.principal, {})

        def add(known: list[Rule]) -> list[Rule]:
            if any(other["approvalRuleName"] == name for other in known):
                problem = f"The pull request has an approval rule named {name} already"
                raise Fault("ApprovalRuleNameAlreadyExistsException", problem)
            if len(known) >= MOST_RULES:
                problem = f"The pull request has {MOST_RULES} approval rules, which is the most"
                raise Fault("NumberOfRulesExceededException", problem)
            return [*known, rule]

        self._change_rules(call, rule, "CREATED", add, f"An approval rule has been created with the name: {name}.")
        return {"approvalRule": rule}

    @operation("UpdatePullRequestApprovalRuleContent")
    def update_pull_request_approval_rule_content(self, call: Call) -> dict[str, Any]:
        """Another content of a rule that was made for this pull request."""
        name, content = call.input["approvalRuleName"], call.input["newRuleContent"]
        rules.check_name(name, _NAME)
        rules.parse(content, _CONTENT, template=False)
        found = next((one for one in self.open_pull(call)["approvalRules"] if one["approvalRuleName"] == name), None)
        if found is None:
            problem = f"The pull request has no approval rule named {name}"
            raise Fault("ApprovalRuleDoesNotExistException", problem)
        if "originApprovalRuleTemplate" in found:
            problem = f"{name} comes from an approval rule template: change the template"
            raise Fault("CannotModifyApprovalRuleFromTemplateException", problem)
        rules.check_digest(call.input.get("existingRuleContentSha256"), found["approvalRuleContent"])
        changed = found | {
            "approvalRuleContent": content,
            "ruleContentSha256": rules.digest(content),
            "lastModifiedDate": now(),
            "lastModifiedUser": call.principal,
        }

        def replace(known: list[Rule]) -> list[Rule]:
            return [changed if one["approvalRuleId"] == changed["approvalRuleId"] else one for one in known]

        said = f"The content of an approval rule has been updated. The name of the updated rule is: {name}."
        self._change_rules(call, changed, "UPDATED", replace, said)
        return {"approvalRule": changed}

    @operation("DeletePullRequestApprovalRule")
    def delete_pull_request_approval_rule(self, call: Call) -> dict[str, Any]:
        """Remove a rule that was made for this pull request; as on AWS, no error when there is none."""
        name = call.input["approvalRuleName"]
        rules.check_name(name, _NAME)
        found = next((one for one in self.open_pull(call)["approvalRules"] if one["approvalRuleName"] == name), None)
        if found is None:
            return {"approvalRuleId": ""}
        if "originApprovalRuleTemplate" in found:
            problem = f"{name} comes from an approval rule template: it can be overridden, not removed"
            raise Fault("CannotDeleteApprovalRuleFromTemplateException", problem)

        def remove(known: list[Rule]) -> list[Rule]:
            return [one for one in known if one["approvalRuleId"] != found["approvalRuleId"]]

        self._change_rules(call, found, "DELETED", remove, f"An approval rule has been deleted: {name} was deleted.")
        return {"approvalRuleId": found["approvalRuleId"]}

    def _change_rules(self, call: Call, rule: Rule, verb: str, change: Any, said: str) -> None:
        with self.cloud.store.transaction():
            pull = self.open_pull(call)
            pull = self.store_pull(call.account, call.region, pull, {"approvalRules": change(pull["approvalRules"])})
            metadata = {key: rule[key] for key in ("approvalRuleName", "approvalRuleId", "approvalRuleContent")}
            kind = f"APPROVAL_RULE_{verb}"
            self.note(call.account, call.region, pull, kind, call.principal, "approvalRuleEventMetadata", metadata)
        self.tell_pull(
            call.account, call.region, pull, f"pullRequestApprovalRule{verb.capitalize()}", call.principal,
            f"User: {call.principal}. Event: Updated. Pull request: {pull['pullRequestId']}. "
            f"Additional information: {said}",
            approvalRuleName=rule["approvalRuleName"], approvalRuleId=rule["approvalRuleId"],
            approvalRuleContentSha256=rule["ruleContentSha256"],
        )  # fmt: skip

    # -- approvals ----------------------------------------------------------------------------------------------

    @operation("UpdatePullRequestApprovalState")
    def update_pull_request_approval_state(self, call: Call) -> None:
        """Approve, or take an approval back. The author of the pull request can do neither."""
        state, revision = call.input["approvalState"], call.input["revisionId"]
        with self.cloud.store.transaction():
            pull = self.open_pull(call)
            if pull["authorArn"] == call.principal:
                number = pull["pullRequestId"]
                problem = f"{call.principal} is the author of pull request {number} and cannot approve it"
                raise Fault("PullRequestCannotBeApprovedByAuthorException", problem)
            _check_current(pull, revision)

            def change(review: Review) -> None:
                given = review["approvals"].setdefault(revision, {})
                if state == "REVOKE":
                    given.pop(call.principal, None)
                elif len(given) >= MOST_APPROVALS and call.principal not in given:
                    problem = f"The pull request has {MOST_APPROVALS} approvals, which is the most"
                    raise Fault("MaximumNumberOfApprovalsExceededException", problem)
                else:
                    given[call.principal] = now()

            self.change_review(call.account, call.region, pull["pullRequestId"], change)
            pull = self.store_pull(call.account, call.region, pull, {})
            metadata = {"revisionId": revision, "approvalStatus": state}
            member = "approvalStateChangedEventMetadata"
            self.note(call.account, call.region, pull, "APPROVAL_STATE_CHANGED", call.principal, member, metadata)
        self.tell_pull(
            call.account, call.region, pull, "pullRequestApprovalStateChanged", call.principal,
            f"User: {call.principal}. Event: Updated. Pull request name: {pull['pullRequestId']}. Additional "
            f"information: A user has changed their approval state for the pull request. State change: {state}.",
            approvalStatus=state,
        )  # fmt: skip

    @operation("GetPullRequestApprovalStates")
    def get_pull_request_approval_states(self, call: Call) -> dict[str, Any]:
        """Who approved a revision; an approval of another revision says nothing of this one."""
        pull = self.pull(call)
        given = self.review(call.account, call.region, pull["pullRequestId"])["approvals"]
        arns = given.get(call.input["revisionId"], {})
        return {"approvals": [{"userArn": arn, "approvalState": "APPROVE"} for arn in arns]}

    @operation("OverridePullRequestApprovalRules")
    def override_pull_request_approval_rules(self, call: Call) -> None:
        """Set all rules of a revision aside, or put them in force again."""
        status, revision = call.input["overrideStatus"], call.input["revisionId"]
        with self.cloud.store.transaction():
            pull = self.open_pull(call)
            _check_current(pull, revision)

            def change(review: Review) -> None:
                if status == "REVOKE":
                    review["overrides"].pop(revision, None)
                elif revision in review["overrides"]:
                    problem = f"{review['overrides'][revision]} has overridden the approval rules already"
                    raise Fault("OverrideAlreadySetException", problem)
                else:
                    review["overrides"][revision] = call.principal

            self.change_review(call.account, call.region, pull["pullRequestId"], change)
            pull = self.store_pull(call.account, call.region, pull, {})
            metadata = {"revisionId": revision, "overrideStatus": status}
            member = "approvalRuleOverriddenEventMetadata"
            self.note(call.account, call.region, pull, "APPROVAL_RULE_OVERRIDDEN", call.principal, member, metadata)
        self.tell_pull(
            call.account, call.region, pull, "pullRequestApprovalRuleOverridden", call.principal,
            f"User: {call.principal}. Event: Updated. Pull request name: {pull['pullRequestId']}. Additional "
            "information: An override event has occurred for the approval rules for this pull request. "
            f"Override status: {status}.",
            overrideStatus=status,
        )  # fmt: skip

    @operation("GetPullRequestOverrideState")
    def get_pull_request_override_state(self, call: Call) -> dict[str, Any]:
        """Whether the rules of a revision are set aside, and by whom."""
        pull = self.pull(call)
        overrides = self.review(call.account, call.region, pull["pullRequestId"])["overrides"]
        by = overrides.get(call.input["revisionId"])
        return {"overridden": by is not None, **({"overrider": by} if by else {})}

    @operation("EvaluatePullRequestApprovalRules")
    def evaluate_pull_request_approval_rules(self, call: Call) -> dict[str, Any]:
        """Whether the pull request may be merged, and which rules stand in the way."""
        pull = self.pull(call)
        _check_current(pull, call.input["revisionId"])
        return {"evaluation": self.evaluation(call.account, call.region, pull)}

    def evaluation(self, account: str, region: str, pull: Pull) -> dict[str, Any]:
        """The rules against the approvals of the current revision."""
        review = self.review(account, region, pull["pullRequestId"])
        approvers = review["approvals"].get(pull["revisionId"], {})
        overridden = pull["revisionId"] in review["overrides"]
        met: dict[bool, list[str]] = {True: [], False: []}
        for rule in pull["approvalRules"]:
            content = rules.parse(rule["approvalRuleContent"], _CONTENT, template=True)
            met[content.satisfied(approvers)].append(rule["approvalRuleName"])
        return {
            "approved": overridden or not met[False],
            "overridden": overridden,
            "approvalRulesSatisfied": met[True],
            "approvalRulesNotSatisfied": met[False],
        }


def _rule(name: str, content: str, user: str, more: Rule) -> Rule:
    moment = now()
    return {
        "approvalRuleId": uuid(),
        "approvalRuleName": name,
        "approvalRuleContent": content,
        "ruleContentSha256": rules.digest(content),
        "lastModifiedDate": moment,
        "creationDate": moment,
        "lastModifiedUser": user,
    } | more


def _check_current(pull: Pull, revision: str) -> None:
    if revision != pull["revisionId"]:
        problem = f"The revision of pull request {pull['pullRequestId']} is {pull['revisionId']}, not {revision}"
        raise Fault("RevisionNotCurrentException", problem)
