"""The artifacts build: mirrors the base image, publishes this package, builds the platform's build image.

It runs inside the deployment of the platform (Custom::Artifacts). What is there already is left alone, so that it can
be run again at any time. Tags are immutable: a tag that exists has the right content.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from slipway import images, settings
from slipway.errors import SlipwayError
from slipway.progress import Progress


@dataclass(frozen=True)
class Artifacts:
    """What is to be made, and where. `base_source` is a public image with its tag."""

    release: str
    base_source: str
    base_repository: str
    build_repository: str
    wheel: Path
    context: Path
    pip_configuration: Path


def make(session: Any, namespace: str, wanted: Artifacts, progress: Progress) -> str:
    """Make what is missing. Returns the base image, pinned by digest. Raises SlipwayError."""
    ecr = session.client("ecr")
    # The build image needs both, and neither needs the other.
    with ThreadPoolExecutor(2) as pool:
        published = pool.submit(publish, session, namespace, wanted.wheel, progress)
        images.login(ecr, wanted.base_repository.partition("/")[0])
        base = mirror(ecr, wanted, progress)
        published.result()
    build_image(ecr, wanted, base, progress)
    return base


def mirror(ecr: Any, wanted: Artifacts, progress: Progress) -> str:
    """Copy the public base image into the platform's registry. Returns it pinned by digest."""
    tag = wanted.base_source.rpartition(":")[2]
    target = f"{wanted.base_repository}:{tag}"
    if images.digest_of(ecr, wanted.base_repository, tag) is None:
        for words in (["pull", wanted.base_source], ["tag", wanted.base_source, target], ["push", target]):
            images.command(["docker", *words])
        progress.say(f"base image {target}: mirrored from {wanted.base_source}")
    else:
        progress.say(f"base image {target}: there already")
    return images.base_image(ecr, target)


def version_of(wheel: Path) -> str:
    """`slipway-0.1.0-py3-none-any.whl` → `0.1.0`"""
    return wheel.name.split("-")[1]


def publish(session: Any, namespace: str, wheel: Path, progress: Progress) -> None:
    """Publish the wheel to CodeArtifact, unless this version is there."""
    parameters = settings.platform(session.client("ssm"), namespace)
    place = {"domain": parameters["packages/domain"], "repository": parameters["packages/repository"]}
    version = version_of(wheel)
    codeartifact = session.client("codeartifact")
    try:
        codeartifact.describe_package_version(format="pypi", package="slipway", packageVersion=version, **place)
        progress.say(f"slipway {version}: published already")
        return
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
    url = codeartifact.get_repository_endpoint(format="pypi", **place)["repositoryEndpoint"]
    token = codeartifact.get_authorization_token(domain=place["domain"])["authorizationToken"]
    access = {"UV_PUBLISH_URL": url, "UV_PUBLISH_USERNAME": "aws", "UV_PUBLISH_PASSWORD": token}
    images.command(["uv", "publish", "--quiet", str(wheel)], environment=access)
    progress.say(f"slipway {version}: published")


def build_image(ecr: Any, wanted: Artifacts, base: str, progress: Progress) -> None:
    """Build the image that every other build runs in, tagged with the release."""
    target = f"{wanted.build_repository}:{wanted.release}"
    if images.digest_of(ecr, wanted.build_repository, wanted.release) is not None:
        progress.say(f"build image {target}: there already")
        return
    if not (wanted.context / "Dockerfile").is_file():
        raise SlipwayError(f"{wanted.context}: there is no Dockerfile: unpack build-image.zip of the release here")
    images.command(
        [
            "docker",
            "build",
            "--build-arg",
            f"BASE_IMAGE={base}",
            "--build-arg",
            f"SLIPWAY_VERSION={version_of(wanted.wheel)}",
            "--secret",
            f"id=pip.conf,src={wanted.pip_configuration}",
            "--tag",
            target,
            ".",
        ],
        cwd=wanted.context,
    )
    images.command(["docker", "push", target])
    progress.say(f"build image {target}: built and pushed")
