"""Names that are taken: AWS refuses a stack that would make a second role or policy of a name.

ministack would put the new one in the place of the old, and a rollback would then delete what another stack has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def install() -> None:
    """Wrap ministack's creation of roles and managed policies by a stack."""
    from ministack.services import iam
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS

    def role(properties: dict[str, Any]) -> bool:
        name = properties.get("RoleName", "")
        return any(known.lower() == name.lower() for known in list(iam._roles))  # IAM minds no case

    def policy(properties: dict[str, Any]) -> bool:
        name = properties.get("ManagedPolicyName", "")
        own = [arn for arn in list(iam._policies) if not arn.startswith("arn:aws:iam::aws:")]
        return any(arn.rpartition("/")[2].lower() == name.lower() for arn in own)

    for kind, member, taken in (
        ("AWS::IAM::Role", "RoleName", role),
        ("AWS::IAM::ManagedPolicy", "ManagedPolicyName", policy),
    ):
        handlers[kind] = {**handlers[kind], "create": _refusing(handlers[kind]["create"], member, taken)}


def _refusing(
    create: Callable[..., Any], member: str, taken: Callable[[dict[str, Any]], bool]
) -> Callable[[str, dict[str, Any], str], Any]:
    def create_checked(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        if properties.get(member) and taken(properties):
            raise ValueError(
                f'Resource handler returned message: "Resource of type with identifier {properties[member]} already '
                'exists." (HandlerErrorCode: AlreadyExists)'
            )
        return create(logical_id, properties, stack_name)

    return create_checked
