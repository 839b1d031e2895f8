"""The bill as tables, for the terminal and for the documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from slipway.platform.costs.bill import bill, price_list, total
from slipway.platform.costs.counting import Choice

SETS = ("essential", "full")
ZONES = (1, 2, 3)
ACCOUNTS = (1, 3)
PROJECTS = (1, 5, 20)


def lines(repository: Path, choice: Choice) -> list[tuple[str, str, str]]:
    """(subject, what, dollars a month) of one bill, with totals."""
    found = bill(repository, choice)
    rows = [(line.subject, line.what, f"{line.usd:,.2f}") for line in found]
    rows.append(("", "stands still and costs", f"{total(found, standing=True):,.2f}"))
    rows.append(("", "work", f"{total(found, standing=False):,.2f}"))
    return [*rows, ("", "a month, in US dollars", f"{total(found):,.2f}")]


def summary(repository: Path) -> str:
    """A Markdown table by accounts, endpoints, zones and number of projects; with zero projects, the platform alone."""
    heading = ("accounts", "endpoints", "zones", "platform alone", *map(_projects, PROJECTS))
    rows = [_row(heading), "|--:|---|--:|" + "--:|" * (len(PROJECTS) + 1)]
    for accounts, endpoint_set, zones in itertools.product(ACCOUNTS, SETS, ZONES):
        choices = [Choice(endpoint_set, zones, number, accounts) for number in (0, *PROJECTS)]
        alone = total(bill(repository, choices[0]), standing=True)
        sums = [total(bill(repository, choice)) for choice in choices[1:]]
        rows.append(_row((str(accounts), endpoint_set, str(zones), *(f"{usd:,.0f}" for usd in (alone, *sums)))))
    return "\n".join(rows) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _projects(number: int) -> str:
    return f"{number} project{'' if number == 1 else 's'}"


def detail(repository: Path, choice: Choice) -> str:
    """One bill as Markdown."""
    rows = ["| | | USD a month |", "|---|---|--:|"]
    rows += [f"| {subject} | {what} | {usd} |" for subject, what, usd in lines(repository, choice)]
    return "\n".join(rows) + "\n"


def prices() -> str:
    """The price list as Markdown."""
    rows = ["| price | USD | per | page | held against it |", "|---|--:|---|---|---|"]
    for name, price in price_list()["prices"].items():
        dated = f"verified {price['verified']}" if "verified" in price else f"assumed {price['assumed']}"
        host = price["source"].removeprefix("https://")
        rows.append(f"| {name} | {price['usd']:g} | {price['per']} | [{host}]({price['source']}) | {dated} |")
    return "\n".join(rows) + "\n"


def work() -> str:
    """What a month of work is taken to be, as Markdown."""
    rows = ["| quantity | of |", "|--:|---|"]
    rows += [f"| {item['quantity']:g} | {item['says']} |" for item in price_list()["usage"].values()]
    return "\n".join(rows) + "\n"
