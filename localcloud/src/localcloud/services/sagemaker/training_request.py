"""What a training job may ask for: checked and completed while it is created; nothing here runs anything."""

from __future__ import annotations

import re
from typing import Any

from localcloud.core import Fault
from localcloud.records import Record
from localcloud.services.sagemaker import jobs

_DEFAULT_RUNTIME_SECONDS = 86400
_FLAGS = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
_CONTROL = re.compile(r"[\x00-\x1f]")
DEFAULT_CHECKPOINTS = "/opt/ml/checkpoints"


def check(record: Record) -> None:
    """Refuse what cannot be run here or what AWS refuses, and set AWS's defaults.

    Raises:
        Fault: with what is given and what is allowed.
    """
    specification = record.get("AlgorithmSpecification") or {}
    if not specification.get("TrainingImage"):
        raise not_served("no AlgorithmSpecification.TrainingImage (AlgorithmName and serverless jobs)")
    resources = record.get("ResourceConfig") or {}
    if resources.get("InstanceGroups"):
        raise not_served("ResourceConfig.InstanceGroups")
    jobs.refuse_instances(resources.get("InstanceCount"), "training job")
    names = [channel["ChannelName"] for channel in record.get("InputDataConfig") or []]
    if len(set(names)) != len(names):
        raise Fault("ValidationException", f"Channel names must be unique; given are {', '.join(names)}.")
    for channel in record.get("InputDataConfig") or []:
        _check_channel(channel, specification["TrainingInputMode"])
    for metric in specification.get("MetricDefinitions") or []:
        pattern(metric)
    for flag in _FLAGS:
        record.setdefault(flag, False)
    condition = record.setdefault("StoppingCondition", {})
    condition.setdefault("MaxRuntimeInSeconds", _DEFAULT_RUNTIME_SECONDS)
    _check_spot(record, condition)
    if record.get("CheckpointConfig"):
        _check_checkpoints(record["CheckpointConfig"])


def _check_spot(record: Record, condition: dict[str, Any]) -> None:
    wait, run = condition.get("MaxWaitTimeInSeconds"), condition["MaxRuntimeInSeconds"]
    if not record["EnableManagedSpotTraining"]:
        if wait is not None:
            raise Fault(
                "ValidationException",
                f"MaxWaitTimeInSeconds is {wait}, but EnableManagedSpotTraining is false. It is for managed spot "
                "training jobs alone: set EnableManagedSpotTraining to true, or leave MaxWaitTimeInSeconds out.",
            )
    elif wait is None or wait < run:
        raise Fault(
            "ValidationException",
            f"Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds "
            f"({run}) with EnableManagedSpotTraining; given is {'none' if wait is None else wait}.",
        )


def _check_checkpoints(config: dict[str, Any]) -> None:
    path = config.setdefault("LocalPath", DEFAULT_CHECKPOINTS)
    taken = ("/opt/ml", *(f"/opt/ml/{name}" for name in ("input", "code", "model", "output", "failure")))
    if not path.startswith("/") or path.rstrip("/") in taken or ".." in path.split("/"):
        raise Fault(
            "ValidationException",
            f"CheckpointConfig.LocalPath is '{path}'; it must be an absolute directory other than {', '.join(taken)}.",
        )


def transition(status: str, moment: Any, ended: bool = False) -> dict[str, Any]:
    """An entry of SecondaryStatusTransitions."""
    found: dict[str, Any] = {"Status": status, "StartTime": moment, "StatusMessage": _MESSAGES[status]}
    return found | ({"EndTime": moment} if ended else {})


_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Managed spot training instance was interrupted; the job starts again when there is capacity",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}
_IN_USE = ("Downloading", "Training", "Uploading")


def seconds_in_use(record: Record) -> int:
    """For how long the job has had an instance: over all attempts, without the time between them."""
    spans = [
        (item["EndTime"] - item["StartTime"]).total_seconds()
        for item in record["SecondaryStatusTransitions"]
        if item["Status"] in _IN_USE and "EndTime" in item
    ]
    return max(1, round(sum(spans))) if spans else 0


def output_uri(record: Record) -> str:
    """Below which the job's outputs go."""
    return f"{record['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{record['TrainingJobName']}/output"


def model_uri(record: Record) -> str:
    """ModelArtifacts.S3ModelArtifacts."""
    plain = record["OutputDataConfig"].get("CompressionType") == "NONE"
    return f"{output_uri(record)}/{'model/' if plain else 'model.tar.gz'}"


def channels(record: Record) -> dict[str, Any]:
    """inputdataconfig.json."""
    mode = record["AlgorithmSpecification"]["TrainingInputMode"]
    found = {}
    for channel in record.get("InputDataConfig") or []:
        source = channel["DataSource"]["S3DataSource"]
        found[channel["ChannelName"]] = {
            "TrainingInputMode": channel.get("InputMode") or mode,
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        } | ({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {})
    return found


def resource_config(record: Record) -> dict[str, Any]:
    """resourceconfig.json: the instance type that was asked for, whatever machine this is."""
    instance = (record.get("ResourceConfig") or {}).get("InstanceType")
    group = "homogeneousCluster"
    return {
        "current_host": "algo-1",
        "current_instance_type": instance,
        "current_group_name": group,
        "hosts": ["algo-1"],
        "instance_groups": [{"instance_group_name": group, "instance_type": instance, "hosts": ["algo-1"]}],
        "network_interface_name": "eth0",
    }


def escaped(line: str) -> str:
    """A line as the log of a training job has it: control characters as # and three octal digits."""
    return _CONTROL.sub(lambda match: f"#{ord(match[0]):03o}", line)


def pattern(metric: dict[str, str]) -> re.Pattern[str]:
    """The compiled Regex of a metric definition.

    Raises:
        Fault: it is none.
    """
    try:
        return re.compile(metric["Regex"])
    except re.error as error:
        raise Fault(
            "ValidationException", f"MetricDefinitions: Regex of {metric['Name']} is '{metric['Regex']}': {error}."
        ) from None


def _check_channel(channel: dict[str, Any], mode: str) -> None:
    where = f"channel {channel['ChannelName']}"
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise not_served(f"a data source that is not S3 ({where})")
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise not_served(f"S3DataType {source['S3DataType']} ({where}); use S3Prefix or ManifestFile")
    if (channel.get("InputMode") or mode) == "Pipe":
        raise not_served(f"input mode Pipe ({where}); use File or FastFile")


def not_served(what: str) -> Fault:
    """A refusal by name."""
    return Fault("NotImplemented", f"SageMaker CreateTrainingJob with {what} is not served by the local cloud", 501)
