"""Dockerfiles: read by dockerfile-parse, checked whole before anything is done.

What a Dockerfile may hold here is what the process runtime can do without a container; all else is refused with
file, line, instruction, what is allowed and the mend.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.runtime import words
from localcloud.runtime.types import BuildError

KEYWORDS = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL",
    "USER", "VOLUME", "WORKDIR",
)  # fmt: skip
_FLAGS = {
    "ADD": {"chown", "chmod", "link"},
    "COPY": {"chown", "chmod", "from", "link"},
    "FROM": {"platform"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "start-interval", "retries"},
    "RUN": {"mount", "network"},
}
_PLATFORMS = ("linux/amd64", "linux")
_FLAG = re.compile(r"--(?P<name>[a-z][a-z-]*)(?:=(?P<value>(?:\"[^\"]*\"|[^\s\"])*))?(?:\s+|$)")
_ESCAPE = re.compile(r"^\s*#\s*escape\s*=\s*`", re.IGNORECASE | re.MULTILINE)
_HEREDOC = re.compile(r"<<-?\s*[\"']?[A-Za-z_]")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One instruction; `value` is what follows keyword and flags, on one line, nothing expanded."""

    file: str
    line: int
    keyword: str
    value: str
    flags: tuple[tuple[str, str], ...] = ()

    def flag(self, name: str) -> str | None:
        """The last value given to a flag."""
        return next((value for key, value in reversed(self.flags) if key == name), None)

    @property
    def exec_form(self) -> list[str] | None:
        """The words of a JSON array, or None for the shell form. A JSON that Docker would not take is shell form."""
        if not self.value.startswith("["):
            return None
        try:
            found = json.loads(self.value)
        except ValueError:
            return None
        return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else None

    def refuse(self, problem: str, *, allowed: str = "", mend: str = "") -> BuildError:
        """The error that names this instruction."""
        lines = [f"{self.file}:{self.line}: {self.keyword}: {problem}", f"  given:   {self.keyword} {self.value}"]
        if allowed:
            lines.append(f"  allowed: {allowed}")
        if mend:
            lines.append(f"  mend:    {mend}")
        return BuildError("\n".join(lines))


@dataclass(frozen=True)
class Stage:
    """FROM and what follows it."""

    index: int
    name: str
    base: str
    start: Instruction
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True)
class Dockerfile:
    """A whole file. `arguments` are the ARGs before the first FROM with the values they have."""

    file: str
    stages: list[Stage]
    arguments: Mapping[str, str]

    def stage(self, target: str | None) -> Stage:
        """The stage to build: the named one, or the last.

        Raises:
            BuildError: no such stage.
        """
        if target is None:
            return self.stages[-1]
        for stage in self.stages:
            if target.lower() == stage.name.lower() or target == str(stage.index):
                return stage
        names = ", ".join(stage.name or str(stage.index) for stage in self.stages)
        raise BuildError(f"{self.file}: target stage '{target}' could not be found; allowed: {names}")

    def declared(self) -> set[str]:
        """The names of every ARG in the file."""
        found = set(self.arguments)
        for stage in self.stages:
            for instruction in stage.instructions:
                if instruction.keyword == "ARG":
                    found |= set(arguments(instruction))
        return found


def read(path: Path, build_args: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile.

    Raises:
        BuildError: it is missing, unreadable, or holds an instruction that is refused.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BuildError(f"{path}: no such Dockerfile; give its path by -f") from None
    except OSError as error:
        raise BuildError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(content, str(path), build_args)


def parse(content: bytes, file: str = "Dockerfile", build_args: Mapping[str, str] | None = None) -> Dockerfile:
    """The same for a Dockerfile in memory."""
    given = build_args or {}
    instructions = _instructions(content, file)
    outer: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in instructions:
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, len(stages), outer))
        elif stages:
            _check(instruction, [stage.name for stage in stages])
            stages[-1].instructions.append(instruction)
        elif instruction.keyword == "ARG":
            for name, default in arguments(instruction).items():
                value = given.get(name, None if default is None else _expand(instruction, default, {**outer}))
                if value is not None:
                    outer[name] = value
        else:
            raise instruction.refuse("no build stage in current context", allowed="ARG and FROM first")
    if not stages:
        raise BuildError(f"{file}: there is no FROM; a Dockerfile begins with FROM, or ARG and FROM")
    return Dockerfile(file, stages, outer)


