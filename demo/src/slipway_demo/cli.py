"""`slipway-demo run` plays the loop; `slipway-demo env` prints a persona's environment."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.cli import healthy, port_number
from localcloud.home import held
from slipway_demo import datasets, report, steps
from slipway_demo.console import Journal, Stop
from slipway_demo.people import PERSONAS, Place, admin, persona

REPORT = Path("build/demo/report.json")


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="slipway-demo", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("LOCALCLOUD_HOME", ".localcloud")))
    parser.add_argument("--port", type=port_number, default=os.environ.get("LOCALCLOUD_PORT", "4566"))
    verbs = parser.add_subparsers(dest="verb", required=True)
    loop = verbs.add_parser("run", help="the whole loop")
    loop.add_argument(
        "--accounts", type=int, choices=(1, 3), default=3,
        help="three accounts, or one that is tooling, staging and production (default: 3)",
    )  # fmt: skip
    env = verbs.add_parser("env", help="exports for any AWS tool")
    env.add_argument("--persona", default="", help=f"one of {', '.join(PERSONAS)}")
    env.add_argument("--project", default="", help="the project that narrows the persona's session")
    env.add_argument("--account", default="", help="the account; alone: its administrator")
    data = verbs.add_parser("data", help="put a data set into the lake, as the Data Engineer")
    data.add_argument("name", help=f"one of {', '.join(datasets.SETS)}")
    given = parser.parse_args(arguments)
    place = Place(f"http://127.0.0.1:{given.port}", os.environ.get("AWS_REGION", "eu-west-1"))
    try:
        if given.verb == "env":
            return environment(place, given.persona, given.project, given.account)
        if given.verb == "data":
            steps.put_dataset(steps.Demo(place, Journal(), REPORT.parent.resolve()), given.name)
            return 0
        return run(place, given.home.resolve(), given.port, shared=given.accounts == 1)
    except (Stop, ClientError, BotoCoreError) as error:
        print(f"slipway-demo: {error}", file=sys.stderr)
        home = given.home.resolve()
        if given.verb == "run" and held(home) is None:
            print(
                f"slipway-demo: the local cloud does not run. If it ended by itself, {home / 'log'} says why; "
                "make demo starts it again and goes on from here.",
                file=sys.stderr,
            )
        return 1
    except KeyboardInterrupt:
        print("\nslipway-demo: stopped; everything done so far is kept. make demo goes on from here.", file=sys.stderr)
        return 130


def run(place: Place, home: Path, port: int, *, shared: bool = False) -> int:
    """The whole loop; the report is written however it ends."""
    demo = steps.Demo(place, Journal(), REPORT.parent.resolve(), shared=shared)
    ok = False
    try:
        steps.start_cloud(demo, home, port)
        steps.deploy_platform(demo)
        steps.load_lake(demo)
        steps.launch_project(demo)
        steps.push_change(demo)
        steps.build_model(demo)
        steps.release_model(demo)
        steps.predict(demo)
        ok = True
    finally:
        report.write(demo, REPORT, ok)
    report.show(demo, REPORT)
    return 0


def environment(place: Place, name: str, project: str, account: str) -> int:
    """Print `export` lines.

    Raises:
        Stop: nobody is named, or the persona cannot be assumed.
    """
    if not name and not account:
        raise Stop(f"name a persona, PERSONA=… ({', '.join(PERSONAS)}), or an account, ACCOUNT=111111111111")
    if not healthy(int(place.endpoint.rsplit(":", 1)[1])):
        raise Stop(f"nothing answers on {place.endpoint}; start it with: make up")
    if name:
        person = persona(place, name, project or None, **({"account": account} if account else {}))
    else:
        person = admin(place, account)
    if not person.session_token:
        print("unset AWS_SESSION_TOKEN;")
    tools = str(Path(sys.executable).parent)  # `aws` is there, and need not be installed otherwise
    if tools not in os.environ.get("PATH", "").split(os.pathsep):
        print(f'export PATH={shlex.quote(tools)}:"$PATH";')
    for key, value in person.environment().items():
        print(f"export {key}={shlex.quote(value)};")  # the semicolon: `eval $(…)` without quotes joins the lines
    return 0
