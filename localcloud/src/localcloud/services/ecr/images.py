"""Images: manifests under tags and digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from localcloud.core import Call, Fault, now, operation, paginate
from localcloud.services.ecr.base import Document, EcrBase, Place, image_id, is_immutable, key

_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# What Amazon says of an image whose packages it cannot read, as it cannot here: there is no data of vulnerabilities.
_NO_SCAN = "UnsupportedImageError: The operating system and/or package manager are not supported."


class Images(EcrBase):
    """The operations on images."""

    @operation("PutImage")
    def put_image(self, call: Call) -> Document:
        """Record a manifest under a tag, or under its digest alone."""
        place, given = self.place(call), call.input
        text, tag = given["imageManifest"], given.get("imageTag")
        manifest = _manifest(text)
        media_type = given.get("imageManifestMediaType") or manifest.get("mediaType")
        if not media_type:
            raise _parameter("imageManifestMediaType", "it is not given, and the manifest has no mediaType")
        digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        if given.get("imageDigest", digest) != digest:
            raise Fault(
                "ImageDigestDoesNotMatchException",
                f"The provided image digest '{given['imageDigest']}' does not match the digest of the image manifest: "
                f"'{digest}'",
            )
        self._check_contents(place, digest, manifest, media_type)
        with self.cloud.store.transaction():
            image = self._tagged(place, digest, tag)
            if image is None:
                sizes = [manifest.get("config"), *(manifest.get("layers") or [])]
                image = {
                    "repository": place.name, "digest": digest, "manifest": text, "media_type": media_type,
                    "tags": [tag] if tag else [], "pushed_at": now(), "pulled_at": None, "scan": None,
                    "size": sum(int(item.get("size", 0)) for item in sizes if isinstance(item, dict)),
                    "artifact_type": manifest.get("artifactType") or (manifest.get("config") or {}).get("mediaType"),
                }  # fmt: skip
            self.save(place, image)
        self.emit_image_action(place, "PUSH", digest, tag)
        if place.record["imageScanningConfiguration"]["scanOnPush"]:
            self._scan(place, image)
        return {"image": _image(place, image, tag)}

    def _tagged(self, place: Place, digest: str, tag: str | None) -> Document | None:
        """The record of a digest that is there already, with the tag; takes the tag from any other image."""
        image = self.images.get(place.account, place.region, key(place.name, digest))
        if image is not None and (tag is None or tag in image["tags"]):
            named = f"digest '{digest}'" + (f" and tag '{tag}'" if tag else "")
            raise Fault(
                "ImageAlreadyExistsException",
                f"Image with {named} already exists in the repository with name '{place.name}' in registry with id "
                f"'{place.account}'",
            )
        holder = self.find(place, {"imageTag": tag}) if tag else None
        if holder is not None and tag is not None:
            if is_immutable(place.record, tag):
                raise Fault(
                    "ImageTagAlreadyExistsException",
                    f"The image tag '{tag}' already exists in the '{place.name}' repository and cannot be overwritten "
                    "because the tag is immutable.",
                )
            self.save(place, {**holder, "tags": [item for item in holder["tags"] if item != tag]})
        if image is not None and tag:
            image["tags"].append(tag)
        return image

    def _check_contents(self, place: Place, digest: str, manifest: Document, media_type: str) -> None:
        """The bytes have to be here: in the container runtime's store, which all accounts share."""
        if media_type in _INDEX_TYPES:
            missing = [
                item["digest"] for item in manifest.get("manifests") or []
                if self.find(place, {"imageDigest": item["digest"]}) is None
            ]  # fmt: skip
            if missing:
                raise Fault("ReferencedImagesNotFoundException", f"Images are missing: {', '.join(missing)}")
            return
        layers = [item["digest"] for item in manifest.get("layers") or []]
        if layers and not self._is_here(digest):
            raise Fault(
                "LayersNotFoundException",
                f"The following layers do not exist in the repository with name '{place.name}' in the registry with id "
                f"'{place.account}': '{', '.join(layers)}' (images get here by `docker push` in a build)",
            )

    def _is_here(self, digest: str) -> bool:
        from localcloud.runtime import RuntimeFault

        try:
            self.cloud.runtime.inspect(digest)
        except RuntimeFault:
            return False
        return True

    @operation("BatchGetImage")
    def batch_get_image(self, call: Call) -> Document:
        """Manifests."""
        place, found, failures = self.place(call), [], []
        for wanted in call.input["imageIds"]:
            image = self.find(place, wanted) if wanted else None
            if image is None:
                failures.append(self._failure(place, wanted))
                continue
            self.save(place, {**image, "pulled_at": now()})
            found.append(_image(place, image, wanted.get("imageTag")))
        return {"images": found, "failures": failures}

    def _failure(self, place: Place, wanted: Mapping[str, Any]) -> Document:
        if not wanted:
            code, reason = "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"
        elif len(wanted) == 2 and self.find(place, {"imageDigest": wanted["imageDigest"]}):
            code, reason = "ImageTagDoesNotMatchDigest", "The tag does not belong to the image with that digest"
        else:
            code, reason = "ImageNotFound", "Requested image not found"
        return {"imageId": dict(wanted), "failureCode": code, "failureReason": reason}

    @operation("BatchDeleteImage")
    def batch_delete_image(self, call: Call) -> Document:
        """By digest the image goes with all its tags; by tag the tag goes, and with the last one the image."""
        place, gone, failures = self.place(call), [], []
        with self.cloud.store.transaction():
            for wanted in call.input["imageIds"]:
                image = self.find(place, wanted) if wanted else None
                if image is None:
                    failures.append(self._failure(place, wanted))
                    continue
                removed = [wanted["imageTag"]] if wanted.get("imageTag") else list(image["tags"])
                kept = [tag for tag in image["tags"] if tag not in removed]
                if kept:
                    self.save(place, {**image, "tags": kept})
                else:
                    self.images.delete(place.account, place.region, key(place.name, image["digest"]))
                gone += [image_id(image, tag) for tag in removed] or [image_id(image)]
        for item in gone:
            self.emit_image_action(place, "DELETE", item["imageDigest"], item.get("imageTag"))
        return {"imageIds": gone, "failures": failures}

    @operation("ListImages")
    def list_images(self, call: Call) -> Document:
        """An identifier for each tag, and for each image without one."""
        place = self.place(call)
        status = call.input.get("filter", {}).get("tagStatus", "ANY")
        found = []
        for image in self.listed(place):
            if _has_status(image, status):
                found += [image_id(image, tag) for tag in image["tags"]] or [image_id(image)]
        page, token = paginate(found, call.input, error="InvalidParameterException")
        return {"imageIds": page, "nextToken": token}

    @operation("DescribeImages")
    def describe_images(self, call: Call) -> Document:
        """All images, or those that are named."""
        place = self.place(call)
        wanted = call.input.get("imageIds")
        if wanted:
            unique = {image["digest"]: image for image in (self.need(place, item) for item in wanted)}
            return {"imageDetails": [_detail(place, image) for image in unique.values()]}
        status = call.input.get("filter", {}).get("tagStatus", "ANY")
        images = [image for image in self.listed(place) if _has_status(image, status)]
        page, token = paginate(images, call.input, error="InvalidParameterException")
        return {"imageDetails": [_detail(place, image) for image in page], "nextToken": token}

    @operation("BatchCheckLayerAvailability")
    def batch_check_layer_availability(self, call: Call) -> Document:
        """Which layers an image of the repository has."""
        place = self.place(call)
        sizes = {
            layer["digest"]: (int(layer.get("size", 0)), layer.get("mediaType"))
            for image in self.listed(place)
            for layer in json.loads(image["manifest"]).get("layers") or []
        }
        layers = []
        for digest in call.input["layerDigests"]:
            size, media_type = sizes.get(digest, (None, None))
            state = "UNAVAILABLE" if size is None else "AVAILABLE"
            layers.append(
                {"layerDigest": digest, "layerAvailability": state, "layerSize": size, "mediaType": media_type}
            )
        return {"layers": layers, "failures": []}

    # Scans

    @operation("StartImageScan")
    def start_image_scan(self, call: Call) -> Document:
        """Scan an image. It ends as for an image that Amazon's scanner does not know."""
        place = self.place(call)
        image = self.need(place, call.input["imageId"])
        self._scan(place, image)
        return {**_of(place), "imageId": image_id(image, call.input["imageId"].get("imageTag")),
                "imageScanStatus": {"status": "IN_PROGRESS"}}  # fmt: skip

    def _scan(self, place: Place, image: Document) -> None:
        scan = {"status": "FAILED", "description": _NO_SCAN}
        self.save(place, {**image, "scan": scan})
        detail = {
            "scan-status": "FAILED", "repository-name": place.name, "finding-severity-counts": {},
            "image-digest": image["digest"], "image-tags": image["tags"],
        }  # fmt: skip
        self.cloud.emit(
            source="aws.ecr", detail_type="ECR Image Scan", detail=detail, resources=[place.arn],
            account=place.account, region=place.region,
        )  # fmt: skip

    @operation("DescribeImageScanFindings")
    def describe_image_scan_findings(self, call: Call) -> Document:
        """How the last scan ended."""
        place = self.place(call)
        image = self.need(place, call.input["imageId"])
        if not image["scan"]:
            raise Fault(
                "ScanNotFoundException",
                f"Image scan does not exist for the image with '{image_id(image)}' in the repository with name "
                f"'{place.name}' in the registry with id '{place.account}'",
            )
        return {**_of(place), "imageId": image_id(image, call.input["imageId"].get("imageTag")),
                "imageScanStatus": image["scan"]}  # fmt: skip


