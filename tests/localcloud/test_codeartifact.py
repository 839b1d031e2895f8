"""CodeArtifact as boto3, the `aws` command, pip, uv and twine see it."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

OWNER = "111111111111"


def fails(code: str, call: Callable[..., Any], **request: Any) -> str:
    """The call fails with AWS's error code; the message is returned."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


def wheel(directory: Path, name: str, version: str = "1.0", body: str = "VALUE = 1\n") -> Path:
    """A wheel that pip installs."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    path = directory / f"{module}-{version}-py3-none-any.whl"
    files = {
        f"{module}.py": body,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A test\nLicense: MIT\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},"
        for file, text in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


class Outside:
    """The machine's own index, as the tests want it: a few wheels, served on this machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[str] = []
        outside = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.asked.append(self.path)
                status, body = outside.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"

    def answer(self, path: str) -> tuple[int, bytes]:
        if path.startswith("/files/"):
            return 200, (self.directory / path.removeprefix("/files/")).read_bytes()
        name = path.removeprefix("/simple/").strip("/")
        if name == "broken":
            return 500, b"broken"
        found = [file for file in self.directory.iterdir() if file.name.split("-")[0].replace("_", "-") == name]
        links = [
            f'<a href="../../files/{file.name}#sha256={hashlib.sha256(file.read_bytes()).hexdigest()}">{file.name}</a>'
            for file in found
        ]
        return (200, "\n".join(links).encode()) if found else (404, b"")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    directory = tmp_path_factory.mktemp("outside")
    running = Outside(directory)
    yield running
    running.server.shutdown()


@pytest.fixture(scope="module")
def local(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A local cloud whose machine has `outside` as its index."""
    from tests.localcloud.conftest import LocalCloud, free_port

    running = LocalCloud(tmp_path_factory.mktemp("cloud") / "home", free_port(), extra={"PIP_INDEX_URL": outside.url})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def domain(local: Any) -> str:
    name = f"d-{uuid.uuid4().hex[:8]}"
    local.client("codeartifact").create_domain(domain=name)
    return name


@pytest.fixture
def repository(local: Any, domain: str) -> str:
    local.client("codeartifact").create_repository(domain=domain, repository="packages")
    return "packages"


def token(local: Any, domain: str) -> str:
    return str(local.client("codeartifact").get_authorization_token(domain=domain)["authorizationToken"])


def index_url(local: Any, domain: str, repository: str, password: str | None = None) -> str:
    answer = local.client("codeartifact").get_repository_endpoint(domain=domain, repository=repository, format="pypi")
    return str(answer["repositoryEndpoint"]).replace("://", f"://aws:{password or token(local, domain)}@") + "simple/"


def get(url: str, password: str, accept: str = "text/html") -> tuple[int, str]:
    """Status and text of a request with a token."""
    header = base64.b64encode(f"aws:{password}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {header}", "Accept": accept})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def clean() -> dict[str, str]:
    """The environment without the machine's own package configuration."""
    return {
        key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "AWS_", "TWINE_"))
    } | {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}


