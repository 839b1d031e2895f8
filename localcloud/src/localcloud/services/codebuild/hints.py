"""What a failed command could not know: that the machine lacks what every command needs."""

from __future__ import annotations

import errno

from localcloud.core import Cloud, Fault
from localcloud.core.store import is_full as store_is_full


def hints(cloud: Cloud, since: float) -> list[str]:
    """Lines for the log of a build whose command failed: a full disk, an index that could not be asked.

    pip and uv show of a gateway's error the status alone, and few programs name the disk that is full.

    Args:
        since: when the build began (monotonic).
    """
    lines = []
    try:
        cloud.room.check()
    except Fault as fault:
        lines.append(fault.message)
    packages = cloud.services.get("codeartifact")
    if packages is not None:
        lines.append(packages.machine.trouble(since))  # type: ignore[attr-defined]
    return [f"error: {line}" for line in lines if line]


def is_full(error: BaseException) -> bool:
    """Whether the disk had no room for what was written."""
    return store_is_full(error) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))


def fault_reason(cloud: Cloud, error: BaseException) -> str:
    """Why the local cloud itself could not go on with a build, and the mend where there is one."""
    return cloud.room.fault().message if is_full(error) else f"{type(error).__name__}: {error}"
