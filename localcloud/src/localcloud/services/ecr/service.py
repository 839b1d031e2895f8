"""The service: repositories, images, expiry by lifecycle policy, and the CloudFormation type."""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.core import Call, Fault, Route, now, operation, paginate
from localcloud.services.ecr import lifecycle, registry
from localcloud.services.ecr.base import Document, Place, key
from localcloud.services.ecr.images import Images
from localcloud.services.ecr.repositories import Repositories
from localcloud.services.ecr.resources import REPOSITORY

_EVALUATION_SECONDS = 3600.0


class ECR(Repositories, Images):
    """Amazon Elastic Container Registry."""

    name = "ecr"
    resources = (REPOSITORY,)

    def routes(self) -> Sequence[Route]:
        """What a Docker engine asks; other services' signed requests begin likewise."""
        return (Route("/v2/", registry.refuse, unsigned=True),)

    def recover(self) -> None:
        """Images expire by their policies from now on. Amazon does it within 24 hours, here every hour."""
        self.cloud.task("ecr-lifecycle", self._evaluate_for_ever)

    def _evaluate_for_ever(self) -> None:
        while not self.cloud.stopping.wait(_EVALUATION_SECONDS):
            self.evaluate()

    def evaluate(self) -> int:
        """Apply every lifecycle policy. Returns how many images went."""
        count = 0
        for account, region, name, record in self.repositories.all():
            policy = record.get("lifecycle")
            if not policy:
                continue
            place = Place(account, region, name, record)
            for image, _ in lifecycle.expired(lifecycle.check(policy["text"]), self.listed(place), now()):
                self.images.delete(account, region, key(name, image["digest"]))
                self.emit_image_action(place, "DELETE", image["digest"], next(iter(image["tags"]), None))
                count += 1
            self._set(place, "lifecycle", {**policy, "evaluated_at": now()})
        return count

    @operation("StartLifecyclePolicyPreview")
    def start_lifecycle_policy_preview(self, call: Call) -> Document:
        """Work out what a policy would expire."""
        place = self.place(call)
        text = call.input.get("lifecyclePolicyText") or self.lifecycle_of(place)["text"]
        lifecycle.check(text)
        self._set(place, "preview", text)
        return {"registryId": place.account, "repositoryName": place.name, "lifecyclePolicyText": text,
                "status": "IN_PROGRESS"}  # fmt: skip

    @operation("GetLifecyclePolicyPreview")
    def get_lifecycle_policy_preview(self, call: Call) -> Document:
        """What it would expire."""
        place = self.place(call)
        text = place.record.get("preview")
        if not text:
            raise Fault(
                "LifecyclePolicyPreviewNotFoundException",
                f"There is no dry run for this repository: '{place.name}' in the registry with id '{place.account}'",
            )
        results = [
            {"imageTags": image["tags"], "imageDigest": image["digest"], "imagePushedAt": image["pushed_at"],
             "action": {"type": "EXPIRE"}, "appliedRulePriority": priority}
            for image, priority in lifecycle.expired(lifecycle.check(text), self.listed(place), now())
        ]  # fmt: skip
        page, token = paginate(results, call.input, error="InvalidParameterException")
        return {"registryId": place.account, "repositoryName": place.name, "lifecyclePolicyText": text,
                "status": "COMPLETE", "previewResults": page, "nextToken": token,
                "summary": {"expiringImageTotalCount": len(results)}}  # fmt: skip
