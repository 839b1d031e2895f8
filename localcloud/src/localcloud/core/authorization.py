"""What IAM is asked when an operation is called: action, resource ARNs and condition keys, by AWS's own reference.

`authorization.json` is the part of the Service Authorization Reference that concerns our services: for each action the
resource types that it takes, whether they are required, and its condition keys; for each type the form of its ARN.
`python -m tests.authorization_reference` writes it from the copy of the reference that parliament ships.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.core import implied
from localcloud.core.implied import Asked

_PLACE = re.compile(r"\$\{(\w+)\}")
# Where another account's resource is named without its ARN: member → it holds the owner's account.
_OWNERS = ("registryid", "domainowner", "accountid")
# A model package that has a version is named by its group and a number.
_GROUPED = {"modelpackagename": "modelpackagegroupname"}
# Placeholders of ARNs whose member has another name.
_CALLED = {"mlflowtrackingservername": "trackingservername"}
# Condition keys → the member whose value they carry, where the two are named differently.
_KEY_MEMBERS = {
    "vpcsubnets": ("subnets", "subnetids"),
    "vpcsecuritygroupids": ("securitygroupids", "securitygroups"),
    "volumekmskey": ("volumekmskeyid", "kmskeyid"),
    "outputkmskey": ("kmskeyid",),
    "instancetypes": ("instancetype",),
    "networkisolation": ("enablenetworkisolation",),
    "intercontainertrafficencryption": ("enableintercontainertrafficencryption",),
}


@dataclass(frozen=True)
class Authorized:
    """One operation as IAM sees it.

    Args:
        action: e.g. "sagemaker:CreateEndpoint".
        resources: the ARNs that the caller must be allowed it on, each of them; ("*",) where the action takes none.
        keys: condition keys that only this request tells, e.g. aws:RequestTag/Project; a list has several values.
        implied: what else is asked, of the caller or of a role that works later.
    """

    action: str
    resources: tuple[str, ...]
    keys: Mapping[str, Any] = field(default_factory=dict)
    implied: tuple[Asked, ...] = ()

    def context(self) -> dict[str, Any]:
        """As JSON for the record; what is empty is left out."""
        found: dict[str, Any] = {}
        if len(self.resources) > 1:
            found["resources"] = list(self.resources)
        if self.keys:
            found["keys"] = dict(self.keys)
        if self.implied:
            found["implied"] = [asked.as_json() for asked in self.implied]
        return found


@functools.cache
def _reference() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "authorization.json").read_text())
    return found


@functools.cache
def _forms(prefix: str) -> list[tuple[str, str, re.Pattern[str], int]]:
    """(type, form, pattern of its ARNs, length of what is fixed in it), the most specific first."""
    made = []
    for kind, form in _reference()[prefix]["types"].items():
        parts = form.split(":", 5)
        places = _PLACE.findall(parts[5])
        pattern = re.escape(parts[5]).replace(r"\$\{", "${").replace(r"\}", "}")
        for place in places[:-1]:
            pattern = pattern.replace(f"${{{place}}}", f"(?P<{place}>[^/:]*)", 1)
        last = ".+" if kind in {"model-package", "package", "package-group", "repository"} else "[^/]+"
        if places:
            pattern = pattern.replace(f"${{{places[-1]}}}", f"(?P<{places[-1]}>{last})", 1)
        head = rf"arn:[a-z-]+:{parts[2]}:[a-z0-9-]*:\d*:"
        made.append((kind, form, re.compile(head + pattern), len(_PLACE.sub("", parts[5]))))
    return sorted(made, key=lambda item: -item[3])


def describe(
    prefix: str, operation: str, given: Mapping[str, Any], answer: Mapping[str, Any], account: str, region: str
) -> Authorized:
    """What IAM is asked for an operation of one of our services.

    Args:
        prefix: IAM's name of the service, e.g. "servicecatalog".
        given: the operation's input, in the form of the service model.
        answer: its output, which names what was created.
        account, region: where the request is served.
    """
    action = f"{prefix}:{operation}"
    entry = _reference().get(prefix, {}).get("actions", {}).get(operation)
    if entry is None:
        return Authorized(action, ("*",))
    values = _values(given)
    arns = _arns(prefix, [*_texts(given), *(_texts(answer) if _creates(operation) else ())])
    # An answer says what is described; only what it creates is a resource of the request.
    names = dict(values)
    for groups in arns.values():
        for _, found in groups:
            for place, value in found.items():
                names.setdefault(place.lower(), []).append(value)
    owner = next((values[name][0] for name in _OWNERS if values.get(name)), account)
    resources: list[str] = []
    for kind, required in entry["types"].items():
        known = [arn for arn, _ in arns.get(kind, ())]
        resources += known or _filled(prefix, kind, names, required, owner, region)
    keys = _keys(prefix, entry["keys"], values, given)
    if "sagemaker:ModelArn" in entry["keys"] and values.get("modelname"):  # requests name the model
        models = list(dict.fromkeys(_filled(prefix, "model", values, True, account, region)))
        keys["sagemaker:ModelArn"] = models if len(models) > 1 else models[0]
    asked = implied.of(prefix, operation, given, tuple(resources), keys, entry.get("dependent", ()), account, region)
    return Authorized(action, tuple(dict.fromkeys(resources)) or ("*",), keys, tuple(asked))


def _creates(operation: str) -> bool:
    return operation.startswith(("Create", "Start", "Publish", "Register", "Associate"))


def _filled(
    prefix: str, kind: str, names: Mapping[str, list[str]], required: bool, account: str, region: str
) -> list[str]:
    """ARNs of a type, made of the names in the request; none where one is missing."""
    form: str = _reference()[prefix]["types"][kind]
    where = {"Partition": "aws", "Region": region, "Account": account}
    made = [_PLACE.sub(lambda match: where.get(match[1], match[0]), form)]
    for place in _PLACE.findall(made[0]):
        found = list(_named(prefix, place, names, required))
        if not found:
            return []
        made = [text.replace(f"${{{place}}}", value, 1) for text in made for value in dict.fromkeys(found)]
    return made


def _named(prefix: str, place: str, names: Mapping[str, list[str]], required: bool) -> Iterator[str]:
    """What the request says for a placeholder: under its own name, without Name or Id, or as plain name or id."""
    own = place.lower()
    stem = re.sub(r"(name|id)$", "", own)
    short = re.sub(r"^package(?=[a-z])", "", stem)
    for name in (own, f"{own}s", stem, f"{stem}s", short, _CALLED.get(own, "")):
        if names.get(name):
            yield from _cut(prefix, own, names[name])
            return
    if own == "encodedpackagegrouppattern":
        yield from names.get("packagegroup", ())
        return
    if own == "packagenamespace":
        yield ""  # formats like Python's have none
        return
    if names.get(_GROUPED.get(own, "")):
        yield from (f"{value}/*" for value in names[_GROUPED[own]])
        return
    if required:
        for name in ("name", "names", "id", "ids"):
            if names.get(name):
                yield from _cut(prefix, own, names[name])
                return


def _cut(prefix: str, place: str, values: list[str]) -> Iterator[str]:
    """CodeBuild names a build "project:id"; the type that IAM asks about is the project."""
    for value in values:
        yield value.partition(":")[0] if prefix == "codebuild" and place == "projectname" else value


def _values(given: Any) -> dict[str, list[str]]:
    """Member name in lower case → its texts, numbers and truths, where the name is outermost."""
    found: dict[str, list[str]] = {}
    level: list[Any] = [given]
    while level:
        inner: list[Any] = []
        here: dict[str, list[str]] = {}
        for node in level:
            if isinstance(node, Mapping):
                for key, value in node.items():
                    scalars = value if isinstance(value, list) else [value]
                    texts = [_text(item) for item in scalars if isinstance(item, str | int | float)]
                    if texts:
                        here.setdefault(str(key).lower(), []).extend(texts)
                    inner.append(value)
            elif isinstance(node, list):
                inner += [item for item in node if isinstance(item, Mapping | list)]
        found = {**here, **found}
        level = inner
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _texts(value)


def _arns(prefix: str, texts: list[str]) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """Type → the ARNs of that type among the texts, with what stands in their places."""
    found: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for text in dict.fromkeys(text for text in texts if text.startswith("arn:")):
        for kind, _, pattern, _ in _forms(prefix):
            match = pattern.fullmatch(text)
            if match:
                found.setdefault(kind, []).append((text, match.groupdict()))
                break
    return found


def _keys(prefix: str, names: list[str], values: Mapping[str, list[str]], given: Mapping[str, Any]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for name in names:
        if name.startswith("aws:"):
            continue
        suffix = name.partition(":")[2].lower()
        if prefix == "servicecatalog" and suffix.endswith("level"):
            keys[name] = "self"  # Service Catalog asks for each level, and then shows what belongs to it
            continue
        member = next((name for name in _KEY_MEMBERS.get(suffix, (suffix,)) if values.get(name)), None)
        if member:
            found = list(dict.fromkeys(values[member]))
            keys[name] = found if len(found) > 1 or suffix.endswith(("ids", "subnets")) else found[0]
    tags = request_tags(given)
    keys.update({f"aws:RequestTag/{key}": value for key, value in tags.items()})
    removed = [str(key) for key in given.get("TagKeys", given.get("tagKeys", ())) or ()]
    if tags or removed:
        keys["aws:TagKeys"] = [*tags, *removed]
    return keys


def request_tags(given: Mapping[str, Any]) -> dict[str, str]:
    """The tags that a request gives, whichever of AWS's forms they have."""
    found = next((given[name] for name in ("Tags", "tags", "AddTags") if given.get(name)), None)
    if isinstance(found, Mapping):
        return {str(key): str(value) for key, value in found.items()}
    tags = {}
    for item in found or ():
        lowered = {str(key).lower(): value for key, value in item.items()}
        tags[str(lowered.get("key"))] = str(lowered.get("value", ""))
    return tags
