"""RUN without a container: the commands that images of Python programs need, done on the image's directories.

A command is one of a short list, or a program of the image's own virtual environment. Anything else is refused.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from localcloud.runtime import files, pip, words
from localcloud.runtime.sandbox import Failed, Refused, Sandbox
from localcloud.runtime.types import RuntimeFault

_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_PIP = re.compile(r"pip(3(\.\d+)?)?")
_ABSOLUTE = re.compile(r"""["'](/[\w.-]+(?:/[\w.-]+)*/?)["']""")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def run(line: str, sandbox: Sandbox) -> None:
    """Do a RUN's shell line: commands joined by && ; or new lines. The first failure ends it.

    Raises:
        Refused: before the command in question is begun.
        Failed: a command failed.
    """
    index = 0
    # Read again for each command: its words see what `export` and assignments before it have changed.
    while index < len(commands := _commands(line, sandbox)):
        if commands[index]:
            _command(commands[index], sandbox)
        index += 1


def run_words(argv: Sequence[str], sandbox: Sandbox) -> None:
    """Do a RUN in exec form."""
    _command([words.Word(item) for item in argv], sandbox)


def _commands(line: str, sandbox: Sandbox) -> list[list[words.Word]]:
    try:
        tokens = words.shell(line, sandbox.environment, lambda inside: _substitute(inside, sandbox))
    except words.NotPlain as error:
        raise Refused(f"not understood: {error}") from None
    queue: list[list[words.Word]] = [[]]
    for token in tokens:
        if isinstance(token, words.Word):
            queue[-1].append(token)
        elif token.text in ("&&", ";", "\n"):
            queue.append([])
        else:
            raise Refused(f"'{token.text}' needs a shell; commands may be joined by && or ;")
    return queue


def _substitute(inside: str, sandbox: Sandbox) -> str:
    parts = inside.split()
    if len(parts) == 2 and parts[0] == "cat":
        try:
            return sandbox.place(parts[1]).read_text()
        except OSError as error:
            raise Failed(f"cat {parts[1]}", 1, f"cat: {parts[1]}: {error.strerror}") from None
    raise Refused(f"$({inside}) needs a shell; allowed: $(cat FILE)")


def _command(tokens: list[words.Word], sandbox: Sandbox) -> None:
    assigned: dict[str, str] = {}
    while tokens and _ASSIGNMENT.match(tokens[0].text):
        name, _, value = tokens.pop(0).text.partition("=")
        assigned[name] = value
    if not tokens:
        sandbox.environment.update(assigned)
        return
    name, arguments = tokens[0].text, tokens[1:]
    base = name.rsplit("/", 1)[-1] if name.startswith(("/usr/", "/bin/", "/sbin/")) else name
    saved = dict(sandbox.environment)
    sandbox.environment.update(assigned)
    try:
        handler = _HANDLERS.get(base)
        if _PYTHON.fullmatch(base):
            _python(arguments, sandbox)
        elif _PIP.fullmatch(base):
            _pip(_texts(arguments, sandbox), sandbox)
        elif handler is not None:
            handler(_texts(arguments, sandbox, quiet=base == "rm"), sandbox)
        elif "/" not in name and (sandbox.venv / "bin" / name).exists():
            sandbox.installs_only = False
            _execute([str(sandbox.venv / "bin" / name), *map(sandbox.paths.text, _texts(arguments, sandbox))], sandbox)
        else:
            raise Refused(
                f"the command '{name}' is not served by the process runtime; "
                f"allowed: {', '.join(served())}, and the commands of installed Python packages"
            )
    finally:
        if base != "export":
            sandbox.environment.clear()
            sandbox.environment.update(saved)


def _texts(tokens: Sequence[words.Word], sandbox: Sandbox, *, quiet: bool = False) -> list[str]:
    """The words with patterns expanded within the image, as container paths."""
    found: list[str] = []
    for token in tokens:
        matches: list[str] = []
        if token.pattern:
            pattern = sandbox.root / str(PurePosixPath(sandbox.workdir) / token.text).lstrip("/")
            for match in sorted(glob.glob(str(pattern))):  # noqa: PTH207
                inside = "/" + str(Path(match).relative_to(sandbox.root))
                matches.append(inside)
        found += matches or ([] if token.pattern and quiet and not files.outside(token.text) else [token.text])
    return found


def _execute(argv: list[str], sandbox: Sandbox, environment: Mapping[str, str] | None = None) -> None:
    output: list[str] = []

    def line(text: str) -> None:
        output.append(text)
        sandbox.on_line(text)

    cwd = sandbox.place(sandbox.workdir)
    cwd.mkdir(parents=True, exist_ok=True)
    env = dict(environment) if environment is not None else program_environment(sandbox)
    code = sandbox.processes.run(argv, env=env, cwd=cwd, key=sandbox.key, on_line=line)
    if code:
        if any("No space left on device" in text for text in output):
            raise RuntimeFault(f"no space left on the disk of {sandbox.root}: free some and build again")
        raise Failed(" ".join([Path(argv[0]).name, *argv[1:]]), code, "\n".join(output[-20:]))


def program_environment(sandbox: Sandbox) -> dict[str, str]:
    """The variables of a program of the image while it is built."""
    found = {name: value for name, value in sandbox.machine.items() if not name.startswith(("UV_", "LOCALCLOUD_"))}
    found |= sandbox.paths.environment(sandbox.environment)
    path = found["PATH"].split(":") + sandbox.machine.get("PATH", os.defpath).split(":")
    found["PATH"] = ":".join([str(sandbox.venv / "bin"), *dict.fromkeys(path)])
    found["HOME"] = str(sandbox.home)
    found.setdefault("PYTHONDONTWRITEBYTECODE", "")
    return found


def _pip(arguments: list[str], sandbox: Sandbox) -> None:
    if arguments[:1] == ["--version"] or not arguments:
        raise Refused("pip needs a command; allowed: pip " + ", pip ".join(pip.VERBS))
    leading = [item for item in arguments if item.startswith("-")][: next(
        (i for i, item in enumerate(arguments) if not item.startswith("-")), len(arguments))]  # fmt: skip
    verb, options = arguments[len(leading)], [*leading, *arguments[len(leading) + 1 :]]

    def here(value: str) -> str:
        if value.startswith("/") or value.startswith("./") or value.startswith("../") or value == ".":
            target, bracket, extras = value.partition("[")
            return str(sandbox.place(target)) + bracket + extras
        if value.endswith((".txt", ".whl", ".in", ".lock")) and "://" not in value:
            return str(sandbox.place(value))
        return value

    configured = sandbox.environment.get("PIP_CONFIG_FILE")
    files = [sandbox.place(place) for place in (*pip.IMAGE_PLACES, *([configured] if configured else []))]
    try:
        made = pip.translate(verb, options, here)
        env = pip.environment(sandbox.environment, [file for file in files if file.is_file()], sandbox.machine)
    except pip.PipRefused as error:
        raise Refused(str(error)) from None
    if verb == "install":
        made += ["--no-progress"] if "--no-progress" not in made else []
    command = [pip.find_uv(), *made, "--python", str(sandbox.venv / "bin" / "python")]
    _execute(command, sandbox, {**env, "VIRTUAL_ENV": str(sandbox.venv)})


def _uv(arguments: list[str], sandbox: Sandbox) -> None:
    if arguments[:1] != ["pip"]:
        raise Refused("allowed: uv pip " + ", uv pip ".join(pip.VERBS))
    _pip(arguments[1:], sandbox)


def _python(tokens: list[words.Word], sandbox: Sandbox) -> None:
    arguments = _texts(tokens, sandbox)
    options = []
    while arguments and re.fullmatch(r"-[BEIOPSsuOqx]+", arguments[0]):
        options.append(arguments.pop(0))
    if arguments[:2] == ["-m", "pip"]:
        _pip(arguments[2:], sandbox)
        return
    if arguments[:2] in (["-m", "venv"], ["-m", "virtualenv"]):
        raise Refused("an image here has one Python environment, which pip installs into; leave `-m venv` out")
    sandbox.installs_only = False
    if arguments[:1] == ["-c"] and len(arguments) > 1:
        for path in _ABSOLUTE.findall(arguments[1]):
            if sandbox.paths.find(path) is None and not files.outside(path):
                raise Refused(f"python -c with the path {path}: there is no container around it to give it a place")
        code = _ABSOLUTE.sub(lambda match: match[0].replace(match[1], sandbox.paths.text(match[1])), arguments[1])
        arguments[1] = code
        rest = arguments[2:]
        arguments = [*arguments[:2], *map(sandbox.paths.text, rest)]
    else:
        arguments = [_inside(_packages(item, sandbox), sandbox) for item in arguments]
    _execute([str(sandbox.venv / "bin" / "python"), *options, *arguments], sandbox)


def _inside(argument: str, sandbox: Sandbox) -> str:
    """An argument with its paths here; a new path is one in the image, never one of this machine."""
    found = sandbox.paths.text(argument)
    if found == argument and argument.startswith("/") and not Path(argument).exists():
        return str(sandbox.place(argument))
    return found


def _packages(argument: str, sandbox: Sandbox) -> str:
    """/usr/local/lib/python3.x… is the official images' place of packages; here it is the virtual environment's."""
    match = re.fullmatch(r"/usr/local/lib(?:/python3[.\d]*(?P<rest>/.*)?)?", argument)
    if match is None:
        return argument
    inside = next(sandbox.venv.glob("lib/python3*"))
    return f"{inside}{match['rest'] or ''}"


def _set(arguments: list[str], sandbox: Sandbox) -> None:
    for item in arguments:
        if not re.fullmatch(r"[-+][eux]*o?[eux]*|pipefail|errexit|nounset|xtrace", item):
            raise Refused(f"set {item}; allowed: set -e, -u, -x, -o pipefail")


def _export(arguments: list[str], sandbox: Sandbox) -> None:
    for item in arguments:
        name, equals, value = item.partition("=")
        if equals:
            sandbox.environment[name] = value


def _cd(arguments: list[str], sandbox: Sandbox) -> None:
    target = arguments[0] if arguments else "/root"
    if not sandbox.place(target).is_dir():
        raise Failed(f"cd {target}", 1, f"cd: {target}: no such directory in the image")
    sandbox.workdir = os.path.normpath(str(PurePosixPath(sandbox.workdir) / target))


def _echo(arguments: list[str], sandbox: Sandbox) -> None:
    sandbox.on_line(" ".join(arguments))


_HANDLERS: Mapping[str, Callable[[list[str], Sandbox], None]] = {
    **files.HANDLERS, "cd": _cd, "echo": _echo, "export": _export, "set": _set, "uv": _uv,
}  # fmt: skip


def served() -> list[str]:
    """The commands of the list."""
    return sorted(["pip", "python", *(name for name in _HANDLERS if name.isalpha() or "-" in name)])
