"""MLflow's REST API, as SageMaker puts it in front of its tracking servers: signed, authorized, and passed on.

On AWS it has a host of its own, {region}.experiments.sagemaker.aws. The MLflow plug-in sagemaker-mlflow goes to
SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT instead where that is set, and names the server in a header. What a path is called in
IAM is said by the Service Authorization Reference ("Amazon SageMaker with MLflow").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from localcloud.core import Cloud, Fault, Route
from localcloud.core.recorder import Recorded

if TYPE_CHECKING:
    from localcloud.services.sagemaker.mlflow_servers import MlflowServers

PREFIX = "/_sagemaker-mlflow"
AUTH = f"{PREFIX}/auth"  # on AWS a path of the server's own host, likewise with ?authToken=
HEADER = "x-mlflow-sm-tracking-server-arn"
SERVICE = "sagemaker-mlflow"
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/([^/]+)/aws4_request")
_PATH = re.compile(r"/(?:ajax-)?api/[23]\.0/mlflow/(?P<rest>[a-z-]+(?:/[a-z-]+)*)")
_TIMEOUT_SECONDS = 60.0
# Of the path, behind /api/2.0/mlflow/; where the method makes a difference, behind it.
ACTIONS = {
    "artifacts/list": "ListArtifacts",
    "experiments/create": "CreateExperiment",
    "experiments/delete": "DeleteExperiment",
    "experiments/get": "GetExperiment",
    "experiments/get-by-name": "GetExperimentByName",
    "experiments/restore": "RestoreExperiment",
    "experiments/search": "SearchExperiments",
    "experiments/set-experiment-tag": "SetExperimentTag",
    "experiments/update": "UpdateExperiment",
    "metrics/get-history": "GetMetricHistory",
    "model-versions/create": "CreateModelVersion",
    "model-versions/delete": "DeleteModelVersion",
    "model-versions/delete-tag": "DeleteModelVersionTag",
    "model-versions/get": "GetModelVersion",
    "model-versions/get-download-uri": "GetDownloadURIForModelVersionArtifacts",
    "model-versions/search": "SearchModelVersions",
    "model-versions/set-tag": "SetModelVersionTag",
    "model-versions/transition-stage": "TransitionModelVersionStage",
    "model-versions/update": "UpdateModelVersion",
    "registered-models/alias DELETE": "DeleteRegisteredModelAlias",
    "registered-models/alias GET": "GetModelVersionByAlias",
    "registered-models/alias POST": "SetRegisteredModelAlias",
    "registered-models/create": "CreateRegisteredModel",
    "registered-models/delete": "DeleteRegisteredModel",
    "registered-models/delete-tag": "DeleteRegisteredModelTag",
    "registered-models/get": "GetRegisteredModel",
    "registered-models/get-latest-versions": "GetLatestModelVersions",
    "registered-models/rename": "RenameRegisteredModel",
    "registered-models/search": "SearchRegisteredModels",
    "registered-models/set-tag": "SetRegisteredModelTag",
    "registered-models/update": "UpdateRegisteredModel",
    "runs/create": "CreateRun",
    "runs/delete": "DeleteRun",
    "runs/delete-tag": "DeleteTag",
    "runs/get": "GetRun",
    "runs/log-batch": "LogBatch",
    "runs/log-inputs": "LogInputs",
    "runs/log-metric": "LogMetric",
    "runs/log-model": "LogModel",
    "runs/log-parameter": "LogParam",
    "runs/restore": "RestoreRun",
    "runs/search": "SearchRuns",
    "runs/set-tag": "SetTag",
    "runs/update": "UpdateRun",
}


def route(cloud: Cloud, servers: MlflowServers) -> Route:
    """Everything below the address that the plug-in is given."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        opens = request.method == "GET" and request.url.path == AUTH
        response = await run_in_threadpool(_open if opens else _answer, cloud, servers, request, body)
        await response(scope, receive, send)

    return Route(f"{PREFIX}/", app)


def action(method: str, path: str) -> str | None:
    """What IAM calls a request; None for one that is not served."""
    found = _PATH.fullmatch(path)
    rest = found["rest"] if found else ""
    return ACTIONS.get(rest) or ACTIONS.get(f"{rest} {method}")


def _answer(cloud: Cloud, servers: MlflowServers, request: Request, body: bytes) -> Response:
    path = request.url.path.removeprefix(PREFIX)
    arn = request.headers.get(HEADER, "")
    asked = action(request.method, path)
    account, principal, region, error = "", "anonymous", cloud.region, ""
    try:
        account, principal = _identify(cloud, request)
        if asked is None:
            said = f"{request.method} {path} is not served by the local cloud."
            raise Fault("ENDPOINT_NOT_FOUND", said, 404)
        if not arn:
            raise Fault("INVALID_PARAMETER_VALUE", f"The header {HEADER} is missing.", 400)
        region = arn.split(":")[3] if arn.count(":") >= 5 else region
        response = _pass_on(servers.url(arn, account), request, path, body)
    except Fault as fault:
        error = fault.code
        response = JSONResponse({"error_code": fault.code, "message": fault.message}, fault.status)
    recorder = cloud.recorder
    if recorder is not None and account and asked:
        call = f"{SERVICE}:{asked}"
        recorder.add(Recorded(account, region, principal, call, arn or "*", response.status_code, error))
    return response


def _open(cloud: Cloud, servers: MlflowServers, request: Request, _: bytes) -> Response:
    """MLflow's own pages, for who has an address that SageMaker signed."""
    try:
        ticket = servers.redeem(request.query_params.get("authToken", ""))
        url = servers.url(ticket.arn, ticket.account)
    except Fault as fault:
        return JSONResponse({"error_code": fault.code, "message": fault.message}, fault.status)
    if cloud.recorder is not None:
        call = f"{SERVICE}:AccessUI"
        cloud.recorder.add(Recorded(ticket.account, ticket.region, ticket.principal, call, "*", 302))
    return RedirectResponse(url, 302)


def _identify(cloud: Cloud, request: Request) -> tuple[str, str]:
    found = _CREDENTIAL.search(request.headers.get("authorization", ""))
    if found is None or found[2] != SERVICE:
        raise Fault("UNAUTHENTICATED", f"The request is not signed for {SERVICE}.", 403)
    assert cloud.base is not None
    known = cloud.base.identity(found[1])
    if known is None:
        raise Fault("UNAUTHENTICATED", "The security token included in the request is invalid.", 403)
    return known


def _pass_on(url: str, request: Request, path: str, body: bytes) -> Response:
    kept = {name: request.headers[name] for name in ("content-type", "accept") if name in request.headers}
    query = f"?{request.url.query}" if request.url.query else ""
    try:
        answer = httpx.request(
            request.method, f"{url}{path}{query}", content=body, headers=kept, timeout=_TIMEOUT_SECONDS
        )
    except httpx.HTTPError as error:
        raise Fault("TEMPORARILY_UNAVAILABLE", f"{type(error).__name__}: {error}", 503) from error
    return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))
