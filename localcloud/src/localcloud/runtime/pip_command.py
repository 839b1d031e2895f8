"""`pip` of a build in a curated image: what installs is done by uv, as in images; all else, and what uv has no option
for, by pip itself. A setting is written here: `aws codeartifact login` does nothing else, and pip starts slowly.

    python -I -m localcloud.runtime.pip_command PYTHON ARGUMENT...
"""

from __future__ import annotations

import configparser
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


def write_setting(arguments: Sequence[str], environ: Mapping[str, str]) -> Path | None:
    """`pip config set SECTION.NAME VALUE`, in the user's file. Returns that file, or None where pip is asked more."""
    if len(arguments) != 4 or list(arguments[:2]) != ["config", "set"] or not environ.get("HOME"):
        return None
    section, dot, name = arguments[2].partition(".")
    if not dot or arguments[2].startswith("-") or environ.get("PIP_CONFIG_FILE"):
        return None
    old = Path(environ["HOME"]) / ".pip" / "pip.conf"
    new = Path(environ.get("XDG_CONFIG_HOME") or f"{environ['HOME']}/.config") / "pip" / "pip.conf"
    file = old if old.exists() else new
    parser = configparser.RawConfigParser()
    parser.read(file)
    if not parser.has_section(section):
        parser.add_section(section)
    parser.set(section, name, arguments[3])
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as stream:
        parser.write(stream)
    return file


def main() -> None:
    """Do it, and give what was installed the bytecode that is known: pip compiles it, too, but a build runs once."""
    python, arguments = sys.argv[1], sys.argv[2:]
    if file := write_setting(arguments, os.environ):
        print(f"Writing to {file}")
        return
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
