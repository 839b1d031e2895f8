"""Whether an image that a request names exists, as SageMaker checks it."""

from __future__ import annotations

import re

from botocore.exceptions import ClientError

from localcloud.core import Cloud, Fault

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def require_image(cloud: Cloud, uri: str | None) -> str | None:
    """The digest of an image in ECR, or None for one in an account that the local cloud does not have (AWS's own).

    Raises:
        Fault: there is no such image.
    """
    found = _URI.fullmatch(uri) if uri else None
    if found is None or found["account"] not in cloud.accounts:
        return None
    image = {"imageDigest": found["digest"]} if found["digest"] else {"imageTag": found["tag"] or "latest"}
    client = cloud.client("ecr", account=found["account"], region=found["region"])
    try:
        answer = client.describe_images(repositoryName=found["repository"], imageIds=[image])
        return str(answer["imageDetails"][0]["imageDigest"])
    except (ClientError, LookupError) as error:
        raise Fault("ValidationException", f"Requested image {uri} not found.") from error
