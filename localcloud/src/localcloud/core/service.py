"""What a service is: a botocore model and a handler for each operation that is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from localcloud.core.cfn import ResourceType
    from localcloud.core.cloud import Cloud

Handler = Callable[[Any, "Call"], Mapping[str, Any] | None]
H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True)
class Call:
    """One request: what is asked, and who asks."""

    operation: str
    input: dict[str, Any]
    account: str
    region: str
    principal: str
    access_key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_body: bytes = b""
    request_id: str = ""


@dataclass(frozen=True)
class Route:
    """Plain HTTP under a path prefix, e.g. git's or pip's, served by an ASGI application.

    Args:
        prefix: how the path begins.
        app: the ASGI application.
        unsigned: only requests without AWS's signature, where an API of AWS has paths of the same beginning.
    """

    prefix: str
    app: Callable[..., Any]
    unsigned: bool = False


def operation(name: str) -> Callable[[H], H]:
    """Mark a method as the handler of an operation of the service's model."""

    def mark(function: H) -> H:
        function.__aws_operation__ = name  # type: ignore[attr-defined]
        return function

    return mark


class Service:
    """Base class. `name` is botocore's name of the service."""

    name: ClassVar[str]
    resources: ClassVar[Sequence[ResourceType]] = ()

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def handlers(self) -> dict[str, Callable[[Call], Mapping[str, Any] | None]]:
        """Operation name → bound handler, from the methods marked with `operation`."""
        found: dict[str, Callable[[Call], Mapping[str, Any] | None]] = {}
        for attribute in dir(type(self)):
            name = getattr(getattr(type(self), attribute, None), "__aws_operation__", None)
            if name:
                found[name] = getattr(self, attribute)
        return found

    def about(self, call: Call) -> Mapping[str, Any]:
        """What IAM is asked of a call that its input does not say, as further members of the input.

        A pull request, for instance, is named by a number, but permission is asked for its repository.
        """
        return {}

    def routes(self) -> Sequence[Route]:
        """Plain HTTP routes."""
        return ()

    def recover(self) -> None:
        """Called once after a start: fail with a reason, or resume, whatever was running."""

    def close(self) -> None:
        """Called at an orderly stop."""
