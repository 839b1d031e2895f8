"""The two errors that services raise."""

from __future__ import annotations

from typing import Any


class Fault(Exception):
    """An AWS error answer.

    Args:
        code: AWS's error code, e.g. "RepositoryDoesNotExistException".
        message: one sentence: what, where, given, allowed.
        status: HTTP status where the service model names none for the code.
        fields: further members of the modelled error shape.
    """

    def __init__(self, code: str, message: str, status: int = 400, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Conflict(Exception):
    """A record with this key exists already."""
