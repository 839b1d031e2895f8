"""Amazon SageMaker: its records, and the behaviour that plug-ins give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from localcloud.core import ResourceType, Route
from localcloud.records import RecordService
from localcloud.services.sagemaker.catalogue import KINDS
from localcloud.services.sagemaker.control import interruptions
from localcloud.services.sagemaker.endpoints import Endpoints
from localcloud.services.sagemaker.lineage import Lineage
from localcloud.services.sagemaker.lineage_auto import AutoLineage
from localcloud.services.sagemaker.lineage_query import LineageQuery
from localcloud.services.sagemaker.mlflow_api import route as mlflow
from localcloud.services.sagemaker.mlflow_servers import MlflowServers
from localcloud.services.sagemaker.models import Models
from localcloud.services.sagemaker.pipelines import Pipelines
from localcloud.services.sagemaker.processing import Processing
from localcloud.services.sagemaker.projects import Projects
from localcloud.services.sagemaker.registry import Registry
from localcloud.services.sagemaker.resources import resource_types
from localcloud.services.sagemaker.search import Search
from localcloud.services.sagemaker.studio import Studio
from localcloud.services.sagemaker.training import Training
from localcloud.services.sagemaker.transform import Transform
from localcloud.services.sagemaker.tuning import Tuning


class SageMaker(RecordService):
    """The control plane."""

    name = "sagemaker"
    kinds = KINDS
    plug_ins = (
        Registry,
        Models,
        Studio,
        Lineage,
        LineageQuery,
        AutoLineage,
        Search,
        Processing,
        Training,
        Tuning,
        Transform,
        Pipelines,
        Endpoints,
        Projects,
        MlflowServers,
    )
    resources: ClassVar[tuple[ResourceType, ...]] = resource_types(plug_ins)

    def routes(self) -> Sequence[Route]:
        """What happens to jobs from outside, and MLflow's own API."""
        training = next(part for part in self.parts if isinstance(part, Training))
        servers = next(part for part in self.parts if isinstance(part, MlflowServers))
        return (interruptions(self.cloud, training), mlflow(self.cloud, servers))
