"""Channels: which there may be, in which formats, and the matrices that are read from them."""

from __future__ import annotations

import csv
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import xgboost

from .errors import UserError

CSV, LIBSVM = "csv", "libsvm"
_FORMATS = {
    "csv": CSV, "libsvm": LIBSVM, "parquet": "parquet", "recordio-protobuf": "recordio-protobuf", "text/csv": CSV,
    "text/libsvm": LIBSVM, "text/x-libsvm": LIBSVM, "application/x-parquet": "parquet",
    "application/x-recordio-protobuf": "recordio-protobuf",
}  # fmt: skip
_PIPED = frozenset(
    ["csv", "parquet", "recordio-protobuf", "text/csv", "application/x-parquet", "application/x-recordio-protobuf"]
)
_DEFAULT = "text/libsvm"
_DEEPEST = 3


def validate(channels: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The channels with their content types.

    Args:
        channels: inputdataconfig.json.

    Raises:
        UserError: a channel is missing, unknown, or not in a form that is supported.
    """
    if "train" not in channels:
        raise UserError("Missing required channel: train")
    found: dict[str, dict[str, Any]] = {}
    for name, given in channels.items():
        if name not in ("train", "validation", "code"):
            raise UserError(f"Extraneous channel found: {name}")
        channel = {**given}
        channel.setdefault("ContentType", _DEFAULT)
        kind, mode, spread = (channel[member] for member in ("ContentType", "TrainingInputMode", "S3DistributionType"))
        if name == "code":
            supported = (kind, mode, spread) == ("text/python", "File", "FullyReplicated")
        else:
            supported = kind in {"File": _FORMATS.keys(), "Pipe": _PIPED}.get(mode, ())
        if not supported:
            raise UserError(f"Channel configuration for '{name}' channel is not supported: {channel}")
        found[name] = channel
    return found


def format_of(channel: Mapping[str, Any]) -> str:
    """csv or libsvm; also, to be refused, parquet and recordio-protobuf."""
    return _FORMATS[channel["ContentType"]]


def kind_of(content_type: str | None) -> str:
    """The format of a request's content type, which may have parameters; libsvm where there is none.

    Raises:
        UserError: it is none of those that are accepted.
    """
    if content_type is None:
        return LIBSVM
    name, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if name not in _FORMATS:
        raise UserError(f"{content_type} is not an accepted ContentType: {', '.join(_FORMATS)}.")
    sizes = [part.partition("=")[2] for part in parameters if part.startswith("label_size=")]
    if _FORMATS[name] == CSV and any(size != "1" for size in sizes):
        raise UserError(
            f"{content_type} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"
        )
    return _FORMATS[name]


def read(folder: Path, kind: str, weights: bool) -> xgboost.DMatrix | None:
    """A channel's matrix; None when there are no data.

    Args:
        folder: the channel's directory.
        kind: csv or libsvm.
        weights: the second column of a CSV file is each row's weight.

    Raises:
        UserError: with the file and what is wrong.
    """
    if not _size(folder):
        return None
    for path in _checked_files(folder):
        if kind == CSV:
            _delimiter(_first_line(path))
            _tell_of_text(path)
        else:
            _check_libsvm(path)
    with tempfile.TemporaryDirectory() as name:  # one directory of links, which XGBoost reads whole
        gathered = Path(name)
        for number, path in enumerate(_files(folder)):
            (gathered / f"{path.name}-{number}").symlink_to(path)
        matrix = _matrix(gathered, kind, weights)
    if matrix.get_label().size == 0:
        raise UserError(
            "Got input data without labels. Please check the input data set. If training job is running on multiple "
            "instances, please switch to using single instance if number of records in the data set is less than "
            "number of workers (16 * number of instance) in the cluster."
        )
    return matrix


def _matrix(folder: Path, kind: str, weights: bool) -> xgboost.DMatrix:
    options = f"format={kind}"
    if kind == CSV:
        first = next(folder.iterdir())
        options += f"&label_column=0&delimiter={_delimiter(_first_line(first))}"
        options += "&weight_column=1" if weights else ""
    try:
        return xgboost.DMatrix(f"{folder}?{options}")
    except Exception as error:
        raise UserError(f"Failed to load {kind} data with exception:\n{error}") from error


def _size(folder: Path) -> int:
    if not folder.exists():
        return 0
    files = [path for path in folder.rglob("*") if path.is_file()]
    if any(path.name.startswith(".") for path in files):
        raise UserError("Hidden file found in the data path! Remove that before training.")
    return sum(path.stat().st_size for path in files)


def _files(folder: Path, depth: int = 1) -> Iterator[Path]:
    """Every file, three directories deep."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path
        elif depth < _DEEPEST:
            yield from _files(path, depth + 1)
        else:
            logging.warning(
                "The depth of folder %s exceed the limit %s. Files in deeper sub dirs won't be loaded. Please adjust "
                "the folder structure accordingly.", folder, _DEEPEST,
            )  # fmt: skip


def _checked_files(folder: Path) -> list[Path]:
    return [path for path in _files(folder) if not path.name.startswith((".", "_"))]


def _first_line(path: Path) -> str:
    with path.open(errors="ignore") as stream:
        return stream.readline()


def _delimiter(line: str) -> str:
    try:
        found = csv.Sniffer().sniff(line).delimiter
    except csv.Error as error:
        raise UserError(f"Could not determine delimiter on line {line[:50]}:\n{error}") from error
    logging.info("Determined delimiter of CSV input is '%s'", found)
    return found


def _tell_of_text(path: Path) -> None:
    """A header is no error for XGBoost: a text is 0 as a label and missing as a feature, without a word."""
    line = _first_line(path).strip()
    for field in line.split(_delimiter(line)):
        try:
            float(field or "nan")
        except ValueError:
            logging.warning(
                "The first line of %s is '%s', which is not numbers alone. XGBoost takes it for a row all the same: a "
                "text is 0 as the label and missing as a feature. A header has to be left out.", path.name, line[:50],
            )  # fmt: skip
            return


def _check_libsvm(path: Path) -> None:
    with path.open(errors="ignore") as stream:
        for line in stream:
            label, *features = line.split(" ")
            if not _is_label(label) or any(":" not in item for item in features):
                logging.error("%s does not follow LIBSVM label format <label>(:<weight>).", label)
                raise UserError(
                    f"First line '{line[:50]}...' of file '{path.name}' is not 'LIBSVM' format. Please ensure the file "
                    "is in 'LIBSVM' format."
                )
            if len(features) > 1:
                return
    logging.warning("File %s is not an invalid LIBSVM file but has no features. Accepting simple validation.", path)


def _is_label(text: str) -> bool:
    parts = text.split(":")
    try:
        _ = [float(part) for part in parts]
    except ValueError:
        return False
    return len(parts) <= 2


def warn_of_doubles(train: Path, validation: Path) -> None:
    """Say so when both channels have a file of the same name and size."""
    for path in sorted(train.iterdir()) if train.is_dir() else []:
        other = validation / path.name
        if path.is_file() and other.is_file() and path.stat().st_size == other.stat().st_size:
            logging.warning(
                "Suspected identical files found. (%s and %s with same size %d bytes). Note: Duplicate data in the "
                "training set and validation set is usually not intentional and can impair the validity of the model "
                "evaluation by the validation score.", path, other, path.stat().st_size,
            )  # fmt: skip
