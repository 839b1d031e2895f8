"""What a batch transform job may ask for: checked and completed while it is created."""

from __future__ import annotations

from typing import Any

from localcloud.core import Fault
from localcloud.records import Record
from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.transform_data import Processing, compiled, format_of

MEGABYTE = 1 << 20
DEFAULT_PAYLOAD = 6
_MOST_PAYLOAD = 100
_STRATEGIES = {"MULTI_RECORD": "MultiRecord", "SINGLE_RECORD": "SingleRecord"}


def check(record: Record, model: Record) -> None:
    """Refuse what AWS refuses and what is not served; set defaults.

    Raises:
        Fault: with what is given and what is allowed.
    """
    jobs.refuse_instances(record["TransformResources"].get("InstanceCount"), "transform job")
    if (record.get("DataCaptureConfig") or {}).get("DestinationS3Uri"):
        raise _not_served("DataCaptureConfig")
    if len(model.get("Containers") or []) > 1:
        raise _not_served(f"model {model['ModelName']}, an inference pipeline of {len(model['Containers'])} containers")
    if not model.get("ExecutionRoleArn"):
        raise _invalid(f"Model {model['ModelName']} has no ExecutionRoleArn, as which the job would act.")
    given, output = record["TransformInput"], record["TransformOutput"]
    split, kind = given.setdefault("SplitType", "None"), given["DataSource"]["S3DataSource"]["S3DataType"]
    if split not in ("None", "Line"):
        raise _not_served(f"SplitType {split}; use Line or None")
    if kind not in ("S3Prefix", "ManifestFile"):
        raise _not_served(f"S3DataType {kind}; use S3Prefix or ManifestFile")
    given.setdefault("CompressionType", "None")
    output.setdefault("AssembleWith", "None")
    for uri, where in (
        (given["DataSource"]["S3DataSource"]["S3Uri"], "TransformInput"), (output["S3OutputPath"], "TransformOutput"),
    ):  # fmt: skip
        if not uri.startswith("s3://"):
            raise _invalid(f"{where}: '{uri}' is not an S3 URI; it must begin with s3://.")
    if record.get("BatchStrategy") == "MultiRecord" and split == "None":
        raise _invalid("BatchStrategy MultiRecord needs records: set SplitType to Line.")
    _check_payload(record)
    _check_processing(record)


def _check_payload(record: Record) -> None:
    payload, at_once = record.get("MaxPayloadInMB"), record.get("MaxConcurrentTransforms")
    if payload is not None and payload > _MOST_PAYLOAD:
        raise _invalid(f"MaxPayloadInMB is {payload}; the maximum is {_MOST_PAYLOAD}.")
    total = (payload if payload is not None else DEFAULT_PAYLOAD) * (at_once or 1)
    if total > _MOST_PAYLOAD:
        raise _invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB is {total} MB; it must not exceed {_MOST_PAYLOAD} MB."
        )


def _check_processing(record: Record) -> None:
    found = processing(record)
    for member in ("InputFilter", "OutputFilter"):
        try:
            compiled((record.get("DataProcessing") or {}).get(member) or "$")
        except ValueError as error:
            raise _invalid(f"DataProcessing.{member}: {error}.") from None
    if found.input_filter != "$" and not found.source:
        raise _invalid(_needs("InputFilter", "TransformInput.ContentType", record["TransformInput"].get("ContentType")))
    if not found.wanted:
        return
    if not found.target or (found.join and not found.source):
        raise _invalid(_needs("JoinSource and OutputFilter", "Accept and ContentType", ""))
    if found.join and (found.source == "csv") != (found.target == "csv"):
        raise _invalid("JoinSource Input needs the same format for ContentType and Accept: CSV both, or JSON both.")
    lines = found.split == "Line" and record["TransformOutput"]["AssembleWith"] == "Line"
    if found.target != "json" and not lines:
        raise _invalid("JoinSource and OutputFilter with CSV or JSON Lines need SplitType and AssembleWith Line.")


def _needs(what: str, where: str, given: Any) -> str:
    told = f"; given is '{given}'" if given else ""
    return f"{what} need text/csv, application/json or application/jsonlines as {where}{told}."


def processing(record: Record) -> Processing:
    """The job's DataProcessing."""
    given, source = record.get("DataProcessing") or {}, record["TransformInput"]
    kind = format_of(source.get("ContentType") or "")
    accept = record["TransformOutput"].get("Accept") or source.get("ContentType") or ""
    return Processing(
        given.get("InputFilter") or "$", given.get("OutputFilter") or "$", given.get("JoinSource") == "Input",
        kind, format_of(accept), source.get("SplitType") or "None",
    )  # fmt: skip


def environment(record: Record) -> dict[str, str]:
    """What a container is told of its job: of the limits only those that the job's creator has set."""
    found = {**(record.get("Environment") or {}), "SAGEMAKER_BATCH": "true"}
    if "MaxPayloadInMB" in record:
        found["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(record["MaxPayloadInMB"])
    if "MaxConcurrentTransforms" in record:
        found["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(record["MaxConcurrentTransforms"])
    if "BatchStrategy" in record:
        found["SAGEMAKER_BATCH_STRATEGY"] = {v: k for k, v in _STRATEGIES.items()}[record["BatchStrategy"]]
    return found


def parameters(record: Record, wished: Any) -> tuple[int, int, str]:
    """(requests at a time, bytes of one, batch strategy): as the job says, or its container's /execution-parameters."""
    wished = wished if isinstance(wished, dict) else {}
    at_once = record.get("MaxConcurrentTransforms") or _number(wished.get("MaxConcurrentTransforms")) or 1
    payload = record.get("MaxPayloadInMB")
    if payload is None:
        payload = _number(wished.get("MaxPayloadInMB")) or DEFAULT_PAYLOAD
    wish = _STRATEGIES.get(str(wished.get("BatchStrategy")), "MultiRecord")
    most = int(payload) * MEGABYTE or _MOST_PAYLOAD * MEGABYTE  # 0 is for streams of any size
    return int(at_once), most, str(record.get("BatchStrategy") or wish)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _invalid(message: str) -> Fault:
    return Fault("ValidationException", message)


def _not_served(what: str) -> Fault:
    return Fault("NotImplemented", f"SageMaker CreateTransformJob with {what} is not served by the local cloud", 501)
