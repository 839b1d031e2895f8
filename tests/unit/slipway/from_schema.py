"""Values that a JSON Schema allows, for property tests: the part of JSON Schema that pydantic writes."""

from typing import Any

from hypothesis import strategies as st


def values(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a schema allows; `root` is where its references point."""
    if "$ref" in schema:
        return st.deferred(lambda: values(root["$defs"][schema["$ref"].rpartition("/")[2]], root))
    if "anyOf" in schema:
        return st.one_of([values(option, root) for option in schema["anyOf"]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    kinds = {
        "null": st.none,
        "boolean": st.booleans,
        "integer": lambda: st.integers(low, high),
        "number": lambda: st.floats(low, high, allow_nan=False, allow_infinity=False),
        "string": lambda: _texts(schema),
        "array": lambda: st.lists(
            values(schema["items"], root),
            min_size=schema.get("minItems", 0),
            max_size=min(3, schema.get("maxItems", 3)),
        ),
        "object": lambda: _objects(schema, root),
    }
    return kinds[schema["type"]]()


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 30)
    if "pattern" in schema:
        pattern = schema["pattern"].removeprefix("^").removesuffix("$")
        return st.from_regex(rf"\A({pattern})\Z").filter(lambda text: shortest <= len(text) <= longest)
    return st.text("ab1:#-' é", min_size=shortest, max_size=min(20, longest))


def _objects(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "properties" in schema:
        needed = schema.get("required", [])
        found = {name: values(of, root) for name, of in schema["properties"].items()}
        return st.fixed_dictionaries(
            {name: found[name] for name in needed},
            optional={name: of for name, of in found.items() if name not in needed},
        )
    # A pattern for its names: pydantic writes so where the names are texts of a form.
    pattern, of = next(iter(schema.get("patternProperties", {}).items()), (None, schema.get("additionalProperties")))
    names = _texts({"pattern": pattern} if pattern else {"minLength": 1})
    smallest, largest = schema.get("minProperties", 0), min(3, schema.get("maxProperties", 3))
    return st.dictionaries(names, values(of, root), min_size=smallest, max_size=largest)
