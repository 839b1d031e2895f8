"""The web application of an inference container.

One process a vCPU serves it, each with one thread of OpenMP: with OpenMP's own default the processes fight for the
cores and throughput falls by a factor of hundreds.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slipway.container import Paths
from slipway.serving.parse import BadRequest, Columns, Kinds, parse_csv, parse_json, parse_jsonlines

logger = logging.getLogger("slipway.serving")

PARSERS: dict[str, Callable[[bytes, Kinds], Columns]] = {
    "text/csv": parse_csv,
    "application/json": parse_json,
    "application/jsonlines": parse_jsonlines,
}
# Smaller requests are answered where they arrive; larger ones in a thread, so that /ping is answered meanwhile.
LARGE = 2_000
# What a batch transform job does where nobody says otherwise; each worker process answers one request at a time.
MAX_PAYLOAD_MB = 6
LOADER = "SLIPWAY_SERVING_LOADER"


class Model(Protocol):
    """What a project's predictor is."""

    @property
    def columns(self) -> Kinds:
        """The columns of a request in their order: name → float or str."""

    def predict(self, columns: Columns) -> Sequence[float]:
        """One prediction a row. Numbers are floats (NaN: not known), texts are str or None."""


def create_app(model: Model) -> Starlette:
    """The application around a model."""

    async def ping(_: Request) -> Response:
        return Response(status_code=200)

    async def execution_parameters(_: Request) -> Response:
        """Asked by a batch transform job before it begins, for what its request leaves open."""
        workers = int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or len(os.sched_getaffinity(0)))
        told = {"MaxConcurrentTransforms": workers, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": MAX_PAYLOAD_MB}
        return Response(orjson.dumps(told), media_type="application/json")

    async def invocations(request: Request) -> Response:
        content_type = _media_type(request.headers.get("content-type", ""))
        parser = PARSERS.get(content_type)
        if parser is None:
            return _error(415, f"content type: given {content_type or 'none'!r}, allowed {', '.join(PARSERS)}")
        accept = _accepted(request.headers.get("accept", "*/*"), content_type)
        if accept is None:
            return _error(406, f"accept: given {request.headers['accept']!r}, allowed {', '.join(PARSERS)}")
        body = await request.body()
        if not body.strip():
            return _error(400, f"the body is empty: allowed are rows of {', '.join(model.columns)}")
        try:
            columns = parser(body, model.columns)
        except BadRequest as error:
            return _error(400, str(error))
        rows = len(next(iter(columns.values())))
        try:
            if rows > LARGE:
                predictions = await run_in_threadpool(model.predict, columns)
            else:
                predictions = model.predict(columns)
            values = [float(value) for value in predictions]
        except Exception:
            logger.exception("the model failed on %d rows", rows)
            return _error(500, "the model failed on these rows; the endpoint's log has the reason")
        if len(values) != rows or not all(map(math.isfinite, values)):
            logger.error("%d predictions for %d rows, or one that is not finite", len(values), rows)
            return _error(500, "the model gave no finite prediction for one of these rows")
        if accept == "text/csv":
            return Response("".join(f"{value!r}\n" for value in values), media_type="text/csv")
        if accept == "application/jsonlines":
            lines = b"".join(orjson.dumps({"prediction": value}) + b"\n" for value in values)
            return Response(lines, media_type="application/jsonlines")
        return Response(orjson.dumps({"predictions": values}), media_type="application/json")

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/execution-parameters", execution_parameters, methods=["GET"]),
            Route("/invocations", invocations, methods=["POST"]),
        ]
    )


def from_environment() -> Starlette:
    """The application of a worker process: SLIPWAY_SERVING_LOADER names the loader, `module:function`."""
    module, _, name = os.environ[LOADER].partition(":")
    load: Callable[[Path], Model] = getattr(importlib.import_module(module), name)
    return create_app(load(Paths.from_environment().model))


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _accepted(header: str, given: str) -> str | None:
    """The content type of the answer: the first that is asked for and can be given; lines are answered by lines."""
    for part in header.split(","):
        media_type = _media_type(part)
        if media_type in PARSERS:
            return media_type
        if media_type in {"*/*", "application/*", ""}:
            return given if given == "application/jsonlines" else "application/json"
    return None


def _error(status: int, message: str) -> Response:
    return Response(orjson.dumps({"error": message}), status_code=status, media_type="application/json")
