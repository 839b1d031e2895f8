"""`serve`: the models of /opt/ml/model behind /ping, /invocations and /execution-parameters."""

from __future__ import annotations

import json
import logging
import os
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from scipy import stats

from . import payloads
from .errors import UserError

_MOST = int(os.environ.get("MAX_CONTENT_LENGTH", "6291456"))
_VOTED = ("multi:softmax", "binary:hinge")


class Models:
    """Every file of the model's directory is a booster; several answer together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # a booster predicts one request at a time
        self._boosters: list[xgboost.Booster] = []

    def load(self) -> None:
        """Load them, once.

        Raises:
            RuntimeError: there is none, or one is no model.
        """
        with self._lock:
            if self._boosters:
                return
            paths = [path for path in sorted(self._folder.iterdir()) if path.is_file() and path.name[0] != "."]
            if not paths:
                raise RuntimeError(f"There is no model in {self._folder}")
            if os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true") != "true":
                paths = paths[:1]
            self._boosters = [_booster(path) for path in paths]

    def predict(self, rows: xgboost.DMatrix) -> Any:
        """An array of (rows,) or (rows, classes)."""
        with self._lock:
            found = [booster.predict(rows, validate_features=False) for booster in self._boosters]
            if len(found) == 1:
                return found[0]
            config = json.loads(self._boosters[0].save_config())
        if config["learner"]["objective"]["name"] in _VOTED:
            return stats.mode(found).mode
        return np.mean(found, axis=0)


def _booster(path: Path) -> xgboost.Booster:
    logging.info("Loading the model from %s", path.name)
    try:
        booster = xgboost.Booster(model_file=path)
    except Exception as error:
        raise RuntimeError(f"Model {path.name} cannot be loaded:\nXGB load model error={error}") from error
    booster.set_param("nthread", 1)
    return booster


class _Handler(BaseHTTPRequestHandler):
    models: Models
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """/ping and /execution-parameters."""
        if self.path == "/ping":
            try:
                self.models.load()
            except RuntimeError as error:
                logging.exception("the model cannot be loaded")
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error).encode())
                return
            self._answer(HTTPStatus.OK)
        elif self.path == "/execution-parameters":
            wishes = {
                "MaxConcurrentTransforms": os.cpu_count() or 1,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": _MOST // 1024**2,
            }
            self._answer(HTTPStatus.OK, json.dumps(wishes).encode(), "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """/invocations."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/invocations":
            self.close_connection = True
            self._answer(HTTPStatus.NOT_FOUND)
        elif length > _MOST:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif length == 0:
            self._answer(HTTPStatus.NO_CONTENT)
        else:
            self._answer(*self._predict(self.rfile.read(length)))

    def _predict(self, body: bytes) -> tuple[HTTPStatus, bytes, str]:
        plain = "text/html; charset=utf-8"
        try:
            rows = payloads.matrix(body, self.headers.get("Content-Type"))
        except (RuntimeError, UserError) as error:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error).encode(), plain
        try:
            self.models.load()
        except RuntimeError as error:
            return HTTPStatus.INTERNAL_SERVER_ERROR, f"Unable to load model: {error}".encode(), plain
        try:
            found = self.models.predict(rows)
        except Exception as error:
            return HTTPStatus.BAD_REQUEST, f"Unable to evaluate payload provided: {error}".encode(), plain
        try:
            accept = payloads.accepted(self.headers.get("Accept"))
        except ValueError as error:
            return HTTPStatus.NOT_ACCEPTABLE, str(error).encode(), plain
        try:
            return HTTPStatus.OK, payloads.answer(found, accept), accept
        except ValueError as error:
            return HTTPStatus.INTERNAL_SERVER_ERROR, str(error).encode(), plain

    def _answer(self, status: HTTPStatus, body: bytes = b"", kind: str = "text/html; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """One line a request, without the pings."""
        if self.path != "/ping":
            logging.info(format, *arguments)


def serve(base: Path) -> None:
    """Answer until the process is ended.

    Args:
        base: /opt/ml.

    Raises:
        RuntimeError: the model cannot be loaded, or what is asked for is not served by the local cloud.
    """
    if os.environ.get("SAGEMAKER_INFERENCE_OUTPUT"):
        raise RuntimeError("SAGEMAKER_INFERENCE_OUTPUT (selectable inference) is not served by the local cloud")
    _Handler.models = Models(base / "model")
    _Handler.models.load()
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    ThreadingHTTPServer(("127.0.0.1", port), _Handler).serve_forever()  # the network is the machine's
