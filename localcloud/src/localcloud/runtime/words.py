"""Words and variables, as a Dockerfile and the plain part of a POSIX shell have them.

Only what can be understood wholly is understood: a construct that would need a shell raises `NotPlain`, naming itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_NAME_START = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
_NAME = _NAME_START + "0123456789"
_OPERATORS = ("&&", "||", ">>", "<<", ";;", ";", "\n", "|", "&", ">", "<", "(", ")")
_MODIFIERS = (":-", ":+", ":?", "-", "+", "?")

Substitute = Callable[[str], str]
"""The text inside $(…) → its output."""


class NotPlain(ValueError):
    """A construct that would need a shell; the message names it."""


@dataclass(frozen=True)
class Word:
    """One word with quotes removed. `pattern` tells that an unquoted * ? or [ was in it."""

    text: str
    pattern: bool = False


@dataclass(frozen=True)
class Operator:
    """What stands between the commands of a shell line."""

    text: str


def expand(text: str, variables: Mapping[str, str]) -> str:
    """One value of a Dockerfile: variables replaced, quotes removed, blanks kept.

    Raises:
        NotPlain: an open quote or a modifier of ${…} that Dockerfiles do not have.
    """
    return "".join(word.text for word in _Lexer(text, variables, posix=False, split=False).tokens() if _is(word))


def split(text: str, variables: Mapping[str, str]) -> list[str]:
    """The blank-separated values of a Dockerfile instruction, each as `expand` gives it."""
    return [word.text for word in _Lexer(text, variables, posix=False, split=True).tokens() if _is(word)]


def shell(text: str, variables: Mapping[str, str], substitute: Substitute | None = None) -> list[Word | Operator]:
    """The words and operators of a shell line. Unquoted variables are split at blanks, as a shell does it."""
    return _Lexer(text, variables, posix=True, split=True, substitute=substitute).tokens()


def _is(token: Word | Operator) -> bool:
    return isinstance(token, Word)


class _Lexer:
    def __init__(
        self, text: str, variables: Mapping[str, str], *, posix: bool, split: bool, substitute: Substitute | None = None
    ) -> None:
        self.text = text
        self.at = 0
        self.variables = variables
        self.posix = posix
        self.split = split
        self.substitute = substitute
        self.out: list[Word | Operator] = []
        self.word: list[str] | None = None
        self.pattern = False

    def tokens(self) -> list[Word | Operator]:
        while self.at < len(self.text):
            self._step()
        self._end_word()
        return self.out

    def _step(self) -> None:
        char = self.text[self.at]
        if self.posix and (operator := next((o for o in _OPERATORS if self.text.startswith(o, self.at)), None)):
            self._end_word()
            self.out.append(Operator(operator))
            self.at += len(operator)
        elif self.split and char.isspace():
            self._end_word()
            self.at += 1
        elif self.posix and char == "#" and self.word is None:
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
        elif char == "\\":
            self._escape()
        elif char == "'":
            end = self.text.find("'", self.at + 1)
            if end < 0:
                raise NotPlain("a single quote that is not closed")
            self._add(self.text[self.at + 1 : end])
            self.at = end + 1
        elif char == '"':
            self._double()
        elif char == "$":
            self._variable(quoted=False)
        elif self.posix and char == "`":
            raise NotPlain("`…` (command substitution)")
        else:
            if char in "*?[":
                self.pattern = True
            self._add(char)
            self.at += 1

    def _escape(self) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if self.posix and following == "\n":
            self.at += 2
            return
        self._add(following or "\\")
        self.at += 2

    def _double(self) -> None:
        self.at += 1
        self._add("")
        while True:
            if self.at >= len(self.text):
                raise NotPlain("a double quote that is not closed")
            char = self.text[self.at]
            if char == '"':
                self.at += 1
                return
            if char == "\\":
                following = self.text[self.at + 1 : self.at + 2]
                self._add(following if following and following in '"\\$`' else "\\" + following)
                self.at += 2
            elif char == "$":
                self._variable(quoted=True)
            elif self.posix and char == "`":
                raise NotPlain("`…` (command substitution)")
            else:
                self._add(char)
                self.at += 1

    def _variable(self, *, quoted: bool) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if following == "{":
            value = self._braced()
        elif following and following in _NAME_START:
            end = self.at + 1
            while end < len(self.text) and self.text[end] in _NAME:
                end += 1
            value = self.variables.get(self.text[self.at + 1 : end], "")
            self.at = end
        elif self.posix and following == "(":
            value = self._substitution()
        elif self.posix and following and following in "0123456789@*#?$!-":
            raise NotPlain(f"${following}")
        else:
            self._add("$")
            self.at += 1
            return
        if quoted or not self.posix:
            self._add(value)
            return
        parts = value.split()
        if value[:1].isspace():
            self._end_word()
        for index, part in enumerate(parts):
            if index:
                self._end_word()
            self._add(part)
        if parts and value[-1:].isspace():
            self._end_word()

    def _braced(self) -> str:
        depth, end = 1, self.at + 2
        while end < len(self.text):
            depth += {"{": 1, "}": -1}.get(self.text[end], 0)
            if depth == 0:
                break
            end += 1
        if depth:
            raise NotPlain("${ that is not closed")
        inside = self.text[self.at + 2 : end]
        self.at = end + 1
        length = 0
        while length < len(inside) and inside[length] in _NAME:
            length += 1
        name, rest = inside[:length], inside[length:]
        if not name or name[0] not in _NAME_START:
            raise NotPlain("${" + inside + "}")
        modifier = next((m for m in _MODIFIERS if rest.startswith(m)), "")
        if rest and not modifier:
            raise NotPlain("${" + inside + "}")
        value = self.variables.get(name)
        absent = value is None or (modifier.startswith(":") and value == "")
        alternative = rest[len(modifier) :]
        if modifier.endswith("-") and absent:
            return expand(alternative, self.variables)
        if modifier.endswith("+"):
            return "" if absent else expand(alternative, self.variables)
        if modifier.endswith("?") and absent:
            raise NotPlain(f"{name}: {expand(alternative, self.variables) or 'not set'}")
        return value or ""

    def _substitution(self) -> str:
        depth, end = 1, self.at + 2
        while end < len(self.text) and depth:
            depth += {"(": 1, ")": -1}.get(self.text[end], 0)
            end += 1
        inside = self.text[self.at + 2 : end - 1]
        if depth or self.substitute is None:
            raise NotPlain(f"$({inside}) (command substitution)")
        self.at = end
        return self.substitute(inside).rstrip("\n")

    def _add(self, text: str) -> None:
        if self.word is None:
            self.word = []
        self.word.append(text)

    def _end_word(self) -> None:
        if self.word is not None:
            self.out.append(Word("".join(self.word), self.pattern))
        self.word, self.pattern = None, False
