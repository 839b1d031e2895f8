"""What a step's script needs to know of its container: paths, hyperparameters, and how to fail.

The layout is SageMaker's (AWS documentation, "How Amazon SageMaker runs your training / processing container"):
everything lies below /opt/ml, or below SAGEMAKER_BASE_DIR where that is set, as SageMaker's own toolkits read it.
Only the standard library is imported here, so that images stay small and start fast.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway import outputs

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


def target() -> str:
    """The column to predict, as project.yaml says (`data.target`)."""
    try:
        return os.environ["SLIPWAY_TARGET"]
    except KeyError:
        raise StepError("SLIPWAY_TARGET is not set: the pipeline sets it from data.target of project.yaml") from None


def run(step: Callable[[Paths], None]) -> None:
    """Run a step's function and look at what it left.

    On failure the reason is written where SageMaker looks for it, and the exit code is 1.

    A training job's reason is /opt/ml/output/failure (FailureReason), a processing job's is /opt/ml/output/message
    (ExitMessage). A StepError is shown as it is; of anything else the log has the traceback, too.
    """
    paths = Paths.from_environment()
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
