"""The machine's own package index: found where pip and uv find theirs, and read for names that nobody published."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import html
import json
import os
import re
import secrets
import ssl
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

import httpx

from localcloud.services.codeartifact.links import Links
from localcloud.services.codeartifact.pages import KEPT_SECONDS, Kept, PageCache

# A name that the index does not know may be published any minute, and somebody waits for it.
_MISSING_SECONDS = 60.0
_MEND = (
    "Check the network and the proxy, or stop the local cloud, name another index by PIP_INDEX_URL and start it again."
)
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_ACCEPT = "application/vnd.pypi.simple.v1+html;q=0.9, text/html;q=0.5"
_LINK = re.compile(r"(<a\b[^>]*?\bhref\s*=\s*)([\"'])(.*?)\2", re.IGNORECASE | re.DOTALL)
_RELATIVE_LINK = re.compile(r"<a\b[^>]*?\bhref\s*=\s*[\"'](?!https?://)", re.IGNORECASE)
# Asks pip itself, so that every file that pip reads and its built-in default count.
_ASK_PIP = """\
import json, sys
sys.path += sys.argv[1:]
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
configuration = Configuration(isolated=False)
configuration.load()
flat = {}
for key, value in configuration.items():
    flat.update(value if isinstance(value, dict) else {key: value})
named = [flat.get(key) for key in (":env:.index-url", "install.index-url", "global.index-url")]
print(json.dumps([next((item for item in named if item), None), PyPI.simple_url]))
"""


class IndexUnavailable(Exception):
    """The machine's index cannot be asked: the status to answer with, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Vanished(IndexUnavailable):
    """A page that was known by its tag has been taken away before it was read: asked again, it is fetched."""

    def __init__(self, name: str) -> None:
        super().__init__(503, f"the page of {name} was taken away while it was read; ask again")


class Page:
    """A simple page with absolute links, and a tag that is another for other contents.

    Args:
        body: the page, or what reads it when somebody wants more than its tag.
        found: whether the index knows the name.
        tag: its entity tag, where it is known; otherwise it is made of the body.
    """

    def __init__(self, body: str | Callable[[], str], found: bool, tag: str = "") -> None:
        self._body = body
        self.found = found
        self._tag = tag

    @functools.cached_property
    def body(self) -> str:
        """The page."""
        return self._body if isinstance(self._body, str) else self._body()

    @functools.cached_property
    def tag(self) -> str:
        """An entity tag."""
        return self._tag or entity_tag(self.body)


def entity_tag(body: str) -> str:
    """A strong entity tag for a body, by its contents."""
    return f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'


def find_index(environ: Mapping[str, str]) -> str:
    """The URL of the index that package clients on this machine use.

    Raises:
        IndexUnavailable: none is configured and there is no pip to know a default.
    """
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if environ.get(name):
            value = environ[name]
            named = re.match(r"[A-Za-z0-9_.-]+=(?=[a-z]+://)", value)  # uv allows name=url
            return value[named.end() :] if named else value
    configured, default = _ask_pip(environ)
    found = configured or _from_uv(environ) or default
    if not found:
        raise IndexUnavailable(502, "no package index is configured on this machine; set PIP_INDEX_URL to one")
    return found


def _ask_pip(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    base = getattr(sys, "_base_executable", "") or sys.executable
    try:
        import ensurepip

        wheels = [str(path) for path in sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))]
    except ImportError:
        wheels = []
    try:
        done = subprocess.run(
            [base, "-c", _ASK_PIP, *wheels[-1:]], env=dict(environ), capture_output=True, text=True, timeout=30,
            check=True, cwd="/",
        )  # fmt: skip
        configured, default = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, None
    return configured, default


