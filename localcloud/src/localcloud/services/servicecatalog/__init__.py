"""AWS Service Catalog: portfolios, products, and launches that make real stacks."""

from localcloud.services.servicecatalog.service import ServiceCatalog

__all__ = ["ServiceCatalog"]
