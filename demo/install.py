"""Run an installer, and say in one line why it failed: what pip and uv print about a lost network fills a screen.

`python demo/install.py WHAT LOG COMMAND…`: the command's output goes to LOG; it runs before anything is installed, so
with the standard library alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

_BEAT_SECONDS = 15.0
_MEND = "Check the network and the proxy, or name another index by PIP_INDEX_URL and UV_INDEX_URL; then try again."
# What pip and uv say when the index cannot be had, as the cause that is shown.
_NETWORK = re.compile(
    r"Connection refused|Name or service not known|Temporary failure in name resolution|Network is unreachable|"
    r"No route to host|Connection reset by peer|timed out|certificate verify failed|invalid peer certificate|"
    r"Proxy Authentication Required|\b50[0-9] [A-Z]\w+( \w+)?|\b40[137] [A-Z]\w+( \w+)?",
    re.IGNORECASE,
)
_MISSING = re.compile(r"No matching distribution found for (\S+)")
_URL = re.compile(r"https?://[^\s'\")>]+")


def main(what: str, log: Path, command: list[str]) -> int:
    """Returns the command's exit code."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        with log.open("w") as written:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT)
            while True:
                try:
                    code = child.wait(_BEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    print(f"  … still at it, {time.monotonic() - started:.0f} s", flush=True)
    except KeyboardInterrupt:
        print(f"\ninstalling {what} was stopped; what is there is kept, and the next command goes on.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"{what} could not be installed: {error}", file=sys.stderr)
        return 1
    if code:
        said = log.read_text(errors="replace")
        print(f"{what} could not be installed: {reason(said)}\n  all that was said: {log}", file=sys.stderr)
    return code


def reason(said: str) -> str:
    """One sentence or two: the cause, and what to do about it."""
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return "the disk is full. Make room, then try again."
    causes = [found[0] for found in _NETWORK.finditer(said)]
    if causes:
        url = _URL.search(said)
        place = f" ({_without_password(url[0])})" if url else ""
        return f"the Python package index{place} cannot be reached: {causes[-1]}. {_MEND}"
    if missing := _MISSING.search(said):
        return f"the Python package index has no {missing[1]}. {_MEND}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "×", "cause:"))]
    return "; ".join(errors[:3] or lines[-2:]) or "it said nothing"


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
