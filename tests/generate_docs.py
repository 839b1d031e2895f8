"""Writes the generated parts of docs/: `make docs`. A test compares them with what is committed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from localcloud import reference
from slipway.platform.costs import tables
from slipway.platform.costs.counting import Choice

ROOT = Path(__file__).resolve().parents[1]
LOCALCLOUD = ROOT / "docs" / "localcloud.md"
COST = ROOT / "docs" / "cost.md"
README = ROOT / "README.md"


def between(text: str, name: str, content: str) -> str:
    """The text with the part between `<!-- name -->` and `<!-- /name -->` replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"there is no <!-- {name} --> … <!-- /{name} -->")
    return pattern.sub(lambda found: f"{found[1]}{content}{found[2]}", text)


def localcloud_page(text: str) -> str:
    """docs/localcloud.md with its tables made anew."""
    text = between(text, "operations", reference.operations())
    return between(text, "types", reference.resource_types())


def cost_page(text: str) -> str:
    """docs/cost.md with its tables computed anew."""
    text = between(text, "summary", tables.summary(ROOT))
    text = between(text, "detail", tables.detail(ROOT, Choice()))
    text = between(text, "work", tables.work())
    return between(text, "prices", tables.prices())


def readme(text: str) -> str:
    """README.md with the costs by choice computed anew."""
    return between(text, "cost", tables.summary(ROOT))


PAGES: dict[Path, Callable[[str], str]] = {LOCALCLOUD: localcloud_page, COST: cost_page, README: readme}


def main() -> int:
    """Write what differs."""
    for path, make in PAGES.items():
        old = path.read_text()
        new = make(old)
        if new != old:
            path.write_text(new)
        print(f"{'written' if new != old else 'up to date'}  {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