def _of(place: Place) -> Document:
    return {"registryId": place.account, "repositoryName": place.name}


def _parameter(name: str, reason: str) -> Fault:
    return Fault("InvalidParameterException", f"Invalid parameter at '{name}' failed to satisfy constraint: '{reason}'")


def _manifest(text: str) -> Document:
    try:
        found = json.loads(text)
    except ValueError:
        raise _parameter("ImageManifest", "Invalid JSON syntax") from None
    if not isinstance(found, dict) or found.get("schemaVersion") != 2:
        raise _parameter("ImageManifest", "a manifest of schemaVersion 2 is required")
    return found


def _has_status(image: Document, status: str) -> bool:
    return status == "ANY" or bool(image["tags"]) == (status == "TAGGED")


def _image(place: Place, image: Document, tag: str | None) -> Document:
    return {**_of(place), "imageId": image_id(image, tag), "imageManifest": image["manifest"],
            "imageManifestMediaType": image["media_type"]}  # fmt: skip


def _detail(place: Place, image: Document) -> Document:
    return {
        **_of(place),
        "imageDigest": image["digest"],
        "imageTags": image["tags"] or None,
        "imageSizeInBytes": image["size"],
        "imagePushedAt": image["pushed_at"],
        "imageScanStatus": image["scan"],
        "imageManifestMediaType": image["media_type"],
        "artifactMediaType": image["artifact_type"],
        "lastRecordedPullTime": image["pulled_at"],
        "imageStatus": "ACTIVE",
    }
