"""Approval rule templates: rules that every new pull request of the associated repositories gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localcloud.core import Call, Cloud, Conflict, Fault, now, operation, paginate, uuid
from localcloud.services.codecommit import rules
from localcloud.services.codecommit.base import check_repository_name
from localcloud.services.codecommit.pull_base import PullBase, date

MOST_TEMPLATES, MOST_OF_REPOSITORY, MOST_IN_BATCH = 1000, 25, 100
_CONTENT = "InvalidApprovalRuleTemplateContentException"
_NAME = "InvalidApprovalRuleTemplateNameException"
Template = dict[str, Any]


class TemplateOperations(PullBase):
    """CreateApprovalRuleTemplate … BatchDisassociateApprovalRuleTemplateFromRepositories.

    Table `codecommit.rule_template` by name; `repositories` holds ids, which outlive a repository's name.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.templates = cloud.store.table("codecommit.rule_template")

    @operation("CreateApprovalRuleTemplate")
    def create_approval_rule_template(self, call: Call) -> dict[str, Any]:
        """Keep a template; it does nothing until it is associated."""
        name, content = call.input["approvalRuleTemplateName"], call.input["approvalRuleTemplateContent"]
        rules.check_name(name, _NAME)
        rules.parse(content, _CONTENT, template=True)
        moment = now()
        made: Template = {
            "approvalRuleTemplateId": uuid(),
            "approvalRuleTemplateName": name,
            "approvalRuleTemplateContent": content,
            "ruleContentSha256": rules.digest(content),
            "lastModifiedDate": moment,
            "creationDate": moment,
            "lastModifiedUser": call.principal,
            "repositories": [],
        }
        if call.input.get("approvalRuleTemplateDescription"):
            made["approvalRuleTemplateDescription"] = call.input["approvalRuleTemplateDescription"]
        with self.cloud.store.transaction():
            if len(self.templates.list(call.account, call.region)) >= MOST_TEMPLATES:
                problem = f"{call.region} has {MOST_TEMPLATES} approval rule templates, which is the most"
                raise Fault("NumberOfRuleTemplatesExceededException", problem)
            self._insert(call, made)
        self._tell_template(call, made, "approvalRuleTemplateCreated", "has been created")
        return {"approvalRuleTemplate": _public(made)}

    def _insert(self, call: Call, made: Template) -> None:
        try:
            self.templates.insert(call.account, call.region, made["approvalRuleTemplateName"], made)
        except Conflict as taken:
            problem = f"An approval rule template named {taken} exists already"
            raise Fault("ApprovalRuleTemplateNameAlreadyExistsException", problem) from None

    def _template(self, call: Call, member: str = "approvalRuleTemplateName") -> Template:
        name = call.input[member]
        rules.check_name(name, _NAME)
        found = self.templates.get(call.account, call.region, name)
        if found is None:
            problem = f"The approval rule template {name} does not exist"
            raise Fault("ApprovalRuleTemplateDoesNotExistException", problem)
        return found

    @operation("GetApprovalRuleTemplate")
    def get_approval_rule_template(self, call: Call) -> dict[str, Any]:
        """One template."""
        return {"approvalRuleTemplate": _public(self._template(call))}

    @operation("ListApprovalRuleTemplates")
    def list_approval_rule_templates(self, call: Call) -> dict[str, Any]:
        """Names."""
        names = sorted(found["approvalRuleTemplateName"] for found in self.templates.list(call.account, call.region))
        page, token = paginate(names, call.input, error="InvalidContinuationTokenException")
        return {"approvalRuleTemplateNames": page, "nextToken": token}

    @operation("UpdateApprovalRuleTemplateContent")
    def update_approval_rule_template_content(self, call: Call) -> dict[str, Any]:
        """Another content, for pull requests to come; those that are open keep their rules."""
        content = call.input["newRuleContent"]
        rules.parse(content, _CONTENT, template=True)
        found = self._template(call)
        rules.check_digest(call.input.get("existingRuleContentSha256"), found["approvalRuleTemplateContent"])
        return self._edit_template(
            call, found, {"approvalRuleTemplateContent": content, "ruleContentSha256": rules.digest(content)}
        )

    @operation("UpdateApprovalRuleTemplateDescription")
    def update_approval_rule_template_description(self, call: Call) -> dict[str, Any]:
        """Another description."""
        description = call.input["approvalRuleTemplateDescription"]
        return self._edit_template(call, self._template(call), {"approvalRuleTemplateDescription": description})

    @operation("UpdateApprovalRuleTemplateName")
    def update_approval_rule_template_name(self, call: Call) -> dict[str, Any]:
        """Another name; what it is associated with stays."""
        new = call.input["newApprovalRuleTemplateName"]
        rules.check_name(new, _NAME)
        with self.cloud.store.transaction():
            found = self._template(call, "oldApprovalRuleTemplateName")
            old = found["approvalRuleTemplateName"]
            found |= {"approvalRuleTemplateName": new, "lastModifiedDate": now(), "lastModifiedUser": call.principal}
            if new != old:
                self._insert(call, found)
                self.templates.delete(call.account, call.region, old)
        self._tell_template(call, found, "approvalRuleTemplateUpdated", "has been updated")
        return {"approvalRuleTemplate": _public(found)}

    def _edit_template(self, call: Call, found: Template, members: Template) -> dict[str, Any]:
        stamped = members | {"lastModifiedDate": now(), "lastModifiedUser": call.principal}
        name = found["approvalRuleTemplateName"]
        changed = self.templates.update(call.account, call.region, name, lambda known: known | stamped)
        if changed is None:  # deleted meanwhile
            self._template(call)
        assert changed is not None
        self._tell_template(call, changed, "approvalRuleTemplateUpdated", "has been updated")
        return {"approvalRuleTemplate": _public(changed)}

    @operation("DeleteApprovalRuleTemplate")
    def delete_approval_rule_template(self, call: Call) -> dict[str, Any]:
        """Remove a template that no repository is associated with; as on AWS, no error when there is none."""
        name = call.input["approvalRuleTemplateName"]
        rules.check_name(name, _NAME)
        with self.cloud.store.transaction():
            found = self.templates.get(call.account, call.region, name)
            if found is None:
                return {"approvalRuleTemplateId": ""}
            used = self._names_of(call, found)
            if used:
                problem = f"The approval rule template {name} is associated with {', '.join(used)}"
                raise Fault("ApprovalRuleTemplateInUseException", problem)
            self.templates.delete(call.account, call.region, name)
        self._tell_template(call, found, "approvalRuleTemplateDeleted", "has been deleted")
        return {"approvalRuleTemplateId": found["approvalRuleTemplateId"]}

    # -- associations -------------------------------------------------------------------------------------------

    @operation("AssociateApprovalRuleTemplateWithRepository")
    def associate_approval_rule_template_with_repository(self, call: Call) -> None:
        """From now on, new pull requests of the repository get the rule; nothing happens where they do already."""
        self._template(call)
        name = call.input["repositoryName"]
        self._associate(call, name)
        self._tell_template(
            call, self._template(call), "approvalRuleTemplateAssociatedWithRepository", "has been associated", [name]
        )

    @operation("BatchAssociateApprovalRuleTemplateWithRepositories")
    def batch_associate_approval_rule_template_with_repositories(self, call: Call) -> dict[str, Any]:
        """The same for up to 100; what cannot be is told beside."""
        done, errors = self._batch(call, self._associate)
        event = "batchAssociateApprovalRuleTemplateWithRepositories"
        self._tell_template(call, self._template(call), event, "has been batch associated", done)
        return {"associatedRepositoryNames": done, "errors": errors}

    @operation("DisassociateApprovalRuleTemplateFromRepository")
    def disassociate_approval_rule_template_from_repository(self, call: Call) -> None:
        """New pull requests get the rule no more; those that are open keep it."""
        self._template(call)
        name = call.input["repositoryName"]
        self._disassociate(call, name)
        event = "approvalRuleTemplateDisassociatedFromRepository"
        self._tell_template(call, self._template(call), event, "has been disassociated", [name])

    @operation("BatchDisassociateApprovalRuleTemplateFromRepositories")
    def batch_disassociate_approval_rule_template_from_repositories(self, call: Call) -> dict[str, Any]:
        """The same for up to 100; what cannot be is told beside."""
        done, errors = self._batch(call, self._disassociate)
        event = "batchDisassociateApprovalRuleTemplateFromRepositories"
        self._tell_template(call, self._template(call), event, "has been batch disassociated", done)
        return {"disassociatedRepositoryNames": done, "errors": errors}

    def _batch(self, call: Call, act: Any) -> tuple[list[str], list[dict[str, str]]]:
        self._template(call)
        names = call.input["repositoryNames"]
        if len(names) > MOST_IN_BATCH:
            problem = f"At most {MOST_IN_BATCH} repositories are allowed; {len(names)} given"
            raise Fault("MaximumRepositoryNamesExceededException", problem)
        done, errors = [], []
        for name in names:
            try:
                act(call, name)
                done.append(name)
            except Fault as fault:
                errors.append({"repositoryName": name, "errorCode": fault.code, "errorMessage": fault.message})
        return done, errors

    def _associate(self, call: Call, name: str) -> None:
        identifier = self.metadata(call.account, call.region, name)["repositoryId"]
        with self.cloud.store.transaction():
            held = self.templates_of(call.account, call.region, identifier)
            chosen = call.input["approvalRuleTemplateName"]
            if len(held) >= MOST_OF_REPOSITORY and all(one["approvalRuleTemplateName"] != chosen for one in held):
                problem = f"{name} has {MOST_OF_REPOSITORY} approval rule templates, which is the most"
                raise Fault("MaximumRuleTemplatesAssociatedWithRepositoryException", problem)

            def add(record: Template) -> None:
                if identifier not in record["repositories"]:
                    record["repositories"].append(identifier)

            self.templates.update(call.account, call.region, chosen, add)

    def _disassociate(self, call: Call, name: str) -> None:
        identifier = self.metadata(call.account, call.region, name)["repositoryId"]
        self._without(call.account, call.region, call.input["approvalRuleTemplateName"], identifier)

    def _without(self, account: str, region: str, template: str, identifier: str) -> None:
        def remove(record: Template) -> None:
            record["repositories"] = [known for known in record["repositories"] if known != identifier]

        self.templates.update(account, region, template, remove)

    def repository_deleted(self, account: str, region: str, record: dict[str, Any]) -> None:
        """Its associations go with it."""
        super().repository_deleted(account, region, record)
        for template in self.templates_of(account, region, record["repositoryId"]):
            self._without(account, region, template["approvalRuleTemplateName"], record["repositoryId"])

    def templates_of(self, account: str, region: str, identifier: str) -> list[Template]:
        """The templates that a repository (by its id) is associated with, oldest first."""
        return [found for found in self.templates.list(account, region) if identifier in found["repositories"]]

    @operation("ListAssociatedApprovalRuleTemplatesForRepository")
    def list_associated_approval_rule_templates_for_repository(self, call: Call) -> dict[str, Any]:
        """Names of a repository's templates."""
        record = self.metadata(call.account, call.region, call.input["repositoryName"])
        held = self.templates_of(call.account, call.region, record["repositoryId"])
        names = sorted(found["approvalRuleTemplateName"] for found in held)
        page, token = paginate(names, call.input, error="InvalidContinuationTokenException")
        return {"approvalRuleTemplateNames": page, "nextToken": token}

    @operation("ListRepositoriesForApprovalRuleTemplate")
    def list_repositories_for_approval_rule_template(self, call: Call) -> dict[str, Any]:
        """Names of a template's repositories."""
        names = self._names_of(call, self._template(call))
        page, token = paginate(names, call.input, error="InvalidContinuationTokenException")
        return {"repositoryNames": page, "nextToken": token}

    def _names_of(self, call: Call, template: Template) -> list[str]:
        held = set(template["repositories"])
        records = self.repositories.list(call.account, call.region)
        return sorted(record["repositoryName"] for record in records if record["repositoryId"] in held)

    def _tell_template(
        self, call: Call, template: Template, event: str, what: str, repositories: Iterable[str] = ()
    ) -> None:
        names = list(repositories)
        for name in names:
            check_repository_name(name)
        identifiers = {name: self.metadata(call.account, call.region, name)["repositoryId"] for name in names}
        about = f"with the following name {what}: {template['approvalRuleTemplateName']}"
        if names:
            about = f"{what} with the following repository names: [{', '.join(names)}]"
        detail = {
            "approvalRuleTemplateContentSha256": template["ruleContentSha256"],
            "approvalRuleTemplateId": template["approvalRuleTemplateId"],
            "approvalRuleTemplateName": template["approvalRuleTemplateName"],
            "callerUserArn": call.principal,
            "creationDate": date(template["creationDate"]),
            "event": event,
            "lastModifiedDate": date(template["lastModifiedDate"]),
            "notificationBody": "A approval rule template event occurred in the following AWS CodeCommit account: "
            f"{call.account}. User: {call.principal}. Additional information: An approval rule template {about}. "
            "For more information, go to the AWS CodeCommit console.",
            "repositories": identifiers,
        }
        arns = [f"arn:aws:codecommit:{call.region}:{call.account}:{name}" for name in names]
        self.tell("CodeCommit Approval Rule Template Change", detail, call.account, call.region, arns)


def _public(template: Template) -> Template:
    return {key: value for key, value in template.items() if key != "repositories"}
