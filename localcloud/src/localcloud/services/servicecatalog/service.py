"""The service: all operations and the CloudFormation types."""

from __future__ import annotations

from localcloud.services.servicecatalog.history import HistoryOperations
from localcloud.services.servicecatalog.resources import RESOURCES
from localcloud.services.servicecatalog.sharing import SharingOperations


class ServiceCatalog(HistoryOperations, SharingOperations):
    """AWS Service Catalog."""

    resources = RESOURCES
