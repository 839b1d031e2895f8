"""What templates promise one another: SSM parameters, nested templates and their parameters, buildspecs.

Each check takes all templates, since a promise has two sides, and yields what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from slipway.errors import SlipwayError
from slipway.platform.delivery import ROOTS
from slipway.platform.products import Product, ProductFile
from tests.templates.library import Template, branches

SSM_TYPE = "AWS::SSM::Parameter::Value<"
DEFAULT_NAMESPACE = "slipway"
# A variable in a command; ${NAME:-…} and the like have a default.
_VARIABLE = re.compile(r"\$(?:\{(?=\w+\}))?([A-Z][A-Z0-9_]+)")
_ASSET = re.compile(r"\$\{AssetsPrefix\}/([A-Za-z0-9_./-]+)")
# Assets that packing makes: name → what it is made of.
PACKED = {"lambda.zip": "cicd/src/slipway", "seedcode.zip": "seedcode", "build-image.zip": "cicd/image/Dockerfile"}


def published(templates: list[Template]) -> set[str]:
    """Names of the SSM parameters that templates publish, with the default namespace."""
    return {
        properties["Name"]["Fn::Sub"].replace("${Namespace}", DEFAULT_NAMESPACE)
        for template in templates
        for _, properties in template.of("AWS::SSM::Parameter")
    }


def contracts(templates: list[Template]) -> Iterator[str]:
    """Every contract that is read is published, once."""
    known = published(templates)
    for template in templates:
        for name, parameter in template.parameters.items():
            # One without a default is of a project, whose name only who nests the template can give: see `nesting`.
            if parameter["Type"].startswith(SSM_TYPE) and parameter.get("Default", "") not in {"", *known}:
                yield f"{template.name}: {name} reads {parameter['Default']}, which no template publishes"
        for name, properties in template.of("AWS::CloudFormation::Stack"):
            for key, value in properties.get("Parameters", {}).items():
                text = value.get("Fn::Sub", "") if isinstance(value, dict) else value
                path = text.replace("${Namespace}", DEFAULT_NAMESPACE) if isinstance(text, str) else ""
                if path.startswith("/") and path not in known:
                    yield f"{template.name}: {name} gets {key} from {path}, which no template publishes"
    names = [
        f"{template.name}: {properties['Name']['Fn::Sub']}"
        for template in templates
        for _, properties in template.of("AWS::SSM::Parameter")
    ]
    paths = [name.split(": ")[1] for name in names]
    for name, path in zip(names, paths, strict=True):
        if paths.count(path) > 1:
            yield f"{name} is published more than once"


def assets(templates: list[Template], repository: Path) -> Iterator[str]:
    """Every template, buildspec and archive that a template names is in the repository."""
    for template in templates:
        for asset in sorted(set(_ASSET.findall(template.text))):
            path = repository / PACKED.get(asset, asset)
            if not path.exists():
                yield f"{template.name}: {asset} is not in the repository"


def nesting(templates: list[Template]) -> Iterator[str]:
    """A stack gives its nested template the parameters that it has, and reads outputs that it has."""
    by_name = {template.name: template for template in templates}
    for template in templates:
        children = {}
        for name, properties in template.of("AWS::CloudFormation::Stack"):
            url = properties["TemplateURL"]["Fn::Sub"]
            child = by_name.get(url.partition("${AssetsPrefix}/")[2])
            if child is None:
                yield f"{template.name}: {name} nests {url}, which is no template of the repository"
                continue
            children[name] = child
            given, has = set(properties.get("Parameters", {})), child.parameters
            for extra in sorted(given - set(has)):
                yield f"{template.name}: {name} gives {extra}, which {child.name} does not take"
            # A contract's default names the default namespace, so it has to be given too.
            needed = {key for key, spec in has.items() if "Default" not in spec or spec["Type"].startswith(SSM_TYPE)}
            # These two have defaults that are another platform's, where a template has them at all.
            for lacking in sorted((needed | ({"Namespace", "CostCenter"} & set(has))) - given):
                yield f"{template.name}: {name} does not give {lacking}, which {child.name} takes"
        for stack, output in _outputs_read(template.body):
            if stack in children and output not in children[stack].body.get("Outputs", {}):
                yield f"{template.name}: {children[stack].name} has no output {output}"


def _outputs_read(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if set(value) == {"Fn::GetAtt"} and str(value["Fn::GetAtt"][1]).startswith("Outputs."):
            yield value["Fn::GetAtt"][0], value["Fn::GetAtt"][1].partition(".")[2]
        for item in value.values():
            yield from _outputs_read(item)
    elif isinstance(value, list):
        for item in value:
            yield from _outputs_read(item)


def roots(templates: list[Template]) -> Iterator[str]:
    """The one-click roots hold nested stacks and nothing else."""
    for template in templates:
        if template.name in {f"cfn/{root}.yaml" for root in (*ROOTS, "audit", "projects", "workbench")}:
            for name, resource in template.resources.items():
                if resource["Type"] != "AWS::CloudFormation::Stack":
                    yield f"{template.name}: {name} is a resource of its own: move it into a layer"


def buildspecs(templates: list[Template], repository: Path) -> Iterator[str]:
    """Every variable that a buildspec's commands use is given by its build's project, an action, or itself."""
    added = _action_variables(templates)
    used = set()
    for template in templates:
        for name, properties in template.of("AWS::CodeBuild::Project"):
            file = _ASSET.findall(properties["Source"]["BuildSpec"]["Fn::Sub"])[0]
            used.add(file)
            if not (repository / file).exists():
                continue
            given = {variable["Name"] for variable in properties["Environment"].get("EnvironmentVariables", [])}
            for needed in sorted(_used(repository / file) - given - added.get(name, set())):
                yield f"{template.name}: {name} does not give {needed}, which {file} uses"
    for path in sorted((repository / "buildspecs").glob("*.yaml")):
        if f"buildspecs/{path.name}" not in used:
            yield f"buildspecs/{path.name} is used by no template"


def _used(path: Path) -> set[str]:
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    commands = "\n".join(str(command) for phase in spec["phases"].values() for command in phase.get("commands", []))
    own = set(spec.get("env", {}).get("variables", {})) | set(spec.get("env", {}).get("exported-variables", []))
    return {name for name in _VARIABLE.findall(commands) if not name.startswith(("CODEBUILD_", "AWS_"))} - own


def _action_variables(templates: list[Template]) -> dict[str, set[str]]:
    """Logical id of a build → variables that pipelines' actions give it."""
    found: dict[str, set[str]] = {}
    for template in templates:
        for _, pipeline in template.of("AWS::CodePipeline::Pipeline"):
            for action in (action for stage in branches(pipeline["Stages"]) for action in branches(stage["Actions"])):
                text = action["Configuration"].get("EnvironmentVariables", "[]")
                project = str(action["Configuration"].get("ProjectName", {}).get("Ref", "")).removesuffix("Project")
                found.setdefault(project, set()).update(variable["name"] for variable in json.loads(text))
        for _, properties in template.of("Custom::Stamp"):
            found.setdefault("Project", set()).update(properties["Variables"])
    return found


def product_files(templates: list[Template], repository: Path) -> Iterator[str]:
    """Every folder of service-catalog/ is a product: it has its page, its launch role, and a place for its release."""
    known = published(templates)
    for folder in sorted(path for path in (repository / "service-catalog").iterdir() if path.is_dir()):
        where = str(folder.relative_to(repository))
        for needed in ("product.json", "product.yaml"):
            if not (folder / needed).is_file():
                yield f"{where}: there is no {needed}"
                break
        else:
            page = ProductFile.model_validate_json((folder / "product.json").read_text(encoding="utf-8"))
            product = Product(folder.name, page, "0" * 64, (folder / "product.yaml").read_text(encoding="utf-8"))
            try:
                product.rendered("releases/0123456789abcdef", "other")
            except SlipwayError as error:
                yield str(error)
        contract = f"/{DEFAULT_NAMESPACE}/platform/catalogue/{folder.name}-launch-role-arn"
        if contract not in known:
            yield f"{where}: no template publishes {contract}, the role it is launched with"
