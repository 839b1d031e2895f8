"""Files that lie where the machine's pip looks for them are offered beside its index's."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.services.codeartifact.links import Links, folders
from localcloud.services.codeartifact.machine import IndexUnavailable, MachineIndex, Page


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels here"
    folder.mkdir()
    for name in ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "Some_Thing-1.0.tar.gz", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_the_folders_are_those_that_pip_is_told_of(wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    given = {"PIP_FIND_LINKS": f"{tmp_path / 'other'} https://example.com/wheels {tmp_path / 'nowhere'}"}
    assert folders(given) == [tmp_path / "other"]
    assert folders({"UV_FIND_LINKS": wheels.as_uri()}) == [wheels]
    assert folders({}) == []


def test_files_are_known_by_the_normalised_name_of_their_package(wheels: Path) -> None:
    links = Links({"UV_FIND_LINKS": str(wheels)})
    assert [path.name for path in links.files("some-thing")] == ["Some_Thing-1.0.tar.gz"]
    assert [path.name for path in links.files("torch")] == ["torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"]
    assert links.files("notes") == []


@pytest.mark.parametrize(
    "indexed", [Page("<html><body>\n<a href='https://x/torch-2.13.0.whl'></a></body>", True), Page("", False)]
)
def test_a_page_has_what_the_index_has_and_what_lies_here(
    indexed: Page, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installer takes 2.13.0+cpu for ==2.13.0: a local version is the newer one (PEP 440)."""
    index = MachineIndex({"UV_FIND_LINKS": str(wheels)})
    monkeypatch.setattr(index, "_indexed", lambda name, proxy: indexed)
    given: dict[str, str] = {}

    def proxy(reference: str, file: str) -> str:
        given[file] = reference
        return f"/external/{file}"

    page = index.page("torch", proxy)
    assert page.found
    assert indexed.body.removesuffix("</body>") in page.body
    (file,) = given
    assert f'href="/external/{file}"' in page.body
    assert b"".join(index.stream(given[file])) == file.encode()
    assert index.page("numpy", proxy) is indexed


def test_no_other_file_of_the_machine_can_be_had(wheels: Path) -> None:
    index = MachineIndex({"UV_FIND_LINKS": str(wheels)})
    forged = "0" * 32 + index.sign("file:///etc/passwd")[32:]
    with pytest.raises(IndexUnavailable, match="no longer good"):
        index.stream(forged)
