"""What every service of the local cloud is built on.

A service subclasses `Service`, marks its handlers with `operation`, keeps its state in `Cloud.store` and answers
errors with `Fault`. Nothing in this package knows a particular service.
"""

from localcloud.core.cfn import Created, ResourceContext, ResourceType
from localcloud.core.cloud import Cloud, Credentials
from localcloud.core.errors import Conflict, Fault
from localcloud.core.ids import now, short_id, uuid
from localcloud.core.pages import paginate
from localcloud.core.service import Call, Route, Service, operation
from localcloud.core.store import Store, Table

__all__ = [
    "Call",
    "Cloud",
    "Conflict",
    "Created",
    "Credentials",
    "Fault",
    "ResourceContext",
    "ResourceType",
    "Route",
    "Service",
    "Store",
    "Table",
    "now",
    "operation",
    "paginate",
    "short_id",
    "uuid",
]
