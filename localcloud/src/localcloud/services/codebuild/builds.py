"""Builds: started, listed, stopped, retried."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from typing import Any

from localcloud.core import Call, Cloud, Fault, now, operation, paginate
from localcloud.services.codebuild.projects import ProjectOperations, invalid
from localcloud.services.codebuild.queue import Entry, Queue, parallel_limit
from localcloud.services.codebuild.record import PRIVATE, TABLE, Record, public
from localcloud.services.codebuild.run import Build
from localcloud.services.codebuild.starting import effective, new_build

Document = dict[str, Any]
_NUMBERS = "codebuild.number"
_TOKENS = "codebuild.token"
_TOKEN_SECONDS = 300
_TICK_SECONDS = 5.0


class BuildOperations(ProjectOperations):
    """StartBuild and its kin."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._builds = cloud.store.table(TABLE)
        self._queue = Queue(parallel_limit())
        self._running: dict[str, Build] = {}
        self._lock = threading.Lock()
        self._ticking = False

    # ------------------------------------------------------------------ start

    @operation("StartBuild")
    def start_build(self, call: Call) -> Document:
        """Queue a build of a project."""
        project = self.project(call, call.input["projectName"])
        repeated = self._repeated(call)
        if repeated is not None:
            return {"build": public(repeated)}
        settings = effective(project, call.input)
        return {"build": public(self._start(settings, call))}

    def event_target(
        self, account: str, region: str, arn: str, payload: Document | None, event: Document, rule_arn: str
    ) -> None:
        """An EventBridge rule has a project as its target; `payload`, its input, is StartBuild's, without the project.

        The rule is the initiator. Where it passes the event itself, nothing is overridden.
        """
        given = {**(payload or {}), "projectName": arn.split(":", 5)[5].removeprefix("project/")}
        self.start_build(Call("StartBuild", given, account, region, rule_arn, ""))

    def _repeated(self, call: Call) -> Document | None:
        """The build that the same token started within the last five minutes."""
        token = call.input.get("idempotencyToken")
        known = self.cloud.store.table(_TOKENS).get(call.account, call.region, token) if token else None
        if known is None or (now() - known["time"]).total_seconds() > _TOKEN_SECONDS:
            return None
        if known["request"] != call.input:
            raise invalid(f"The idempotencyToken '{token}' was used before with other parameters")
        return self._builds.get(call.account, call.region, known["build"])

    def _start(self, settings: Document, call: Call, retry_of: Document | None = None) -> Document:
        name = settings["name"]
        with self.cloud.store.transaction():
            numbers = self.cloud.store.table(_NUMBERS)
            number = int((numbers.get(call.account, call.region, name) or {"last": 0})["last"]) + 1
            numbers.put(call.account, call.region, name, {"last": number})
            document = new_build(settings, call, number)
            if retry_of is not None and "autoRetryConfig" in document:
                document["autoRetryConfig"]["autoRetryNumber"] = retry_of["autoRetryConfig"]["autoRetryNumber"] + 1
                document["autoRetryConfig"]["previousAutoRetry"] = retry_of["arn"]
            self._builds.insert(call.account, call.region, document["id"], document)
            token = call.input.get("idempotencyToken")
            if token:
                self.cloud.store.table(_TOKENS).put(
                    call.account, call.region, token,
                    {"time": now(), "request": call.input, "build": document["id"]},
                )  # fmt: skip
        record = Record(self.cloud, call.account, call.region, document["id"])
        record.enter("SUBMITTED")
        record.begin()
        record.leave("SUCCEEDED")
        record.enter("QUEUED")
        answer = record.read()
        self._enqueue(record, settings, call)
        return answer

    def _enqueue(self, record: Record, settings: Document, call: Call) -> None:
        def start() -> None:
            self.cloud.task(f"codebuild-{record.id}", self._work, record, entry, call)

        def expire() -> None:
            record.leave("TIMED_OUT", "BUILD_TIMED_OUT", "Build has timed out in the queue. ")
            record.finish("TIMED_OUT")

        entry = Entry(
            account=call.account,
            project=settings["name"],
            key=f"{call.account}/{record.id}",
            limit=settings.get("concurrentBuildLimit"),
            start=start,
            expire=expire,
            expires=time.monotonic() + 60.0 * settings["queuedTimeoutInMinutes"],
        )
        self._queue.add(entry)
        if self._queue.waiting():
            self._tick_while_waiting()

    def _tick_while_waiting(self) -> None:
        with self._lock:
            if self._ticking:
                return
            self._ticking = True

        def ticks() -> None:
            while self._queue.waiting() and not self.cloud.stopping.wait(_TICK_SECONDS):
                self._queue.tick()
            with self._lock:
                self._ticking = False

        self.cloud.task("codebuild-queue", ticks)

    def _work(self, record: Record, entry: Entry, call: Call) -> None:
        try:
            record.leave("SUCCEEDED")
            build = Build(self.cloud, record)
            with self._lock:
                self._running[entry.key] = build
            build.work()
        finally:
            with self._lock:
                self._running.pop(entry.key, None)
            self._queue.done(entry)
        with contextlib.suppress(KeyError):
            self._retry_automatically(record.read(), call)

    def _retry_automatically(self, document: Document, call: Call) -> None:
        config = document.get("autoRetryConfig")
        if document["buildStatus"] != "FAILED" or not config or document["source"]["type"] == "CODEPIPELINE":
            return
        if config["autoRetryNumber"] < config["autoRetryLimit"]:
            again = self._again(document, call, retry_of=document)
            arn = again["arn"]
            self._builds.update(
                call.account, call.region, document["id"], lambda d: d["autoRetryConfig"].update(nextAutoRetry=arn)
            )

    def _again(self, document: Document, call: Call, retry_of: Document | None = None) -> Document:
        request = document[PRIVATE]["request"]
        again = Call("StartBuild", dict(request), call.account, call.region, call.principal, call.access_key)
        project = self.project(call, document["projectName"])
        return self._start(effective(project, again.input), again, retry_of)

    @operation("RetryBuild")
    def retry_build(self, call: Call) -> Document:
        """Start a build with the parameters of an earlier one."""
        document = self._build(call, call.input.get("id", ""))
        if not document["buildComplete"]:
            raise invalid(f"Build {document['id']} is in progress; a build can be retried when it is over")
        if document["source"]["type"] == "CODEPIPELINE":
            raise invalid(
                f"Build {document['id']} was started by CodePipeline; retry the stage of the pipeline instead"
            )
        return {"build": public(self._again(document, call))}

    # ------------------------------------------------------------------ stop

    @operation("StopBuild")
    def stop_build(self, call: Call) -> Document:
        """End a build. It is STOPPED when its processes are gone; a finished build stays as it is."""
        document = self._build(call, call.input["id"])
        key = f"{call.account}/{document['id']}"
        if not document["buildComplete"]:
            record = Record(self.cloud, call.account, call.region, document["id"])
            if self._queue.remove(key):
                record.leave("STOPPED")
                record.finish("STOPPED")
            else:
                with self._lock:
                    build = self._running.get(key)
                if build is not None:
                    self.cloud.task(f"codebuild-stop-{document['id']}", build.stop)
            document = record.read()
        return {"build": public(document)}

    # ------------------------------------------------------------------ read

    def _build(self, call: Call, identifier: str) -> Document:
        document = self._builds.get(call.account, call.region, identifier.rsplit(":build/", 1)[-1])
        if document is None:
            arn = f"arn:aws:codebuild:{call.region}:{call.account}:build/{identifier.rsplit(':build/', 1)[-1]}"
            raise Fault("ResourceNotFoundException", f"Build cannot be found: {arn}")
        return document

    @operation("BatchGetBuilds")
    def batch_get_builds(self, call: Call) -> Document:
        """Builds by id or ARN."""
        found, missing = [], []
        for identifier in call.input["ids"]:
            document = self._builds.get(call.account, call.region, identifier.rsplit(":build/", 1)[-1])
            if document is None:
                missing.append(identifier)
            else:
                found.append(public(document))
        return {"builds": found, "buildsNotFound": missing or None}

    @operation("ListBuilds")
    def list_builds(self, call: Call) -> Document:
        """Ids, newest first unless asked otherwise."""
        return self._page_of_ids(call, self._ids(call))

    @operation("ListBuildsForProject")
    def list_builds_for_project(self, call: Call) -> Document:
        """Ids of a project's builds, newest first unless asked otherwise."""
        name = self.project(call, call.input["projectName"])["name"]
        return self._page_of_ids(call, self._ids(call, name))

    def _ids(self, call: Call, project: str | None = None) -> list[str]:
        documents = self._builds.list(call.account, call.region)
        ids = [document["id"] for document in documents if project in (None, document["projectName"])]
        return ids if call.input.get("sortOrder") == "ASCENDING" else ids[::-1]

    def _page_of_ids(self, call: Call, ids: list[str]) -> Document:
        page, token = paginate(ids, call.input, error="InvalidInputException")
        return {"ids": page, "nextToken": token}

    @operation("BatchDeleteBuilds")
    def batch_delete_builds(self, call: Call) -> Document:
        """Delete builds that are over."""
        deleted, kept = [], []
        for identifier in call.input["ids"]:
            plain = identifier.rsplit(":build/", 1)[-1]
            document = self._builds.get(call.account, call.region, plain)
            if document is None:
                kept.append({"id": identifier, "statusCode": "BUILD_NOT_FOUND"})
            elif not document["buildComplete"]:
                kept.append({"id": identifier, "statusCode": "BUILD_IN_PROGRESS"})
            else:
                self._builds.delete(call.account, call.region, plain)
                deleted.append(document["arn"])
        return {"buildsDeleted": deleted, "buildsNotDeleted": kept}

    # ------------------------------------------------------------------ restart

    def recover(self) -> None:
        """Builds that ran when the server ended are at fault; nothing of them runs any more."""
        for account, region, identifier, document in self._builds.all():
            if document["buildComplete"]:
                continue
            record = Record(self.cloud, account, region, identifier)
            if document["phases"] and "phaseStatus" not in document["phases"][-1]:
                record.leave("FAULT", "INTERNAL_SERVICE_ERROR", "The local cloud was stopped while the build ran")
            record.finish("FAULT")
            if document[PRIVATE].get("root"):
                shutil.rmtree(document[PRIVATE]["root"], ignore_errors=True)

    def close(self) -> None:
        """End what runs; their records are put right by the next start's `recover`."""
        with self._lock:
            running = list(self._running.values())
        for build in running:
            build.stop()
