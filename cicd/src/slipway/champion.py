"""The champion: the newest approved model of a project, beside which a new one has to stand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipway import registry
from slipway.configuration import ProjectFile
from slipway.errors import SlipwayError
from slipway.pipeline.gate import NOBODY, champion_limit, no_limit
from slipway.release.bundle import metrics


@dataclass(frozen=True)
class Standing:
    """Who is champion, its figure, and the worst figure that a candidate may have."""

    version: str
    figure: str
    limit: float
    said: str

    def parameters(self) -> dict[str, str]:
        """As parameters of the pipeline."""
        return {"ChampionVersion": self.version, "ChampionFigure": self.figure, "ChampionLimit": repr(self.limit)}


def standing(sagemaker: Any, group: str, project: ProjectFile, read: Callable[[str], bytes]) -> Standing | None:
    """The champion's standing; None if project.yaml asks for none. `read` gives what lies at an S3 address.

    Raises SlipwayError if the champion's report cannot be read: a champion that is there is not passed over.
    """
    if project.champion is None:
        return None
    model = registry.newest_approved(sagemaker, group)
    if model is None:
        return Standing(
            NOBODY, NOBODY, no_limit(project), "no model is approved yet: there is no champion to compare with"
        )
    metric = project.champion.metric
    figures = metrics(read(registry.report_uri(sagemaker, model.arn)))
    figure = figures.get(metric, math.nan)
    version = model.metadata.get("version", model.arn.rpartition("/")[2])
    if not math.isfinite(figure):
        raise SlipwayError(
            f"project.yaml: champion.metric: the champion {version} has no {metric}: given {metric!r}, allowed "
            f"{', '.join(name for name, value in figures.items() if math.isfinite(value))}: compare by one of these, "
            "or take `champion` away until a model with that metric is approved"
        )
    limit = champion_limit(project, figure)
    return Standing(version, repr(figure), limit, f"the champion is {version}: its {metric} is {figure}")
