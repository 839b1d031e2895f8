"""A template with a type that is not served is refused before anything is made, also where it is nested.

ministack looks at the template that it is given alone, and would find the type in the middle of a creation. What a
nested template depends on (its URL, its parameters, its conditions) is followed as far as it is known before anything
exists; what comes from resources that are yet to be made is looked at when the nested stack itself is created.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NESTED = "AWS::CloudFormation::Stack"
_MADE_LATER = frozenset({"AWS::StackId", "AWS::StackName"})  # the check is not told which stack it is
_NAMES = re.compile(r"\$\{([^!${}][^${}]*)\}")
_DEEPEST = 20
Parameters = Mapping[str, Any]


def install() -> None:
    """Wrap what CreateStack, UpdateStack and CreateChangeSet ask before they begin."""
    from ministack.services.cloudformation import changesets, engine, handlers

    validate = engine.validate_template_support

    def validate_nested_too(template: Any, conditions: Any, params: Any = None) -> None:
        validate(template, conditions, params)
        if params is not None:  # ValidateTemplate has no values, and looks at one template alone on AWS, too
            check(template, conditions, params)

    engine.validate_template_support = validate_nested_too
    handlers.validate_template_support = changesets.validate_template_support = validate_nested_too


def check(template: Mapping[str, Any], conditions: Mapping[str, bool], params: Parameters, path: str = "") -> None:
    """Look at the templates that a template nests, and those that they nest.

    Args:
        template: transformed.
        conditions: name → whether it holds; a condition that is not known yet is not there.
        params: name → {"Value", …}; a parameter that is not known yet is not there.
        path: logical ids from the outermost template to this one, joined by "/".

    Raises:
        ValueError: a nested template has a resource of a type that is not served.
    """
    from ministack.services.cloudformation import engine

    if path.count("/") >= _DEEPEST:
        return  # a template that nests itself: to create it fails in its own time
    for logical_id, resource in (template.get("Resources") or {}).items():
        if isinstance(resource, Mapping) and resource.get("Type") == _NESTED and _made(resource, conditions) is True:
            properties = resource.get("Properties") or {}
            url = _value(properties.get("TemplateURL"), template, conditions, params)
            given = properties.get("Parameters") or {}
            if not isinstance(url, str) or not isinstance(given, Mapping):
                continue
            values = {name: _value(value, template, conditions, params) for name, value in given.items()}
            known = {name: value for name, value in values.items() if value is not engine._NO_VALUE}
            check_nested(url, known, f"{path}/{logical_id}" if path else str(logical_id))


def check_nested(url: str, given: Mapping[str, Any], path: str) -> None:
    """Look at one nested template.

    Args:
        url: its TemplateURL.
        given: parameter → value; None where it is not known yet.
        path: as `check`'s, to this template.

    Raises:
        ValueError: it, or a template that it nests, has a resource of a type that is not served.
    """
    found = _read(url, given)
    if found is None:
        return
    template, params = found
    if template.get("Transform"):
        return  # a macro may make other types of these
    conditions = _conditions(template, params)
    for logical_id, resource in (template.get("Resources") or {}).items():
        if isinstance(resource, Mapping) and _made(resource, conditions) is True and not _served(resource):
            raise ValueError(
                f"Template format error: Unrecognized resource types: [{resource.get('Type')}] (resource {logical_id} "
                f"of nested stack {path}, template {url})"
            )
    check(template, conditions, params, path)


def _read(url: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(transformed template, the parameters that are known); None where reading it fails: its creation says why."""
    from ministack.services.cloudformation import engine, helpers

    body, error = helpers._resolve_template({"TemplateURL": [url]})
    if error is not None or not body:
        return None
    try:
        template = engine._parse_template(body)
        values = [{"Key": key, "Value": _text(value)} for key, value in given.items() if value is not None]
        template = engine._apply_transforms(template, values)
        if isinstance(template, engine._TransformFailed):
            return None
        later = {name for name, value in given.items() if value is None}
        declared = template.get("Parameters") or {}
        known = {name: declaration for name, declaration in declared.items() if name not in later}
        return template, engine._resolve_parameters({**template, "Parameters": known}, values)
    except Exception:  # whatever is wrong with the template, its own creation words it
        return None


def _served(resource: Mapping[str, Any]) -> bool:
    from ministack.services.cloudformation import provisioners

    kind = str(resource.get("Type", "AWS::CloudFormation::CustomResource"))
    return kind.startswith("Custom::") or kind in provisioners._RESOURCE_HANDLERS


def _made(resource: Mapping[str, Any], conditions: Mapping[str, bool]) -> bool | None:
    """Whether the resource will be made; None where that is not known yet."""
    condition = resource.get("Condition")
    return True if condition is None else conditions.get(condition)


def _conditions(template: Mapping[str, Any], params: Parameters) -> dict[str, bool]:
    """The conditions that depend on known parameters alone."""
    from ministack.services.cloudformation import engine

    declared: Mapping[str, Any] = template.get("Conditions") or {}
    unknown: set[str] = set()
    while True:  # conditions name each other in any order
        more = {
            name
            for name, expression in declared.items()
            if name not in unknown and not _known(expression, declared, params, dict.fromkeys(declared, True), unknown)
        }
        if not more:
            break
        unknown |= more
    known = {name: expression for name, expression in declared.items() if name not in unknown}
    try:
        held: dict[str, bool] = engine._evaluate_conditions({**template, "Conditions": known}, params)
    except Exception:
        return {}
    return held


def _value(value: Any, template: Mapping[str, Any], conditions: Mapping[str, bool], params: Parameters) -> Any:
    """The value that a property will have; None where it is not known yet."""
    from ministack.services.cloudformation import engine

    if not _known(value, template.get("Conditions") or {}, params, conditions, set()):
        return None
    try:
        mappings = template.get("Mappings") or {}
        found = engine._resolve_refs(value, {}, params, conditions, mappings, "", "")
        return engine._resolve_dynamic_references(found)[0]
    except Exception:  # an export or a secret that is not there: the creation words it
        return None


def _known(
    value: Any, declared: Mapping[str, Any], params: Parameters, conditions: Mapping[str, bool], unknown: set[str]
) -> bool:
    """Whether a value depends on nothing that is yet to be made."""
    if isinstance(value, list):
        return all(_known(item, declared, params, conditions, unknown) for item in value)
    if not isinstance(value, Mapping):
        return True
    if len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Fn::If" and isinstance(argument, list) and len(argument) == 3:
            held = conditions.get(argument[0])
            branch = argument[1] if held else argument[2]
            return held is not None and _known(branch, declared, params, conditions, unknown)
        if function == "Condition" and isinstance(argument, str):
            return argument in declared and argument not in unknown
        if not all(_is_value(name, params) for name in _used(function, argument)):
            return False
    return all(_known(item, declared, params, conditions, unknown) for item in value.values())


def _used(function: str, argument: Any) -> Iterator[str]:
    if function == "Ref":
        yield str(argument)
    elif function in ("Fn::GetAtt", "Fn::GetStackOutput"):
        yield ""  # never a parameter
    elif function == "Fn::Sub":
        text, own = (argument, {}) if isinstance(argument, str) else ([*argument, {}])[:2]
        yield from (name.strip() for name in _NAMES.findall(str(text)) if name.strip() not in own)


def _is_value(name: str, params: Parameters) -> bool:
    return name in params or (name.startswith("AWS::") and name not in _MADE_LATER)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
