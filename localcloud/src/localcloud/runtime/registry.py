"""ECR as the runtimes use it: two calls, with the caller's credentials."""

from __future__ import annotations

import os
from typing import Any

from localcloud.runtime.references import Reference, parse
from localcloud.runtime.types import ClientMaker, ImageNotFound, RuntimeFault

ACCEPTED_MEDIA_TYPES = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


class EcrRegistry:
    """A `Registry` over boto3 clients."""

    def __init__(self, credentials: ClientMaker) -> None:
        self._credentials = credentials

    def put_image(self, reference: Reference, manifest: str, media_type: str) -> str:
        """Record a manifest; pushing what is already there under that tag is no error, as with `docker push`."""
        from botocore.exceptions import ClientError

        request: dict[str, Any] = {
            "registryId": reference.account,
            "repositoryName": reference.repository,
            "imageManifest": manifest,
            "imageManifestMediaType": media_type,
        }
        if reference.tag:
            request["imageTag"] = reference.tag
        try:
            answer = self._credentials.client("ecr", reference.region).put_image(**request)
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if code == "ImageAlreadyExistsException":
                return self.get_image(reference)[0]
            if code == "ImageTagAlreadyExistsException":
                message += " (the repository's tags are immutable: push under another tag)"
            raise RuntimeFault(f"{reference} was not pushed: {code}: {message}") from error
        return str(answer["image"]["imageId"]["imageDigest"])

    def get_image(self, reference: Reference) -> tuple[str, str]:
        """Digest and manifest of what the reference names."""
        from botocore.exceptions import ClientError

        wanted = {"imageDigest": reference.digest} if reference.digest else {"imageTag": reference.tag}
        try:
            answer = self._credentials.client("ecr", reference.region).batch_get_image(
                registryId=reference.account, repositoryName=reference.repository, imageIds=[wanted],
                acceptedMediaTypes=ACCEPTED_MEDIA_TYPES,
            )  # fmt: skip
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            raise ImageNotFound(f"{reference} cannot be pulled: {code}: {message}") from error
        if not answer.get("images"):
            reason = "; ".join(item.get("failureReason", "") for item in answer.get("failures") or [])
            raise ImageNotFound(f"{reference} is not in the registry: {reason or 'no such image'}")
        image = answer["images"][0]
        return str(image["imageId"]["imageDigest"]), str(image["imageManifest"])


class EnvironmentCredentials:
    """Clients by the AWS_* variables of this process, as every AWS tool finds them."""

    def client(self, service: str, region: str | None = None) -> Any:
        """A botocore client.

        Raises:
            RuntimeFault: no credentials in the environment.
        """
        if not os.environ.get("AWS_ACCESS_KEY_ID"):
            raise RuntimeFault("no basic auth credentials: AWS_ACCESS_KEY_ID and its companions are not set")
        import botocore.session

        return botocore.session.get_session().create_client(
            service, region_name=region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        )


def ecr_reference(name: str) -> Reference:
    """Parse a name that has to be in a private ECR registry.

    Raises:
        ImageNotFound: it is not such a name.
    """
    try:
        reference = parse(name)
    except ValueError as error:
        raise ImageNotFound(str(error)) from None
    if not reference.is_ecr:
        raise ImageNotFound(
            f"'{name}' is not in a private ECR registry: "
            "expected ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG or …@sha256:DIGEST"
        )
    return reference
