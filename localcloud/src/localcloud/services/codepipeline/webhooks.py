"""What a provider's webhook does on AWS: pipelines learn of pushes to the repositories that connections reach.

Here the repositories are looked at every second, whoever pushed and however. Which references had been seen is kept, so
what was pushed while the local cloud was down starts the pipeline when it is up again, once for each reference.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Any

from localcloud.core import Fault
from localcloud.services.codecommit.git import EMPTY_TREE, GitError, GitRepository
from localcloud.services.codeconnections import provider
from localcloud.services.codepipeline import triggers
from localcloud.services.codepipeline.engine import Engine
from localcloud.services.codepipeline.records import Document, Place
from localcloud.services.codepipeline.structure import source_actions

logger = logging.getLogger("localcloud.codepipeline")

SECONDS_BETWEEN_LOOKS = 1.0
# Two changes in one tick of the file system's clock look like one: now and then everything is read.
LOOKS_BETWEEN_WHOLE = 30


class Webhooks:
    """Table `codepipeline.webhook` by "pipeline/action": connection, repository, references (None until there is one to
    read them), number of the deliveries so far."""  # fmt: skip

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.cloud = engine.cloud
        self.table = engine.records.webhooks
        self._seen: dict[tuple[str, str, str], tuple[str, str, provider.Fingerprint]] = {}

    def install(self, place: Place, declaration: Document) -> None:
        """Begin with what there is: a pipeline was made or changed. What was pushed before is for its own execution."""
        wanted = {
            f"{place.pipeline}/{name}": (
                action["configuration"]["ConnectionArn"],
                action["configuration"]["FullRepositoryId"],
            )
            for name, action in source_actions(declaration).items()
            if action["actionTypeId"]["provider"] == triggers.PROVIDER
        }
        rows = {}
        for key, (connection, repository) in wanted.items():
            known = self.table.get(place.account, place.region, key)
            if known and (known["connection"], known["repository"]) == (connection, repository):
                continue
            git = self._git(connection, repository)
            rows[key] = {
                "key": key,
                "pipeline": place.pipeline,
                "connection": connection,
                "repository": repository,
                "references": git.references() if git else None,
                "number": known["number"] + 1 if known else 0,
            }
        with self.engine.records.store.transaction():
            for row in self.table.list(place.account, place.region):
                if row["pipeline"] == place.pipeline and row["key"] not in wanted:
                    self.table.delete(place.account, place.region, row["key"])
            for key, row in rows.items():
                self.table.put(place.account, place.region, key, row)

    def run(self) -> None:
        """Look until the local cloud stops."""
        looks = 0
        while not self.cloud.stopping.wait(SECONDS_BETWEEN_LOOKS):
            looks += 1
            for account, region, key, row in self.table.all():
                try:
                    self._look(account, region, key, row, whole=looks % LOOKS_BETWEEN_WHOLE == 0)
                except (Fault, GitError, OSError) as error:
                    logger.warning("pipeline %s cannot look at %s: %s", row["pipeline"], row["repository"], error)

    def _look(self, account: str, region: str, key: str, row: Document, *, whole: bool) -> None:
        git = self._git(row["connection"], row["repository"])
        if git is None:
            self._seen.pop((account, region, key), None)
            return
        state = (row["connection"], row["repository"], provider.fingerprint(git))
        if not whole and self._seen.get((account, region, key)) == state:
            return
        references = git.references()
        if references != row["references"]:
            if row["references"] is not None:
                self._deliver(Place(account, region, row["pipeline"]), key, row, git, references)
            self._keep(account, region, key, row, references)
        self._seen[account, region, key] = state

    def _keep(self, account: str, region: str, key: str, row: Document, references: dict[str, str]) -> None:
        def change(known: Document) -> Document:
            same = (known["connection"], known["repository"]) == (row["connection"], row["repository"])
            return {**known, "references": references, "number": row["number"] + 1} if same else known

        self.table.update(account, region, key, change)

    def _deliver(self, place: Place, key: str, row: Document, git: GitRepository, references: dict[str, str]) -> None:
        """Start the pipeline for each reference that moved; to no effect where an ended server had done so."""
        declaration = self.engine.records.pipeline(place)["declaration"]
        name = key.removeprefix(f"{row['pipeline']}/")
        action = source_actions(declaration).get(name)
        if action is None:
            return
        for reference, commit in sorted(references.items()):
            before = row["references"].get(reference)
            if before == commit:
                continue
            changed = functools.partial(_changed, git, before, commit)
            if not triggers.starts(declaration, action, reference, changed):
                continue
            kind = "WebhookV2" if declaration["pipelineType"] == "V2" else "Webhook"
            branch = reference.removeprefix("refs/heads/") if reference.startswith("refs/heads/") else ""
            override = {
                "actionName": name, "revisionType": "COMMIT_ID", "revisionValue": commit, "branch": branch,
            }  # fmt: skip
            trigger = {"triggerType": kind, "triggerDetail": row["connection"]}
            token = f"webhook/{name}/{row['number']}/{reference}"
            try:
                self.engine.start(place, trigger, overrides=[override], token=token)
            except Fault as fault:  # as on AWS, where nobody is told of a delivery that starts nothing
                logger.warning("a push of %s does not start %s: %s", reference, place.pipeline, fault)

    def _git(self, connection: str, repository: str) -> GitRepository | None:
        service: Any = self.cloud.service("codeconnections")
        record = service.find(connection)
        if record is None:
            return None
        try:
            found: GitRepository | None = service.repository(record, repository)
        except Fault:
            return None
        return found


def _changed(git: GitRepository, before: str | None, commit: str) -> Sequence[str]:
    """The files that a push changed; of a new branch those of its last commit."""
    if before is None or git.kind(before) != "commit":
        parents = git.commit(commit).parents
        before = parents[0] if parents else EMPTY_TREE
    return [entry.path for _, old, new in git.differences(before, commit) for entry in (new or old,) if entry]
