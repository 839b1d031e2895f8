"""The pip index of a repository: simple pages (PEP 503 and 691), files, and uploads as twine makes them."""

from __future__ import annotations

import base64
import binascii
import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route as Path

from localcloud.core import Fault
from localcloud.core.recorder import Recorded
from localcloud.services.codeartifact.assets import digests
from localcloud.services.codeartifact.machine import IndexUnavailable, MachineIndex, Page, Vanished, merged
from localcloud.services.codeartifact.multipart import read_form
from localcloud.services.codeartifact.origins import fence
from localcloud.services.codeartifact.records import CONNECTION, Document, normal, package_key

if TYPE_CHECKING:
    from localcloud.services.codeartifact.service import CodeArtifact

PREFIX = "/codeartifact/"
HEALTH = "/_localcloud/packages"
_JSON = "application/vnd.pypi.simple.v1+json"
_HTML = "application/vnd.pypi.simple.v1+html"
_FRESH = {"Cache-Control": "no-cache"}
_LARGEST_UPLOAD = 5 << 30


class Refused(Exception):
    """The request ends with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Visit:
    """Who asks which repository."""

    owner: str
    region: str
    principal: str
    account: str
    repository: Document


class PipIndex:
    """The ASGI application under /codeartifact/."""

    def __init__(self, service: CodeArtifact, machine: MachineIndex) -> None:
        self._service = service
        self._machine = machine
        place = "/codeartifact/{domain}/{form}/{repository}"
        self.app = Starlette(
            routes=[
                Path(f"{place}/", self._answer(self._upload), methods=["POST"]),
                Path(f"{place}", self._answer(self._upload), methods=["POST"]),
                Path(f"{place}/simple/", self._answer(self._root), methods=["GET"]),
                Path(f"{place}/simple/{{name}}/", self._answer(self._page), methods=["GET"]),
                Path(f"{place}/simple/{{name}}", self._answer(self._page), methods=["GET"]),
                Path(f"{place}/simple/{{name}}/{{version}}/{{file}}", self._answer(self._file), methods=["GET"]),
                Path(f"{place}/external/{{reference}}/{{file}}", self._answer(self._external), methods=["GET"]),
                Path(HEALTH, self._answer(self._health), methods=["GET"]),
            ]
        )

    def _answer(self, body: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            try:
                content = await self._body(request) if request.method == "POST" else b""
                result: Response = await run_in_threadpool(body, request, content)
            except Refused as refused:
                extra = {"WWW-Authenticate": 'Basic realm="AWS CodeArtifact"'} if refused.status == 401 else {}
                return PlainTextResponse(refused.text + "\n", refused.status, headers=extra)
            except Fault as fault:
                status = {"ConflictException": 409, "ResourceNotFoundException": 404}.get(fault.code, 400)
                return PlainTextResponse(f"{fault.message}\n", status)
            except IndexUnavailable as error:
                self._machine.note(error)
                return PlainTextResponse(f"{error}\n", error.status)
            return result

        return endpoint

    @staticmethod
    async def _body(request: Request) -> bytes:
        if int(request.headers.get("content-length", "0") or 0) > _LARGEST_UPLOAD:
            raise Refused(413, "The file is larger than the 5 GB that an asset may have")
        return await request.body()

    # ------------------------------------------------------------------ who asks for what

    def _visit(self, request: Request, action: str) -> Visit:
        name, form, repository = (request.path_params[key] for key in ("domain", "form", "repository"))
        domain, _, owner = name.rpartition("-")
        token = _token(request.headers)
        session = self._service.session(token) if token else None
        if session is None:
            raise Refused(
                401,
                "The authorization token is missing, unknown or has expired; get one with "
                f"`aws codeartifact get-authorization-token --domain {domain or name} --domain-owner {owner}` and pass "
                "it as the password of the user aws",
            )
        if form != "pypi":
            raise Refused(404, f"The package format '{form}' is not served by the local cloud; served: pypi")
        account, region, record = session
        if (account, record["domain"]) != (owner, domain):
            raise Refused(
                403, f"The token is for the domain {record['domain']} of {account}, not for {domain} of {owner}"
            )
        found = self._service.records.repository(owner, region, domain, repository)
        visit = Visit(owner, region, record["principal"], record["account"], found)
        if action:
            self._record(visit, action, found["arn"])
        return visit

    def _record(self, visit: Visit, action: str, resource: str) -> None:
        recorder = self._service.cloud.recorder
        if recorder is not None:
            call = f"codeartifact:{action}"
            recorder.add(Recorded(visit.account, visit.region, visit.principal, call, resource, 200))

    # ------------------------------------------------------------------ reading

    def _root(self, request: Request, _: bytes) -> Response:
        visit = self._visit(request, "ReadFromRepository")
        names = set()
        for repository in self._chain(visit):
            prefix = f"{repository['domainName']}/{repository['name']}/pypi/"
            names |= {
                item["name"]
                for owner, region, key, item in self._service.records.packages.all()
                if (owner, region) == (visit.owner, visit.region) and key.startswith(prefix)
            }
        if _wants_json(request):
            document = {"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in sorted(names)]}
            return JSONResponse(document, media_type=_JSON, headers=_FRESH)
        links = "\n".join(f'<a href="{name}/">{name}</a><br/>' for name in sorted(names))
        return _html("Simple index", links)

    def _chain(self, visit: Visit) -> list[Document]:
        """The repository and its upstreams, nearest first, each once."""
        found: list[Document] = []
        waiting = [visit.repository["name"]]
        while waiting:
            name = waiting.pop(0)
            if any(item["name"] == name for item in found):
                continue
            try:
                item = self._service.records.repository(visit.owner, visit.region, visit.repository["domainName"], name)
            except Fault:
                continue
            found.append(item)
            waiting += item["upstreams"]
        return found

    def _page(self, request: Request, _: bytes) -> Response:
        try:
            return self._simple(request)
        except Vanished:
            return self._simple(request)

    def _simple(self, request: Request) -> Response:
        visit, name = self._visit(request, "ReadFromRepository"), normal(request.path_params["name"])
        files: dict[str, tuple[Document, Document]] = {}
        external = False
        domain = visit.repository["domainName"]
        fenced = fence(self._service.records, visit.owner, visit.region, domain, "pypi", "", name)
        for repository in self._chain(visit):
            asked = visit.repository["name"]
            if repository["name"] != asked and not fenced.allows("INTERNAL_UPSTREAM", asked):
                break  # what an upstream has may not enter the repository that was asked
            key = package_key(repository["domainName"], repository["name"], "pypi", "", name)
            package = self._service.records.packages.get(visit.owner, visit.region, key)
            for version in self._service.records.published(visit.owner, visit.region, key):
                for asset in version["assets"] if version["status"] == "Published" else ():
                    files.setdefault(asset["name"], (version, asset))
            if package is not None and package["restrictions"]["upstream"] == "BLOCK":
                external = False
                break  # what lies behind a blocked package stays out: a published name never falls through
            if CONNECTION in repository["externalConnections"]:
                external = external or fenced.allows("EXTERNAL_UPSTREAM", repository["name"])
        if files and not external:
            return self._published(request, name, files)
        if not external:
            raise Refused(404, f"No version of '{name}' is in the repository {visit.repository['name']}")
        page = self._machine.page(name, lambda reference, file: self._proxied(request, reference, file))
        if files:
            own = "\n".join(self._links(request, name, files))
            whole = merged(page.body, own)
            return _tagged(request, Page(whole, True))
        if not page.found:
            raise Refused(404, f"'{name}' is neither in the repository {visit.repository['name']} nor in {CONNECTION}")
        return _tagged(request, page)

    @staticmethod
    def _proxied(request: Request, reference: str, file: str) -> str:
        place = request.url.path.split("/simple/")[0]
        return f"{place}/external/{reference}/{file}"

    def _published(self, request: Request, name: str, files: Mapping[str, tuple[Document, Document]]) -> Response:
        if _wants_json(request):
            listed = [
                {
                    "filename": file,
                    "url": self._place(request, name, version["version"], file),
                    "hashes": {"sha256": asset["hashes"]["SHA-256"]},
                    "size": asset["size"],
                    **_requires(asset),
                }
                for file, (version, asset) in files.items()
            ]
            versions = sorted({version["version"] for version, _ in files.values()})
            document = {"meta": {"api-version": "1.1"}, "name": name, "versions": versions, "files": listed}
            return JSONResponse(document, media_type=_JSON, headers=_FRESH)
        return _html(f"Links for {name}", "\n".join(self._links(request, name, files)))

    @staticmethod
    def _place(request: Request, name: str, version: str, file: str) -> str:
        place = request.url.path.split("/simple/")[0]
        return f"{place}/simple/{name}/{version}/{file}"

    def _links(self, request: Request, name: str, files: Mapping[str, tuple[Document, Document]]) -> list[str]:
        links = []
        for file, (version, asset) in files.items():
            place = self._place(request, name, version["version"], file)
            requires = _requires(asset).get("requires-python")
            extra = f' data-requires-python="{html.escape(requires)}"' if requires else ""
            links.append(f'<a href="{html.escape(place)}#sha256={asset["hashes"]["SHA-256"]}"{extra}>{file}</a><br/>')
        return links

    def _file(self, request: Request, _: bytes) -> Response:
        visit, parts = self._visit(request, "ReadFromRepository"), request.path_params
        for repository in self._chain(visit):
            key = package_key(repository["domainName"], repository["name"], "pypi", "", parts["name"])
            version = self._service.records.versions.get(visit.owner, visit.region, f"{key}/{parts['version']}")
            for asset in version["assets"] if version and version["status"] in ("Published", "Unlisted") else ():
                if asset["name"] == parts["file"]:
                    sha256 = asset["hashes"]["SHA-256"]
                    headers = {**_FRESH, "ETag": f'"{sha256}"'}
                    if request.headers.get("if-none-match") == headers["ETag"]:
                        return Response(status_code=304, headers=headers)
                    path = self._service.assets.path(sha256)
                    return FileResponse(path, media_type="application/octet-stream", headers=headers)
        raise Refused(404, f"No file '{parts['file']}' of '{parts['name']}' is in {visit.repository['name']}")

    def _health(self, request: Request, _: bytes) -> Response:
        """Whether packages from outside can be had, before somebody begins what needs them."""
        problem = self._machine.check()
        return JSONResponse({"reachable": not problem, "problem": problem}, headers=_FRESH)

    def _external(self, request: Request, _: bytes) -> Response:
        self._visit(request, "ReadFromRepository")
        return StreamingResponse(self._machine.stream(request.path_params["reference"]))

    # ------------------------------------------------------------------ uploads

    def _upload(self, request: Request, content: bytes) -> Response:
        visit = self._visit(request, "")
        fields, file, data = read_form(request.headers.get("content-type", ""), content)
        if fields.get(":action") != "file_upload":
            raise Refused(400, f"the form's :action is '{fields.get(':action', '')}'; allowed: file_upload")
        for name in ("name", "version"):
            if not fields.get(name):
                raise Refused(400, f"the form has no {name}")
        if not file:
            raise Refused(400, "the form has no file under the name content")
        version = _check_name(file, fields["name"], fields["version"])
        # Publishing is authorized on the package, reading on the repository.
        package = visit.repository["arn"].replace(":repository/", ":package/")
        self._record(visit, "PublishPackageVersion", f"{package}/pypi//{fields['name']}")
        hashes = digests(data)
        for field, algorithm in (("sha256_digest", "SHA-256"), ("md5_digest", "MD5")):
            given = fields.get(field, "").lower()
            if given and given != hashes[algorithm]:
                raise Refused(400, f"{field} of {file} is {given}, but the file received has {hashes[algorithm]}")
        kept = ("summary", "home_page", "license", "requires_python", "author", "metadata_version")
        self._service.add_asset(
            visit.repository, visit.region, form="pypi", namespace="", package=fields["name"], version=version,
            name=file, content=data, hashes=hashes,
            metadata={name: fields[name] for name in kept if fields.get(name)},
        )  # fmt: skip
        return PlainTextResponse("", 200)


def _requires(asset: Document) -> dict[str, str]:
    value = asset.get("metadata", {}).get("requires_python")
    return {"requires-python": value} if value else {}


def _wants_json(request: Request) -> bool:
    """Whether JSON is what the client likes best; HTML where it does not say."""
    best, chosen = -1.0, ""
    for item in request.headers.get("accept", "").split(","):
        kind, _, rest = item.strip().partition(";")
        try:
            weight = float(rest.strip().removeprefix("q=")) if rest.strip().startswith("q=") else 1.0
        except ValueError:
            weight = 0.0
        if kind in (_JSON, _HTML, "text/html", "*/*") and weight > best:
            best, chosen = weight, kind
    return chosen == _JSON


def _html(title: str, body: str) -> Response:
    text = (
        '<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.0"/>'
        f"<title>{html.escape(title)}</title></head><body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )
    return HTMLResponse(text, headers=_FRESH)


def _tagged(request: Request, page: Page) -> Response:
    """A page, or 304 for a client whose copy is still good: it asks each time, but does not read each time."""
    headers = {**_FRESH, "ETag": page.tag}
    if page.tag in (item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return HTMLResponse(page.body, headers=headers)


def _token(headers: Mapping[str, str]) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _check_name(file: str, name: str, version: str) -> str:
    """The version, where the file's name fits name and version of the form."""
    try:
        given = Version(version)
    except InvalidVersion:
        raise Refused(400, f"the version '{version}' is not one of PEP 440") from None
    try:
        if file.endswith(".whl"):
            found, told = parse_wheel_filename(file)[:2]
        else:
            found, told = parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise Refused(400, f"'{file}' is the name of neither a wheel nor a source distribution: {error}") from None
    if found != normal(name) or told != given:
        raise Refused(400, f"the file '{file}' is not of the package '{name}' version '{version}' that the form names")
    return version