def bases(text: str, file: str, build_args: Mapping[str, str]) -> list[str]:
    """The images that FROM names, other than scratch and earlier stages, in a Dockerfile that another builder reads."""
    outer: dict[str, str] = {}
    stages: set[str] = set()
    found: list[str] = []
    for keyword, value, line in _entries(text, file)[0]:
        instruction = Instruction(file, line, keyword, _FLAG.sub("", value.strip()) if keyword == "FROM" else value)
        if keyword == "ARG" and not found and not stages:
            for name, default in arguments(instruction).items():
                if name in build_args or default is not None:
                    outer[name] = build_args.get(name) or _expand(instruction, default or "", outer)
        elif keyword == "FROM":
            stage = _stage(instruction, 0, outer)
            if stage.base != "scratch" and stage.base.lower() not in stages:
                found.append(stage.base)
            stages.add(stage.name.lower())
    return list(dict.fromkeys(found))


def arguments(instruction: Instruction) -> dict[str, str | None]:
    """The names that an ARG declares, with their defaults (not expanded)."""
    found: dict[str, str | None] = {}
    for part in _raw_words(instruction):
        name, equals, default = part.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise instruction.refuse(f"'{name}' is not a name", allowed="ARG NAME or ARG NAME=default")
        found[name] = default if equals else None
    if not found:
        raise instruction.refuse("a name is missing", allowed="ARG NAME or ARG NAME=default")
    return found


def pairs(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """What an ENV or LABEL sets. All values see the variables as they were before the instruction."""
    parts = _raw_words(instruction)
    if not parts:
        raise instruction.refuse("a name is missing", allowed=f"{instruction.keyword} NAME=value …")
    if "=" not in parts[0]:
        name, _, value = instruction.value.partition(" ")
        if not value.strip():
            raise instruction.refuse(f"{name} has no value", allowed=f"{instruction.keyword} NAME=value …")
        return {name: _expand(instruction, value.strip(), variables)}
    found = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name = _expand(instruction, name, variables)
        if not equals or not name:
            raise instruction.refuse(f"'{part}' is not NAME=value", allowed=f"{instruction.keyword} NAME=value …")
        found[name] = _expand(instruction, value, variables)
    return found


def expand(instruction: Instruction, variables: Mapping[str, str]) -> list[str]:
    """The words of an instruction with variables replaced; a JSON array's words likewise."""
    listed = instruction.exec_form
    if listed is not None:
        return [_expand(instruction, item, variables, quotes=False) for item in listed]
    try:
        return words.split(instruction.value, variables)
    except words.NotPlain as error:
        raise instruction.refuse(f"not understood: {error}") from None


def _expand(instruction: Instruction, text: str, variables: Mapping[str, str], *, quotes: bool = True) -> str:
    try:
        plain = text if quotes else text.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
        return words.expand(plain, variables)
    except words.NotPlain as error:
        raise instruction.refuse(f"not understood: {error}") from None


def _raw_words(instruction: Instruction) -> list[str]:
    """Split at blanks outside quotes; quotes and variables stay."""
    found, word, quote, escaped = [], "", "", False
    for char in instruction.value:
        if escaped or (char == "\\" and quote != "'"):
            escaped = not escaped
            word += char
        elif quote:
            quote = "" if char == quote else quote
            word += char
        elif char.isspace():
            if word:
                found.append(word)
            word = ""
        else:
            quote = char if char in "\"'" else ""
            word += char
    if quote:
        raise instruction.refuse("a quote is not closed")
    return [*found, word] if word else found


def _instructions(content: bytes, file: str) -> list[Instruction]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BuildError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    text = text.replace("\r\n", "\n")
    if _ESCAPE.match(text):
        raise BuildError(f"{file}:1: the directive 'escape=`' is for Windows images; allowed: \\ (the default)")
    entries, covered = _entries(text, file)
    found = [_instruction(keyword, value, line, file) for keyword, value, line in entries]
    for number, line in enumerate(text.split("\n")):
        if line.strip() and number not in covered:
            keyword = line.split()[0].upper()
            raise Instruction(file, number + 1, keyword, "").refuse("it requires at least one argument")
    return found


def _entries(text: str, file: str) -> tuple[list[tuple[str, str, int]], set[int]]:
    """(keyword, value, line) of each instruction, and the numbers (from 0) of the lines that were understood."""
    from dockerfile_parse import DockerfileParser

    # The blank line ends a continuation at the end of the file, which the parser would drop.
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode() + b"\n\n"), env_replace=False)
    found: list[tuple[str, str, int]] = []
    covered: set[int] = set()
    for entry in parser.structure:
        covered.update(range(entry["startline"], entry["endline"] + 1))
        if entry["instruction"] != "COMMENT":
            found.append((entry["instruction"], entry["value"], entry["startline"] + 1))
    return found, covered


