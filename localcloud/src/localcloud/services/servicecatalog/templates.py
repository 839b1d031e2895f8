"""Templates of products: fetched from S3 when a version is made, and read for their parameters and outputs."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import yaml
from botocore.exceptions import ClientError

from localcloud.core import Call, Cloud, Fault

LARGEST_BODY = 51_200
_CONSTRAINTS = ("AllowedPattern", "ConstraintDescription", "MaxLength", "MinLength", "MaxValue", "MinValue")


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms (!Ref, !Sub …), whose meaning does not matter here."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def s3_location(url: str, endpoint: str) -> tuple[str, str, str | None] | None:
    """(bucket, key, version id) of an S3 address in path or virtual-hosted style, or None for any other address."""
    parsed = urlparse(url)
    host, path = parsed.hostname or "", unquote(parsed.path).lstrip("/")
    version = parse_qs(parsed.query).get("versionId", [None])[0]
    hosted = re.fullmatch(r"(.+)\.s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?", host)
    if hosted:
        return hosted[1], path, version
    if re.fullmatch(r"s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?", host) or host == urlparse(endpoint).hostname:
        bucket, _, key = path.partition("/")
        return (bucket, key, version) if bucket and key else None
    return None


def fetch(cloud: Cloud, call: Call, info: dict[str, str], *, validate: bool) -> tuple[str, str]:
    """(URL, text) of the template that a version's Info names.

    Raises:
        Fault: InvalidParametersException for another source than LoadTemplateFromURL, an address that is none of S3's,
            an object that is not there, or what is no template.
    """
    if set(info) != {"LoadTemplateFromURL"}:
        if "ImportFromPhysicalId" in info:
            raise Fault("NotImplemented", "ImportFromPhysicalId is not served by the local cloud", 501)
        problem = f"Info needs exactly LoadTemplateFromURL; given: {', '.join(sorted(info)) or 'nothing'}"
        raise Fault("InvalidParametersException", problem)
    url = info["LoadTemplateFromURL"]
    where = s3_location(url, cloud.endpoint)
    if where is None:
        raise Fault("InvalidParametersException", f"Invalid template URL, it must be an Amazon S3 URL: {url}")
    bucket, key, version = where
    try:
        more = {"VersionId": version} if version else {}
        client = cloud.client("s3", account=call.account, region=call.region)
        text = client.get_object(Bucket=bucket, Key=key, **more)["Body"].read().decode()
    except ClientError as error:
        raise Fault("InvalidParametersException", f"The template {url} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise Fault("InvalidParametersException", f"The template {url} is no text: {error}") from error
    template = parse(text)
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise Fault("InvalidParametersException", f"Invalid templateBody: {url} is no template with Resources")
    if validate and len(text.encode()) <= LARGEST_BODY:
        try:
            client = cloud.client("cloudformation", account=call.account, region=call.region)
            client.validate_template(TemplateBody=text)
        except ClientError as error:
            said = error.response["Error"]["Message"]
            raise Fault("InvalidParametersException", f"Invalid templateBody: {url}: {said}") from error
    return url, text


def parse(text: str) -> Any:
    """The template as data; None when it is neither JSON nor YAML."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with short forms added
    except yaml.YAMLError:
        return None


def parameters(text: str) -> list[dict[str, Any]]:
    """A template's parameters as Service Catalog describes them."""
    found = []
    for key, given in (parse(text).get("Parameters") or {}).items():
        constraints = {name: str(given[name]) for name in _CONSTRAINTS if given.get(name) is not None}
        described: dict[str, Any] = {
            "ParameterKey": key,
            "ParameterType": given.get("Type", "String"),
            "IsNoEcho": str(given.get("NoEcho", False)).lower() == "true",
            "Description": given.get("Description", ""),
            "ParameterConstraints": {**constraints, "AllowedValues": [str(v) for v in given.get("AllowedValues", [])]},
        }
        if given.get("Default") is not None:
            described["DefaultValue"] = _text(given["Default"])
        found.append(described)
    return found


def outputs(text: str) -> list[dict[str, str]]:
    """A template's outputs by key and description."""
    listed = (parse(text).get("Outputs") or {}).items()
    return [{"Key": key, "Description": str(given.get("Description", ""))} for key, given in listed]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
