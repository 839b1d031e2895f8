"""Compiled bytecode for an image's packages, as pip compiles what it installs; kept by content for all images.

A cached file says that it need not be compared with its source (PEP 552, unchecked hash): it is found by the source's
hash, and Python puts the real file name into it when it is imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from localcloud.runtime import trees

# Runs with the image's own Python. What does not compile (a template, an old syntax) is left out, as pip leaves it.
_COMPILE = """
import concurrent.futures, json, os, py_compile, sys

def compile(pair):
    source, target = pair
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        py_compile.compile(
            source, cfile=target, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    except (py_compile.PyCompileError, OSError, ValueError):
        pass

if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile, json.load(sys.stdin), chunksize=20))
"""
_NEVER_RUN = ("/tests/", "/test/", "/testing/tests/")


def provide(venv: Path, installed: Mapping[str, tuple[int, str]], cache: Path, *, making: bool = True) -> int:
    """Give every installed module its bytecode. Returns how many had to be compiled.

    Args:
        installed: what `trees.recorded` finds in the environment.
        cache: where bytecode is kept by content, for every image store of the user.
        making: whether what the cache lacks is compiled; if not, it is left to whoever imports it.
    """
    version = trees.python_of(venv).split()[-1].split(".")
    tag = f"cpython-{version[0]}{version[1]}"
    wanted = list(_wanted(str(venv), installed, str(cache / tag), tag))
    missing = {kept: source for source, kept, _ in wanted if not os.path.exists(kept)}  # noqa: PTH110 - see _wanted
    if missing and making:
        # Bytecode only makes imports faster: a failure here (a full disk, say) must not fail a build.
        subprocess.run(
            [str(venv / "bin" / "python"), "-I", "-c", _COMPILE], text=True, check=False, capture_output=True,
            input=json.dumps([(source, kept) for kept, source in missing.items()]),
        )  # fmt: skip
    for folder in {target.rpartition("/")[0] for _, _, target in wanted}:
        with contextlib.suppress(OSError):
            Path(folder).mkdir(exist_ok=True)
    for _, kept, target in wanted:
        with contextlib.suppress(OSError):
            _link(kept, target)
    return len(missing) if making else 0


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        if Path(source).exists():  # another file system, or too many links
            shutil.copyfile(source, target)


def _wanted(
    venv: str, installed: Mapping[str, tuple[int, str]], cache: str, tag: str
) -> Iterator[tuple[str, str, str]]:
    """(module's file, its bytecode in the cache, the place for it) of what has no bytecode yet.

    Names, not Paths: there are tens of thousands.
    """
    there: dict[str, set[str]] = {}
    for relative, (size, sha) in installed.items():
        if not size or not relative.endswith(".py") or any(part in f"/{relative}" for part in _NEVER_RUN):
            continue
        folder, _, name = relative.rpartition("/")
        place = f"{venv}/{folder}/__pycache__"
        if place not in there:
            there[place] = _names(place)
        compiled = f"{name.removesuffix('.py')}.{tag}.pyc"
        if compiled in there[place]:
            continue
        source = f"{venv}/{relative}"
        with contextlib.suppress(OSError):
            if os.stat(source).st_size == size:  # noqa: PTH116
                yield source, f"{cache}/{sha[:2]}/{sha}.pyc", f"{place}/{compiled}"


def _names(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return set()
