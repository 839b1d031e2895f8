"""What the errors of an AWS API mean to the guard."""

from __future__ import annotations

from botocore.exceptions import ClientError

_PASSING = frozenset(
    {"InternalFailure", "InternalServiceError", "RequestLimitExceeded", "ServiceUnavailable", "ThrottlingException"}
)
# Of most things that are not there SageMaker says ValidationException: "Could not find …", "… not found".
_GONE = ("could not find", "not found", "does not exist", "recordnotfound")


def code_of(error: ClientError) -> str:
    """The error's code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_passing(error: ClientError) -> bool:
    """Whether it goes away by itself: then the event is to be tried again."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return code_of(error) in _PASSING or "Throttl" in code_of(error) or status >= 500


def is_gone(error: ClientError) -> bool:
    """Whether it says that there is no such resource."""
    text = f"{code_of(error)} {error.response.get('Error', {}).get('Message', '')}".lower()
    return code_of(error) in {"ResourceNotFound", "RecordNotFound"} or any(words in text for words in _GONE)
