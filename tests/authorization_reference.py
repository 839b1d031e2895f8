"""The part of AWS's Service Authorization Reference that the local cloud records calls by.

`python -m tests.authorization_reference` writes it anew from the copy that parliament ships; a test compares the two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import parliament

TARGET = Path(__file__).parents[1] / "localcloud" / "src" / "localcloud" / "core" / "authorization.json"
PREFIXES = (
    "codeartifact", "codebuild", "codecommit", "codeconnections", "codepipeline", "codestar-connections", "ecr",
    "sagemaker", "servicecatalog",
)  # fmt: skip


def reference() -> dict[str, Any]:
    """Service → {actions: {name: {types: {type: required}, keys, dependent}}, types: {type: form of its ARN}}."""
    text = (Path(parliament.__file__).parent / "iam_definition.json").read_text()
    services = {service["prefix"]: service for service in json.loads(text) if service["prefix"] in PREFIXES}
    return {prefix: _service(services[prefix]) for prefix in PREFIXES}


def _service(service: dict[str, Any]) -> dict[str, Any]:
    actions = {}
    for privilege in service["privileges"]:
        types: dict[str, bool] = {}
        keys: set[str] = set()
        dependent: set[str] = set()
        for item in privilege["resource_types"]:
            if item["resource_type"]:
                types[item["resource_type"].rstrip("*")] = item["resource_type"].endswith("*")
            keys.update(key for key in item["condition_keys"] if not key.startswith("aws:"))
            dependent.update(item["dependent_actions"])
        actions[privilege["privilege"]] = {"types": types, "keys": sorted(keys), "dependent": sorted(dependent)}
    return {
        "actions": dict(sorted(actions.items())),
        "types": {item["resource"]: item["arn"] for item in service["resources"]},
    }


def text() -> str:
    """The file's content, one action to a line."""
    blocks = []
    for prefix, service in reference().items():
        actions = ",\n".join(f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in service["actions"].items())
        types = ",\n".join(f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in service["types"].items())
        blocks.append(
            f' {json.dumps(prefix)}: {{\n  "actions": {{\n{actions}\n  }},\n  "types": {{\n{types}\n  }}\n }}'
        )
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(text())
