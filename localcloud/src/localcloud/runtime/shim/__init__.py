"""The `docker` command that CodeBuild's jobs find: the commands a build of images needs, on any of the runtimes."""

from localcloud.runtime.shim.main import main

__all__ = ["main"]
