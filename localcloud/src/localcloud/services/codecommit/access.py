"""Who speaks to git: HTTP Basic as `aws codecommit credential-helper get` makes it.

The user name is the access key, with "%" and the session token after it for temporary credentials. The password is a
time stamp, "Z", and the SigV4 signature of the canonical request `GIT`, path, host (without port), nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from localcloud.core import now

# AWS lets the two clocks differ by this much, and a signature live as long.
VALIDITY = timedelta(minutes=15)
_PASSWORD = re.compile(r"(\d{8}T\d{6})Z([0-9a-f]{64})")


class Refused(Exception):
    """The credentials do not open the repository; the message says why and is shown to the person."""


@dataclass(frozen=True)
class Caller:
    """An identity that was established. `secret` is None where any secret is accepted (an account's root here)."""

    account: str
    principal: str
    access_key: str
    secret: str | None


@dataclass(frozen=True)
class Basic:
    """The parts of an Authorization header."""

    access_key: str
    session_token: str | None
    stamp: str
    signature: str


def parse(header: str) -> Basic:
    """Read an Authorization header.

    Raises:
        Refused: there is none, or it is not what the credential helper makes.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise Refused("Sign in with the AWS credential helper: see `git config credential.helper`")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Refused("The Authorization header is not Base64") from None
    found = _PASSWORD.fullmatch(password)
    if not user or not found:
        raise Refused("The user name and password were not made by `aws codecommit credential-helper get`")
    access_key, _, token = user.partition("%")
    return Basic(access_key, token or None, found[1], found[2])


def signature(secret: str, *, region: str, stamp: str, path: str, host: str) -> str:
    """The signature that the credential helper makes for a repository's address."""
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    scope = f"{stamp[:8]}/{region}/codecommit/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def check(basic: Basic, caller: Caller, *, regions: Iterable[str], path: str, host: str) -> str | None:
    """The region that was signed for, or None where the signature cannot tell (see `Caller.secret`).

    Raises:
        Refused: the time stamp is too old, or the signature fits none of the regions.
    """
    moment = datetime.strptime(basic.stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    if abs(now() - moment) > VALIDITY:
        raise Refused(f"The signature was made at {moment:%H:%M:%S} UTC, more than 15 minutes from now: sign in again")
    if caller.secret is None:
        return None
    for region in regions:
        made = signature(caller.secret, region=region, stamp=basic.stamp, path=path, host=host)
        if hmac.compare_digest(made, basic.signature):
            return region
    raise Refused(f"The signature does not fit the secret of {basic.access_key} and the address {host}{path}")
