"""A boto3 session whose clients answer from prepared answers, each held against botocore's shapes by its Stubber."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.stub import Stubber


class Session:
    """Clients with prepared answers: `stub("ssm", "get_parameter", {...})`, in the order of the calls."""

    region_name = "eu-west-1"

    def __init__(self) -> None:
        self._real = boto3.Session(aws_access_key_id="x", aws_secret_access_key="y", region_name="eu-west-1")
        self._clients: dict[str, Any] = {}
        self._stubbers: dict[str, Stubber] = {}

    def client(self, service: str, config: Any = None) -> Any:
        if service not in self._clients:
            self._clients[service] = self._real.client(service)
            self._stubbers[service] = Stubber(self._clients[service])
            self._stubbers[service].activate()
        return self._clients[service]

    def stub(self, service: str, method: str, answer: dict[str, Any], expected: dict[str, Any] | None = None) -> None:
        self.client(service)
        self._stubbers[service].add_response(method, answer, expected)

    def refuse(self, service: str, method: str, code: str, message: str = "", status: int = 400) -> None:
        self.client(service)
        self._stubbers[service].add_client_error(method, code, message, http_status_code=status)

    def parameters(self, path: str, values: dict[str, str]) -> None:
        """What GetParametersByPath answers for a path."""
        found = [{"Name": f"{path}{name}", "Value": value, "Type": "String"} for name, value in values.items()]
        expected = {"Path": path, "Recursive": True, "WithDecryption": True}
        self.stub("ssm", "get_parameters_by_path", {"Parameters": found}, expected)

    def assert_all_called(self) -> None:
        for stubber in self._stubbers.values():
            stubber.assert_no_pending_responses()
