"""What is kept of pipelines and their executions, and where.

Executions, actions and rules lie in tables of their own for each pipeline, so that listing one pipeline never reads
another's history and deleting it forgets all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from localcloud.core import Cloud, Fault, Table

Document = dict[str, Any]

TERMINAL = frozenset({"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"})


class Place(NamedTuple):
    """A pipeline by account, region and name."""

    account: str
    region: str
    pipeline: str

    @property
    def arn(self) -> str:
        """The pipeline's ARN."""
        return f"arn:aws:codepipeline:{self.region}:{self.account}:{self.pipeline}"


class Records:
    """The tables."""

    def __init__(self, cloud: Cloud) -> None:
        self.store = cloud.store
        self.pipelines = cloud.store.table("codepipeline.pipeline")
        self.versions = cloud.store.table("codepipeline.version")
        self.jobs = cloud.store.table("codepipeline.job")
        self.tokens = cloud.store.table("codepipeline.token")
        self.webhooks = cloud.store.table("codepipeline.webhook")

    # -- pipelines ----------------------------------------------------------------------------------------------

    def pipeline(self, place: Place) -> Document:
        """The pipeline's record.

        Raises:
            Fault: PipelineNotFoundException.
        """
        found = self.pipelines.get(place.account, place.region, place.pipeline)
        if found is None:
            raise missing_pipeline(place)
        return found

    def change_pipeline(self, place: Place, **changes: Any) -> None:
        """Set members of the pipeline's record."""
        self.pipelines.update(place.account, place.region, place.pipeline, lambda record: {**record, **changes})

    def next_number(self, place: Place) -> int:
        """A number that grows with each use, for the order of executions."""
        updated = self.pipelines.update(
            place.account, place.region, place.pipeline, lambda record: {**record, "counter": record["counter"] + 1}
        )
        if updated is None:
            raise missing_pipeline(place)
        return int(updated["counter"])

    def forget(self, place: Place) -> None:
        """Delete the pipeline and all that is known of its executions."""
        with self.store.transaction():
            record = self.pipeline(place)
            self.pipelines.delete(place.account, place.region, place.pipeline)
            for version in range(1, int(record["declaration"]["version"]) + 1):
                self.versions.delete(place.account, place.region, f"{place.pipeline}/{version}")
            for table in (self.executions(place), self.actions(place), self.rules(place)):
                for document in table.list(place.account, place.region):
                    table.delete(place.account, place.region, document["id"])
            for table in (self.jobs, self.tokens, self.webhooks):
                for document in table.list(place.account, place.region):
                    if document["pipeline"] == place.pipeline:
                        table.delete(place.account, place.region, document["key"])

    def places(self) -> Iterator[Place]:
        """Every pipeline."""
        for account, region, name, _ in self.pipelines.all():
            yield Place(account, region, name)

    # -- executions ---------------------------------------------------------------------------------------------

    def executions(self, place: Place) -> Table:
        """The pipeline's executions by id."""
        return self.store.table(f"codepipeline.execution:{place.pipeline}")

    def actions(self, place: Place) -> Table:
        """The pipeline's action executions by id."""
        return self.store.table(f"codepipeline.action:{place.pipeline}")

    def rules(self, place: Place) -> Table:
        """The pipeline's rule executions by id."""
        return self.store.table(f"codepipeline.rule:{place.pipeline}")

    def execution(self, place: Place, execution_id: str) -> Document | None:
        """An execution."""
        return self.executions(place).get(place.account, place.region, execution_id)

    def put_execution(self, place: Place, execution: Document) -> None:
        """Create or replace an execution."""
        self.executions(place).put(place.account, place.region, execution["id"], execution)

    def list_executions(self, place: Place) -> list[Document]:
        """All executions, oldest first."""
        return self.executions(place).list(place.account, place.region)

    def live(self, place: Place) -> list[Document]:
        """Executions that have not ended, oldest first."""
        return [execution for execution in self.list_executions(place) if execution["status"] not in TERMINAL]

    def action(self, place: Place, action_id: str) -> Document | None:
        """An action execution."""
        return self.actions(place).get(place.account, place.region, action_id)

    def put_action(self, place: Place, action: Document) -> None:
        """Create or replace an action execution."""
        self.actions(place).put(place.account, place.region, action["id"], action)

    def list_actions(self, place: Place) -> list[Document]:
        """All action executions, oldest first."""
        return self.actions(place).list(place.account, place.region)

    def put_rule(self, place: Place, rule: Document) -> None:
        """Create or replace a rule execution."""
        self.rules(place).put(place.account, place.region, rule["id"], rule)

    def list_rules(self, place: Place) -> list[Document]:
        """All rule executions, oldest first."""
        return self.rules(place).list(place.account, place.region)

    # -- look-ups that answer AWS's faults ------------------------------------------------------------------------

    def require_execution(self, place: Place, execution_id: str, code: str) -> Document:
        """An execution.

        Raises:
            Fault: `code` when there is none of that id.
        """
        found = self.execution(place, execution_id)
        if found is None:
            raise Fault(
                code,
                f"The pipeline execution {execution_id} does not exist for the pipeline with name {place.pipeline}.",
            )
        return found

    def require_stage(self, place: Place, stage_name: str) -> Document:
        """A stage of the pipeline's current declaration.

        Raises:
            Fault: StageNotFoundException.
        """
        for stage in self.pipeline(place)["declaration"]["stages"]:
            if stage["name"] == stage_name:
                return dict(stage)
        raise Fault(
            "StageNotFoundException",
            f"Stage '{stage_name}' does not exist in pipeline '{place.pipeline}'.",
        )


def missing_pipeline(place: Place) -> Fault:
    """AWS's answer for a pipeline that does not exist."""
    return Fault(
        "PipelineNotFoundException",
        f"Account '{place.account}' does not have a pipeline with name '{place.pipeline}'",
    )
