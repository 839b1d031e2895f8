"""The constraints of model quality: the bounds of the quality gate, in the form that SageMaker Model Monitor takes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from slipway.configuration import ProjectFile
from slipway.configuration.model import REPORT_KEYS


@dataclass(frozen=True)
class Constraints:
    """A file for the project's bucket; its key is made of its content, so that a definition can name it beforehand."""

    key: str
    body: bytes


def constraints(project: ProjectFile) -> Constraints:
    """The file that belongs to a quality gate (AWS documentation, "Model quality constraints")."""
    name = REPORT_KEYS[project.problem].removesuffix("_metrics")
    bounds = {
        metric: (
            {"threshold": bound.max, "comparison_operator": "GreaterThanThreshold"}
            if bound.max is not None
            else {"threshold": bound.min, "comparison_operator": "LessThanThreshold"}
        )
        for metric, bound in project.quality_gate.items()
    }
    body = json.dumps({"version": 0.0, f"{name}_constraints": bounds}, indent=2).encode() + b"\n"
    return Constraints(f"model-quality/{hashlib.sha256(body).hexdigest()[:16]}/constraints.json", body)
