"""`python -m tests.taskcat [SCENARIO …]`: the scenarios of .taskcat.yml in a local cloud of their own.

What a user of taskcat prepares on AWS is prepared here with the same commands: the foundation of the scenario's
namespace, the release in its bucket, and below `/{namespace}/taskcat/` what the scenario reads. Then taskcat deploys
and deletes it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.localcloud.conftest import PRODUCTION, STAGING, TOOLING, LocalCloud, free_port
from tests.taskcat.scenarios import FILE, Scenario, scenarios
from tests.templates.library import REPOSITORY

PYTHON = REPOSITORY / ".venv-taskcat" / "bin" / "python"
# What the account has already, so that namespaces do not fight about what there is once in a region.
FOUNDATION = ("CloudTrail=existing", "Config=none", "GuardDuty=existing")


def main(names: list[str]) -> int:
    """Run the scenarios that are named, all of them without any. Returns the exit code."""
    known = {scenario.name: scenario for scenario in scenarios(FILE.read_text(encoding="utf-8"))}
    if unknown := sorted(set(names) - set(known)):
        print(f"no such scenario: given {', '.join(unknown)}, allowed {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    with tempfile.TemporaryDirectory(prefix="taskcat-") as folder:
        cloud = LocalCloud(Path(folder) / "home", free_port())
        project = _project(Path(folder) / "project")
        cloud.start()
        try:
            for name in names or list(known):
                started = time.monotonic()
                ok = _run(cloud, project, known[name])
                print(f"{'✓' if ok else '✗'} {name}  {time.monotonic() - started:.1f} s", flush=True)
                failed += [] if ok else [name]
        finally:
            cloud.stop()
    return 1 if failed else 0


def _project(target: Path) -> Path:
    """What taskcat uploads: the templates alone, since it takes every file of the folder that it runs in."""
    shutil.copytree(REPOSITORY / "cfn", target / "cfn")
    shutil.copy(FILE, target / FILE.name)
    return target


def _run(cloud: LocalCloud, project: Path, scenario: Scenario) -> bool:
    _prepare(cloud, scenario)
    command = [str(PYTHON), str(Path(__file__).with_name("scenario.py")), str(project), scenario.name]
    done = subprocess.run(command, cwd=project, env=cloud.environment(), text=True, capture_output=True, check=False)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
    return done.returncode == 0


def _prepare(cloud: LocalCloud, scenario: Scenario) -> None:
    """The foundation, the release, and what the scenario reads."""
    parameters = [part for one in FOUNDATION for part in ("--parameter", one)]
    _slipway(cloud, "bootstrap", "--namespace", scenario.namespace, *parameters)
    said = _slipway(cloud, "upload", "--namespace", scenario.namespace)
    values = {"tooling": STAGING, "staging": STAGING, "production": PRODUCTION}
    values["prefix"] = re.findall(r"releases/[0-9a-f]+", said)[-1]
    if any(name.endswith("/taskcat/vpc") for name in scenario.stored):
        values |= _network(cloud)
    ssm = cloud.client("ssm")
    for name in scenario.stored:
        _, _, key = name.partition("/taskcat/")
        if key:
            ssm.put_parameter(Name=name, Value=values[key], Type="String", Overwrite=True)


def _network(cloud: LocalCloud) -> dict[str, str]:
    """A VPC of somebody else's: two private subnets, each with its route table, and DNS."""
    ec2: Any = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnets, tables = [], []
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]]
    for number, zone in enumerate(zones[:2]):
        cidr = f"10.99.{number}.0/24"
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(SubnetId=subnet, RouteTableId=table)
        subnets.append(subnet)
        tables.append(table)
    return {"vpc": vpc, "subnets": ",".join(subnets), "route-tables": ",".join(tables)}


def _slipway(cloud: LocalCloud, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "platform", *arguments], cwd=REPOSITORY, env=cloud.environment(TOOLING),
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"slipway platform {' '.join(arguments)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
