"""Models and endpoint configurations: records whose contents AWS checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Call, Credentials, Fault
from localcloud.records import PlugIn, Record, hook
from localcloud.services.sagemaker import algorithms, images

_PRINCIPAL = "sagemaker.amazonaws.com"


class Models(PlugIn):
    """Behaviour of Model and EndpointConfig."""

    @hook("Model", "before_create")
    def check_model(self, call: Call, record: Record) -> None:
        """Containers, images, packages, the role, and the role's access to the model's data."""
        containers = [
            *([record["PrimaryContainer"]] if record.get("PrimaryContainer") else []),
            *record.get("Containers", []),
        ]
        if record.get("PrimaryContainer") and record.get("Containers"):
            raise _invalid("Both PrimaryContainer and Containers are given. Give one of them.")
        if not containers:
            raise _invalid("A model needs a container: give PrimaryContainer or Containers.")
        role = record.get("ExecutionRoleArn")
        credentials = self._assume(role, call.region) if role else None
        for container in containers:
            package = container.get("ModelPackageName")
            if package:
                self._check_package(call, record, container, package, credentials)
                continue
            if not container.get("Image"):
                raise _invalid("A container definition needs an Image or a ModelPackageName.")
            algorithms.check_model(container["Image"])
            images.require_image(self.cloud, container["Image"])
            for uri in _data(container):
                self._check_data(credentials, role, uri, call.region)
        record.setdefault("EnableNetworkIsolation", False)

    def _check_package(
        self, call: Call, record: Record, container: Record, package: str, credentials: Credentials | None
    ) -> None:
        others = [name for name in ("Image", "ModelDataUrl", "ModelDataSource") if container.get(name)]
        if others:
            raise _invalid(f"A container definition with ModelPackageName cannot have {', '.join(others)} as well.")
        found = self.records["ModelPackage"].require(call, ModelPackageName=package)
        arn = found["ModelPackageArn"]
        if found.get("ModelPackageStatus") != "Completed":
            raise _invalid(f"Model package {arn} is {found.get('ModelPackageStatus')}. It must be Completed.")
        if found.get("ModelApprovalStatus", "Approved") != "Approved":
            raise _invalid(
                f"Cannot create a model from model package {arn}: its ModelApprovalStatus is "
                f"{found['ModelApprovalStatus']} and must be Approved."
            )
        for part in found.get("InferenceSpecification", {}).get("Containers", []):
            images.require_image(self.cloud, part.get("Image"))
            for uri in _data(part):
                self._check_data(credentials, record.get("ExecutionRoleArn"), uri, call.region)

    def _assume(self, role: str, region: str) -> Credentials:
        try:
            return self.cloud.assume(
                role, "SageMaker", region=region, service_principal=_PRINCIPAL,
                source_arn=f"arn:aws:sagemaker:{region}:{role.split(':')[4]}:*",
            )  # fmt: skip
        except Fault as fault:
            raise _invalid(
                f"Could not assume role {role}. Please ensure that the role exists and allows principal '{_PRINCIPAL}' "
                "to assume the role."
            ) from fault

    def _check_data(self, credentials: Credentials | None, role: str | None, uri: str, region: str) -> None:
        """The role must be able to read the model's data when the model is made."""
        if credentials is None or not uri.startswith("s3://"):
            return
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        client = credentials.client("s3")
        try:
            if key.endswith("/") or not key:
                if not client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount"):
                    raise LookupError(uri)
            else:
                client.head_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError, LookupError) as error:
            raise _invalid(
                f'Could not access model data at {uri}. Please ensure that the role "{role}" exists and that its '
                f'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
                f'"{_PRINCIPAL}". Also '
                f'ensure that the role has "s3:GetObject" permissions and that the object is located in {region}.'
            ) from error

    @hook("EndpointConfig", "before_create")
    def check_config(self, call: Call, record: Record) -> None:
        """Variants: names, models, capacity."""
        variants = record.get("ProductionVariants", [])
        shadows = record.get("ShadowProductionVariants", [])
        if shadows and len(variants) != 1:
            raise _invalid("With ShadowProductionVariants there must be exactly one production variant.")
        names = [variant["VariantName"] for variant in (*variants, *shadows)]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise _invalid(
                f"Variant names must be unique within an endpoint configuration; given more than once: {double}."
            )
        for variant in (*variants, *shadows):
            self._check_variant(call, record, variant)
        if variants and sum(variant["InitialVariantWeight"] for variant in variants) <= 0:
            raise _invalid("The sum of the production variants' InitialVariantWeight must be greater than 0.")

    def _check_variant(self, call: Call, record: Record, variant: Record) -> None:
        name = variant["VariantName"]
        if variant.get("ModelName"):
            self.records["Model"].require(call, ModelName=variant["ModelName"])
        elif not record.get("ExecutionRoleArn"):
            raise _invalid(
                f"Variant {name} has no ModelName. Only an endpoint configuration with ExecutionRoleArn, for inference "
                "components, may leave it out."
            )
        if variant.get("ServerlessConfig"):
            both = [member for member in ("InstanceType", "InitialInstanceCount") if member in variant]
            if both:
                raise _invalid(f"Variant {name} with ServerlessConfig cannot have {', '.join(both)}.")
        else:
            lacking = [member for member in ("InstanceType", "InitialInstanceCount") if member not in variant]
            if lacking and not variant.get("InstancePools"):
                raise _invalid(f"Variant {name} needs {' and '.join(lacking)}, or a ServerlessConfig.")
        variant.setdefault("InitialVariantWeight", 1.0)


def _data(container: Record) -> Iterator[str]:
    if container.get("ModelDataUrl"):
        yield container["ModelDataUrl"]
    source: dict[str, Any] = container.get("ModelDataSource", {}).get("S3DataSource", {})
    if source.get("S3Uri"):
        yield source["S3Uri"]


def _invalid(message: str) -> Fault:
    return Fault("ValidationException", message)
