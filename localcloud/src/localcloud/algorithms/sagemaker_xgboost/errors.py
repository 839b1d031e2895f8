"""How the algorithm fails, in the words of the container's toolkit."""

from __future__ import annotations

import traceback

_TOOLKIT = "sagemaker_algorithm_toolkit.exceptions"


class UserError(Exception):
    """What the user can mend: hyperparameters, channels, data."""


class AlgorithmError(Exception):
    """What nobody foresaw."""


def failure_of(error: Exception) -> str:
    """The text of /opt/ml/output/failure.

    The container writes a traceback of itself before the message, and SageMaker cuts the whole after 1,024 characters,
    often within the traceback. Here it is the message alone.
    """
    name = type(error).__name__
    if isinstance(error, UserError | AlgorithmError):
        return f"framework error: \n{_TOOLKIT}.{name}: {error}"
    return f"framework error: \n{''.join(traceback.format_exception_only(error)).strip()}"
