"""References to variables, and the rules that compare them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.codepipeline.actions.deploys import object_key
from localcloud.services.codepipeline.running import artifact_key
from localcloud.services.codepipeline.stages import variable_check
from localcloud.services.codepipeline.variables import UnresolvedError, references, resolve, resolve_all

NAME = st.text("abcXYZ019@-_", min_size=1, max_size=8)
VALUE = st.text(max_size=30)
PLAIN = st.text(max_size=20).filter(lambda text: "#" not in text and "{" not in text and "}" not in text)


@given(PLAIN, NAME, NAME, VALUE, PLAIN)
def test_a_reference_is_replaced_and_the_rest_kept(
    before: str, namespace: str, key: str, value: str, after: str
) -> None:
    """What stands around a reference stays, and the value is taken as it is, even if it looks like a reference."""
    text = f"{before}#{{{namespace}.{key}}}{after}"
    assert resolve(text, {namespace: {key: value}}) == before + value + after


@given(st.lists(PLAIN, min_size=1, max_size=4), NAME, NAME)
def test_text_without_references_is_left_alone(parts: list[str], namespace: str, key: str) -> None:
    """Nothing but references is touched."""
    text = "".join(parts)
    assert references(text) == []
    assert resolve(text, {namespace: {key: "x"}}) == text


@given(st.lists(st.tuples(NAME, NAME), min_size=1, max_size=5, unique=True))
def test_every_missing_reference_is_named(pairs: list[tuple[str, str]]) -> None:
    """The error lists all references without a value, so that they can be mended at once."""
    configuration = {f"k{i}": f"#{{{namespace}.{key}}}" for i, (namespace, key) in enumerate(pairs)}
    with pytest.raises(UnresolvedError) as caught:
        resolve_all(configuration, {})
    assert caught.value.references == [f"{namespace}.{key}" for namespace, key in pairs]


@pytest.mark.parametrize("text", ["#{}", "#{a}", "#{a.b.c}", "#{a. b}", "#{.b}"])
def test_what_is_no_reference_by_form_cannot_be_resolved(text: str) -> None:
    """A namespace and a key, separated by one period, and nothing else."""
    with pytest.raises(UnresolvedError):
        resolve(text, {"a": {"b": "x"}})


@given(VALUE, VALUE)
def test_operators(variable: str, value: str) -> None:
    """EQ and NE are each other's opposite, and a text contains itself between others."""
    assert variable_check("EQ", variable, value) is not variable_check("NE", variable, value)
    assert variable_check("EQ", variable, variable)
    assert variable_check("CONTAINS", value + variable + value, variable)


@pytest.mark.parametrize(
    ("value", "variable", "met"),
    [
        ("Stamped by .*", "Stamped by Slipway", True),
        ("Stamped", "Stamped by Slipway", False),
        ("(?s)Stamped.*", "Stamped\nmore", True),
        ("Stamped.*", "Stamped\nmore", False),
        ("[0-9]+", "12a", False),
    ],
)
def test_matches_is_about_the_whole_text(value: str, variable: str, met: bool) -> None:
    """As java.util.regex's matches(): a part is not enough, and the dot does not cross a line's end."""
    assert variable_check("MATCHES", variable, value) is met


@given(st.text("abc-", min_size=1, max_size=100), st.text("abc_", min_size=1, max_size=100))
def test_artifact_keys(pipeline: str, artifact: str) -> None:
    """AWS cuts the pipeline's name at 20 and the artifact's at 10 characters, and adds something random."""
    first, second, last = artifact_key(pipeline, artifact).split("/")
    assert (first, second, len(last)) == (pipeline[:20], artifact[:10], 7)
    assert artifact_key(pipeline, artifact) != artifact_key(pipeline, artifact)


def test_object_keys_of_deployments() -> None:
    """{datetime} and {uuid} are replaced, other braces are not."""
    key = object_key("a/{datetime}/{uuid}/{other}")
    assert "{datetime}" not in key
    assert "{uuid}" not in key
    assert key.endswith("/{other}")
