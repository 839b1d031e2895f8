"""`RUN --mount=type=secret,id=ID,env=NAME` for builders that know secrets as files only (buildah before 1.37)."""

from __future__ import annotations

import io
import re

_MOUNT = re.compile(r"--mount=(?P<options>\S*\btype=secret\b\S*)")


def with_secret_files(text: str) -> str:
    """The Dockerfile with each such variable set from the secret's file at the beginning of its RUN."""
    from dockerfile_parse import DockerfileParser

    lines = text.splitlines(keepends=True)
    parser = DockerfileParser(fileobj=io.BytesIO((text + "\n\n").encode()), env_replace=False)
    for entry in reversed(parser.structure):
        if entry["instruction"] == "RUN":
            start, end = entry["startline"], entry["endline"] + 1
            block = "".join(lines[start:end])
            lines[start:end] = [_changed(block)]
    return "".join(lines)


def _changed(block: str) -> str:
    exports: list[str] = []

    def mount(match: re.Match[str]) -> str:
        fields = dict(part.partition("=")[::2] for part in match["options"].split(","))
        variable = fields.pop("env", "")
        if not variable:
            return match[0]
        place = fields.setdefault("target", f"/run/secrets/{fields.get('id', variable)}")
        exports.append(f'if [ -f {place} ]; then export {variable}="$(cat {place})"; fi;')
        return "--mount=" + ",".join(f"{name}={value}" if value else name for name, value in fields.items())

    changed = _MOUNT.sub(mount, block)
    if not exports:
        return block
    head = re.match(r"(?is)\s*RUN(?:\s+|\\\s*\n)+(?:--\S+(?:\s|\\\s*\n)+)*", changed)
    assert head is not None  # it has a --mount at least
    return f"{changed[: head.end()]}{' '.join(exports)} {changed[head.end() :]}"
