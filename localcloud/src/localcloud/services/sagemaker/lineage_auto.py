"""The lineage that SageMaker keeps by itself: of jobs and of model packages, from data and images to the registry.

As the Developer Guide has it in "SageMaker AI-Created Tracking Entities". There is one artifact for each source URI.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localcloud.core import Call, Conflict, now
from localcloud.records import PlugIn, Record, hook
from localcloud.services.sagemaker import jobs

AUTO = "_Auto"  # marks what nobody has created by a call of his own
_SUFFIX = {"TrainingJob": "training", "ProcessingJob": "processing", "TransformJob": "transform"}


class AutoLineage(PlugIn):
    """Trial components, artifacts, actions, contexts and associations that follow from jobs and model packages."""

    def job_ended(self, account: str, region: str, kind: str, record: Record) -> None:
        """Keep what a job was made of, and what it has made where it was completed. Never fails the job."""
        try:
            self._job(account, region, kind, record)
        except Exception:
            if not self.cloud.stopping.is_set():
                jobs.logger.exception("the lineage of %s is not kept", record.get(f"{kind}Arn"))

    @hook("ModelPackage", "after_create")
    def registered(self, call: Call, record: Record) -> None:
        """A version of a group: its creation, its containers' images and models, its group."""
        account, region, arn = call.account, call.region, record["ModelPackageArn"]
        package = self._artifact(account, region, arn, "ModelPackage", record.get("MetadataProperties"))
        version = record.get("ModelPackageVersion")
        name = f"{record.get('ModelPackageGroupName') or record.get('ModelPackageName')}-{version or 1}"
        action = self._entity(
            account, region, "Action", f"{name}-aws-model-package",
            ActionType="Approval", Source={"SourceUri": arn, "SourceType": "ARN"}, Status="Completed",
            MetadataProperties=record.get("MetadataProperties"),
        )  # fmt: skip
        self._associate(account, region, package, action, "ContributedTo")
        for container in (record.get("InferenceSpecification") or {}).get("Containers", []):
            for uri, kind in ((container.get("Image"), "Image"), (_data_of(container), "Model")):
                if uri:
                    self._associate(
                        account, region, self._artifact(account, region, uri, kind), package, "ContributedTo"
                    )
        group = record.get("ModelPackageGroupName")
        if group:
            found = self.records["ModelPackageGroup"].get(account, region, group) or {}
            context = self._entity(
                account, region, "Context", f"{group}-aws-model-group",
                ContextType="ModelGroup",
                Source={"SourceUri": found.get("ModelPackageGroupArn", group), "SourceType": "ARN"},
            )  # fmt: skip
            self._associate(account, region, package, context, "AssociatedWith")

    def _job(self, account: str, region: str, kind: str, record: Record) -> None:
        arn, status = record[f"{kind}Arn"], record[f"{kind}Status"]
        trial = (record.get("ExperimentConfig") or {}).get("TrialName")
        component = self._entity(
            account, region, "TrialComponent", f"{record[f'{kind}Name']}-aws-{_SUFFIX[kind]}-job",
            Source={"SourceArn": arn, "SourceType": f"SageMaker{kind}"},
            Status={"PrimaryStatus": status, **({"Message": record["FailureReason"]} if status == "Failed" else {})},
            StartTime=record["CreationTime"], EndTime=now(),
            Parameters=_parameters(record),
            **({"_Trials": [trial]} if trial else {}),
        )  # fmt: skip
        for uri, what in _inputs(kind, record):
            source = self._artifact(account, region, uri, what)
            self._associate(account, region, source, component, "ContributedTo")
        if status == "Completed":
            for uri, what in _outputs(kind, record):
                target = self._artifact(account, region, uri, what)
                self._associate(account, region, component, target, "Produced")

    def _artifact(self, account: str, region: str, uri: str, kind: str, metadata: Any = None) -> str:
        """The ARN of the artifact of a source, made where there is none."""
        index = self.cloud.store.table("core.sagemaker-lineage-source")
        artifacts = self.records["Artifact"]
        with self.cloud.store.transaction():
            known = index.get(account, region, uri)
            if known and artifacts.get(account, region, known["arn"]):
                return str(known["arn"])
            made = self._create(
                account, region, "Artifact",
                {
                    "ArtifactType": kind, "Source": {"SourceUri": uri}, AUTO: True,
                    **({"MetadataProperties": metadata} if metadata else {}),
                },
            )  # fmt: skip
            index.put(account, region, uri, {"arn": made["ArtifactArn"]})
            return str(made["ArtifactArn"])

    def _entity(self, account: str, region: str, kind: str, name: str, **members: Any) -> str:
        """The ARN of an action, a context or a trial component, made where there is none."""
        name = name[-120:].lstrip("-")
        found = self.records[kind].get(account, region, name)
        if found is None:
            given = {key: value for key, value in members.items() if value}
            found = self._create(account, region, kind, {f"{kind}Name": name, AUTO: True, **given})
        return str(found[f"{kind}Arn"])

    def _create(self, account: str, region: str, kind: str, members: Record) -> Record:
        principal = f"arn:aws:iam::{account}:root"
        return self.records[kind].create(Call(f"Create{kind}", {}, account, region, principal, ""), members)

    def _associate(self, account: str, region: str, source: str, destination: str, kind: str) -> None:
        document = {
            "SourceArn": source, "DestinationArn": destination, "AssociationType": kind, "CreationTime": now(),
            "CreatedBy": {}, AUTO: True,
        }  # fmt: skip
        try:
            self.cloud.store.table("sagemaker.Association").insert(account, region, f"{source} {destination}", document)
        except Conflict:
            return


def _data_of(container: Record) -> str:
    source = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
    return str(container.get("ModelDataUrl") or source.get("S3Uri") or "")


def _parameters(record: Record) -> Record:
    values = {**(record.get("HyperParameters") or {}), **(record.get("Environment") or {})}
    return {name: {"StringValue": str(value)} for name, value in values.items()}


def _inputs(kind: str, record: Record) -> Iterator[tuple[str, str]]:
    """(URI, artifact type) of what a job reads."""
    if kind == "TrainingJob":
        yield record["AlgorithmSpecification"]["TrainingImage"], "Image"
        for channel in record.get("InputDataConfig") or []:
            yield channel["DataSource"]["S3DataSource"]["S3Uri"], "DataSet"
    elif kind == "ProcessingJob":
        yield record["AppSpecification"]["ImageUri"], "Image"
        for item in record.get("ProcessingInputs") or []:
            if item.get("S3Input"):
                uri = item["S3Input"]["S3Uri"]
                yield uri, "Model" if uri.endswith("model.tar.gz") else "DataSet"
    else:
        yield record["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"], "DataSet"
        for container in [record["_Model"].get("PrimaryContainer"), *(record["_Model"].get("Containers") or [])]:
            if container and _data_of(container):
                yield _data_of(container), "Model"
            if container and container.get("Image"):
                yield container["Image"], "Image"


def _outputs(kind: str, record: Record) -> Iterator[tuple[str, str]]:
    """(URI, artifact type) of what a job writes."""
    if kind == "TrainingJob":
        yield record["ModelArtifacts"]["S3ModelArtifacts"], "Model"
        if record.get("CheckpointConfig"):
            yield record["CheckpointConfig"]["S3Uri"], "Checkpoint"
    elif kind == "ProcessingJob":
        for item in (record.get("ProcessingOutputConfig") or {}).get("Outputs", []):
            if item.get("S3Output"):
                yield item["S3Output"]["S3Uri"], "DataSet"
    else:
        yield record["TransformOutput"]["S3OutputPath"], "DataSet"
