"""`localcloud`: start, stop and forget the local cloud."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from localcloud.home import NO_ROOM, HomeInUse, PortInUse, check_port, held

REGION = "eu-west-1"
_START_SECONDS = 60.0
_LOG_ROOM = 1 << 20


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="localcloud", description="AWS on this machine.")
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("LOCALCLOUD_HOME", ".localcloud")))
    parser.add_argument("--port", type=port_number, default=os.environ.get("LOCALCLOUD_PORT", "4566"))
    parser.add_argument("--region", default=os.environ.get("AWS_REGION", REGION))
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="serve in the foreground")
    verbs.add_parser("up", help="start in the background and wait for the first answer")
    verbs.add_parser("down", help="stop; everything is kept")
    verbs.add_parser("status", help="whether it runs")
    verbs.add_parser("reset", help="stop and forget everything")
    listing = verbs.add_parser("resources", help="list what every account, region and service holds")
    listing.add_argument("--json", action="store_true", help="as a JSON list")
    listing.add_argument("--all", action="store_true", help="also what every account has, and what is kept of the past")
    taking = verbs.add_parser("interrupt", help="take the instance of a managed spot training job away")
    taking.add_argument("training_job", help="its name")
    taking.add_argument("--account", default="111111111111")
    connecting = verbs.add_parser(
        "connect", help="complete a connection to a git provider: a directory on this machine"
    )
    connecting.add_argument("connection", help="its ARN")
    connecting.add_argument("directory", type=Path, help="holds bare git repositories, owner/name.git")
    given = parser.parse_args(arguments)
    home = given.home.resolve()
    if given.verb == "serve":
        from localcloud.app import main_serve

        return main_serve(home, given.port, given.region)
    if given.verb == "up":
        return up(home, given.port, given.region)
    if given.verb == "down":
        return down(home)
    if given.verb == "reset":
        return reset(home)
    if given.verb == "resources":
        return resources(home, given.json, given.all)
    if given.verb == "interrupt":
        return interrupt(home, given.training_job, given.account, given.region)
    if given.verb == "connect":
        return connect(home, given.connection, given.directory.absolute())
    return status(home, given.port)


def healthy(port: int) -> bool:
    """Whether a local cloud answers on the port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_localcloud/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def port_number(text: str) -> int:
    """A port, for argparse.

    Raises:
        ArgumentTypeError: it is none.
    """
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"given {text!r} by --port or LOCALCLOUD_PORT, allowed a number from 1 to 65535")


def running(home: Path) -> int | None:
    """The process id of this home's server, or None."""
    try:
        pid = int((home / "pid").read_text())
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"localcloud" not in command.read_bytes():
            return None
    except (OSError, ValueError):
        return None
    return pid


def up(home: Path, port: int, region: str) -> int:
    """Start in the background, and wait until it answers."""
    started = time.monotonic()
    try:
        own = held(home)
        if own not in (None, 0, port):
            raise HomeInUse(home, own)
        if own == port and healthy(port):
            print(f"localcloud: runs already on http://127.0.0.1:{port}")
            return 0
        # Where there is an owner that does not answer yet, somebody starts it at this moment.
        child = _start(home, port, region) if own is None else None
    except (PortInUse, HomeInUse) as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"localcloud: {home} cannot be written: {error.strerror}. {NO_ROOM}", file=sys.stderr)
        return 1
    while not healthy(port):
        if child.poll() is not None if child else held(home) is None:
            said = (home / "log").read_text(errors="replace").splitlines()
            # A reason that a user can mend is one line by the server itself; all else shows how it came about.
            reason = [line for line in said[-1:] if line.startswith("localcloud: ")]
            print(reason[0] if reason else "localcloud: did not start:\n  " + "\n  ".join(said[-8:]), file=sys.stderr)
            return 1
        if time.monotonic() - started > _START_SECONDS:
            if child:
                child.terminate()
            print(f"localcloud: no answer within {_START_SECONDS:.0f} s; see {home / 'log'}", file=sys.stderr)
            return 1
        time.sleep(0.05)
    print(f"localcloud: http://127.0.0.1:{port} answers after {time.monotonic() - started:.1f} s")
    return 0


def _start(home: Path, port: int, region: str) -> subprocess.Popen[bytes]:
    check_port(port)
    home.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(home).free < _LOG_ROOM and not (home / "reserve").exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # the server could not even say so
    arguments = ["--home", str(home), "--port", str(port), "--region", region, "serve"]
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "localcloud", *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def down(home: Path) -> int:
    """Stop in order; kill after 15 seconds."""
    pid = running(home)
    if pid is None:
        print("localcloud: does not run")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 15
    while running(home) is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    if running(home) is not None:
        os.kill(pid, signal.SIGKILL)
        _end_children(home)
    (home / "pid").unlink(missing_ok=True)
    print("localcloud: stopped; its state is kept")
    return 0


def _end_children(home: Path) -> None:
    """End what a killed server left running: it could not do so itself."""
    from localcloud.core.processes import Processes
    from localcloud.core.store import Store

    store = Store(home / "localcloud.sqlite")
    try:
        Processes(store).end_orphans()
    finally:
        store.close()


def reset(home: Path) -> int:
    """Stop, and remove the state."""
    down(home)
    if home.exists():
        if not (home / "localcloud.sqlite").exists() and any(home.iterdir()):
            print(f"localcloud: {home} holds no local cloud; it is left alone", file=sys.stderr)
            return 1
        shutil.rmtree(home)
    print("localcloud: everything is forgotten")
    return 0


def status(home: Path, port: int) -> int:
    """0 when it runs."""
    pid, own = running(home), held(home)
    if pid and own and healthy(own):
        print(f"localcloud: process {pid} answers on http://127.0.0.1:{own}")
        return 0 if own == port else 1
    print("localcloud: does not run; start it with: make up")
    return 1


def resources(home: Path, as_json: bool, everything: bool) -> int:
    """List what a running local cloud holds."""
    from localcloud import inventory

    try:
        found = inventory.resources(home, everything=everything)
    except inventory.NotRunning as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1
    print(inventory.as_json(found) if as_json else inventory.as_table(found))
    return 0


def interrupt(home: Path, name: str, account: str, region: str) -> int:
    """Interrupt a managed spot training job, as EC2 does when it needs the instance."""
    return _told(home, "sagemaker/interrupt", {"TrainingJobName": name, "Account": account, "Region": region})


def connect(home: Path, connection: str, directory: Path) -> int:
    """Complete a connection's handshake, which a person does in the console on AWS."""
    return _told(home, "codeconnections/connect", {"ConnectionArn": connection, "Directory": str(directory)})


def _told(home: Path, what: str, given: dict[str, str]) -> int:
    """Tell a running local cloud what no API of AWS is for, and say what it answers."""
    port = held(home)
    if not port:
        print(f"localcloud: no local cloud of {home} runs; start it with: make up", file=sys.stderr)
        return 1
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/_localcloud/{what}", json.dumps(given).encode(), timeout=30
        ) as answer:
            print(f"localcloud: {json.load(answer)['message']}")
            return 0
    except urllib.error.HTTPError as error:
        print(f"localcloud: {json.load(error)['message']}", file=sys.stderr)
    except (urllib.error.URLError, OSError) as error:
        print(f"localcloud: no answer on port {port}: {error}", file=sys.stderr)
    return 1
