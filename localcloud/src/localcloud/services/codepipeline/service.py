"""The operations on pipelines themselves; those on executions and jobs are in modules of their own."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Cloud, Conflict, Fault, now, operation, paginate
from localcloud.core.tags import is_reserved
from localcloud.services.codepipeline import structure
from localcloud.services.codepipeline.engine import Engine
from localcloud.services.codepipeline.executions import ExecutionOperations
from localcloud.services.codepipeline.jobs import JobOperations
from localcloud.services.codepipeline.polling import Poller
from localcloud.services.codepipeline.records import Place, Records
from localcloud.services.codepipeline.resource import PIPELINE
from localcloud.services.codepipeline.views import StateView
from localcloud.services.codepipeline.webhooks import Webhooks

MAX_TAGS = 50


class CodePipeline(ExecutionOperations, JobOperations):
    """AWS CodePipeline."""

    name = "codepipeline"
    resources = (PIPELINE,)

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.records = Records(cloud)
        self.engine = Engine(cloud, self.records)
        self.webhooks = Webhooks(self.engine)

    def recover(self) -> None:
        """Go on with every execution that had not ended."""
        self.engine.recover()
        self.cloud.task("codepipeline polls", Poller(self.engine).run)
        for place in list(self.records.places()):  # those of a local cloud that had no webhooks yet
            self.webhooks.install(place, self.records.pipeline(place)["declaration"])
        self.cloud.task("codepipeline webhooks", self.webhooks.run)

    def event_target(
        self,
        account: str,
        region: str,
        arn: str,
        payload: dict[str, Any] | None,
        event: dict[str, Any],
        rule_arn: str,
    ) -> None:
        """An EventBridge rule has this pipeline as its target; `payload` is its transformed input."""
        self.start_from_event(account, region, arn.split(":", 5)[5], payload, rule_arn)

    # -- pipelines ----------------------------------------------------------------------------------------------

    @operation("CreatePipeline")
    def create_pipeline(self, call: Call) -> dict[str, Any]:
        """Validate, keep, and start the first execution."""
        declaration = structure.normalise(call.input["pipeline"])
        place = Place(call.account, call.region, declaration["name"])
        tags = _tags(call.input.get("tags") or [])
        if self.records.pipelines.get(*place) is not None:
            raise _in_use(place)
        self._validate(declaration, place)
        declaration["version"] = 1
        record = {
            "declaration": declaration,
            "created": now(),
            "updated": now(),
            "tags": tags,
            "transitions": {},
            "counter": 0,
        }
        try:
            with self.records.store.transaction():
                self.records.pipelines.insert(*place, record)
                self.records.versions.put(call.account, call.region, f"{place.pipeline}/1", declaration)
        except Conflict:
            raise _in_use(place) from None
        self.webhooks.install(place, declaration)
        self.engine.start(place, {"triggerType": "CreatePipeline", "triggerDetail": call.principal})
        answer: dict[str, Any] = {"pipeline": declaration}
        if tags:
            answer["tags"] = _listed(tags)
        return answer

    @operation("UpdatePipeline")
    def update_pipeline(self, call: Call) -> dict[str, Any]:
        """Replace the declaration; its version grows by one, and nothing is started."""
        declaration = structure.normalise(call.input["pipeline"])
        place = Place(call.account, call.region, declaration["name"])
        if self.records.pipelines.get(*place) is None:
            raise Fault(
                "InvalidStructureException",
                f"A pipeline with the name '{place.pipeline}' does not exist to be updated.",
            )
        self._validate(declaration, place)
        with self.engine.lock:
            with self.records.store.transaction():
                record = self.records.pipeline(place)
                declaration["version"] = record["declaration"]["version"] + 1
                self.records.change_pipeline(place, declaration=declaration, updated=now())
                key = f"{place.pipeline}/{declaration['version']}"
                self.records.versions.put(call.account, call.region, key, declaration)
            self.webhooks.install(place, declaration)
            self.engine.reconcile(place)
        return {"pipeline": declaration}

    def _validate(self, declaration: dict[str, Any], place: Place) -> None:
        structure.validate(declaration, place.region)
        role = declaration["roleArn"]
        try:
            self.cloud.assume(
                role,
                str(int(now().timestamp() * 1000)),
                region=place.region,
                service_principal="codepipeline.amazonaws.com",
                source_arn=place.arn,
            )
        except Fault as error:
            raise Fault(
                "InvalidStructureException", f"CodePipeline is not authorized to perform AssumeRole on role {role}"
            ) from error

    @operation("GetPipeline")
    def get_pipeline(self, call: Call) -> dict[str, Any]:
        """The current declaration, or that of an earlier version."""
        place = Place(call.account, call.region, call.input["name"])
        record = self.records.pipeline(place)
        declaration = record["declaration"]
        version = call.input.get("version")
        if version is not None and version != declaration["version"]:
            found = self.records.versions.get(call.account, call.region, f"{place.pipeline}/{version}")
            if found is None:
                raise Fault(
                    "PipelineVersionNotFoundException",
                    f"Pipeline {place.pipeline} has no version {version}; the latest is {declaration['version']}.",
                )
            declaration = found
        metadata = {"pipelineArn": place.arn, "created": record["created"], "updated": record["updated"]}
        return {"pipeline": declaration, "metadata": metadata}

    @operation("ListPipelines")
    def list_pipelines(self, call: Call) -> dict[str, Any]:
        """All pipelines of the account in the Region."""
        found = [
            {
                "name": record["declaration"]["name"],
                "version": record["declaration"]["version"],
                "pipelineType": record["declaration"]["pipelineType"],
                "executionMode": record["declaration"]["executionMode"],
                "created": record["created"],
                "updated": record["updated"],
            }
            for record in self.records.pipelines.list(call.account, call.region)
        ]
        page, token = paginate(found, call.input, default=1000, error="InvalidNextTokenException")
        return {"pipelines": page, "nextToken": token}

    @operation("DeletePipeline")
    def delete_pipeline(self, call: Call) -> None:
        """Forget the pipeline and its history; deleting what does not exist is no error."""
        place = Place(call.account, call.region, call.input["name"])
        with self.engine.lock:
            if self.records.pipelines.get(*place) is not None:
                self.records.forget(place)

    @operation("GetPipelineState")
    def get_pipeline_state(self, call: Call) -> dict[str, Any]:
        """What every stage and action last did."""
        place = Place(call.account, call.region, call.input["name"])
        with self.engine.lock:
            return StateView(self.records, place).answer()

    # -- transitions ----------------------------------------------------------------------------------------------

    @operation("DisableStageTransition")
    def disable_stage_transition(self, call: Call) -> None:
        """Let nothing enter a stage."""
        self._transition(call, enabled=False)

    @operation("EnableStageTransition")
    def enable_stage_transition(self, call: Call) -> None:
        """Let executions enter a stage again; who waits goes on."""
        self._transition(call, enabled=True)

    def _transition(self, call: Call, *, enabled: bool) -> None:
        place = Place(call.account, call.region, call.input["pipelineName"])
        record = self.records.pipeline(place)
        stage = self.records.require_stage(place, call.input["stageName"])["name"]
        if call.input["transitionType"] != "Inbound":
            raise Fault(
                "ValidationException",
                "Outbound transitions are not served by the local cloud; use Inbound of the next stage.",
            )
        if record["declaration"]["executionMode"] == "PARALLEL":
            raise Fault("ValidationException", "Stage transitions cannot be changed for a pipeline in PARALLEL mode.")
        self.engine.transition(place, stage, enabled, call.principal, call.input.get("reason"))

    # -- tags -----------------------------------------------------------------------------------------------------

    def _tagged(self, call: Call) -> tuple[Place, dict[str, Any]]:
        arn = call.input["resourceArn"]
        parts = arn.split(":", 5)
        if parts[3:5] != [call.region, call.account]:
            raise Fault(
                "InvalidArnException", f"The ARN {arn} is not of account {call.account} and Region {call.region}."
            )
        place = Place(call.account, call.region, parts[5])
        record = self.records.pipelines.get(*place)
        if record is None:
            raise Fault("ResourceNotFoundException", f"There is no resource with the ARN {arn}.")
        return place, record

    @operation("ListTagsForResource")
    def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        """A pipeline's tags."""
        _, record = self._tagged(call)
        page, token = paginate(_listed(record["tags"]), call.input, error="InvalidNextTokenException")
        return {"tags": page, "nextToken": token}

    @operation("TagResource")
    def tag_resource(self, call: Call) -> dict[str, Any]:
        """Add or change tags."""
        place, record = self._tagged(call)
        merged = {**record["tags"], **_tags(call.input["tags"])}
        if len(merged) > MAX_TAGS:
            raise Fault(
                "TooManyTagsException", f"A resource can have at most {MAX_TAGS} tags; this would make {len(merged)}."
            )
        self.records.change_pipeline(place, tags=merged)
        return {}

    @operation("UntagResource")
    def untag_resource(self, call: Call) -> dict[str, Any]:
        """Remove tags."""
        place, record = self._tagged(call)
        gone = set(call.input["tagKeys"])
        self.records.change_pipeline(place, tags={k: v for k, v in record["tags"].items() if k not in gone})
        return {}


def _in_use(place: Place) -> Fault:
    return Fault(
        "PipelineNameInUseException", f"A pipeline with the name '{place.pipeline}' already exists in account."
    )


def _tags(given: list[dict[str, str]]) -> dict[str, str]:
    for tag in given:
        if is_reserved(tag["key"]):
            raise Fault("InvalidTagsException", f"Tag key '{tag['key']}' begins with the reserved prefix aws:.")
    tags = {tag["key"]: tag["value"] for tag in given}
    if len(tags) != len(given):
        raise Fault("InvalidTagsException", "Tag keys must be unique.")
    if len(tags) > MAX_TAGS:
        raise Fault("TooManyTagsException", f"A resource can have at most {MAX_TAGS} tags; given are {len(tags)}.")
    return tags


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