def _instruction(keyword: str, value: str, line: int, file: str) -> Instruction:
    rest, flags = value.strip(), []
    plain = Instruction(file, line, keyword, rest)
    if keyword not in KEYWORDS:
        raise plain.refuse(
            "this instruction is not served by the process runtime", allowed=", ".join(KEYWORDS),
            mend="write it with those, or set LOCALCLOUD_RUNTIME=buildah (or docker), which know every instruction",
        )  # fmt: skip
    while match := _FLAG.match(rest) if keyword in _FLAGS else None:
        if match["name"] not in _FLAGS[keyword]:
            names = ", ".join(f"--{name}" for name in sorted(_FLAGS[keyword]))
            raise plain.refuse(f"the flag --{match['name']} is not served", allowed=names)
        flags.append((match["name"], (match["value"] or "").replace('"', "")))
        rest = rest[match.end() :]
    if keyword in ("RUN", "COPY", "ADD") and _HEREDOC.search(rest):
        raise plain.refuse("here-documents are not served", mend="join the commands with && and \\")
    if not rest:
        raise plain.refuse("it requires at least one argument")
    return Instruction(file, line, keyword, rest, tuple(flags))


def _stage(instruction: Instruction, index: int, outer: Mapping[str, str]) -> Stage:
    parts = [part for part in expand(instruction, outer) if part]
    platform = _expand(instruction, instruction.flag("platform") or "", {**outer, "TARGETPLATFORM": "linux/amd64"})
    if platform and platform not in _PLATFORMS:
        raise instruction.refuse(f"platform '{platform}'", allowed=", ".join(_PLATFORMS))
    if len(parts) == 3 and parts[1].lower() == "as":
        name = parts[2]
        if not _STAGE_NAME.fullmatch(name):
            raise instruction.refuse(f"'{name}' is not a name of a stage", allowed="letters, digits, _ . -")
        return Stage(index, name, parts[0], instruction)
    if len(parts) != 1:
        problem = "the base is empty: its ARG has no value" if not parts else "one or three arguments are required"
        raise instruction.refuse(
            problem, allowed="FROM image or FROM image AS name", mend="give the ARG a default or a --build-arg"
        )
    return Stage(index, "", parts[0], instruction)


def _check(instruction: Instruction, stages: list[str]) -> None:
    """What can be told before anything is done."""
    keyword, form = instruction.keyword, instruction.exec_form
    if keyword in ("ADD", "COPY"):
        origin = instruction.flag("from")
        if keyword == "ADD" and re.search(r"(^|[\s\"])(https?://|git@|ftp://)", instruction.value):
            raise instruction.refuse("a URL is not served", mend="put the file into the build context and COPY it")
        if len(form if form is not None else _raw_words(instruction)) < 2:
            raise instruction.refuse("source and destination are required")
        earlier = [name.lower() for name in stages[:-1] if name]
        if origin and "$" not in origin and origin.lower() not in earlier and not _number(origin, len(stages) - 1):
            allowed = ", ".join(name for name in stages[:-1] if name) or "(no earlier stage has a name)"
            raise instruction.refuse(f"--from={origin} is not an earlier stage", allowed=allowed)
    elif keyword == "ARG":
        arguments(instruction)
    elif keyword in ("ENV", "LABEL"):
        pairs(instruction, {})


def _number(text: str, below: int) -> bool:
    return text.isdigit() and int(text) < below
