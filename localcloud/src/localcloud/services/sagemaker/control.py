"""What happens to SageMaker's jobs on AWS without an API call, and is caused from outside here: a spot interruption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core import Cloud, Fault, Route, outside

if TYPE_CHECKING:
    from localcloud.services.sagemaker.training import Training

PATH = "/_localcloud/sagemaker/interrupt"


def interruptions(cloud: Cloud, training: Training) -> Route:
    """`POST /_localcloud/sagemaker/interrupt` {"TrainingJobName", "Account", "Region"}, for this machine alone."""

    def interrupt(given: dict[str, Any]) -> tuple[int, str]:
        name = str(given["TrainingJobName"])
        account, region = str(given.get("Account", cloud.accounts[0])), str(given.get("Region", cloud.region))
        try:
            training.interrupt(account, region, name)
        except Fault as fault:
            return (404 if fault.code == "ResourceNotFound" else 409), fault.message
        return 200, f"the instance of {name} is being taken away"

    return outside.route(PATH, ("TrainingJobName",), interrupt, optional=("Account", "Region"))
