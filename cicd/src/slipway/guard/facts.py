"""What a SageMaker resource says about its network and its keys, read from the answer of its Describe operation.

Everything here is pure: members as the API has them go in, what matters comes out. `read` describes another resource
(a model of an endpoint) by kind and name, and answers None if there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Members = Mapping[str, Any]
Read = Callable[[str, str], Members | None]

# Instance families whose volumes are encrypted by their own hardware: SageMaker refuses a key for them (API Reference,
# ResourceConfig). A `d` behind the generation says so (m5d, g4dn, m6id); the others are listed.
_LOCAL_STORAGE = re.compile(r"ml\.(?:[a-z]+\d+[a-z]*d[a-z]*|g5|g6e?|gr6|i\d+\w*|p5\w*|p6\w*|trn\d\w*)\.")


@dataclass(frozen=True)
class Facts:
    """`outside`: why it is not in the VPC, in words. `keys`: member → the key it has, None where it has none."""

    outside: list[str] = field(default_factory=list)
    keys: dict[str, str | None] = field(default_factory=dict)


def keeps_its_own_key(instance_type: str) -> bool:
    """Whether the volume of an instance type takes no key of ours."""
    return _LOCAL_STORAGE.match(instance_type) is not None


def _types(resources: Members) -> list[str]:
    """The instance types of a cluster, be it of one type or of groups."""
    groups = [resources, *resources.get("InstanceGroups", []), *resources.get("InstanceConfigs", [])]
    return [group["InstanceType"] for group in groups if group.get("InstanceType")]


def _volume(where: str, member: str, resources: Members, types: Iterable[str]) -> dict[str, str | None]:
    """The key of a volume; nothing if it may not have one and has none."""
    key, listed = resources.get(member), list(types)
    if not key and listed and all(map(keeps_its_own_key, listed)):
        return {}
    return {f"{where}.{member}" if where else member: key}


def _in_vpc(found: Members, where: str = "VpcConfig") -> list[str]:
    return [] if found.get("Subnets") and found.get("SecurityGroupIds") else [f"{where}: it has none"]


def _training(found: Members, where: str = "") -> Facts:
    resources = found.get("ResourceConfig") or {}
    keys = {
        **_volume(f"{where}ResourceConfig", "VolumeKmsKeyId", resources, _types(resources)),
        f"{where}OutputDataConfig.KmsKeyId": (found.get("OutputDataConfig") or {}).get("KmsKeyId"),
    }
    return Facts(_in_vpc(found.get("VpcConfig") or {}, f"{where}VpcConfig"), keys)


def training_job(found: Members, read: Read) -> Facts:
    """DescribeTrainingJob"""
    return _training(found)


def processing_job(found: Members, read: Read) -> Facts:
    """DescribeProcessingJob"""
    cluster = (found.get("ProcessingResources") or {}).get("ClusterConfig") or {}
    keys = _volume("ProcessingResources.ClusterConfig", "VolumeKmsKeyId", cluster, _types(cluster))
    if (output := found.get("ProcessingOutputConfig") or {}).get("Outputs"):
        keys["ProcessingOutputConfig.KmsKeyId"] = output.get("KmsKeyId")
    vpc = (found.get("NetworkConfig") or {}).get("VpcConfig") or {}
    return Facts(_in_vpc(vpc, "NetworkConfig.VpcConfig"), keys)


def transform_job(found: Members, read: Read) -> Facts:
    """DescribeTransformJob; its network is its model's."""
    resources = found.get("TransformResources") or {}
    keys = _volume("TransformResources", "VolumeKmsKeyId", resources, _types(resources))
    keys["TransformOutput.KmsKeyId"] = (found.get("TransformOutput") or {}).get("KmsKeyId")
    return Facts(_model_of(str(found.get("ModelName")), read), keys)


def tuning_job(found: Members, read: Read) -> Facts:
    """DescribeHyperParameterTuningJob: every training job that it would start."""
    outside: list[str] = []
    keys: dict[str, str | None] = {}
    one = found.get("TrainingJobDefinition")
    definitions = [*([one] if one else []), *(found.get("TrainingJobDefinitions") or [])]
    if not definitions:
        outside.append("TrainingJobDefinition: it has none")
    for index, definition in enumerate(definitions):
        resources = definition.get("ResourceConfig") or definition.get("HyperParameterTuningResourceConfig") or {}
        name = definition.get("DefinitionName") or index
        facts = _training({**definition, "ResourceConfig": resources}, f"TrainingJobDefinition[{name}].")
        outside += facts.outside
        keys |= facts.keys
    return Facts(outside, keys)


def automl_job(found: Members, read: Read) -> Facts:
    """DescribeAutoMLJobV2, which describes jobs of either version."""
    security = found.get("SecurityConfig") or (found.get("AutoMLJobConfig") or {}).get("SecurityConfig") or {}
    keys = {
        "SecurityConfig.VolumeKmsKeyId": security.get("VolumeKmsKeyId"),
        "OutputDataConfig.KmsKeyId": (found.get("OutputDataConfig") or {}).get("KmsKeyId"),
    }
    return Facts(_in_vpc(security.get("VpcConfig") or {}, "SecurityConfig.VpcConfig"), keys)


def notebook(found: Members, read: Read) -> Facts:
    """DescribeNotebookInstance"""
    outside = [] if found.get("SubnetId") else ["SubnetId: it has none"]
    if found.get("DirectInternetAccess") != "Disabled":
        outside.append("DirectInternetAccess: it is not Disabled")
    return Facts(outside, {"KmsKeyId": found.get("KmsKeyId")})


def model(found: Members, read: Read) -> Facts:
    """DescribeModel"""
    return Facts(_in_vpc(found.get("VpcConfig") or {}))


def endpoint_config(found: Members, read: Read) -> Facts:
    """DescribeEndpointConfig, and the models it names."""
    outside: list[str] = []
    keys: dict[str, str | None] = {}
    variants = [*(found.get("ProductionVariants") or []), *(found.get("ShadowProductionVariants") or [])]
    if not variants:
        outside.append("ProductionVariants: it has none")
    for name in dict.fromkeys(variant["ModelName"] for variant in variants if variant.get("ModelName")):
        outside += _model_of(name, read)
    if any(not variant.get("ModelName") for variant in variants):  # inference components: the network is its own
        outside += _in_vpc(found.get("VpcConfig") or {})
    types = [variant["InstanceType"] for variant in variants if variant.get("InstanceType")]
    if types:  # serverless variants have no volume
        keys |= _volume("", "KmsKeyId", found, types)
    if (capture := found.get("DataCaptureConfig") or {}).get("EnableCapture"):
        keys["DataCaptureConfig.KmsKeyId"] = capture.get("KmsKeyId")
    if answers := (found.get("AsyncInferenceConfig") or {}).get("OutputConfig"):
        keys["AsyncInferenceConfig.OutputConfig.KmsKeyId"] = answers.get("KmsKeyId")
    return Facts(outside, keys)


def endpoint(found: Members, read: Read) -> Facts:
    """DescribeEndpoint: what its configuration says."""
    name = str(found.get("EndpointConfigName"))
    config = read("endpoint configuration", name)
    return Facts([f"EndpointConfigName: {name} is gone"]) if config is None else endpoint_config(config, read)


def _model_of(name: str, read: Read) -> list[str]:
    found = read("model", name)
    return [f"ModelName: {name} is gone"] if found is None else _in_vpc(found.get("VpcConfig") or {}, f"model {name}")
