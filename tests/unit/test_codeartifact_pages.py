"""Pages of a public index are kept for a while, and whatever happens to them they can be fetched again."""

import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from localcloud.services.codeartifact.index import PipIndex
from localcloud.services.codeartifact.machine import MachineIndex, Vanished
from localcloud.services.codeartifact.pages import KEPT_SECONDS, PageCache

URL = "https://index.example/simple/six/"


def test_a_page_is_kept_until_it_is_too_old(tmp_path: Path) -> None:
    cache = PageCache({"XDG_CACHE_HOME": str(tmp_path)})
    assert cache.read(URL) is None
    cache.write(URL, "<a>ü</a>\n<a>é</a>", '"tag"')
    kept = PageCache({"XDG_CACHE_HOME": str(tmp_path)}).read(URL)
    assert kept is not None
    assert (kept.tag, kept.body()) == ('"tag"', "<a>ü</a>\n<a>é</a>")
    assert KEPT_SECONDS - 60 < kept.left <= KEPT_SECONDS
    assert cache.read("https://index.example/simple/seven/") is None
    for age in (KEPT_SECONDS + 1, -60.0):  # too old, and from a clock that went wrong
        moment = time.time() - age
        for path in tmp_path.rglob("*.page"):
            os.utime(path, (moment, moment))
        assert cache.read(URL) is None


def test_a_page_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "localcloud").write_text("a file where the folder should be")
    cache = PageCache({"XDG_CACHE_HOME": str(tmp_path)})
    cache.write(URL, "x", '"tag"')
    assert cache.read(URL) is None
    PageCache({"XDG_CACHE_HOME": str(tmp_path / "other")}).write(URL, "x", '"tag"')
    assert [path.suffix for path in (tmp_path / "other").rglob("*") if path.is_file()] == [".page"]


def test_a_page_that_is_taken_away_between_its_tag_and_its_links_is_missed(tmp_path: Path) -> None:
    cache = PageCache({"XDG_CACHE_HOME": str(tmp_path)})
    cache.write(URL, "x", '"tag"')
    kept = cache.read(URL)
    assert kept is not None
    kept.place.unlink()
    assert kept.body() is None


@pytest.mark.parametrize(("status", "body"), [(200, "<a href='https://x/six-2.whl'>six-2.whl</a>"), (404, "")])
def test_a_page_that_vanished_is_fetched_with_its_own_tag_or_is_none(tmp_path: Path, status: int, body: str) -> None:
    """Protects an installation: an emptied cache gave an empty page, which says that no version fits."""
    PageCache({"XDG_CACHE_HOME": str(tmp_path)}).write(URL, "<a>old</a>", '"old"')
    index = MachineIndex({"PIP_INDEX_URL": "https://index.example/simple", "XDG_CACHE_HOME": str(tmp_path)})
    answers = httpx.MockTransport(lambda request: httpx.Response(status, text=body, request=request))
    index._url, index._client = "https://index.example/simple/", httpx.Client(transport=answers)
    known = index.page("six", lambda *_: "")
    assert known.tag == '"old"'
    next(tmp_path.rglob("*.page")).unlink()
    with pytest.raises(Vanished, match="six was taken away"):
        _ = known.body
    fetched = index.page("six", lambda *_: "")
    assert (fetched.found, fetched.body) == (status == 200, body)
    assert fetched.tag != '"old"'


def test_the_index_asks_again_for_a_page_that_vanished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects pip, which would be told 503 for what can be had."""
    asked = []

    def simple(_: Any, request: Any) -> PlainTextResponse:
        asked.append(request)
        if len(asked) == 1:
            raise Vanished("six")
        return PlainTextResponse("a page")

    monkeypatch.setattr(PipIndex, "_simple", simple)
    index = PipIndex.__new__(PipIndex)
    assert index._page("GET", b"").body == b"a page"  # type: ignore[arg-type]
    assert asked == ["GET", "GET"]
