"""Pages of a public index are kept for a while, and whatever happens to them they can be fetched again."""

import os
import time
from pathlib import Path

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
