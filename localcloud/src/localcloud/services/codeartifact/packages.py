"""Packages and their versions."""

from __future__ import annotations

from typing import Any

from packaging.version import InvalidVersion, Version

from localcloud.core import Call, now, operation, paginate, short_id
from localcloud.services.codeartifact.assets import Assets, digests
from localcloud.services.codeartifact.origins import fence
from localcloud.services.codeartifact.records import (
    Document,
    conflict,
    invalid,
    missing,
    normal,
    package_key,
    served_format,
)
from localcloud.services.codeartifact.repositories import RepositoryOperations

_TARGETS = ("Published", "Unlisted", "Archived")


def _order(version: str) -> tuple[int, Any]:
    try:
        return 1, Version(version)
    except InvalidVersion:
        return 0, version


class PackageOperations(RepositoryOperations):
    """ListPackages and its kin."""

    @property
    def assets(self) -> Assets:
        """The files of all package versions."""
        return Assets(self.cloud.home / "codeartifact")

    def _key(self, call: Call) -> tuple[str, str]:
        """(owner, package key) of the package that a call names."""
        repository = self.repository_of(call)
        form = served_format(call.input["format"])
        key = package_key(
            repository["domainName"], repository["name"], form, call.input.get("namespace", ""), call.input["package"]
        )
        return repository["domainOwner"], key

    def _package(self, call: Call) -> tuple[str, str, Document]:
        owner, key = self._key(call)
        document = self.records.packages.get(owner, call.region, key)
        if document is None:
            raise missing("package", call.input["package"], f"Package not found. Package: '{call.input['package']}'")
        return owner, key, document

    def _version(self, call: Call) -> tuple[str, str, Document]:
        owner, key, _ = self._package(call)
        version = call.input["packageVersion"]
        document = self.records.versions.get(owner, call.region, f"{key}/{version}")
        if document is None:
            package = call.input["package"]
            raise missing("package-version", version, f"Package version not found. Package: '{package}' '{version}'")
        return owner, key, document

    @staticmethod
    def _named(document: Document) -> Document:
        named = {"format": document["format"]}
        return named | ({"namespace": document["namespace"]} if document["namespace"] else {})

    # ------------------------------------------------------------------ packages

    @operation("ListPackages")
    def list_packages(self, call: Call) -> Document:
        """The packages that a repository holds itself."""
        repository = self.repository_of(call)
        prefix = f"{repository['domainName']}/{repository['name']}/"
        found = []
        for owner, region, key, document in self.records.packages.all():
            restrictions = document["restrictions"]
            if (
                (owner, region) == (repository["domainOwner"], call.region)
                and key.startswith(prefix)
                and call.input.get("format") in (None, document["format"])
                and call.input.get("namespace") in (None, document["namespace"])
                and document["name"].startswith(call.input.get("packagePrefix", ""))
                and call.input.get("publish") in (None, restrictions["publish"])
                and call.input.get("upstream") in (None, restrictions["upstream"])
            ):
                found.append(
                    {
                        **self._named(document),
                        "package": document["name"],
                        "originConfiguration": {"restrictions": restrictions},
                    }
                )
        page, token = paginate(sorted(found, key=lambda item: str(item["package"])), call.input)
        return {"packages": page, "nextToken": token}

    @operation("DescribePackage")
    def describe_package(self, call: Call) -> Document:
        """A package."""
        _, _, document = self._package(call)
        origin = {"restrictions": document["restrictions"]}
        return {"package": {**self._named(document), "name": document["name"], "originConfiguration": origin}}

    @operation("DeletePackage")
    def delete_package(self, call: Call) -> Document:
        """Delete a package with all its versions."""
        owner, key, document = self._package(call)
        with self.records.store.transaction():
            for version in self.records.published(owner, call.region, key):
                self.records.versions.delete(owner, call.region, f"{key}/{version['version']}")
            self.records.packages.delete(owner, call.region, key)
        origin = {"restrictions": document["restrictions"]}
        return {"deletedPackage": {**self._named(document), "package": document["name"], "originConfiguration": origin}}

    @operation("PutPackageOriginConfiguration")
    def put_package_origin_configuration(self, call: Call) -> Document:
        """Say whether versions may be published and may come from upstreams; the package need not exist yet."""
        owner, key = self._key(call)
        restrictions = call.input["restrictions"]
        document = self.records.packages.get(owner, call.region, key) or self._new_package(call)
        document["restrictions"] = restrictions
        self.records.packages.put(owner, call.region, key, document)
        return {"originConfiguration": {"restrictions": restrictions}}

    @staticmethod
    def _new_package(call: Call) -> Document:
        form, name = call.input["format"], call.input["package"]
        return {
            "format": form,
            "namespace": call.input.get("namespace", ""),
            "name": normal(name) if form == "pypi" else name,
            "restrictions": {"publish": "ALLOW", "upstream": "BLOCK"},
        }

    # ------------------------------------------------------------------ versions

    @operation("ListPackageVersions")
    def list_package_versions(self, call: Call) -> Document:
        """The versions of a package, newest first."""
        owner, key, package = self._package(call)
        versions = self.records.published(owner, call.region, key)
        versions.sort(key=lambda item: _order(item["version"]), reverse=True)
        latest = [item["version"] for item in versions if item["status"] == "Published"]
        if call.input.get("sortBy") == "PUBLISHED_TIME":
            versions.sort(key=lambda item: str(item["publishedTime"]), reverse=True)
        origin = call.input.get("originType", "INTERNAL")
        found = [
            {
                "version": item["version"],
                "revision": item["revision"],
                "status": item["status"],
                "origin": item["origin"],
            }
            for item in versions
            if call.input.get("status") in (None, item["status"]) and origin == "INTERNAL"
        ]
        page, token = paginate(found, call.input)
        return {
            **self._named(package), "package": package["name"], "versions": page, "nextToken": token,
            "defaultDisplayVersion": latest[0] if latest else None,
        }  # fmt: skip

    @operation("DescribePackageVersion")
    def describe_package_version(self, call: Call) -> Document:
        """A version with what its metadata tells."""
        _, _, document = self._version(call)
        metadata = document.get("metadata", {})
        found = {
            **self._named(document),
            "packageName": document["package"],
            "displayName": document["package"],
            "version": document["version"],
            "summary": metadata.get("summary"),
            "homePage": metadata.get("home_page"),
            "publishedTime": document["publishedTime"],
            "licenses": [{"name": metadata["license"]}] if metadata.get("license") else [],
            "revision": document["revision"],
            "status": document["status"],
            "origin": document["origin"],
        }
        return {"packageVersion": {key: value for key, value in found.items() if value is not None}}

    @operation("ListPackageVersionAssets")
    def list_package_version_assets(self, call: Call) -> Document:
        """The files of a version."""
        _, _, document = self._version(call)
        assets = [{key: asset[key] for key in ("name", "size", "hashes")} for asset in document["assets"]]
        page, token = paginate(assets, call.input)
        return {
            **self._named(document), "package": document["package"], "version": document["version"],
            "versionRevision": document["revision"], "assets": page, "nextToken": token,
        }  # fmt: skip

    @operation("GetPackageVersionAsset")
    def get_package_version_asset(self, call: Call) -> Document:
        """The bytes of a file."""
        _, _, document = self._version(call)
        name, revision = call.input["asset"], call.input.get("packageVersionRevision")
        found = [asset for asset in document["assets"] if asset["name"] == name]
        if not found or revision not in (None, document["revision"]):
            raise missing("asset", name, f"Asset not found. Asset: '{name}' of revision '{revision or 'latest'}'")
        if document["status"] in ("Archived", "Disposed"):
            raise conflict("package-version", document["version"], f"The version is {document['status']}")
        return {
            "asset": self.assets.path(found[0]["hashes"]["SHA-256"]).read_bytes(),
            "assetName": name,
            "packageVersion": document["version"],
            "packageVersionRevision": document["revision"],
        }

    @operation("PublishPackageVersion")
    def publish_package_version(self, call: Call) -> Document:
        """Add a file to a version of a generic package."""
        if call.input["format"] != "generic":
            raise invalid(
                f"PublishPackageVersion takes the format generic only, '{call.input['format']}' given; "
                "Python packages are uploaded to the repository's endpoint, e.g. with twine"
            )
        name, content = call.input["assetName"], call.input["assetContent"]
        hashes = digests(content)
        if hashes["SHA-256"] != call.input["assetSHA256"]:
            raise invalid(
                f"assetSHA256 is {call.input['assetSHA256']}, the SHA-256 of the {len(content)} bytes received is "
                f"{hashes['SHA-256']}"
            )
        repository = self.repository_of(call)
        document = self.add_asset(
            repository, call.region, form="generic", namespace=call.input.get("namespace", ""),
            package=call.input["package"], version=call.input["packageVersion"], name=name, content=content,
            hashes=hashes, finished=not call.input.get("unfinished", False),
        )  # fmt: skip
        return {
            **self._named(document), "package": document["package"], "version": document["version"],
            "versionRevision": document["revision"], "status": document["status"],
            "asset": {"name": name, "size": len(content), "hashes": hashes},
        }  # fmt: skip

    def add_asset(
        self, repository: Document, region: str, *, form: str, namespace: str, package: str, version: str, name: str,
        content: bytes, hashes: dict[str, str], finished: bool = True, metadata: dict[str, str] | None = None,
    ) -> Document:  # fmt: skip
        """Publish a file; the first makes package and version.

        Raises:
            Fault: ConflictException when the file exists or a finished generic version is added to; ValidationException
                when the origin controls of the package or its group block publishing.
        """
        owner, key = repository["domainOwner"], package_key(
            repository["domainName"], repository["name"], form, namespace, package
        )  # fmt: skip
        self.assets.keep(content, hashes["SHA-256"])
        with self.records.store.transaction():
            known = self.records.packages.get(owner, region, key)
            fenced = fence(self.records, owner, region, repository["domainName"], form, namespace, package)
            if not fenced.allows("PUBLISH", repository["name"]):
                raise invalid(
                    f"The origin controls of the package group '{fenced.group}' block publishing '{package}' to the "
                    f"repository '{repository['name']}'"
                )
            if known is not None and known["restrictions"]["publish"] == "BLOCK":
                raise invalid(f"The origin controls of the package '{package}' block publishing")
            document = self.records.versions.get(owner, region, f"{key}/{version}")
            if document is not None:
                if any(asset["name"] == name for asset in document["assets"]):
                    raise conflict("asset", name, f"The asset '{name}' exists in version '{version}' of '{package}'")
                if form == "generic" and document["status"] != "Unfinished":
                    message = f"Version '{version}' of '{package}' is {document['status']}; files cannot be added"
                    raise conflict("package-version", version, message)
            else:
                document = {
                    "packageKey": key, "format": form, "namespace": namespace,
                    "package": normal(package) if form == "pypi" else package, "version": version, "assets": [],
                    "publishedTime": now(), "metadata": metadata or {},
                    "origin": {"domainEntryPoint": {"repositoryName": repository["name"]}, "originType": "INTERNAL"},
                }  # fmt: skip
            document["assets"].append(
                {"name": name, "size": len(content), "hashes": hashes, **({"metadata": metadata} if metadata else {})}
            )
            document["revision"] = short_id(20)
            document["status"] = "Published" if finished else "Unfinished"
            if known is None:
                self.records.packages.put(owner, region, key, {
                    "format": form, "namespace": namespace, "name": document["package"],
                    "restrictions": {"publish": "ALLOW", "upstream": "BLOCK"},
                })  # fmt: skip
            self.records.versions.put(owner, region, f"{key}/{version}", document)
        return document

    @operation("UpdatePackageVersionsStatus")
    def update_package_versions_status(self, call: Call) -> Document:
        """Publish, unlist or archive versions."""
        target = call.input["targetStatus"]
        if target not in _TARGETS:
            raise invalid(f"targetStatus is {target}; allowed: {', '.join(_TARGETS)}")
        return self._each_version(call, target)

    @operation("DeletePackageVersions")
    def delete_package_versions(self, call: Call) -> Document:
        """Delete versions; the package remains, and with it its origin controls."""
        return self._each_version(call, "Deleted")

    def _each_version(self, call: Call, target: str) -> Document:
        owner, key, _ = self._package(call)
        done: dict[str, Document] = {}
        failed: dict[str, Document] = {}
        expected = call.input.get("expectedStatus")
        for version in call.input["versions"]:
            document = self.records.versions.get(owner, call.region, f"{key}/{version}")
            if document is None:
                failed[version] = {"errorCode": "NOT_FOUND", "errorMessage": f"There is no version '{version}'"}
            elif expected not in (None, document["status"]):
                message = f"The status is {document['status']}, {expected} was expected"
                failed[version] = {"errorCode": "MISMATCHED_STATUS", "errorMessage": message}
            else:
                done[version] = {"revision": document["revision"], "status": target}
                if target == "Deleted":
                    self.records.versions.delete(owner, call.region, f"{key}/{version}")
                else:
                    self.records.versions.put(owner, call.region, f"{key}/{version}", {**document, "status": target})
        return {"successfulVersions": done, "failedVersions": failed}
