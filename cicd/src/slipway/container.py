"""What a step's script needs to know of its container: paths, hyperparameters, and how to fail.

The layout is SageMaker's (AWS documentation, "How Amazon SageMaker runs your training / processing container"):
everything lies below /opt/ml, or below SAGEMAKER_BASE_DIR where that is set, as SageMaker's own toolkits read it.
Only the standard library is imported here and below, so that images stay small and start fast.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys
import tarfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway import outputs
from slipway.metrics import METRICS, Problem

# SageMaker shows the first 1,024 characters of a failure.
FAILURE_LENGTH = 1024

Scalar = bool | int | float | str


class StepError(Exception):
    """A step cannot do its work, for a reason that a person can mend."""


@dataclass(frozen=True)
class Paths:
    """The folders of a SageMaker container."""

    base: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Paths:
        """/opt/ml, or where SAGEMAKER_BASE_DIR points."""
        environment = os.environ if environment is None else environment
        return cls(Path(environment.get("SAGEMAKER_BASE_DIR", "/opt/ml")))

    def processing_input(self, name: str) -> Path:
        """Folder of an input of a processing job. Raises StepError if the job has no such input."""
        return self._existing(self.base / "processing" / "input" / name, "processing input")

    def has_processing_input(self, name: str) -> bool:
        """Whether a processing job has this input."""
        return (self.base / "processing" / "input" / name).is_dir()

    def processing_output(self, name: str) -> Path:
        """Folder of an output of a processing job; made if need be."""
        return self._made(self.base / "processing" / "output" / name)

    def channel(self, name: str) -> Path:
        """Folder of an input channel of a training job. Raises StepError if the job has no such channel."""
        return self._existing(self.base / "input" / "data" / name, "input channel")

    @property
    def model(self) -> Path:
        """Folder whose content becomes model.tar.gz, or in an endpoint is its content; made if need be."""
        return self._made(self.base / "model")

    @property
    def checkpoints(self) -> Path | None:
        """Folder that SageMaker keeps in step with the checkpoints' place in S3; None if the job keeps none."""
        folder = self.base / "checkpoints"
        return folder if folder.is_dir() else None

    def hyperparameters(self) -> dict[str, Scalar]:
        """The hyperparameters of a training job. SageMaker hands all of them over as text; here they have types."""
        file = self.base / "input" / "config" / "hyperparameters.json"
        if not file.exists():
            return {}
        return {name: scalar(str(value)) for name, value in json.loads(file.read_text(encoding="utf-8")).items()}

    @staticmethod
    def _existing(folder: Path, kind: str) -> Path:
        if not folder.is_dir():
            raise StepError(f"the job has no {kind} {folder.name!r}: there is no folder {folder}")
        return folder

    @staticmethod
    def _made(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def scalar(text: str) -> Scalar:
    """`300` → 300, `0.1` → 0.1, `true` → True, anything else stays text."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def choose(defaults: Mapping[str, Scalar], given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The hyperparameters: what is given, the defaults for the others.

    Raises StepError for a name that there is no default for, and for a value of another kind than the default's.
    """
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise StepError(
            f"training.hyperparameters: unknown {', '.join(unknown)}; allowed: {', '.join(sorted(defaults))}"
        )
    chosen = dict(defaults)
    for name, value in given.items():
        kind = type(defaults[name])
        fits = type(value) is kind or (kind is float and type(value) is int)
        # Tuning hands whole numbers over as 31.0, too.
        if kind is int and type(value) is float and value.is_integer():
            value, fits = int(value), True
        if not fits:
            raise StepError(f"training.hyperparameters: {name}: given {value!r}, allowed {_KINDS[kind]}")
        chosen[name] = kind(value)
    return chosen


_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def problem() -> Problem:
    """The kind of problem, as project.yaml says (`problem`)."""
    given = os.environ.get("SLIPWAY_PROBLEM", "")
    for name in METRICS:
        if name == given:
            return name
    raise StepError(
        f"SLIPWAY_PROBLEM: given {given!r}, allowed {', '.join(METRICS)}: the pipeline sets it from project.yaml"
    )


def target() -> str:
    """The column to predict, as project.yaml says (`data.target`)."""
    try:
        return os.environ["SLIPWAY_TARGET"]
    except KeyError:
        raise StepError("SLIPWAY_TARGET is not set: the pipeline sets it from data.target of project.yaml") from None


def algorithm() -> str | None:
    """The built-in algorithm that trains instead of train.py, as project.yaml says (`training.algorithm`)."""
    return os.environ.get("SLIPWAY_ALGORITHM")


def model_archive(paths: Paths) -> Path:
    """The model.tar.gz that Evaluate measures, and that goes to the registry if it is good.

    It is training's own; where a built-in algorithm trained, the files of preprocessing's `encoding` are put beside the
    algorithm's, and the whole is the step's output `model`. Raises StepError if training's cannot be read.
    """
    trained = paths.processing_input("model") / outputs.MODEL
    if algorithm() is None:
        return trained
    whole = paths.processing_output("model") / outputs.MODEL
    try:
        with tarfile.open(trained) as source, tarfile.open(whole, "w:gz") as packed:
            for member in source:
                packed.addfile(member, source.extractfile(member) if member.isfile() else None)
            for file in sorted(paths.processing_input(outputs.ENCODING).iterdir()):
                packed.add(file, file.name)
    except (OSError, tarfile.TarError) as error:
        raise StepError(f"{trained.name}: no readable model: {error}") from error
    return whole


def run(step: Callable[[Paths], None]) -> None:
    """Run a step's function and look at what it left.

    On failure the reason is written where SageMaker looks for it, and the exit code is 1.

    A training job's reason is /opt/ml/output/failure (FailureReason), a processing job's is /opt/ml/output/message
    (ExitMessage). A StepError is shown as it is; of anything else the log has the traceback, too.
    """
    paths = Paths.from_environment()
    # What the step's libraries made need not be walked through once more when it ends: half a second, otherwise.
    atexit.register(gc.freeze)
    try:
        step(paths)
        if wrong := outputs.missing(paths.base, os.environ):
            raise StepError(wrong)
    except StepError as error:
        _fail(paths, str(error))
    except Exception as error:
        traceback.print_exc()
        _fail(paths, f"{type(error).__name__}: {error}")


def _fail(paths: Paths, reason: str) -> None:
    print(f"failed: {reason}", file=sys.stderr, flush=True)
    output = paths.base / "output"
    output.mkdir(parents=True, exist_ok=True)
    for name in ("failure", "message"):
        (output / name).write_text(reason[:FAILURE_LENGTH], encoding="utf-8")
    raise SystemExit(1)
