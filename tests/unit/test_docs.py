"""The documents say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.generate_docs import PAGES, between

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_generated_pages_are_up_to_date(path: Path) -> None:
    """Protects readers from tables that the code has left behind: `make docs` mends it."""
    text = path.read_text()
    assert PAGES[path](text) == text, f"{path.name} is out of date: make docs"


def test_a_page_without_its_marks_is_refused() -> None:
    """Shows that the generator cannot silently write nothing."""
    with pytest.raises(ValueError, match="operations"):
        between("no marks", "operations", "content")


def test_every_make_command_in_the_documents_exists() -> None:
    """Protects those who type what they read."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in DOCUMENTS:
        named = re.findall(r"(?:`|^    |\()make (?:-s )?([a-z-]+)", document.read_text(), flags=re.MULTILINE)
        for target in named:
            assert target in targets, f"{document.name}: make {target} does not exist"


def test_every_link_to_a_file_leads_somewhere() -> None:
    """Protects readers from dead links."""
    for document in DOCUMENTS:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link} does not exist"


def test_every_control_names_tests_that_exist() -> None:
    """Protects the table of controls from proofs that were renamed or never written."""
    page = (ROOT / "docs" / "security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith(("| preventive", "| detective", "| corrective"))]
    assert len(rows) > 20
    for row in rows:
        proofs = re.findall(r"`([\w/.]+\.py)::(\w+)`", row)
        assert proofs, f"no test proves: {row}"
        for file, name in proofs:
            assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name} does not exist"


def test_make_alone_explains_every_command() -> None:
    """Protects the list: a command without a line of help is not found."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, flags=re.MULTILINE)
    assert len(phony) > 15
    for target in phony:
        assert re.search(rf"^{target}:.*## \S", makefile, flags=re.MULTILINE), f"make {target} has no help"


def test_every_locked_dependency_of_ours_is_explained() -> None:
    """Protects the lock file from libraries that nobody can say the reason of."""
    page = (ROOT / "docs" / "dependencies.md").read_text().lower()
    lines = (ROOT / "requirements.in").read_text().splitlines()
    names = [re.split(r"[=<>\[ #]", line)[0] for line in lines if line and not line.startswith("#")]
    missing = [name for name in names if not re.search(rf"(?<![a-z0-9-]){re.escape(name.lower())}(?![a-z0-9-])", page)]
    assert missing == [], f"docs/dependencies.md does not say why these are there: {missing}"
