"""Command-line options in docker's way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FLAG, VALUE = "flag", "value"


class Usage(Exception):
    """A command line that is not served; the message says what is."""


@dataclass
class Options:
    """What was given: values by long name in order of appearance, and the arguments that are no options."""

    values: dict[str, list[str]] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)

    def last(self, name: str, default: str = "") -> str:
        """The last value of an option."""
        return self.values.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        """Every value of an option."""
        return self.values.get(name, [])

    def on(self, name: str) -> bool:
        """Whether a flag is set."""
        return self.last(name, "false").lower() not in ("false", "0")


def parse(
    command: str, words: Sequence[str], known: Mapping[str, str], short: Mapping[str, str], *, to_first: bool = False
) -> Options:
    """Read a command's words.

    Args:
        known: long name → FLAG or VALUE.
        short: letter → long name.
        to_first: options end at the first argument, as for `docker run`.

    Raises:
        Usage: an option that is not known, or a value that is missing.
    """
    found = Options()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            found.arguments += rest
            break
        if not word.startswith("-") or word == "-":
            found.arguments.append(word)
            if to_first:
                found.arguments += rest
                break
            continue
        name, equals, value = word.removeprefix("--").partition("=") if word.startswith("--") else ("", "", "")
        if not word.startswith("--"):
            letter, value = word[1], word[2:].removeprefix("=")
            name = short.get(letter, "")
            if name and known[name] == FLAG and value:
                rest.insert(0, f"-{value}")
                value = ""
            equals = "=" if value else ""
        if name not in known:
            allowed = ", ".join([f"--{item}" for item in known] + [f"-{item}" for item in short])
            raise Usage(f"docker {command}: the option {word} is not served here; served: {allowed}")
        if known[name] == FLAG:
            value = value if equals else "true"
        elif not equals:
            if not rest:
                raise Usage(f"docker {command}: flag needs an argument: {word}")
            value = rest.pop(0)
        found.values.setdefault(name, []).append(value)
    return found
