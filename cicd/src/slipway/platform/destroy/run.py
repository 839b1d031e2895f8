"""The order of removal, the dry run, and the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from slipway.errors import SlipwayError
from slipway.platform.destroy import launched, machine_learning, network, people, stores, studio_projects
from slipway.platform.destroy.items import Item, Place, many, pages, tags_of
from slipway.progress import Progress, duration, table

Lister = Callable[[Place], list[Item]]


@dataclass(frozen=True)
class Stage:
    """What is removed at one time. `keeps`: it holds data, and is left out where data is kept."""

    title: str
    listers: tuple[Lister, ...]
    keeps: bool = False


def _ordinary(place: Place, name: str) -> bool:
    return not any(which(place, name) for which in (_of_releases, _of_access_logs, _of_audit))


def _of_releases(place: Place, name: str) -> bool:
    return name == f"{place.namespace}-assets-{place.account}-{place.region}"


def _of_access_logs(place: Place, name: str) -> bool:
    return name == f"{place.namespace}-logs-{place.account}-{place.region}"


def _of_audit(place: Place, name: str) -> bool:
    return name == f"{place.namespace}-audit-{place.account}-{place.region}"


def _buckets(place: Place, which: Callable[[Place, str], bool]) -> list[Item]:
    return stores.buckets(place, partial(which, place))


def _records(*, data: bool) -> tuple[Lister, ...]:
    return tuple(partial(machine_learning.records, kind=row[0]) for row in machine_learning.RECORDS if row[7] is data)


# The order: what people launched, with the roles of the platform that it needs to go; what lies in the network; the
# platform; what its stacks retain; what the administrator deployed; last what received the records of all that.
STAGES = (
    Stage("what people launched", (studio_projects.projects, launched.products, launched.abandoned, launched.others)),
    Stage("endpoints, models and pipelines that no stack holds", _records(data=False)),
    Stage("features and experiments", _records(data=True), keeps=True),
    Stage("Studio", (machine_learning.domains, machine_learning.studio_configurations)),
    Stage("builds", (machine_learning.builds,)),
    Stage("the platform", (launched.platform, network.leftovers)),
    # Taking back products is a build of the platform's own, after those before.
    Stage("jobs and last builds", (machine_learning.jobs, machine_learning.builds)),
    Stage(
        "what the stacks retain",
        (
            people.user_pools, people.homes, machine_learning.model_versions, stores.images, stores.packages,
            stores.repositories, partial(_buckets, which=_ordinary),
        ),
        keeps=True,
    ),
    Stage("the account's foundation", (launched.foundation,)),
    Stage(
        "releases, logs and keys",
        (
            partial(_buckets, which=_of_audit), partial(_buckets, which=_of_releases),
            partial(_buckets, which=_of_access_logs), stores.logs, stores.keys,
        ),
        keeps=True,
    ),
    Stage("names", (stores.parameters, stores.aliases)),
)  # fmt: skip


def place(
    session: Any,
    namespace: str,
    progress: Progress,
    *,
    key_days: int = 30,
    keep_data: bool = False,
    audit: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Place:
    """Where to remove from, with the other platforms of the account, whose names may begin alike."""
    made = Place(session, namespace, progress, sleep, key_days, keep_data, audit)
    names = set()
    for stack in pages(made.client("cloudformation"), "describe_stacks", "Stacks"):
        other = tags_of(stack.get("Tags")).get("Namespace")
        if other and other != namespace:
            names.add(other)
    made.others = frozenset(names)
    if not audit and launched.watched(made):
        made.held = launched.held(made)
    return made


def listed(where: Place) -> list[tuple[Stage, list[Item]]]:
    """Everything there is to remove at this moment, by stage."""
    return [(stage, list(_items(where, stage))) for stage in STAGES]


def _items(where: Place, stage: Stage) -> Iterator[Item]:
    for number, lister in enumerate(stage.listers):
        found = where.looked(f"{stage.title}: {_what(lister, number)}", partial(lister, where))
        yield from (item for item in found if item.name not in where.held)


def _what(lister: Lister, number: int) -> str:
    words = str(getattr(lister, "keywords", {}).get("kind") or getattr(lister, "__name__", ""))
    return words.strip("_").replace("_", " ") or f"buckets {number}"


def describe(where: Place, plan: list[tuple[Stage, list[Item]]]) -> str:
    """The plan as a table: what goes, in which order, and what is lost for good."""
    rows = [
        (
            number,
            item.kind,
            item.name,
            item.detail,
            "kept" if where.keep_data and stage.keeps else "LOST" if item.data else "",
        )
        for number, (stage, items) in enumerate(plan, 1)
        for item in items
    ]
    return table(rows, ("stage", "what", "name", "holds", "data")) if rows else ""


def losses(where: Place, plan: list[tuple[Stage, list[Item]]]) -> list[Item]:
    """What holds data and would be removed."""
    return [item for stage, items in plan for item in items if item.data and not (where.keep_data and stage.keeps)]


def run(where: Place) -> int:
    """Remove everything, stage by stage; each looks anew for what there is. Returns how many things were removed."""
    removed = 0
    for stage in STAGES:
        if where.keep_data and stage.keeps:
            continue
        for item in _items(where, stage):
            started = where.progress.elapsed
            where.progress.say(f"{item.kind} {item.name}: removing{f' ({item.detail})' if item.detail else ''}")
            item.remove()
            removed += 1
            where.progress.say(f"{item.kind} {item.name}: gone after {duration(where.progress.elapsed - started)}")
    return removed


def verify(where: Place) -> list[Item]:
    """What is still there after a run, as AWS's own services list it. Raises SlipwayError if anything is."""
    left = [item for stage, items in listed(where) if not (where.keep_data and stage.keeps) for item in items]
    if left:
        names = ", ".join(f"{item.kind} {item.name}" for item in left)
        raise SlipwayError(f"{many(len(left), 'thing')} left: {names}; run the command again")
    return left


def tagged(where: Place) -> list[str]:
    """What AWS's index of tags still names: it lags by minutes, and knows kinds that this command does not."""
    index = where.client("resourcegroupstaggingapi")
    filters = [{"Key": "Namespace", "Values": [where.namespace]}]
    arns = [
        entry["ResourceARN"] for entry in pages(index, "get_resources", "ResourceTagMappingList", TagFilters=filters)
    ]
    return sorted(arn for arn in arns if ":kms:" not in arn and not _held(where, arn))


def _held(where: Place, arn: str) -> bool:
    resource = arn.split(":", 5)[-1]
    return arn in where.held or any(resource.endswith(name) for name in where.held)


def kept(where: Place) -> list[Item]:
    """What holds data and was left."""
    return [item for stage, items in listed(where) if where.keep_data and stage.keeps for item in items]


def refuse_while_watched(where: Place) -> None:
    """The audit goes last. Raises SlipwayError while anything stands that it watches."""
    without = replace(where, audit=False, held=launched.held(where))
    left = [item for stage, items in listed(without) if not (where.keep_data and stage.keeps) for item in items]
    if left:
        names = ", ".join(f"{item.kind} {item.name}" for item in left[:3])
        raise SlipwayError(
            f"the audit was not removed: {many(len(left), 'thing')} of the platform still stand ({names}"
            f"{', …' if len(left) > 3 else ''}), and what is done to them has to be recorded. "
            f"First: slipway platform destroy --namespace {where.namespace}"
        )
