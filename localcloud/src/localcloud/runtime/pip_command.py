"""`pip` of a build in a curated image: what installs is done by uv, as in images; all else, and what uv has no option
for, by pip itself.

    python -I -m localcloud.runtime.pip_command PYTHON ARGUMENT...
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcloud.runtime import bytecode, pip, trees

_MADE_BY_UV = ("install", "uninstall")


def command(python: str, arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """(words, variables) that do what `pip ARGUMENTS` of that Python does."""
    as_asked = [python, "-m", "pip", *arguments], dict(environ)
    if not arguments or arguments[0] not in _MADE_BY_UV or {"-h", "--help"} & set(arguments):
        return as_asked
    home = Path(environ.get("HOME") or "/nonexistent")
    named = environ.get("PIP_CONFIG_FILE")
    files = [home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf", *([Path(named)] if named else [])]
    try:
        made = pip.translate(arguments[0], arguments[1:], str)
        settings = pip.settings(environ, [file for file in files if file.is_file()])
    except pip.PipRefused:
        return as_asked
    quiet = {"-q", "--quiet", "-qq"} & set(arguments)
    words = [pip.find_uv(), *made, "--python", python, *(["--quiet"] if quiet else ["--no-progress"])]
    return words, {**environ, **settings, "UV_NO_CONFIG": "1"}


def main() -> None:
    """Do it, and give what was installed the bytecode that is known: pip compiles it, too, but a build runs once."""
    python, arguments = sys.argv[1], sys.argv[2:]
    words, variables = command(python, arguments, os.environ)
    if words[0] == python:
        os.execve(python, words, variables)
    code = subprocess.run(words, env=variables).returncode
    if code == 0 and arguments[0] == "install":
        environment = Path(python).parents[1]
        cache = Path(pip.machine()["LOCALCLOUD_BYTECODE"])
        bytecode.provide(environment, trees.recorded(environment), cache, making=False)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
