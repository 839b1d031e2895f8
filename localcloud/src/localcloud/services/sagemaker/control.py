"""What happens to SageMaker's jobs on AWS without an API call, and is caused from outside here: a spot interruption."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from localcloud.core import Cloud, Fault, Route

if TYPE_CHECKING:
    from localcloud.services.sagemaker.training import Training

PATH = "/_localcloud/sagemaker/interrupt"


def interruptions(cloud: Cloud, training: Training) -> Route:
    """`POST /_localcloud/sagemaker/interrupt` {"TrainingJobName", "Account", "Region"}, for this machine alone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        status, message = await _answer(request)
        await JSONResponse({"message": message}, status)(scope, receive, send)

    async def _answer(request: Request) -> tuple[int, str]:
        if request.client is None or request.client.host not in ("127.0.0.1", "::1"):
            return 403, "for this machine alone"
        if request.method != "POST":
            return 405, f"{request.method} is not allowed here; allowed is POST"
        try:
            given = json.loads(await request.body() or b"{}")
            name = str(given["TrainingJobName"])
        except (ValueError, KeyError, TypeError):
            return 400, 'the body must be a JSON object with "TrainingJobName", and may have "Account" and "Region"'
        account, region = str(given.get("Account", cloud.accounts[0])), str(given.get("Region", cloud.region))
        try:
            await run_in_threadpool(training.interrupt, account, region, name)
        except Fault as fault:
            return (404 if fault.code == "ResourceNotFound" else 409), fault.message
        return 200, f"the instance of {name} is being taken away"

    return Route(PATH, app)
