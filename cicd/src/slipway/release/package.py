"""What the deploy pipeline deploys: the template of a release and one configuration for each environment."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import configuration, registry, settings
from slipway.errors import SlipwayError
from slipway.release.authors import decided_by, refuse_own
from slipway.release.names import ENVIRONMENTS, Environment, batch_model

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

    @property
    def serving(self) -> str:
        """What staging is to be verified for, once it is packaged: real-time, batch or both."""
        return str(self._json("staging.json")["Parameters"].get("Serving", "real-time"))

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SlipwayError(
                f"{self.folder / name}: not a release bundle of `slipway model build`: {error}"
            ) from None
        return dict(content)


def package(session: Any, namespace: str, bundle: Bundle, output: Path, build: str = "") -> list[str]:
    """Write endpoint.yaml, staging.json and production.json to `output`. Returns the names of the files.

    `build` is the id of the build that packages: each release gives the model of transform jobs a name of its own.
    Raises SlipwayError if the model package is not approved any more (between an approval and this moment a person may
    have thought again), or was approved by one of its authors.
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
    assets = settings.platform(session.client("ssm"), namespace)
    body = session.client("s3").get_object(Bucket=assets["assets/bucket"], Key=f"{assets['assets/prefix']}/{TEMPLATE}")[
        "Body"
    ]
    output.mkdir(parents=True, exist_ok=True)
    (output / "endpoint.yaml").write_bytes(body.read())
    cost_center = settings.project(session.client("ssm"), namespace, project.project)["cost-center"]
    for environment in ENVIRONMENTS:
        content = template_configuration(namespace, project, release, cost_center, environment, build)
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
    build: str = "",
) -> dict[str, dict[str, str]]:
    """A CloudFormation template configuration file (AWS documentation, "AWS CloudFormation artifacts")."""
    instance_type, count = project.serving.of(environment)
    digits = hashlib.sha256(f"{release['model_package_arn']} {build}".encode()).hexdigest()[:8]
    platform = f"/{namespace}/platform"
    return {
        "Parameters": {
            "Namespace": namespace,
            "ProjectName": project.project,
            "Environment": environment,
            "ModelPackageArn": release["model_package_arn"],
            "ModelVersion": release["version"],
            "Serving": project.serving.mode,
            "InstanceType": instance_type,
            "InstanceCount": str(count),
            "BatchModelName": batch_model(namespace, project.project, environment, digits),
            **_transform(project),
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


def _transform(project: configuration.ProjectFile) -> dict[str, str]:
    """The settings of transform jobs; the template's defaults where there are none."""
    batch = project.serving.transform
    if batch is None:
        return {}
    return {
        "BatchInstanceType": batch.instance_type,
        "BatchInstanceCount": str(batch.instance_count),
        "BatchMaxPayloadInMB": str(batch.max_payload_mb),
        "BatchMaxConcurrentTransforms": str(batch.max_concurrent_transforms),
        "BatchStrategy": batch.strategy,
    }
