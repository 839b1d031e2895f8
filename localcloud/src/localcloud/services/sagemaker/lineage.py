"""Experiments and lineage, model cards, feature groups: records with a little behaviour of their own."""

from __future__ import annotations

import json
from typing import Any

from localcloud.core import Call, Conflict, Fault, now, operation, paginate
from localcloud.records import PlugIn, Record, hook
from localcloud.records.engine import user_context

_TYPES = {"experiment": "Experiment", "experiment-trial": "Trial", "experiment-trial-component": "TrialComponent"}
# Of the model card schema in the Developer Guide. The card that a package carries is simpler: it lacks
# model_package_details, and its overview has no other parts than these.
_CARRIED_OVERVIEW = {"model_creator", "model_artifact"}
_CARD_PARTS = (
    "model_overview", "model_package_details", "intended_uses", "business_details", "training_details",
    "evaluation_details", "additional_information",
)  # fmt: skip


class Lineage(PlugIn):
    """Associations between entities, trial components of trials, versions of model cards, feature additions."""

    # ---- associations

    @operation("AddAssociation")
    def add(self, call: Call) -> dict[str, Any]:
        """Say that one entity comes from another."""
        source, destination = call.input["SourceArn"], call.input["DestinationArn"]
        for arn in (source, destination):
            self._entity(call, arn)
        document = {**call.input, "CreationTime": now(), "CreatedBy": user_context(call)}
        try:
            self._table.insert(call.account, call.region, f"{source} {destination}", document)
        except Conflict:
            raise Fault(
                "ValidationException", f"Association between '{source}' and '{destination}' already exists."
            ) from None
        return {"SourceArn": source, "DestinationArn": destination}

    @operation("DeleteAssociation")
    def remove(self, call: Call) -> dict[str, Any]:
        """Take an association back."""
        source, destination = call.input["SourceArn"], call.input["DestinationArn"]
        if not self._table.delete(call.account, call.region, f"{source} {destination}"):
            raise Fault("ResourceNotFound", f"Association between '{source}' and '{destination}' does not exist.")
        return {"SourceArn": source, "DestinationArn": destination}

    @operation("ListAssociations")
    def list(self, call: Call) -> dict[str, Any]:
        """Associations by either end, type and time, newest first."""
        request = call.input
        summaries = []
        for document in self._table.list(call.account, call.region):
            summary = self._summary(call, document)
            plain = ("SourceArn", "DestinationArn", "SourceType", "DestinationType", "AssociationType")
            if any(request.get(name) not in (None, summary.get(name)) for name in plain):
                continue
            after, before = request.get("CreatedAfter"), request.get("CreatedBefore")
            if (after and document["CreationTime"] < after) or (before and document["CreationTime"] > before):
                continue
            summaries.append(summary)
        by = request.get("SortBy", "CreationTime")
        summaries.sort(key=lambda summary: summary.get(by) or "", reverse=request.get("SortOrder") != "Ascending")
        page, token = paginate(summaries, request, token="NextToken", limit="MaxResults", default=10)  # noqa: S106
        return {"AssociationSummaries": page, **({"NextToken": token} if token else {})}

    def _summary(self, call: Call, document: Record) -> Record:
        summary = {name: document[name] for name in ("SourceArn", "DestinationArn", "CreationTime", "CreatedBy")}
        if document.get("AssociationType"):
            summary["AssociationType"] = document["AssociationType"]
        for end in ("Source", "Destination"):
            entity = self._entity(call, document[f"{end}Arn"], missing_ok=True)
            kind = document[f"{end}Arn"].split(":", 5)[-1].split("/")[0]
            known = {"action": "ActionType", "artifact": "ArtifactType", "context": "ContextType"}
            summary[f"{end}Type"] = str(entity.get(known.get(kind, ""), _TYPES.get(kind, kind)))
            name = next((entity[n] for n in (f"{_kind(kind)}Name",) if entity.get(n)), None)
            if name:
                summary[f"{end}Name"] = name
        return summary

    def _entity(self, call: Call, arn: str, missing_ok: bool = False) -> Record:
        kind = _kind(arn.split(":", 5)[-1].split("/")[0])
        found = self.records[kind].by_arn(arn) if kind in self.records else None
        if found is None and not missing_ok:
            raise Fault("ResourceNotFound", f"{kind} '{arn}' does not exist.")
        return found[2] if found else {}

    @property
    def _table(self) -> Any:
        return self.cloud.store.table("sagemaker.Association")

    # ---- trial components of trials

    @operation("AssociateTrialComponent")
    def associate(self, call: Call) -> dict[str, Any]:
        """Make a component part of a trial."""
        return self._members(call, add=True)

    @operation("DisassociateTrialComponent")
    def disassociate(self, call: Call) -> dict[str, Any]:
        """Take a component out of a trial."""
        return self._members(call, add=False)

    def _members(self, call: Call, *, add: bool) -> dict[str, Any]:
        trial = self.records["Trial"].require(call, TrialName=call.input["TrialName"])
        components = self.records["TrialComponent"]
        component = components.require(call, TrialComponentName=call.input["TrialComponentName"])

        def change(found: Record) -> Record:
            trials = [name for name in found.get("_Trials", []) if name != trial["TrialName"]]
            return {**found, "_Trials": [*trials, trial["TrialName"]] if add else trials}

        components.table.update(call.account, call.region, components.key(component), change)
        return {"TrialArn": trial["TrialArn"], "TrialComponentArn": component["TrialComponentArn"]}

    @operation("ListTrialComponents")
    def list_components(self, call: Call) -> dict[str, Any]:
        """Components, of a trial, an experiment or a source."""
        components = self.records["TrialComponent"]
        request = dict(call.input)
        trial, experiment = request.pop("TrialName", None), request.pop("ExperimentName", None)
        source = request.pop("SourceArn", None)
        trials = {trial} if trial else None
        if experiment:
            trials = {
                record["TrialName"]
                for record in self.records["Trial"].list(call.account, call.region)
                if record["ExperimentName"] == experiment
            }
        chosen = [
            record
            for record in components.list(call.account, call.region)
            if (trials is None or trials & set(record.get("_Trials", [])))
            and source in (None, record.get("Source", {}).get("SourceArn"))
        ]
        return components.listed(call, request, chosen)

    @operation("ListTrials")
    def list_trials(self, call: Call) -> dict[str, Any]:
        """Trials, of an experiment or with a component."""
        trials = self.records["Trial"]
        request = dict(call.input)
        component = request.pop("TrialComponentName", None)
        chosen = trials.list(call.account, call.region)
        if component:
            found = self.records["TrialComponent"].require(call, TrialComponentName=component)
            chosen = [record for record in chosen if record["TrialName"] in found.get("_Trials", [])]
        return trials.listed(call, request, chosen)

    # ---- model cards

    @hook("ModelCard", "before_create")
    def check_card(self, call: Call, record: Record) -> None:
        """The content must be a model card."""
        check_card(record["Content"], "Content")

    @hook("ModelPackage", "before_create")
    @hook("ModelPackage", "before_update")
    def check_carried_card(self, call: Call, record: Record) -> None:
        """So must that of the card that a package carries."""
        content = (call.input.get("ModelCard") or {}).get("ModelCardContent")
        if content is not None:
            found = check_card(content, "ModelCard.ModelCardContent")
            overview = found.get("model_overview") or {}
            if "model_package_details" in found or set(overview) - _CARRIED_OVERVIEW:
                raise Fault(
                    "ValidationException",
                    "ModelCard.ModelCardContent: the card of a model package has no model_package_details, and its "
                    f"model_overview has {' and '.join(sorted(_CARRIED_OVERVIEW))} alone.",
                )

    @hook("ModelCard", "before_update")
    def next_version(self, call: Call, record: Record) -> None:
        """A change of the content makes a new version; the one before is kept."""
        cards = self.records["ModelCard"]
        before = cards.require(call)
        if "Content" in call.input:
            check_card(call.input["Content"], "Content")
        if record.get("Content") != before.get("Content"):
            record["ModelCardVersion"] = before["ModelCardVersion"] + 1
            record["_Earlier"] = [*before.get("_Earlier", []), {k: v for k, v in before.items() if k != "_Earlier"}]

    @operation("DescribeModelCard")
    def describe_card(self, call: Call) -> dict[str, Any]:
        """A card, or an earlier version of it."""
        cards = self.records["ModelCard"]
        card = cards.require(call)
        version = call.input.get("ModelCardVersion", card["ModelCardVersion"])
        for candidate in (card, *card.get("_Earlier", [])):
            if candidate["ModelCardVersion"] == version:
                return cards.describe(call, candidate)
        name = card["ModelCardName"]
        raise Fault("ResourceNotFound", f"ModelCard with name {name} and version {version} does not exist")

    @operation("ListModelCardVersions")
    def card_versions(self, call: Call) -> dict[str, Any]:
        """All versions of a card, newest first."""
        card = self.records["ModelCard"].require(call)
        ascending = call.input.get("SortOrder") == "Ascending"
        versions = sorted(
            [card, *card.get("_Earlier", [])], key=lambda item: int(item["ModelCardVersion"]), reverse=not ascending
        )
        names = (
            "ModelCardName",
            "ModelCardArn",
            "ModelCardStatus",
            "ModelCardVersion",
            "CreationTime",
            "LastModifiedTime",
        )
        page, token = paginate(versions, call.input, token="NextToken", limit="MaxResults", default=10)  # noqa: S106
        summaries = [{name: version[name] for name in names} for version in page]
        return {"ModelCardVersionSummaryList": summaries, **({"NextToken": token} if token else {})}

    # ---- feature groups

    @hook("FeatureGroup", "before_create")
    def check_features(self, call: Call, record: Record) -> None:
        """The record identifier and the event time must be features of the group."""
        names = {feature["FeatureName"] for feature in record["FeatureDefinitions"]}
        for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
            if record[member] not in names:
                raise Fault(
                    "ValidationException",
                    f"Validation Error: {member} '{record[member]}' is none of the FeatureDefinitions {sorted(names)}.",
                )
        if record.get("OfflineStoreConfig") and not record.get("RoleArn"):
            raise Fault("ValidationException", "Validation Error: RoleArn is required with OfflineStoreConfig.")

    @hook("FeatureGroup", "before_update")
    def add_features(self, call: Call, record: Record) -> None:
        """Features can be added, never taken away."""
        added = record.pop("FeatureAdditions", None) or []
        present = {feature["FeatureName"] for feature in record["FeatureDefinitions"]}
        double = sorted(present & {feature["FeatureName"] for feature in added})
        if double:
            raise Fault(
                "ValidationException", f"Validation Error: the feature group has the features {double} already."
            )
        record["FeatureDefinitions"] = [*record["FeatureDefinitions"], *added]
        record["LastUpdateStatus"] = {"Status": "Successful"}


def check_card(content: str, where: str) -> dict[str, Any]:
    """A model card is a JSON object of the parts that its schema has.

    Raises:
        Fault: it is none.
    """
    try:
        document = json.loads(content)
    except ValueError as error:
        raise Fault("ValidationException", f"{where} is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise Fault("ValidationException", f"{where} must be a JSON object.")
    unknown = sorted(set(document) - set(_CARD_PARTS))
    if unknown:
        raise Fault(
            "ValidationException",
            f"{where} has parts that a model card has not: {', '.join(unknown)}; it has {', '.join(_CARD_PARTS)}.",
        )
    return document


def _kind(resource: str) -> str:
    """The kind that an ARN's first word means."""
    return _TYPES.get(resource, resource.capitalize())
