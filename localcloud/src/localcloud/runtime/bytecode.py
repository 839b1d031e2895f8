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
from collections.abc import Iterator
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


def provide(venv: Path, cache: Path) -> int:
    """Give every installed module its bytecode. Returns how many had to be compiled.

    Args:
        cache: where bytecode is kept by content, for every image store of the user.
    """
    version = trees.python_of(venv).split()[-1].split(".")
    tag = f"cpython-{version[0]}{version[1]}"
    wanted = [(source, cache / tag / sha[:2] / f"{sha}.pyc") for source, sha in _sources(venv, tag)]
    missing = {str(kept): str(source) for source, kept in wanted if not kept.exists()}
    if missing:
        # Bytecode only makes imports faster: a failure here (a full disk, say) must not fail a build.
        subprocess.run(
            [str(venv / "bin" / "python"), "-I", "-c", _COMPILE], text=True, check=False, capture_output=True,
            input=json.dumps([(source, kept) for kept, source in missing.items()]),
        )  # fmt: skip
    for source, kept in wanted:
        target = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        with contextlib.suppress(OSError):
            target.parent.mkdir(exist_ok=True)
            _link(kept, target)
    return len(missing)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        if source.exists():  # another file system, or too many links
            shutil.copyfile(source, target)


def _sources(venv: Path, tag: str) -> Iterator[tuple[Path, str]]:
    """(module's file, hash of its content) of what has no bytecode yet."""
    for relative, (size, sha) in trees.recorded(venv).items():
        if not relative.endswith(".py") or any(part in f"/{relative}" for part in _NEVER_RUN):
            continue
        source = venv / relative
        with contextlib.suppress(OSError):
            compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
            if size and source.stat().st_size == size and not compiled.exists():
                yield source, sha
