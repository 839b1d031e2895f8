"""The commands of a RUN that handle files, packages and accounts, done on the image's root."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from ctypes.util import find_library
from pathlib import Path, PurePosixPath

from localcloud.runtime.sandbox import Failed, Refused, Sandbox

# Debian package → what shows that this machine has it: a command on PATH, or lib… for a shared library, or a file.
PACKAGES: Mapping[str, str] = {
    "build-essential": "cc", "ca-certificates": "/etc/ssl/certs", "curl": "curl", "g++": "g++", "gcc": "gcc",
    "docker.io": "/",  # `docker` is put on a privileged build's PATH by whoever runs it
    "git": "git", "gnupg": "gpg", "jq": "jq", "libc6-dev": "cc", "libffi-dev": "libffi", "libgomp1": "libgomp",
    "libpq5": "libpq", "libssl-dev": "libssl", "make": "make", "openssh-client": "ssh", "patch": "patch",
    "procps": "ps", "tini": "tini", "tzdata": "/usr/share/zoneinfo", "unzip": "unzip", "wget": "wget", "xz-utils": "xz",
    "zip": "zip",
}  # fmt: skip
_OUTSIDE_OK = ("/var/lib/apt/lists", "/var/cache", "/root/.cache", "/tmp", "/var/tmp", "/root/.npm", "/var/log")  # noqa: S108


def outside(path: str) -> bool:
    """Whether a path is one that images clean up though it is not there: lists of packages, caches."""
    return any(path == known or path.startswith(known + "/") for known in _OUTSIDE_OK)


def _nothing(arguments: list[str], sandbox: Sandbox) -> None:
    """chown and its like: everything in an image here belongs to whoever runs it."""


def _options(arguments: list[str], known: str, command: str) -> tuple[set[str], list[str]]:
    flags: set[str] = set()
    rest: list[str] = []
    for index, item in enumerate(arguments):
        if item == "--":
            return flags, rest + arguments[index + 1 :]
        if item.startswith("-") and len(item) > 1 and not item.startswith("--"):
            if set(item[1:]) - set(known):
                raise Refused(f"{command} {item}; allowed: -{known}")
            flags |= set(item[1:])
        elif item in ("--recursive", "--force", "--parents", "--symbolic", "--verbose", "--no-clobber"):
            flags.add({"--recursive": "r", "--force": "f", "--parents": "p", "--symbolic": "s"}.get(item, "v"))
        elif item.startswith("--"):
            raise Refused(f"{command} {item}; allowed: -{known}")
        else:
            rest.append(item)
    return flags, rest


def _mkdir(arguments: list[str], sandbox: Sandbox) -> None:
    rest = list(arguments)
    while "-m" in rest:
        del rest[rest.index("-m") : rest.index("-m") + 2]
    flags, targets = _options(rest, "pv", "mkdir")
    for target in targets:
        try:
            sandbox.place(target).mkdir(parents="p" in flags, exist_ok="p" in flags)
        except OSError as error:
            if "p" not in flags and Path(target).parent.is_dir() and isinstance(error, FileNotFoundError):
                sandbox.place(target).mkdir(parents=True)  # the parent is of the base image: /opt, /srv
                continue
            raise Failed(f"mkdir {target}", 1, f"mkdir: {target}: {error.strerror}") from None


def _chmod(arguments: list[str], sandbox: Sandbox) -> None:
    flags = {"R"} if {"-R", "--recursive"} & set(arguments) else set()
    rest = [item for item in arguments if item not in ("-R", "--recursive", "-v", "-f", "-c")]
    if not rest:
        raise Refused("chmod needs a mode")
    mode, targets = rest[0], rest[1:]
    for target in targets:
        top = sandbox.place(target)
        if not top.exists():
            raise Failed(f"chmod {target}", 1, f"chmod: {target}: no such file in the image")
        for path in [top, *(top.rglob("*") if "R" in flags else ())]:
            if not path.is_symlink():
                path.chmod(file_mode(mode, path.stat().st_mode, path.is_dir()))


def file_mode(text: str, current: int, directory: bool) -> int:
    """The mode that chmod's argument gives a file.

    Raises:
        Refused: a form that is not served.
    """
    if re.fullmatch(r"[0-7]{3,4}", text):
        return int(text, 8)
    mode = stat.S_IMODE(current)
    for part in text.split(","):
        match = re.fullmatch(r"(?P<who>[ugoa]*)(?P<sign>[-+=])(?P<what>[rwxX]*)", part)
        if match is None:
            raise Refused(f"chmod {text}; allowed: 755, u+x, a+rX and their like")
        bits = 0
        for letter in match["what"]:
            letter = "x" if letter == "X" and (directory or mode & 0o111) else letter
            bits |= {"r": 0o444, "w": 0o222, "x": 0o111}.get(letter, 0)
        whole = 0
        for who in match["who"] or "a":
            whole |= {"u": 0o700, "g": 0o070, "o": 0o007, "a": 0o777}[who]
        bits &= whole
        mode = (mode | bits) if match["sign"] == "+" else mode & ~bits if match["sign"] == "-" else mode & ~whole | bits
    return mode


def _ln(arguments: list[str], sandbox: Sandbox) -> None:
    flags, rest = _options(arguments, "sfnv", "ln")
    if "s" not in flags or len(rest) != 2:
        raise Refused("allowed: ln -s[f] TARGET LINK")
    target, name = rest
    link = sandbox.place(name)
    if link.is_dir() and not link.is_symlink():
        link = link / PurePosixPath(target).name
    link.parent.mkdir(parents=True, exist_ok=True)
    if "f" in flags:
        link.unlink(missing_ok=True)
    inside = sandbox.paths.find(target)
    # An absolute link would lead out of the image's directory; a relative one means the same and stays inside.
    text = os.path.relpath(inside, link.parent) if target.startswith("/") and inside is not None else target
    link.symlink_to(text)


def _rm(arguments: list[str], sandbox: Sandbox) -> None:
    flags, targets = _options(arguments, "rRfv", "rm")
    for target in targets:
        path = sandbox.place(target)
        if path == sandbox.root:
            raise Refused("rm of / is not served")
        if path.is_dir() and not path.is_symlink() and flags & {"r", "R"}:
            shutil.rmtree(path)
        elif os.path.lexists(path) and not path.is_dir():
            path.unlink()
        elif not (flags & {"f"} or outside(target)):
            raise Failed(f"rm {target}", 1, f"rm: {target}: no such file in the image, or a directory")


def _cp(arguments: list[str], sandbox: Sandbox) -> None:
    flags, rest = _options(arguments, "arRfpvn", "cp")
    _move(rest, sandbox, "cp", bool(flags & set("arR")))


def _mv(arguments: list[str], sandbox: Sandbox) -> None:
    _, rest = _options(arguments, "fvn", "mv")
    _move(rest, sandbox, "mv", True)


def _move(rest: list[str], sandbox: Sandbox, command: str, recursive: bool) -> None:
    if len(rest) < 2:
        raise Refused(f"{command} needs a source and a destination")
    target = sandbox.place(rest[-1])
    for item in rest[:-1]:
        source = sandbox.place(item)
        to = target / source.name if target.is_dir() else target
        if not os.path.lexists(source):
            raise Failed(f"{command} {item}", 1, f"{command}: {item}: no such file in the image")
        if command == "mv":
            shutil.move(str(source), str(to))
        elif source.is_dir():
            if not recursive:
                raise Failed(f"cp {item}", 1, f"cp: -r not given; omitting directory '{item}'")
            shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, to)


def _touch(arguments: list[str], sandbox: Sandbox) -> None:
    for item in arguments:
        sandbox.place(item).touch()


def _apt_get(arguments: list[str], sandbox: Sandbox) -> None:
    plain = [item for item in arguments if not item.startswith("-")]
    verb, packages = (plain[0], plain[1:]) if plain else ("", [])
    if verb in ("update", "clean", "autoremove", "autoclean", "upgrade", "dist-upgrade"):
        return
    if verb in ("purge", "remove"):
        return
    if verb != "install":
        raise Refused(f"apt-get {verb}; allowed: update, upgrade, install, remove, purge, autoremove, clean")
    for package in packages:
        name = package.partition("=")[0]
        shown = PACKAGES.get(name)
        if shown is None:
            raise Refused(
                f"apt-get install {name} is not served: the process runtime installs no Debian packages; "
                f"allowed, where this machine has them: {', '.join(sorted(PACKAGES))}; "
                "or set LOCALCLOUD_RUNTIME=buildah"
            )
        if not _present(shown):
            raise Refused(f"apt-get install {name}: this machine does not have it; install it here, or leave it out")
        sandbox.on_line(f"{name}: this machine's own is used")


def _present(shown: str) -> bool:
    if shown.startswith("/"):
        return Path(shown).exists()
    if shown.startswith("lib"):
        return find_library(shown.removeprefix("lib")) is not None
    return shutil.which(shown) is not None


def _user(arguments: list[str], sandbox: Sandbox) -> None:
    _account("passwd", arguments, sandbox)


def _group(arguments: list[str], sandbox: Sandbox) -> None:
    _account("group", arguments, sandbox)


def _account(file: str, arguments: list[str], sandbox: Sandbox) -> None:
    """Enter the name, so that USER can be checked as a container engine checks it."""
    names = [item for item in arguments if not item.startswith("-")]
    if not names:
        raise Refused("a name is needed")
    name = names[-1]
    listed = sandbox.place(f"/etc/{file}")
    listed.parent.mkdir(parents=True, exist_ok=True)
    with listed.open("a") as stream:
        stream.write(f"{name}:x:1000:1000::/home/{name}:/bin/sh\n" if file == "passwd" else f"{name}:x:1000:\n")
    if file == "passwd" and {"-m", "--create-home"} & set(arguments):
        sandbox.place(f"/home/{name}").mkdir(parents=True, exist_ok=True)


HANDLERS: Mapping[str, Callable[[list[str], Sandbox], None]] = {
    "addgroup": _group, "adduser": _user, "apt-get": _apt_get, "apt": _apt_get, "chgrp": _nothing, "chmod": _chmod,
    "chown": _nothing, "cp": _cp, "groupadd": _group, "ln": _ln, "mkdir": _mkdir, "mv": _mv, "rm": _rm,
    "touch": _touch, "true": _nothing, ":": _nothing, "useradd": _user, "usermod": _nothing,
}  # fmt: skip