def _from_uv(environ: Mapping[str, str]) -> str | None:
    home = Path(environ.get("HOME") or "/nonexistent")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    for path in (Path(environ.get("UV_CONFIG_FILE") or "/nonexistent"), config / "uv/uv.toml", Path("/etc/uv/uv.toml")):
        try:
            settings = tomllib.loads(path.read_text())
        except (OSError, ValueError):
            continue
        for item in settings.get("index", []):
            if item.get("default"):
                return str(item["url"])
        found = settings.get("index-url") or settings.get("pip", {}).get("index-url")
        if found:
            return str(found)
    return None


class MachineIndex:
    """Reads simple pages and files. Pages are remembered for some minutes."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._lock = threading.Lock()
        self._pages: dict[str, tuple[float, Page]] = {}
        self._secret = secrets.token_bytes(32)
        self._url: str | None = None
        self._client: httpx.Client | None = None
        self._cache = PageCache(self._environ)
        self._links = Links(environ)
        self._trouble = (0.0, "")

    def prepare(self) -> None:
        """Find the index ahead of the first question: asking pip for it takes a second."""
        with contextlib.suppress(IndexUnavailable):
            self._open()

    def _open(self) -> tuple[str, httpx.Client]:
        with self._lock:
            if self._url is None or self._client is None:
                self._url = find_index(self._environ).rstrip("/") + "/"
                certificates = next(
                    (
                        self._environ[name]
                        for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
                        if Path(self._environ.get(name) or "/nonexistent").is_file()
                    ),
                    True,
                )
                self._client = httpx.Client(timeout=_TIMEOUT, follow_redirects=True, verify=_verify(certificates))
            return self._url, self._client

    def check(self) -> str:
        """Ask the index whether it answers. Empty, or why not and what to do; it takes some seconds at most."""
        try:
            url, client = self._open()
            if not url.startswith("file:"):
                self._get(client, f"{url}pip/")
        except IndexUnavailable as error:
            self.note(error)
            return self.trouble(0.0)
        return ""

    def note(self, error: IndexUnavailable) -> None:
        """Remember why the index could not be asked: clients show no more of it than the status."""
        if error.status != 404:
            with self._lock:
                self._trouble = (time.monotonic(), f"{error}. {_MEND}")

    def trouble(self, since: float) -> str:
        """Why the index could not be asked, and what to do, where that was after `since` (monotonic)."""
        with self._lock:
            moment, text = self._trouble
        return text if moment > since else ""

    def page(self, name: str, proxy: Callable[[str, str], str]) -> Page:
        """The simple page of a name, links absolute, hashes kept.

        Args:
            name: normalised.
            proxy: makes an address of ours from (signed reference, file name), for an index with a password.

        Raises:
            IndexUnavailable: the index cannot be reached or answers with an error.
            Vanished: the page has to be asked for again; its body may raise that, too.
        """
        page = self._indexed(name, proxy)
        own = self._links.anchors(name, lambda url, file: proxy(self.sign(url), file))
        return Page(merged(page.body, own), True) if own else page

    def _indexed(self, name: str, proxy: Callable[[str, str], str]) -> Page:
        with self._lock:
            known = self._pages.get(name)
        if known and known[0] > time.monotonic():
            return known[1]
        url, client = self._open()
        place = f"{url}{name}/"
        if url.startswith("file:"):
            raise IndexUnavailable(502, f"the machine's package index {url} is a directory, which is not served")
        private = "@" in urlsplit(url).netloc
        # A private index asks for a password, and its links are signed for this process alone; one without TLS is near.
        cached = url.startswith("https:") and not private

        if cached and (kept := self._cache.read(place)) is not None:
            return self._remember(name, Page(functools.partial(self._read, name, kept), True, kept.tag), kept.left)
        response = self._get(client, place)
        if response.status_code == 404:
            return self._remember(name, Page("", False), _MISSING_SECONDS)
        page = Page(self._absolute(response, private, proxy), True)
        if cached:
            self._cache.write(place, page.body, page.tag)
        return self._remember(name, page, KEPT_SECONDS)

    def _read(self, name: str, kept: Kept) -> str:
        """The text of a kept page. What is fetched in its place may have another tag, or be no page at all."""
        text = kept.body()
        if text is None:
            with self._lock:
                self._pages.pop(name, None)
            raise Vanished(name)
        return text

    def _absolute(self, response: httpx.Response, private: bool, proxy: Callable[[str, str], str]) -> str:
        """The page of a response with absolute links, those of a private index through us."""
        base, body = str(response.url), response.text

        def absolute(match: re.Match[str]) -> str:
            target, fragment = urldefrag(urljoin(base, html.unescape(match[3])))
            if private:
                target = proxy(self.sign(target), urlsplit(target).path.rsplit("/", 1)[-1])
            whole = f"{target}#{fragment}" if fragment else target
            return f'{match[1]}"{html.escape(whole)}"'

        # Pages have up to a megabyte of links, and an installation asks for hundreds of pages: they are not rewritten
        # where there is nothing to rewrite.
        as_it_is = not private and _RELATIVE_LINK.search(body) is None
        return body if as_it_is else _LINK.sub(absolute, body)

    def _remember(self, name: str, page: Page, seconds: float) -> Page:
        with self._lock:
            self._pages[name] = (time.monotonic() + seconds, page)
        return page

    def _get(self, client: httpx.Client, url: str) -> httpx.Response:
        shown = _without_password(url)
        try:
            response = client.get(url, headers={"Accept": _ACCEPT})
        except httpx.TimeoutException as error:
            raise IndexUnavailable(504, f"the machine's package index did not answer in time: {shown}") from error
        except httpx.HTTPError as error:
            raise IndexUnavailable(502, f"the machine's package index cannot be reached: {shown}: {error}") from error
        if response.status_code not in (200, 404):
            raise IndexUnavailable(502, f"the machine's package index answered {response.status_code} for {shown}")
        return response

    def sign(self, url: str) -> str:
        """A reference to a URL that only this process can make, so that the proxy fetches nothing else."""
        mark = hmac.new(self._secret, url.encode(), hashlib.sha256).hexdigest()[:32]
        return f"{mark}{base64.urlsafe_b64encode(url.encode()).decode().rstrip('=')}"

    def stream(self, reference: str) -> Iterator[bytes]:
        """The bytes behind a signed reference.

        Raises:
            IndexUnavailable: the reference is not ours, or the file cannot be had.
        """
        encoded = reference[32:]
        try:
            url = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        except ValueError:
            url = ""
        if not url or not hmac.compare_digest(self.sign(url), reference):
            raise IndexUnavailable(404, "this link is no longer good; ask for the simple page again")
        if url.startswith("file:"):
            return _read(Path(unquote(urlsplit(url).path)))
        index, client = self._open()
        user = urlsplit(index)
        request = client.build_request("GET", url)
        same = urlsplit(url).hostname == user.hostname
        auth = httpx.BasicAuth(user.username or "", user.password or "") if same and user.username else None
        try:
            response = client.send(request, stream=True, auth=auth)
        except httpx.HTTPError as error:
            raise IndexUnavailable(502, f"{_without_password(url)} cannot be had: {error}") from error
        if response.status_code != 200:
            response.close()
            raise IndexUnavailable(502, f"{_without_password(url)} answered {response.status_code}")

        def chunks() -> Iterator[bytes]:
            try:
                yield from response.iter_bytes(1 << 16)
            finally:
                response.close()

        return chunks()


def merged(page: str, own: str) -> str:
    """A simple page with more links in it."""
    if not page:
        return f"<!DOCTYPE html>\n<html><body>\n{own}\n</body></html>\n"
    place = page.lower().find("</body>")
    return page + own if place < 0 else f"{page[:place]}{own}\n{page[place:]}"


def _read(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise IndexUnavailable(404, f"{path} cannot be read: {error.strerror}") from error

    def chunks() -> Iterator[bytes]:
        with file:
            while chunk := file.read(1 << 20):
                yield chunk

    return chunks()


def _verify(certificates: str | bool) -> ssl.SSLContext | bool:
    return ssl.create_default_context(cafile=certificates) if isinstance(certificates, str) else True


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
