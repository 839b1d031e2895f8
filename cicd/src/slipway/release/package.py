"""What the deploy pipeline deploys: the endpoint template and one configuration for each environment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from slipway import configuration, registry, settings
from slipway.errors import SlipwayError

ENVIRONMENTS: tuple[Literal["staging", "production"], ...] = ("staging", "production")
TEMPLATE = "service-catalog/project/endpoint.yaml"


@dataclass(frozen=True)
class Bundle:
    """An unpacked release bundle."""

    folder: Path

    @property
    def release(self) -> dict[str, Any]:
        """release.json"""
        return self._json("release.json")

    @property
    def samples(self) -> dict[str, Any]:
        """samples.json"""
        return self._json("samples.json")

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SlipwayError(f"{self.folder / name}: not a release bundle of `slipway model build`: {error}") from None
        return dict(content)


def package(session: Any, namespace: str, bundle: Bundle, output: Path) -> list[str]:
    """Write endpoint.yaml, staging.json and production.json to `output`. Returns the names of the files.

    Raises SlipwayError if the model package is not approved any more: between an approval and this moment a person may
    have thought again.
    """
    release = bundle.release
    arn = release["model_package_arn"]
    model = registry.describe(session.client("sagemaker"), arn)
    if model.approval != "Approved":
        raise SlipwayError(
            f"{release['version']} may not be released: its approval is {model.approval!r}, allowed 'Approved' ({arn}). "
            "Approve it in the model registry to release it"
        )
    assets = settings.platform(session.client("ssm"), namespace)
    body = session.client("s3").get_object(
        Bucket=assets["assets/bucket"], Key=f"{assets['assets/prefix']}/{TEMPLATE}"
    )["Body"]
    output.mkdir(parents=True, exist_ok=True)
    (output / "endpoint.yaml").write_bytes(body.read())
    project = configuration.load(bundle.folder / "project.yaml")
    for environment in ENVIRONMENTS:
        text = json.dumps(template_configuration(namespace, project, release, environment), indent=2)
        (output / f"{environment}.json").write_text(text + "\n", encoding="utf-8")
    return ["endpoint.yaml", *(f"{environment}.json" for environment in ENVIRONMENTS)]


def template_configuration(
    namespace: str,
    project: configuration.ProjectFile,
    release: dict[str, Any],
    environment: Literal["staging", "production"],
) -> dict[str, dict[str, str]]:
    """A CloudFormation template configuration file (AWS documentation, "AWS CloudFormation artifacts")."""
    instance_type, count = project.serving.of(environment)
    return {
        "Parameters": {
            "Namespace": namespace,
            "Project": project.project,
            "ModelPackageArn": release["model_package_arn"],
            "ModelVersion": release["version"],
            "InstanceType": instance_type,
            "InitialInstanceCount": str(count),
        },
        "Tags": {
            "slipway:namespace": namespace,
            "slipway:project": project.project,
            "slipway:version": release["version"],
            "slipway:commit": release["commit_id"],
        },
    }
