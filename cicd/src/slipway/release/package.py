"""What the deploy pipeline deploys: the endpoint template and one configuration for each environment."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import configuration, registry, settings
from slipway.errors import SlipwayError
from slipway.release.authors import decided_by, refuse_own
from slipway.release.names import ENVIRONMENTS, Environment

# What the smoke test needs of the bundle goes on with the package.
CARRIED = ("release.json", "samples.json")
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
            raise SlipwayError(
                f"{self.folder / name}: not a release bundle of `slipway model build`: {error}"
            ) from None
        return dict(content)


def package(session: Any, namespace: str, bundle: Bundle, output: Path) -> list[str]:
    """Write endpoint.yaml, staging.json and production.json to `output`. Returns the names of the files.

    Raises SlipwayError if the model package is not approved any more (between an approval and this moment a person may
    have thought again), was approved by one of its authors, or is for batch inference alone.
    """
    release = bundle.release
    arn = release["model_package_arn"]
    model = registry.describe(session.client("sagemaker"), arn)
    if model.approval != "Approved":
        raise SlipwayError(
            f"{release['version']} may not be released: its approval is {model.approval!r}, allowed 'Approved'. "
            f"Approve it in the model registry to release it: {arn}"
        )
    made = release.get("authors")
    if made is not None:  # a bundle of an earlier version does not say
        refuse_own(release["version"], decided_by(model.modified_by), made)
    project = configuration.load(bundle.folder / "project.yaml")
    if project.serving.mode == "batch":
        raise SlipwayError(
            f"{release['version']} has no endpoint to deploy: serving.mode in project.yaml is 'batch', allowed for a "
            f"release 'real-time' or 'both'. Transform jobs take the approved version from the registry: {arn}"
        )
    assets = settings.platform(session.client("ssm"), namespace)
    body = session.client("s3").get_object(Bucket=assets["assets/bucket"], Key=f"{assets['assets/prefix']}/{TEMPLATE}")[
        "Body"
    ]
    output.mkdir(parents=True, exist_ok=True)
    (output / "endpoint.yaml").write_bytes(body.read())
    cost_center = settings.project(session.client("ssm"), namespace, project.project)["cost-center"]
    for environment in ENVIRONMENTS:
        content = template_configuration(namespace, project, release, cost_center, environment)
        (output / f"{environment}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for name in CARRIED:
        shutil.copyfile(bundle.folder / name, output / name)
    return ["endpoint.yaml", *(f"{environment}.json" for environment in ENVIRONMENTS), *CARRIED]


def template_configuration(
    namespace: str,
    project: configuration.ProjectFile,
    release: dict[str, Any],
    cost_center: str,
    environment: Environment,
) -> dict[str, dict[str, str]]:
    """A CloudFormation template configuration file (AWS documentation, "AWS CloudFormation artifacts")."""
    instance_type, count = project.serving.of(environment)
    platform = f"/{namespace}/platform"
    return {
        "Parameters": {
            "Namespace": namespace,
            "ProjectName": project.project,
            "Environment": environment,
            "ModelPackageArn": release["model_package_arn"],
            "ModelVersion": release["version"],
            "InstanceType": instance_type,
            "InstanceCount": str(count),
            "CostCenter": cost_center,
            # Names of SSM parameters of the account that is deployed to.
            "VpcSubnetIds": f"{platform}/network/private-subnet-ids",
            "ComputeSecurityGroupId": f"{platform}/network/compute-security-group-id",
            "EndpointRoleArn": f"{platform}/release/endpoint-role-arn",
            "KeyArn": f"{platform}/release/key-arn",
        },
        "Tags": {
            "Namespace": namespace,
            "Project": project.project,
            "CostCenter": cost_center,
            "Environment": environment,
            "ModelVersion": release["version"],
            "CommitId": release["commit_id"],
        },
    }
