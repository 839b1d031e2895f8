"""What flags of RUN and HEALTHCHECK say."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from localcloud.runtime.dockerfile import Instruction

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


def mounts(instruction: Instruction) -> list[dict[str, str]]:
    """What --mount flags ask for, checked."""
    found = []
    for name, value in instruction.flags:
        if name == "network" and value not in ("default", "host", "none"):
            raise instruction.refuse(f"--network={value}", allowed="default, host, none")
        if name != "mount":
            continue
        mount = dict(part.partition("=")[::2] for part in value.split(","))
        mount.setdefault("type", "bind")
        for other, known in (("dst", "target"), ("destination", "target"), ("src", "source")):
            if other in mount:
                mount[known] = mount.pop(other)
        if mount["type"] not in ("secret", "cache", "tmpfs"):
            raise instruction.refuse(
                f"--mount=type={mount['type']} is not served", allowed="type=secret, type=cache, type=tmpfs"
            )
        if mount["type"] == "secret" and not (mount.get("id") or mount.get("target")):
            raise instruction.refuse("a secret needs id= or target=")
        found.append(mount)
    return found


def healthcheck(instruction: Instruction) -> dict[str, Any]:
    if instruction.value.strip().upper() == "NONE":
        return {"Test": ["NONE"]}
    keyword, _, rest = instruction.value.partition(" ")
    if keyword.upper() != "CMD" or not rest.strip():
        raise instruction.refuse("unknown form", allowed="HEALTHCHECK [options] CMD command, HEALTHCHECK NONE")
    listed = replace(instruction, value=rest.strip()).exec_form
    made: dict[str, Any] = {"Test": ["CMD", *listed] if listed is not None else ["CMD-SHELL", rest.strip()]}
    for name, value in instruction.flags:
        if name == "retries":
            made["Retries"] = int(value)
            continue
        match = _DURATION.fullmatch(value)
        if not match or not value:
            raise instruction.refuse(f"--{name}={value} is not a duration", allowed="30s, 1m30s")
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        member = "".join(part.capitalize() for part in name.split("-"))
        made[member] = int((hours * 3600 + minutes * 60 + seconds) * 1e9)
    return made
