"""What the values of project.yaml may be, and what this release does not do yet."""

from __future__ import annotations

import math
import re
from typing import Annotated

from aws_cron_expression_validator.validator import AWSCronExpressionError, AWSCronExpressionValidator
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

# The length budget of the longest name made of it, the project's bucket {namespace}-{project}-{account}-{region}:
# 10 + 1 + 24 + 1 + 12 + 1 + 14 = 63 of 63.
ProjectName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,22}[a-z0-9]$")]
InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
VariableValue = Annotated[str, StringConstraints(max_length=256)]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
# As SageMaker takes hyperparameters and arguments: `.*`, in which the dot stands for no line break.
ONE_LINE = r"^[^\n\r\u0085\u2028\u2029]*$"
ParameterText = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=ONE_LINE)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
EmailAddress = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", max_length=254)
]


class Section(BaseModel):
    """A part of the file: unknown keys are refused, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def _scalar(value: object) -> object:
    """Refuses what no member of the union takes, with one message instead of one for each member."""
    if isinstance(value, str):
        if _LINE_BREAK.search(value):
            raise PydanticCustomError("lines", "has more than one line")
        if 1 <= len(value) <= 256:
            return value
        raise PydanticCustomError("parameter", "is too long" if value else "is empty")
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    raise PydanticCustomError("parameter", "has the wrong type")


_LINE_BREAK = re.compile("[\n\r\x85\u2028\u2029]")
Parameter = Annotated[bool | int | FiniteFloat | ParameterText, BeforeValidator(_scalar)]


def _number(value: object) -> object:
    """The same for what is a whole number or a number, and stays which of the two it is."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise PydanticCustomError("number", "has the wrong type")


Number = Annotated[int | FiniteFloat, BeforeValidator(_number)]


def _schedule(text: str) -> str:
    kind, _, inner = text.rstrip(")").partition("(")
    if kind == "cron":
        try:
            AWSCronExpressionValidator.validate(inner)
        except AWSCronExpressionError as error:
            raise PydanticCustomError(
                "schedule", "is not a schedule: {reason}", {"reason": str(error).replace("'.One", "'. One")}
            ) from None
        return text
    number, unit = inner.split(" ")
    if (number == "1") == unit.endswith("s"):
        reason = "1 goes with minute, hour or day, any other number with minutes, hours or days"
        raise PydanticCustomError("schedule", "is not a schedule: {reason}", {"reason": reason})
    return text


# What EventBridge Scheduler takes (AWS documentation, "Schedule types"), without one-time schedules.
Schedule = Annotated[
    str,
    StringConstraints(
        pattern=r"^(rate\([1-9][0-9]{0,4} (minute|hour|day)s?\)|cron\([0-9A-Za-z*?,/#-]+( [0-9A-Za-z*?,/#-]+){5}\))$",
        max_length=256,
    ),
    AfterValidator(_schedule),
]


def later(*values: object, instead: object) -> AfterValidator:
    """Refuses values that a later release will take, by name: they are no mistake, so the message says so."""

    def check(value: object) -> object:
        if value in values:
            raise PydanticCustomError("later", "this release cannot do it yet", {"instead": _yaml(instead)})
        return value

    return AfterValidator(check)


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
