"""Records: one engine that serves the resources of a service from the service's own model, which botocore ships.

A *kind* (:class:`Kind`) is a resource such as ``TrainingJob``: a few declared words; operations, shapes, identifier,
ARN, status member, filters and errors are derived from the model. The *records* of a kind (:class:`Records`) are
documents in the store, kept **under the names that the Describe answer uses** (what the Create request gave, plus ARN,
status, times). Members whose name begins with ``_`` are the behaviour's own notes and are never shown; ``Tags`` is kept
in the record too.

A service is a :class:`RecordService` made of *plug-ins* (:class:`PlugIn`): classes with hooks and operations::

    class Training(PlugIn):                          # services/sagemaker/training.py
        kinds = ()                                   # further kinds, or better declarations (matched by name)

        @hook("TrainingJob", "before_create")        # refuse by Fault, or set defaults; the record is stored after it
        def defaults(self, call: Call, record: Record) -> None:
            record.setdefault("EnableNetworkIsolation", False)
            record["SecondaryStatus"] = "Starting"

        @hook("TrainingJob", "after_create")         # the record is stored: start what has to be done
        def start(self, call: Call, record: Record) -> None:
            self.cloud.task(f"training/{record['TrainingJobName']}", self.run, call.account, call.region, record)

        def run(self, account: str, region: str, record: Record) -> None:
            jobs, name = self.records["TrainingJob"], record["TrainingJobName"]
            jobs.update_status(account, region, name, "InProgress", SecondaryStatus="Training")
            ...
            jobs.update_status(account, region, name, "Failed", FailureReason="AlgorithmError: …")

        @operation("StopTrainingJob")                # an operation that is not one of a record
        def stop(self, call: Call) -> dict[str, Any]:
            job = self.records["TrainingJob"].require(call)  # by the operation's own identifying members
            ...
            return {}

        def recover(self) -> None: ...               # after a restart: finish or fail what was running

``service.py`` lists the plug-ins: ``class SageMaker(RecordService): plug_ins = (Registry, …, Training, …)``.

Hooks are methods ``(self, call, record)``, called in the order of the plug-ins:

``before_create``  inside the request, before the record is stored. It may change the record; a Fault refuses. At this
                   point the record has identifier, ARN, times, and the kind's first status. Not in a transaction: it
                   may call other services.
``after_create``   after it is stored. A kind declared with ``acts=True`` answers Create with NotImplemented until a
                   plug-in registers this hook for it.
``describe``       before the Describe answer is shaped: gets a copy of the record and may change it.
``before_update``  gets the record *with the changes merged*; ``call.input`` has the request. ``after_update``: stored.
``before_delete``  a Fault refuses; a record may also be kept and marked (set ``record["_keep"] = True``, then the
                   engine stores the record instead of deleting it: for what goes through a Deleting state).
``after_delete``   once it is gone.
``identify``       ``record`` is what a request gives to identify a record; the hook may complete or translate it.
``status_of``      ``-> str | None``: a status computed at read time (for Describe, List and Search).
``shared``         ``-> bool``: whether the caller's account, which does not own the record, may do what it asks.

An operation given by a plug-in's :func:`operation` goes before the one derived for a kind.

:class:`Records`, reached as ``self.records["TrainingJob"]``; ``key`` is the identifier as stored: the name, or several
identifying members joined by ``/`` (``records.key(record)`` makes it)::

    get(account, region, key) -> Record | None         put(account, region, record) -> Record   (insert or replace)
    list(account, region) -> list[Record]              all() -> list[tuple[account, region, Record]]
    update(account, region, key, function)             # atomic; sets LastModifiedTime; None if the record is gone
    update_status(account, region, key, status, **members) -> Record | None
    delete(account, region, key) -> None
    create(call, members) -> Record                    # as the API would, hooks included, from inside
    require(call, **members) -> Record                 # by call.input or the members given; else AWS's Fault
    locate(call, members) -> (account, region, Record) # the same, with the owner
    describe(call, record) -> the Describe answer      listed(call, request, records) -> the List answer
    by_arn(arn) -> (account, region, Record) | None    arn(account, region, record) -> str
    missing(call, identity) -> Fault                   # AWS's answer when there is none

Kinds without a Create operation (``PipelineExecution``) are declared with ``create="-"`` and filled with ``put``;
Describe, List, Update and tags then work as for all others.
"""

from localcloud.records.coverage import coverage
from localcloud.records.engine import Records
from localcloud.records.kind import Kind, made_id
from localcloud.records.service import PlugIn, RecordService, hook
from localcloud.records.types import Record

__all__ = ["Kind", "PlugIn", "Record", "RecordService", "Records", "coverage", "hook", "made_id"]
