"""What is asked of a model and what it answers, as bytes."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Any

import numpy as np
import xgboost
from scipy.sparse import csr_matrix

from .channels import CSV, LIBSVM, kind_of

ACCEPTS = ["application/json", "application/jsonlines", "application/x-recordio-protobuf", "text/csv"]


def matrix(body: bytes, content_type: str | None) -> xgboost.DMatrix:
    """The rows of a request.

    Raises:
        RuntimeError, UserError: in the container's words.
    """
    kind = kind_of(content_type)
    if kind not in (CSV, LIBSVM):
        raise RuntimeError(f"Content-type {content_type} is not supported.")
    try:
        text = body.strip().decode()
        return xgboost.DMatrix(_csv(text) if kind == CSV else _libsvm(text))
    except Exception as error:
        raise RuntimeError(
            f"Loading {kind} data failed with Exception, please ensure data is in {kind} format:\n {type(error)}\n "
            f"{error}"
        ) from error


def _csv(text: str) -> Any:
    lines = text.split("\n")
    sniffed = csv.Sniffer().sniff(lines[0][:512]).delimiter
    delimiter = "," if sniffed.isalnum() else sniffed
    return np.array([[item or "nan" for item in line.split(delimiter)] for line in lines]).astype(float)


def _libsvm(text: str) -> Any:
    rows, columns, values = [], [], []
    for row, line in enumerate(text.split("\n")):
        for item in line.split(" "):
            if ":" in item:
                column, value = item.split(":")[:2]
                rows.append(row)
                columns.append(int(column))
                values.append(float(value))
    first = 1 if columns and min(columns) >= 1 else 0
    return csr_matrix((np.array(values, dtype=float), (rows, [column - first for column in columns])))


def accepted(header: str | None) -> str:
    """The type of the answer.

    Raises:
        ValueError: it is not supported.
    """
    wanted = (header or "").split(";")[0].strip().lower()
    if wanted in ("", "*/*"):
        return os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    if wanted not in ACCEPTS:
        raise ValueError(f"Accept type {header} is not supported. Please use supported accept types: {ACCEPTS}.")
    return wanted


def answer(predictions: Any, accept: str) -> bytes:
    """The predictions: in a batch one a line, else as the type of the answer has it.

    Raises:
        ValueError: this type is for selectable inference alone, or not served by the local cloud.
    """
    values = predictions.tolist()
    if os.environ.get("SAGEMAKER_BATCH"):
        return ("\n".join(map(str, values)) + "\n").encode()
    if accept == "application/json":
        return json.dumps({"predictions": [{"score": value} for value in values]}).encode()
    if accept != "text/csv":
        raise ValueError(f"Content type {accept} is not supported by this framework.")
    stream = io.StringIO()
    np.savetxt(stream, values, delimiter=",", fmt="%s")
    return stream.getvalue().encode()
