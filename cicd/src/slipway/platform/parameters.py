"""What the repository says about an account: `cfn/parameters/{root}.json`, and `{root}-{account}.json` for one account.

The files have the form of CodePipeline's template configuration, `{"Parameters": {"ZoneCount": "3"}}`. Who deploys by
hand and the delivery pipeline read the same ones, so that neither takes back what the other did.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import yaml

from slipway.errors import SlipwayError

FOLDER = Path("cfn") / "parameters"
_CONTRACT_TYPE = "AWS::SSM::Parameter::Value<"


def of_template(template: str) -> set[str]:
    """The names of a template's parameters."""
    return set(_declared(template))


def contracts(template: str, namespace: str) -> dict[str, str]:
    """The contracts that a template reads in that namespace, by parameter; its defaults are the default namespace's."""
    return {
        name: str(spec["Default"]).replace("/slipway/", f"/{namespace}/", 1)
        for name, spec in _declared(template).items()
        if str(spec.get("Type", "")).startswith(_CONTRACT_TYPE) and str(spec.get("Default", "")).startswith("/slipway/")
    }


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a template's short forms as nothing: only names are wanted."""


_Loader.add_multi_constructor("!", lambda *_: None)


def _declared(template: str) -> dict[str, dict[str, object]]:
    return dict(yaml.load(template, _Loader).get("Parameters", {}))  # noqa: S506 - it is a SafeLoader


def stated(repository: Path, root: str, account: str, known: Collection[str]) -> dict[str, str]:
    """The parameters of `root` that the repository states for this account; the account's own file wins.

    Raises:
        SlipwayError: a file is no JSON of that form, or names a parameter that the template does not take.
    """
    found: dict[str, str] = {}
    for name in (f"{root}.json", f"{root}-{account}.json"):
        path = repository / FOLDER / name
        if path.is_file():
            found |= _read(path, root, known)
    return found


def _read(path: Path, root: str, known: Collection[str]) -> dict[str, str]:
    form = 'allowed: {"Parameters": {"Name": "value"}}'
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SlipwayError(f"{path}: not JSON: {error}; {form}") from None
    given = content.get("Parameters") if isinstance(content, dict) and set(content) == {"Parameters"} else None
    if not isinstance(given, dict) or not all(isinstance(value, str | int) for value in given.values()):
        raise SlipwayError(f"{path}: given {json.dumps(content)[:200]}; {form}")
    if unknown := sorted(set(given) - set(known)):
        raise SlipwayError(
            f"{path}: unknown parameter of cfn/{root}.yaml: given {', '.join(unknown)}, "
            f"allowed {', '.join(sorted(known))}"
        )
    return {name: str(value) for name, value in given.items()}
