"""AWS CodeConnections: connections to git providers, which are directories of bare repositories on this machine.

The service has two names, as on AWS: a connection bears the one by which it was made, and both APIs know it.
"""

from localcloud.services.codeconnections.service import CodeConnections, CodeStarConnections

__all__ = ["CodeConnections", "CodeStarConnections"]
