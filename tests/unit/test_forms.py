"""A member of a form is what a parser of the whole form would find."""

from urllib.parse import parse_qs, urlencode

from hypothesis import given
from hypothesis import strategies as st

from localcloud.core import forms

NAMES = st.sampled_from(["Action", "StackName", "RoleARN", "MyAction", "ActionX"])


@given(st.lists(st.tuples(NAMES, st.text()), max_size=6), NAMES)
def test_a_member_is_found_as_in_the_whole_form(pairs: list[tuple[str, str]], name: str) -> None:
    body = urlencode(pairs, errors="replace")
    first = next((value for key, value in pairs if key == name), "")
    if first:  # an empty one counts as none, wherever it stands
        assert forms.member(body.encode(), name) == parse_qs(body)[name][0]
    elif not any(key == name and value for key, value in pairs):
        assert forms.member(body.encode(), name) is None


def test_a_form_that_is_no_text_has_no_member() -> None:
    assert forms.member(b"\xff\xfe", "Action") is None
    assert forms.member(b"", "Action") is None
