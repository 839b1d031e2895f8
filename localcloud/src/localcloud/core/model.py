"""AWS's own service models (botocore), and the wire: requests read and answers written by them.

`moto.core.parse` and `moto.core.serialize` speak every AWS protocol from the model, errors included; validation is
botocore's own, plus `localcloud.core.constraints` for what botocore leaves to the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from botocore.validate import ParamValidator
from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.serialize import SERIALIZERS
from werkzeug.datastructures import Headers, MultiDict

from localcloud.core import constraints, service_models
from localcloud.core.errors import Fault


@lru_cache
def load(service: str) -> ServiceModel:
    """The newest model of a service, by botocore's name for it."""
    return ServiceModel(service_models.document(service), service)


class Wire:
    """One service's operations by request, and its protocol both ways."""

    def __init__(self, service: str) -> None:
        self.model = load(service)
        self.service = service
        metadata = self.model.metadata
        self.signing_name = str(metadata.get("signingName") or metadata.get("endpointPrefix"))
        self.target_prefix = metadata.get("targetPrefix")
        self.is_json = metadata["protocol"] == "json"
        self._uris = [] if self.is_json else [_uri_pattern(self.model.operation_model(n)) for n in self.names]

    @property
    def names(self) -> list[str]:
        """Every operation of the model."""
        return list(self.model.operation_names)

    def match(self, method: str, path: str, target: str) -> tuple[OperationModel, dict[str, str]] | None:
        """The operation that a request names, with its path parameters."""
        if self.is_json:
            prefix, _, name = target.rpartition(".")
            known = prefix == self.target_prefix and name in self.model.operation_names
            return (self.model.operation_model(name), {}) if known else None
        best: tuple[int, OperationModel, dict[str, str]] | None = None
        for operation, verb, pattern, weight in self._uris:
            found = pattern.fullmatch(path) if verb == method else None
            if found and (best is None or weight > best[0]):
                best = (weight, operation, found.groupdict())
        if best is None:
            return None
        return best[1], {key: value for key, value in best[2].items() if value is not None}

    def read(
        self,
        operation: OperationModel,
        *,
        body: bytes,
        headers: Mapping[str, str],
        query: list[tuple[str, str]],
        path: str,
        parameters: Mapping[str, str],
    ) -> dict[str, Any]:
        """The request's members, validated.

        Raises:
            Fault: a ValidationException (or what the service calls it) that lists every problem.
        """
        uri_names = _uri_names(operation)
        parser = PROTOCOL_PARSERS[str(self.model.metadata["protocol"])](operation)
        try:
            members: dict[str, Any] = parser.parse(
                {
                    "body": body,
                    "headers": Headers(list(headers.items())),
                    "method": operation.http["method"],
                    "url_params": {uri_names[key]: value for key, value in parameters.items()},
                    "url_path": path,
                    "values": MultiDict(query),
                }
            )
        except Fault:
            raise
        except Exception as error:
            raise Fault("SerializationException", f"The request could not be read: {error}") from error
        shape = operation.input_shape
        if shape is None:
            return {}
        members = _without_nulls(members)
        # AWS's own words first; botocore's validator then finds what is left: values of the wrong type.
        problems = constraints.check(shape, members)
        if problems:
            raise Fault(self.validation_error, constraints.summary(problems))
        report = ParamValidator().validate(members, shape)
        if report.has_errors():
            raise Fault(self.validation_error, report.generate_report())
        return members

    @property
    def validation_error(self) -> str:
        """What the service calls a request that does not fit its model."""
        for code in ("ValidationException", "InvalidInputException", "InvalidParametersException", "ValidationError"):
            if code in self.model.shape_names:
                return code
        return "ValidationException"

    def write(self, operation: OperationModel, answer: Mapping[str, Any] | None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer. An answer that does not fit the model is a defect here and raises."""
        shape = operation.output_shape
        members = dict(answer or {})
        if shape is not None:
            unknown = set(members) - set(shape.members)
            if unknown:
                raise TypeError(f"{self.service} {operation.name} has no answer member {sorted(unknown)}")
            members = _without_nulls(members)
            stream = shape.serialization.get("payload")
            report = ParamValidator().validate(members, shape) if not stream else None
            if report is not None:
                # AWS itself answers with empty lists where its model asks for one item at least (ECR ListImages).
                report._errors = [error for error in report._errors if error[0] != "invalid length"]
            if report is not None and report.has_errors():
                raise TypeError(f"{self.service} {operation.name} answer: {report.generate_report()}")
            if stream and isinstance(members.get(stream), bytes):
                return self._write_stream(operation, members, stream)
        response = SERIALIZERS[str(self.model.metadata["protocol"])](operation).serialize(members)
        return _response(response)

    def _write_stream(
        self, operation: OperationModel, members: dict[str, Any], stream: str
    ) -> tuple[int, dict[str, str], bytes]:
        body = members.pop(stream)
        status, headers, _ = _response(SERIALIZERS[str(self.model.metadata["protocol"])](operation).serialize(members))
        headers.pop("Content-Type", None)
        assert operation.output_shape is not None
        for name, shape in operation.output_shape.members.items():
            if shape.serialization.get("location") == "header" and members.get(name) is not None:
                headers[str(shape.serialization.get("name", name))] = str(members[name])
        return status, headers, body

    def write_error(self, operation: OperationModel | None, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an error, as the service's protocol has it."""
        import json

        status = fault.status
        for shape in self.model.error_shapes:
            if shape.metadata.get("error", {}).get("code", shape.name) == fault.code or shape.name == fault.code:
                status = shape.metadata.get("error", {}).get("httpStatusCode", status)
        body = {"__type": fault.code, "message": fault.message, "Message": fault.message, **fault.fields}
        content_type = f"application/x-amz-json-{self.model.metadata.get('jsonVersion', '1.1')}"
        headers = {"Content-Type": content_type if self.is_json else "application/json", "x-amzn-ErrorType": fault.code}
        return status, headers, json.dumps(body).encode()


def _response(response: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    body = response["body"] or b""
    return (
        int(response["status_code"]),
        {str(k): str(v) for k, v in response["headers"].items()},
        body.encode() if isinstance(body, str) else bytes(body),
    )


def _uri_names(operation: OperationModel) -> dict[str, str]:
    """Regular-expression group → name in the URI template (which may hold characters that a group may not)."""
    uri = operation.http["requestUri"].split("?")[0]
    return {f"p{index}": name.rstrip("+") for index, name in enumerate(re.findall(r"{([^}]+)}", uri))}


def _uri_pattern(operation: OperationModel) -> tuple[OperationModel, str, re.Pattern[str], int]:
    uri = operation.http["requestUri"].split("?")[0]
    pattern, weight, index = "", 0, 0
    for part in re.split(r"({[^}]+})", uri):
        if part.startswith("{"):
            pattern += f"(?P<p{index}>.+)" if part.endswith("+}") else f"(?P<p{index}>[^/]+)"
            index += 1
        else:
            pattern += re.escape(part)
            weight += len(part)
    return operation, operation.http["method"], re.compile(pattern + "/?"), weight


def _without_nulls(value: Any) -> Any:
    """JSON nulls mean absent in every AWS protocol."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value
