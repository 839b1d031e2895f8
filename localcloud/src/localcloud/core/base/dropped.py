"""Properties that ministack's CloudFormation accepts and forgets, though its services know them.

A role's permission boundary and a bucket's encryption decide what is allowed: without them a policy that would refuse
on AWS is never asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

_XML = "http://s3.amazonaws.com/doc/2006-03-01/"


def install() -> None:
    """Apply them after ministack has made or changed the resource."""
    from ministack.services.cloudformation import provisioners

    for kind, apply in (("AWS::IAM::Role", _boundary), ("AWS::S3::Bucket", _encryption)):
        handlers = provisioners._RESOURCE_HANDLERS[kind]
        provisioners._RESOURCE_HANDLERS[kind] = {
            **handlers,
            "create": _after(handlers["create"], apply, 1),
            "update": _after(handlers["update"], apply, 2),
        }


def _after(original: Callable[..., Any], apply: Callable[[str, dict[str, Any]], None], at: int) -> Callable[..., Any]:
    """The handler, and then `apply` on its physical id and the properties, which are argument number `at`."""

    def handle(*arguments: Any, **named: Any) -> Any:
        answer = original(*arguments, **named)
        apply(str(answer[0]), arguments[at] or {})
        return answer

    return handle


def _boundary(name: str, properties: dict[str, Any]) -> None:
    from ministack.services import iam

    iam._roles[name]["PermissionsBoundary"] = properties.get("PermissionsBoundary")


def _encryption(name: str, properties: dict[str, Any]) -> None:
    from ministack.services import s3

    rules = (properties.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration")
    if not rules:
        s3._delete_bucket_encryption(name)
        return
    body = "".join(_rule(rule) for rule in rules)
    s3._put_bucket_encryption(
        name, f'<ServerSideEncryptionConfiguration xmlns="{_XML}">{body}</ServerSideEncryptionConfiguration>'.encode()
    )


def _rule(rule: dict[str, Any]) -> str:
    default = rule.get("ServerSideEncryptionByDefault") or {}
    key = default.get("KMSMasterKeyID")
    named = f"<KMSMasterKeyID>{escape(str(key))}</KMSMasterKeyID>" if key else ""
    algorithm = escape(str(default.get("SSEAlgorithm", "AES256")))
    enabled = str(rule.get("BucketKeyEnabled", False)).lower()
    return (
        f"<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{named}"
        f"</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>{enabled}</BucketKeyEnabled></Rule>"
    )
