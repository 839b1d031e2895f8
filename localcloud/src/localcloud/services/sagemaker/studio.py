"""Studio: domains, user profiles, spaces, images. They are ready at once: there is nothing that has to start."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Fault, operation, paginate
from localcloud.records import PlugIn, Record, hook, made_id
from localcloud.services.sagemaker import studio_home as home

_HEX = "0123456789abcdef"
_FIRST_UID = 200_000


class Studio(PlugIn):
    """Behaviour of Domain, UserProfile, Space, Image and ImageVersion."""

    @hook("Domain", "before_create")
    def complete_domain(self, call: Call, record: Record) -> None:
        """What AWS makes for a domain: home directory, address, boundary security group."""
        for other in self.records["Domain"].list(call.account, call.region):
            if other["DomainName"] == record["DomainName"]:
                raise Fault(
                    "ResourceInUse",
                    f"Resource Already Exists: Domain with name {record['DomainName']} already exists. Choose a "
                    "different name.",
                )
        needs_network = record.get("AppNetworkAccessType") == "VpcOnly"
        lacking = [member for member in ("VpcId", "SubnetIds") if needs_network and not record.get(member)]
        if lacking:
            raise Fault(
                "ValidationException", f"A domain with AppNetworkAccessType VpcOnly needs {' and '.join(lacking)}."
            )
        record.setdefault("AppNetworkAccessType", "PublicInternetOnly")
        home.prepare(self.cloud, call, record, self.records["Domain"].arn(call.account, call.region, record))
        record["Url"] = f"https://{record['DomainId']}.studio.{call.region}.sagemaker.aws"
        if record.get("AppSecurityGroupManagement") == "Service":
            record["SecurityGroupIdForDomainBoundary"] = made_id("sg-", 17, _HEX)()

    @hook("Domain", "after_delete")
    def leave_or_remove_homes(self, call: Call, record: Record) -> None:
        """The file system of the homes stays, unless the request says otherwise."""
        home.remove(self.cloud, call, record)

    @hook("UserProfile", "before_create")
    def number_user(self, call: Call, record: Record) -> None:
        """A user's number in the domain's file system."""
        self._number(call, record)

    @hook("Space", "before_create")
    def complete_space(self, call: Call, record: Record) -> None:
        """A space's number and address; its owner must exist."""
        self._number(call, record)
        owner = record.get("OwnershipSettings", {}).get("OwnerUserProfileName")
        if owner:
            self.records["UserProfile"].require(call, DomainId=record["DomainId"], UserProfileName=owner)
        name = record["SpaceName"]
        record["Url"] = (
            f"https://{record['DomainId']}.studio.{call.region}.sagemaker.aws/jupyterlab/default?space={name}"
        )

    def _number(self, call: Call, record: Record) -> None:
        domains = self.records["Domain"]

        def count(found: Record) -> Record:
            return {**found, "_Uids": found.get("_Uids", 0) + 1}

        domain = domains.table.update(call.account, call.region, record["DomainId"], count)
        if domain is None:
            raise domains.missing(call, record)
        record["HomeEfsFileSystemUid"] = str(_FIRST_UID + 5 * domain["_Uids"])

    # ---- images

    @hook("Image", "before_update")
    def clear_image(self, call: Call, record: Record) -> None:
        """Properties that the request takes away."""
        for name in record.pop("DeleteProperties", None) or ():
            record.pop(name, None)

    @hook("ImageVersion", "before_create")
    def number_image(self, call: Call, record: Record) -> None:
        """Versions of an image are numbered from 1; a number is never given again."""
        images = self.records["Image"]

        def count(found: Record) -> Record:
            return {**found, "_Versions": found.get("_Versions", 0) + 1}

        image = images.table.update(call.account, call.region, record["ImageName"], count)
        if image is None:
            raise images.missing(call, record)
        self._check_aliases(call, record.get("Aliases", []), record["ImageName"])
        record["Version"] = image["_Versions"]
        record["ImageArn"] = image["ImageArn"]
        record["ContainerImage"] = record["BaseImage"]
        # The model's pattern of this ARN has lower case only.
        lower = {**record, "ImageName": record["ImageName"].lower()}
        record["ImageVersionArn"] = self.records["ImageVersion"].arn(call.account, call.region, lower)

    @hook("ImageVersion", "identify")
    def find_image_version(self, call: Call, given: Record) -> None:
        """By number, by alias, or the latest."""
        if given.get("Version") is not None:
            return
        name, alias = given.get("ImageName"), given.get("Alias")
        for record in self._versions(call, name):
            if alias is None or alias in record.get("Aliases", []):
                given["Version"] = record["Version"]
        given.pop("Alias", None)

    @hook("ImageVersion", "before_update")
    def change_aliases(self, call: Call, record: Record) -> None:
        """Aliases are added and taken away by the request."""
        added, gone = record.pop("AliasesToAdd", None) or [], record.pop("AliasesToDelete", None) or []
        record.pop("Alias", None)
        self._check_aliases(call, added, record["ImageName"], record["Version"])
        kept = [alias for alias in record.get("Aliases", []) if alias not in gone]
        record["Aliases"] = list(dict.fromkeys([*kept, *added]))

    @operation("ListAliases")
    def list_aliases(self, call: Call) -> dict[str, Any]:
        """The aliases of an image, or of one of its versions."""
        self.records["Image"].require(call, ImageName=call.input["ImageName"])
        wanted = call.input.get("Version")
        aliases = [
            alias
            for record in self._versions(call, call.input["ImageName"])
            if wanted in (None, record["Version"]) and (call.input.get("Alias") in (None, *record.get("Aliases", [])))
            for alias in record.get("Aliases", [])
        ]
        page, token = paginate(aliases, call.input, token="NextToken", limit="MaxResults", default=10)  # noqa: S106
        return {"SageMakerImageVersionAliases": page, **({"NextToken": token} if token else {})}

    def _versions(self, call: Call, image: Any) -> list[Record]:
        records = self.records["ImageVersion"].list(call.account, call.region)
        return [record for record in records if record["ImageName"] == image]

    def _check_aliases(self, call: Call, aliases: list[str], image: str, version: int | None = None) -> None:
        for record in self._versions(call, image):
            taken = set(aliases) & set(record.get("Aliases", []))
            if taken and record["Version"] != version:
                raise Fault(
                    "ResourceInUse", f"The alias {sorted(taken)[0]} is used by version {record['Version']} of {image}."
                )
