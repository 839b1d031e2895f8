"""project.yaml, fuzzed from its schema and against it: what is valid always plans, what is not is always told whole."""

import copy
import json
import re
import socket
from typing import Any

import jsonschema
import pytest
import yaml
from botocore.session import get_session
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.configuration import loads
from slipway.configuration.reference import json_schema
from slipway.errors import ConfigurationError
from slipway.pipeline.definition import definition

from .from_schema import values
from .plans import plan, resolved, session, steps
from .projects import projects

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
SCHEMA = json.loads(json_schema())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
MESSAGE = re.compile(
    r"project\.yaml:(?P<line>\d+): (?P<key>.+?): .+\n    given:   .+\n    allowed: .+\n    mend:    .+", re.DOTALL
)
MAKES = {"Preprocess": "CreateProcessingJob", "Train": "CreateTrainingJob", "Tune": "CreateHyperParameterTuningJob",
         "Evaluate": "CreateProcessingJob", "Register": "CreateModelPackage"}  # fmt: skip
JUNK = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just([]) | st.just({})
    | st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2)
)  # fmt: skip


def written(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def judged(content: Any) -> bool:
    """Whether a file is taken; one that is refused is told with file, line, key, given, allowed and mend."""
    text = written(content)
    problems: list[str] | None = None
    try:
        loads(text)
    except ConfigurationError as error:
        problems = error.problems
    if problems is None:
        return True
    assert problems
    for problem in problems:
        found = MESSAGE.fullmatch(problem)
        assert found, problem
        assert 0 < int(found["line"]) <= len(text.splitlines()) + 1
    return False


@given(projects())
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
def test_a_whole_valid_file_is_taken_and_the_schema_takes_it_too(content: dict[str, Any]) -> None:
    assert judged(content)
    VALIDATOR.validate(content)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the SDK
@given(projects())
@settings(max_examples=4, deadline=None, suppress_health_check=SLOW)
def test_a_valid_file_always_plans_and_nobody_is_called(content: dict[str, Any]) -> None:
    """Protects: what the check lets through, the build can compose; every request is one that SageMaker takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "y")
        called: list[Any] = []

        def refuse(_: socket.socket, address: Any) -> None:
            called.append(address)
            raise OSError("no network in this test")

        # Neither iam:SimulatePrincipalPolicy nor the telemetry's bucket nor anything else.
        patch.setattr(socket.socket, "connect", refuse)
        found = steps(definition(plan(written(content)), session()))
    assert not called
    model = get_session().get_service_model("sagemaker")
    for name, step in found.items():
        if name in MAKES:
            shape: Any = model.operation_model(MAKES[name]).input_shape
            named = {f"{MAKES[name].removeprefix('Create')}Name": "x"} if name != "Register" else {}
            report = ParamValidator().validate(resolved(step["Arguments"]) | named, shape)
            assert not report.has_errors(), report.generate_report()


BASE: dict[str, Any] = {
    "project": "abc", "tag": 1, "description": "d", "problem": "regression",
    "data": {"dataset": "a", "target": "b"}, "quality_gate": {"rmse": {"max": 1.0}},
}  # fmt: skip


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
def test_what_the_schema_allows_is_taken_or_told(data: st.DataObject) -> None:
    """The schema cannot say the rules between keys, nor which names AWS has: a file that breaks one is told so."""
    key = data.draw(st.sampled_from(sorted(SCHEMA["properties"])))
    content = BASE | {key: data.draw(values(SCHEMA["properties"][key], SCHEMA))}
    VALIDATOR.validate(content)
    judged(content)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key of a file, and every entry of a list."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [found for key, value in entries for found in ((*path, key), *places(value, (*path, key)))]


@given(projects(), st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
def test_a_key_with_anything_else_is_taken_as_the_schema_does_or_told(
    content: dict[str, Any], data: st.DataObject
) -> None:
    changed = copy.deepcopy(content)
    *parents, last = data.draw(st.sampled_from(places(content)))
    section = changed
    for key in parents:
        section = section[key]
    section[last] = data.draw(JUNK)
    taken = judged(changed)
    assert not taken or VALIDATOR.is_valid(changed), written(changed)