def upload(local: Any, domain: str, repository: str, file: Path) -> subprocess.CompletedProcess[str]:
    endpoint = local.client("codeartifact").get_repository_endpoint(domain=domain, repository=repository, format="pypi")
    return subprocess.run(
        [sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar", "--repository-url",
         endpoint["repositoryEndpoint"], "-u", "aws", "-p", token(local, domain), str(file)],
        env={**clean(), "NO_COLOR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def uv_install(url: str, target: Path, *requirements: str) -> subprocess.CompletedProcess[str]:
    uv = Path(sys.executable).parent / "uv"
    return subprocess.run(
        [str(uv), "pip", "install", "--no-cache", "--target", str(target), "--index-url", url, *requirements],
        env=clean(), capture_output=True, text=True, check=False, cwd=target.parent,
    )  # fmt: skip


# ---------------------------------------------------------------------- domains, repositories


def test_a_domain_is_made_described_listed_and_deleted(cloud: Any) -> None:
    """Protects: a domain's life, and that one with repositories is not deleted under them."""
    client, name = cloud.client("codeartifact"), f"d-{uuid.uuid4().hex[:8]}"
    made = client.create_domain(domain=name, tags=[{"key": "team", "value": "a"}])["domain"]
    assert made["arn"] == f"arn:aws:codeartifact:eu-west-1:{OWNER}:domain/{name}"
    assert (made["status"], made["repositoryCount"], made["owner"]) == ("Active", 0, OWNER)
    assert name in [item["name"] for item in client.list_domains()["domains"]]
    assert client.list_tags_for_resource(resourceArn=made["arn"])["tags"] == [{"key": "team", "value": "a"}]
    fails("ConflictException", client.create_domain, domain=name)
    client.create_repository(domain=name, repository="one")
    assert "has repositories: one" in fails("ConflictException", client.delete_domain, domain=name)
    client.delete_repository(domain=name, repository="one")
    assert client.delete_domain(domain=name)["domain"]["status"] == "Deleted"
    fails("ResourceNotFoundException", client.describe_domain, domain=name)


def test_repositories_have_upstreams_or_an_external_connection(cloud: Any) -> None:
    """Protects: the graph of repositories stays one that AWS would accept."""
    client, domain = cloud.client("codeartifact"), f"d-{uuid.uuid4().hex[:8]}"
    client.create_domain(domain=domain)
    fails("ResourceNotFoundException", client.create_repository, domain=domain, repository="aa",
          upstreams=[{"repositoryName": "none"}])  # fmt: skip
    client.create_repository(domain=domain, repository="public")
    client.associate_external_connection(domain=domain, repository="public", externalConnection="public:pypi")
    made = client.create_repository(domain=domain, repository="team", upstreams=[{"repositoryName": "public"}])
    assert made["repository"]["upstreams"] == [{"repositoryName": "public"}]
    described = client.describe_repository(domain=domain, repository="public")["repository"]
    assert described["externalConnections"][0]["externalConnectionName"] == "public:pypi"
    message = fails("ValidationException", client.associate_external_connection, domain=domain, repository="team",
                    externalConnection="public:npmjs")  # fmt: skip
    assert "public:npmjs' is not served" in message
    fails("ConflictException", client.delete_repository, domain=domain, repository="public")
    client.update_repository(domain=domain, repository="team", upstreams=[], description="ours")
    client.disassociate_external_connection(domain=domain, repository="public", externalConnection="public:pypi")
    names = [item["name"] for item in client.list_repositories_in_domain(domain=domain)["repositories"]]
    assert names == ["public", "team"]
    message = fails(
        "ValidationException", client.get_repository_endpoint, domain=domain, repository="team", format="npm"
    )
    assert "'npm' is not served by the local cloud; served: pypi, generic" in message


def test_policies_are_kept_with_revisions(cloud: Any) -> None:
    """Protects: a policy is not overwritten by one who has not seen it."""
    client, domain = cloud.client("codeartifact"), f"d-{uuid.uuid4().hex[:8]}"
    client.create_domain(domain=domain)
    fails("ResourceNotFoundException", client.get_domain_permissions_policy, domain=domain)
    text = json.dumps({"Version": "2012-10-17", "Statement": []})
    made = client.put_domain_permissions_policy(domain=domain, policyDocument=text)["policy"]
    assert client.get_domain_permissions_policy(domain=domain)["policy"] == made
    fails(
        "ConflictException",
        client.put_domain_permissions_policy,
        domain=domain,
        policyDocument=text,
        policyRevision="x",
    )
    fails("ValidationException", client.put_domain_permissions_policy, domain=domain, policyDocument="{")
    client.delete_domain_permissions_policy(domain=domain, policyRevision=made["revision"])


def test_a_token_lasts_as_long_as_asked(cloud: Any) -> None:
    """Protects: token lifetimes are AWS's, 0 or 900 to 43200 seconds."""
    client, domain = cloud.client("codeartifact"), f"d-{uuid.uuid4().hex[:8]}"
    client.create_domain(domain=domain)
    assert client.get_authorization_token(domain=domain, durationSeconds=900)["authorizationToken"]
    assert client.get_authorization_token(domain=domain, durationSeconds=0)["expiration"]
    assert "allowed: 0" in fails(
        "ValidationException", client.get_authorization_token, domain=domain, durationSeconds=60
    )
    fails("ResourceNotFoundException", client.get_authorization_token, domain="no-such-domain")


# ---------------------------------------------------------------------- the index


def test_what_twine_uploads_uv_and_pip_install_and_the_api_describes(
    local: Any, domain: str, repository: str, tmp_path: Path
) -> None:
    """Protects: the way of the platform's own wheel: published by a build, installed by others, hash checked."""
    file = wheel(tmp_path, "my-tool", "1.2.0")
    done = upload(local, domain, repository, file)
    assert done.returncode == 0, done.stdout + done.stderr
    again = upload(local, domain, repository, file)
    assert again.returncode != 0
    assert "409" in again.stdout + again.stderr
    url, digest = index_url(local, domain, repository), hashlib.sha256(file.read_bytes()).hexdigest()
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"my-tool==1.2.0 --hash=sha256:{digest}\n")
    target = tmp_path / "uv"
    target.mkdir()
    done = uv_install(url, target, "--require-hashes", "-r", str(requirements))
    assert done.returncode == 0, done.stderr
    assert (target / "my_tool.py").exists()
    pip = [sys._base_executable, "-m", "pip", "install", "--no-cache-dir", "--no-deps", "--target"]  # type: ignore[attr-defined]
    done = subprocess.run([*pip, str(tmp_path / "pip"), "--index-url", url, "My.Tool"], env=clean(), text=True,
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    client = local.client("codeartifact")
    at = {"domain": domain, "repository": repository, "format": "pypi", "package": "My_Tool"}
    listed = client.list_packages(domain=domain, repository=repository)["packages"]
    restrictions = {"publish": "ALLOW", "upstream": "BLOCK"}
    assert listed == [{"format": "pypi", "package": "my-tool", "originConfiguration": {"restrictions": restrictions}}]
    versions = client.list_package_versions(**at)
    assert versions["defaultDisplayVersion"] == "1.2.0"
    described = client.describe_package_version(**at, packageVersion="1.2.0")["packageVersion"]
    assert (described["summary"], described["origin"]["originType"]) == ("A test", "INTERNAL")
    asset = client.list_package_version_assets(**at, packageVersion="1.2.0")["assets"][0]
    assert asset["hashes"]["SHA-256"] == digest
    sent = client.get_package_version_asset(**at, packageVersion="1.2.0", asset=file.name)
    assert sent["asset"].read() == file.read_bytes()
    assert (
        client.delete_package_versions(**at, versions=["1.2.0", "9"])["failedVersions"]["9"]["errorCode"] == "NOT_FOUND"
    )
    assert (
        get(url.replace(f"aws:{url.split('aws:')[1].split('@')[0]}@", "") + "my-tool/", token(local, domain))[0] == 404
    )


def test_the_index_speaks_json_too(local: Any, domain: str, repository: str, tmp_path: Path) -> None:
    """Protects: PEP 691 clients get names, hashes and sizes."""
    assert upload(local, domain, repository, wheel(tmp_path, "jay")).returncode == 0
    endpoint = f"{local.endpoint}/codeartifact/{domain}-{OWNER}/pypi/{repository}/simple/"
    status, text = get(f"{endpoint}jay/", token(local, domain), "application/vnd.pypi.simple.v1+json")
    document = json.loads(text)
    assert (status, document["name"], document["files"][0]["filename"]) == (200, "jay", "jay-1.0-py3-none-any.whl")
    assert "sha256" in document["files"][0]["hashes"]
    assert '<a href="jay/">jay</a>' in get(endpoint, token(local, domain))[1]


def test_no_token_a_wrong_one_and_one_of_another_domain_are_refused(local: Any, domain: str, repository: str) -> None:
    """Protects: packages are read only with the domain's own, living token."""
    client = local.client("codeartifact")
    other = f"d-{uuid.uuid4().hex[:8]}"
    client.create_domain(domain=other)
    endpoint = f"{local.endpoint}/codeartifact/{domain}-{OWNER}/pypi/{repository}/simple/x/"
    status, text = get(endpoint, "wrong")
    assert status == 401
    assert "get-authorization-token" in text
    assert get(endpoint, token(local, other))[0] == 403
    assert get(endpoint, token(local, domain))[0] == 404


def test_a_damaged_or_misnamed_upload_is_refused(local: Any, domain: str, repository: str, tmp_path: Path) -> None:
    """Protects: a file is only published when it is what the client meant to send."""
    file = wheel(tmp_path, "broken-one")
    endpoint = f"{local.endpoint}/codeartifact/{domain}-{OWNER}/pypi/{repository}/"

    def post(fields: dict[str, str], name: str) -> tuple[int, str]:
        mark = "xyz"
        body = b"".join(
            f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in fields.items()
        )
        head = f'--{mark}\r\nContent-Disposition: form-data; name="content"; filename="{name}"\r\n\r\n'
        body += head.encode() + file.read_bytes() + f"\r\n--{mark}--\r\n".encode()
        basic = base64.b64encode(f"aws:{token(local, domain)}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": f"multipart/form-data; boundary={mark}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(endpoint, body, headers)) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    fields = {":action": "file_upload", "name": "broken-one", "version": "1.0", "sha256_digest": "0" * 64}
    status, text = post(fields, file.name)
    assert (status, "sha256_digest of broken_one-1.0-py3-none-any.whl is 000" in text) == (400, True)
    del fields["sha256_digest"]
    assert post(fields, "evil-2.0-py3-none-any.whl")[0] == 400
    assert post(fields, "nothing.txt")[0] == 400
    assert post({**fields, "version": "2.0"}, file.name)[0] == 400
    assert post(fields, file.name)[0] == 200


def test_names_that_nobody_published_come_from_the_machines_index(
    local: Any, domain: str, outside: Outside, tmp_path: Path
) -> None:
    """Protects: a build installs public packages through the repository, hashes kept, from the machine's own index."""
    client = local.client("codeartifact")
    wheel(outside.directory, "public-lib", "3.0")
    client.create_repository(domain=domain, repository="public")
    client.create_repository(domain=domain, repository="team", upstreams=[{"repositoryName": "public"}])
    target = tmp_path / "site"
    target.mkdir()
    url = index_url(local, domain, "team")
    assert uv_install(url, target, "public-lib").returncode != 0  # no external connection: nothing from outside
    client.associate_external_connection(domain=domain, repository="public", externalConnection="public:pypi")
    done = uv_install(url, target, "public-lib")
    assert done.returncode == 0, done.stderr
    assert (target / "public_lib.py").exists()
    missing = uv_install(url, target, "nobody-has-this")
    assert missing.returncode != 0
    assert "nobody-has-this" in missing.stderr


def test_a_page_that_has_not_changed_is_not_sent_again(
    local: Any, domain: str, outside: Outside, tmp_path: Path
) -> None:
    """Protects: an installer asks each time, so that what is published is seen at once, but reads only what is new."""
    client, name = local.client("codeartifact"), f"lib-{uuid.uuid4().hex[:8]}"
    wheel(outside.directory, name, "1.0")
    client.create_repository(domain=domain, repository="public")
    client.associate_external_connection(domain=domain, repository="public", externalConnection="public:pypi")
    url = f"{local.endpoint}/codeartifact/{domain}-{OWNER}/pypi/public/simple/{name}/"
    header = base64.b64encode(f"aws:{token(local, domain)}".encode()).decode()
    headers = {"Authorization": f"Basic {header}", "Accept": "text/html"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        tag = answer.headers["ETag"]
        assert answer.headers["Cache-Control"] == "no-cache"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, headers={**headers, "If-None-Match": tag}))
    assert caught.value.code == 304
    assert upload(local, domain, "public", wheel(tmp_path, name, "2.0")).returncode == 0
    with urllib.request.urlopen(urllib.request.Request(url, headers={**headers, "If-None-Match": tag})) as answer:
        assert "2.0" in answer.read().decode()


def test_a_published_name_never_falls_through(local: Any, domain: str, outside: Outside, tmp_path: Path) -> None:
    """Protects: a stranger's higher version of our package's name is not installed, until its owner allows it."""
    client = local.client("codeartifact")
    wheel(outside.directory, "inner-secret", "99.0", "VALUE = 'stranger'\n")
    client.create_repository(domain=domain, repository="public")
    client.associate_external_connection(domain=domain, repository="public", externalConnection="public:pypi")
    client.create_repository(domain=domain, repository="ours")
    client.create_repository(
        domain=domain, repository="team", upstreams=[{"repositoryName": "public"}, {"repositoryName": "ours"}]
    )
    assert upload(local, domain, "ours", wheel(tmp_path, "inner-secret", "1.0", "VALUE = 'ours'\n")).returncode == 0
    before = len([path for path in outside.asked if "inner-secret" in path])
    target = tmp_path / "site"
    target.mkdir()
    done = uv_install(index_url(local, domain, "team"), target, "inner-secret")
    assert done.returncode == 0, done.stderr
    assert "ours" in (target / "inner_secret.py").read_text()
    assert len([path for path in outside.asked if "inner-secret" in path]) == before
    allow = {"publish": "ALLOW", "upstream": "ALLOW"}
    client.put_package_origin_configuration(
        domain=domain, repository="ours", format="pypi", package="inner-secret", restrictions=allow
    )
    status, text = get(
        f"{local.endpoint}/codeartifact/{domain}-{OWNER}/pypi/team/simple/inner-secret/", token(local, domain)
    )
    assert (status, "99.0" in text, "1.0-py3" in text) == (200, True, True)


def test_origin_controls_block_publishing(local: Any, domain: str, repository: str, tmp_path: Path) -> None:
    """Protects: a name reserved for packages from outside cannot be published by a build."""
    block = {"publish": "BLOCK", "upstream": "ALLOW"}
    local.client("codeartifact").put_package_origin_configuration(
        domain=domain, repository=repository, format="pypi", package="reserved", restrictions=block
    )
    done = upload(local, domain, repository, wheel(tmp_path, "reserved"))
    assert done.returncode != 0
    assert "400" in done.stdout + done.stderr


def test_an_index_that_fails_is_one_clear_error(local: Any, domain: str, outside: Outside) -> None:
    """Protects: without a network, or with a broken index, an install ends at once and names the cause."""
    client = local.client("codeartifact")
    client.create_repository(domain=domain, repository="public")
    client.associate_external_connection(domain=domain, repository="public", externalConnection="public:pypi")
    place = f"{local.endpoint}/codeartifact/{domain}-{OWNER}/pypi/public/simple"
    status, text = get(f"{place}/broken/", token(local, domain))
    assert status == 502
    assert "the machine's package index answered 500 for" in text


def test_no_network_is_told_at_once() -> None:
    """Protects: an index that nobody serves is refused in words, without its password."""
    from localcloud.services.codeartifact.machine import IndexUnavailable, MachineIndex

    index = MachineIndex({"PIP_INDEX_URL": "http://me:secret@127.0.0.1:9/simple"})
    with pytest.raises(IndexUnavailable, match="cannot be reached") as caught:
        index.page("six", lambda reference, file: "")
    assert "secret" not in str(caught.value)
    assert caught.value.status == 502


def test_the_machines_index_is_found_where_pip_and_uv_find_it(tmp_path: Path) -> None:
    """Protects: environment before configuration files before pip's own default, and no host name of ours."""
    from localcloud.services.codeartifact.machine import find_index

    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull}
    assert find_index({**bare, "PIP_INDEX_URL": "http://a/simple", "UV_INDEX_URL": "http://b"}) == "http://a/simple"
    assert find_index({**bare, "UV_DEFAULT_INDEX": "corp=http://c/simple"}) == "http://c/simple"
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = http://d/simple\n")
    assert find_index({**bare, "PIP_CONFIG_FILE": str(config)}) == "http://d/simple"
    (tmp_path / ".config/uv").mkdir(parents=True)
    (tmp_path / ".config/uv/uv.toml").write_text('[[index]]\nurl = "http://e/simple"\ndefault = true\n')
    assert find_index(bare) == "http://e/simple"


# ---------------------------------------------------------------------- generic packages, CloudFormation, the command


def test_generic_packages_are_published_and_read(cloud: Any) -> None:
    """Protects: release files of any kind, checked by their digest, finished versions closed."""
    client, domain = cloud.client("codeartifact"), f"d-{uuid.uuid4().hex[:8]}"
    client.create_domain(domain=domain)
    client.create_repository(domain=domain, repository="files")
    at = {"domain": domain, "repository": "files", "format": "generic", "namespace": "n", "package": "p",
          "packageVersion": "1"}  # fmt: skip
    digest = hashlib.sha256(b"hello").hexdigest()
    made = client.publish_package_version(
        **at, assetName="a.txt", assetContent=b"hello", assetSHA256=digest, unfinished=True
    )
    assert made["status"] == "Unfinished"
    made = client.publish_package_version(**at, assetName="b.txt", assetContent=b"hello", assetSHA256=digest)
    assert made["status"] == "Published"
    fails("ConflictException", client.publish_package_version, **at, assetName="c.txt", assetContent=b"hello",
          assetSHA256=digest)  # fmt: skip
    assert client.get_package_version_asset(**at, asset="b.txt")["asset"].read() == b"hello"
    fails("ResourceNotFoundException", client.get_package_version_asset, **at, asset="z.txt")


def test_the_aws_command_logs_pip_in(local: Any, domain: str, repository: str, tmp_path: Path) -> None:
    """Protects: `aws codeartifact login --tool pip`, as buildspecs and people use it."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "pip").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$OUT"\n')
    (tools / "pip").chmod(0o755)
    environment = local.environment() | {"OUT": str(tmp_path / "out"), "PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "awscli", "codeartifact", "login", "--tool", "pip", "--domain", domain, "--repository",
         repository], env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    url = (tmp_path / "out").read_text().split()[-1]
    assert url.startswith("http://aws:")
    assert url.endswith(f"/codeartifact/{domain}-{OWNER}/pypi/{repository}/simple/")


TEMPLATE = """
Resources:
  Domain:
    Type: AWS::CodeArtifact::Domain
    Properties:
      DomainName: {name}
      Tags: [{{Key: a, Value: b}}]
      PermissionsPolicyDocument: {{Version: "2012-10-17", Statement: []}}
  Public:
    Type: AWS::CodeArtifact::Repository
    Properties:
      DomainName: !GetAtt Domain.Name
      RepositoryName: public
      ExternalConnections: [public:pypi]
  Team:
    Type: AWS::CodeArtifact::Repository
    Properties:
      DomainName: !GetAtt Domain.Name
      RepositoryName: team
      Description: ours
      Upstreams: [!GetAtt Public.Name]
Outputs:
  Domain: {{Value: !Ref Domain}}
  Team: {{Value: !GetAtt Team.Arn}}
"""


def test_cloudformation_makes_and_removes_domain_and_repositories(cloud: Any) -> None:
    """Protects: the package layer of a template: attributes, connections, policy, and a clean end."""
    name = f"d-{uuid.uuid4().hex[:8]}"
    stacks, client = cloud.client("cloudformation"), cloud.client("codeartifact")
    stacks.create_stack(StackName=name, TemplateBody=TEMPLATE.format(name=name))
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    outputs = {
        item["OutputKey"]: item["OutputValue"]
        for item in stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    }
    assert outputs["Domain"] == f"arn:aws:codeartifact:eu-west-1:{OWNER}:domain/{name}"
    assert outputs["Team"] == f"arn:aws:codeartifact:eu-west-1:{OWNER}:repository/{name}/team"
    team = client.describe_repository(domain=name, repository="team")["repository"]
    assert (team["description"], team["upstreams"]) == ("ours", [{"repositoryName": "public"}])
    assert client.get_domain_permissions_policy(domain=name)["policy"]["document"]
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    fails("ResourceNotFoundException", client.describe_domain, domain=name)


# ---------------------------------------------------------------------- package groups


def test_package_groups_inherit_and_the_most_specific_one_holds_a_package(cloud: Any) -> None:
    """Protects: which fence is round a package: the closest group, and what that does not say from those around it."""
    client, domain = cloud.client("codeartifact"), f"d-{uuid.uuid4().hex[:8]}"
    client.create_domain(domain=domain)
    client.create_repository(domain=domain, repository="team")
    fails("ConflictException", client.create_package_group, domain=domain, packageGroup="/*")
    root = client.describe_package_group(domain=domain, packageGroup="/*")["packageGroup"]
    modes = {way: rule["effectiveMode"] for way, rule in root["originConfiguration"]["restrictions"].items()}
    assert modes == {"EXTERNAL_UPSTREAM": "ALLOW", "INTERNAL_UPSTREAM": "ALLOW", "PUBLISH": "ALLOW"}
    client.create_package_group(domain=domain, packageGroup="/pypi/*")
    client.create_package_group(domain=domain, packageGroup="/pypi//our-own$")
    done = client.update_package_group_origin_configuration(
        domain=domain, packageGroup="/pypi/*",
        restrictions={"PUBLISH": "ALLOW_SPECIFIC_REPOSITORIES", "EXTERNAL_UPSTREAM": "BLOCK"},
        addAllowedRepositories=[{"repositoryName": "team", "originRestrictionType": "PUBLISH"}],
    )  # fmt: skip
    assert done["allowedRepositoryUpdates"] == {"PUBLISH": {"ADDED": ["team"]}}
    found = client.get_associated_package_group(domain=domain, format="pypi", package="Our_Own")
    own = found["packageGroup"]
    assert (own["pattern"], own["parent"]["pattern"], found["associationType"]) == (
        "/pypi//our-own$", "/pypi/*", "STRONG",
    )  # fmt: skip
    external = own["originConfiguration"]["restrictions"]["EXTERNAL_UPSTREAM"]
    assert (external["mode"], external["effectiveMode"]) == ("INHERIT", "BLOCK")
    assert external["inheritedFrom"]["pattern"] == "/pypi/*"
    other = client.get_associated_package_group(domain=domain, format="generic", namespace="x", package="y")
    assert other["packageGroup"]["pattern"] == "/*"
    allowed = client.list_allowed_repositories_for_group(
        domain=domain, packageGroup="/pypi/*", originRestrictionType="PUBLISH"
    )
    assert allowed["allowedRepositories"] == ["team"]
    below = client.list_sub_package_groups(domain=domain, packageGroup="/*")["packageGroups"]
    assert [group["pattern"] for group in below] == ["/pypi/*"]
    fails("ValidationException", client.delete_package_group, domain=domain, packageGroup="/*")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("/pypi//our~", "not served by the local cloud"),
        ("/pypi/requests$", "no pattern"),
        ("/npm/*", "not served by the local cloud"),
        ("/pypi//Our_Own$", "our-own"),
        ("/pypi/team/own$", "no namespace"),
    ],
)
def test_a_pattern_that_would_hold_nothing_is_refused(cloud: Any, pattern: str, words: str) -> None:
    """Protects: no fence that looks as if it stood and holds nothing."""
    client, domain = cloud.client("codeartifact"), f"d-{uuid.uuid4().hex[:8]}"
    client.create_domain(domain=domain)
    assert words in fails("ValidationException", client.create_package_group, domain=domain, packageGroup=pattern)


def test_origin_controls_keep_public_packages_out_and_strangers_from_publishing(
    local: Any, domain: str, outside: Outside, tmp_path: Path
) -> None:
    """Protects: nobody gets a public package of a private name, and nobody publishes a name that is not theirs."""
    client = local.client("codeartifact")
    name = f"confused-{uuid.uuid4().hex[:8]}"
    wheel(outside.directory, name, "9.0", "VALUE = 'evil'\n")
    client.create_repository(domain=domain, repository="public")
    client.associate_external_connection(domain=domain, repository="public", externalConnection="public:pypi")
    client.create_repository(domain=domain, repository="team", upstreams=[{"repositoryName": "public"}])
    url = index_url(local, domain, "team")
    assert uv_install(url, tmp_path / "before", name).returncode == 0, "without controls the public package is taken"

    client.create_package_group(domain=domain, packageGroup="/pypi/*")
    client.update_package_group_origin_configuration(
        domain=domain, packageGroup="/pypi/*", restrictions={"PUBLISH": "BLOCK"}
    )
    refusal = upload(local, domain, "team", wheel(tmp_path, "stranger"))
    assert refusal.returncode != 0
    fails("ResourceNotFoundException", client.describe_package, domain=domain, repository="team", format="pypi",
          package="stranger")  # fmt: skip
    client.create_package_group(domain=domain, packageGroup=f"/pypi//{name}$")
    client.update_package_group_origin_configuration(
        domain=domain, packageGroup=f"/pypi//{name}$",
        restrictions={"PUBLISH": "ALLOW", "EXTERNAL_UPSTREAM": "BLOCK", "INTERNAL_UPSTREAM": "BLOCK"},
    )  # fmt: skip
    refused = uv_install(url, tmp_path / "blocked", name)
    assert refused.returncode != 0, "a name of ours that was never published is not answered from outside"
    done = upload(local, domain, "team", wheel(tmp_path, name, "1.0", "VALUE = 'ours'\n"))
    assert done.returncode == 0, done.stdout + done.stderr
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--quiet", "--disable-pip-version-check", "--target",
         str(tmp_path / "after"), "--index-url", url, name], env=clean(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert pip.returncode == 0, pip.stderr
    assert "ours" in (tmp_path / "after" / f"{name.replace('-', '_')}.py").read_text()
    # What a client remembers of the public page does not help either: the repository itself does not hand it on.
    assert uv_install(url, tmp_path / "pinned", f"{name}==9.0").returncode != 0
