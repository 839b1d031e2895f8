"""project.yaml: what is good is taken, what is bad is told with its line."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.configuration import METRICS, load, loads
from slipway.configuration.instances import instance_types
from slipway.configuration.reference import json_schema, reference
from slipway.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[3]
GOOD = """\
project: flight-delays
tag: 1
description: Arrival delay
problem: regression
data:
  dataset: flights/2013-q1
  target: arr_delay
training:
  instance_type: ml.m5.large
  hyperparameters:
    max_iter: 300
quality_gate:
  rmse: {max: 25.0}
  r2: {min: 0.5}
serving:
  environments:
    production: {initial_instance_count: 2}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loads(text)
    return caught.value.problems


def test_a_good_file_is_taken() -> None:
    project = loads(GOOD)
    assert list(project.quality_gate) == ["rmse", "r2"]
    assert project.serving.of("staging") == ("ml.m5.large", 1)
    assert project.serving.of("production") == ("ml.m5.large", 2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("training:", "trainin:", ["project.yaml:8: trainin: this key is not known", "did you mean training?"]),
        ("max_iter: 300", "max_iter: [1]", ["project.yaml:11: training.hyperparameters.max_iter", "[1] (list)"]),
        (
            "max_iter: 300",
            'note: "a\\nb"',
            [
                "yaml:11: training.hyperparameters.note: has more than one line",
                "given:   'a\\nb' (text)",
                "allowed: one line of 1 to 256 characters",
            ],
        ),
        ("max_iter: 300", "note: |\n      a", ["yaml:11: training.hyperparameters.note: has more", "after `|` or `>`"]),
        ("max_iter: 300", "note: '\u2028'", ["project.yaml:11: training.hyperparameters.note: has more than one line"]),
        ("max_iter: 300", "note: ''", ["project.yaml:11: training.hyperparameters.note: is empty"]),
        (
            "training:",
            'preprocessing: {parameters: {a: "\\r"}}\ntraining:',
            ["8: preprocessing.parameters.a: has"],
        ),
        ("tag: 1", 'tag: "1"', ["project.yaml:2: tag: has the wrong type", "a whole number", "without quotes: 1"]),
        ("tag: 1", "tag: -1", ["project.yaml:2: tag: is too small", "at least 0"]),
        ("tag: 1\n", "", ["project.yaml:1: tag: this key is missing", "add `tag: …`"]),
        ("description: Arrival delay", "description: yes", ["project.yaml:3: description", 'in quotes: "true"']),
        ("problem: regression", "problem: magic", ["project.yaml:4: problem: is not one of", "'regression'"]),
        ("rmse: {max", "rmze: {max", ["project.yaml:13: quality_gate.rmze: a regression has no such metric", "rmse?"]),
        ("{max: 25.0}", "{max: 25.0, min: 1.0}", ["project.yaml:13: quality_gate.rmse: exactly one of min and max"]),
        ("{max: 25.0}", "{max: .inf}", ["project.yaml:13: quality_gate.rmse.max: is not a finite number"]),
        ("ml.m5.large", "ml.m5.larg", ["project.yaml:9: training.instance_type", "did you mean ml.m5.large?"]),
        ("ml.m5.large", "m5.large", ["project.yaml:9: training.instance_type: is not in the right form", "^ml"]),
        ("flights/2013-q1", "/flights", ["project.yaml:6: data.dataset: is not in the right form", "'/flights'"]),
        ("production:", "prod:", ["project.yaml:17: serving.environments.prod", "did you mean production?"]),
        ("project: flight-delays", "project: Flight", ["project.yaml:1: project: is not in the right form"]),
        ("tag: 1", "tag: 1\ntag: 2", ["project.yaml:3: tag: the key is given twice", "lines 2 and 3"]),
        ("data:\n", "data: [\n", ["not YAML"]),
        (GOOD, "", ["project.yaml:1: (file): not a mapping"]),
        (GOOD, "just text", ["project.yaml:1: (file): not a mapping", "'just text' (text)"]),
        (GOOD, "a: \x00", ["not YAML"]),
        (GOOD, "*nothing", ["not YAML"]),
        (GOOD, "{[1]: 2}", ["not YAML"]),
    ],
)
def test_a_bad_file_is_told(old: str, new: str, said: list[str]) -> None:
    assert old in GOOD
    text = "\n".join(problems(GOOD.replace(old, new, 1)))
    for words in said:
        assert words in text


def test_every_problem_is_told_at_once_in_the_order_of_the_lines() -> None:
    text = GOOD.replace("tag: 1", "tag: one").replace("rmse", "rmze").replace("max_iter: 300", "Max: 3")
    lines = [problem.split(":")[1] for problem in problems(text)]
    assert lines == ["2", "11", "13"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load(tmp_path / "project.yaml")
    (tmp_path / "project.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(tmp_path / "project.yaml")


VARIABLE = st.from_regex(r"\A[A-Z][A-Z0-9_]{0,10}\Z")
JOB = st.fixed_dictionaries(
    {},
    optional={
        "instance_type": st.sampled_from(sorted(set(instance_types("ProcessingInstanceType"))
                                                & set(instance_types("TrainingInstanceType")))),
        "instance_count": st.integers(1, 20),
        "volume_size_gb": st.integers(1, 16384),
        "max_runtime_minutes": st.integers(1, 1440),
        "environment": st.dictionaries(VARIABLE, st.text("ab1:#-'", max_size=20), max_size=3),
    },
)  # fmt: skip
SCALAR = (
    st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.text("ab1: #'", min_size=1, max_size=9)
)
PARAMETERS = st.dictionaries(st.from_regex(r"\A[a-z][a-z0-9_]{0,10}\Z"), SCALAR, max_size=3)
BOUND = st.tuples(st.sampled_from(["min", "max"]), st.floats(-1e6, 1e6)).map(lambda pair: {pair[0]: pair[1]})
FILE = st.fixed_dictionaries(
    {
        "project": st.from_regex(r"\A[a-z][a-z0-9-]{1,22}[a-z0-9]\Z"),
        "tag": st.integers(0, 9999),
        "description": st.text("abc é:#", min_size=1, max_size=50),
        "problem": st.just("regression"),
        "data": st.fixed_dictionaries(
            {"dataset": st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,9}(/[a-z0-9]{1,5})?\Z"), "target": st.just("arr_delay")}
        ),
        "quality_gate": st.dictionaries(st.sampled_from(list(METRICS["regression"])), BOUND, min_size=1),
    },
    optional={
        "preprocessing": st.tuples(JOB, PARAMETERS).map(lambda pair: {**pair[0], "parameters": pair[1]}),
        "training": st.tuples(JOB, PARAMETERS).map(lambda pair: {**pair[0], "hyperparameters": pair[1]}),
        "evaluation": JOB,
    },
)


@given(FILE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_valid_file_keeps_what_it_says(content: dict[str, Any]) -> None:
    project = loads(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    assert project.project == content["project"]
    assert list(project.quality_gate) == list(content["quality_gate"])
    assert project.training.hyperparameters == content.get("training", {}).get("hyperparameters", {})


def paths(content: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(content, dict):
        return [path]
    return [path, *(found for key, value in content.items() for found in paths(value, (*path, key)))]


@given(FILE, st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_unknown_key_anywhere_is_told_with_its_line(content: dict[str, Any], data: st.DataObject) -> None:
    sections = [path for path in paths(content) if path in {(), ("data",), ("training",), ("preprocessing",)}]
    path = data.draw(st.sampled_from(sections))
    section = content
    for key in path:
        section = section[key]
    section["surprise"] = 1
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("surprise:"))
    dotted = ".".join((*path, "surprise"))
    found = problems(text)
    assert any(problem.startswith(f"project.yaml:{line}: {dotted}: this key is not known") for problem in found)
    assert all("allowed:" in problem and "given:" in problem and "mend:" in problem for problem in found)


@given(st.text(max_size=200) | st.from_regex(r"[a-z_]{1,10}: [\[\]{}a-z0-9:, ]{0,40}"))
@settings(max_examples=300, deadline=None)
def test_no_text_whatever_leads_to_anything_but_a_message(text: str) -> None:
    for problem in problems(text):
        assert problem.startswith("project.yaml:")


def test_what_is_generated_is_up_to_date() -> None:
    mend = "run `slipway project {} > docs/{}`"
    page, schema = REPOSITORY / "docs" / "project-yaml.md", REPOSITORY / "docs" / "project-yaml.schema.json"
    assert page.read_text(encoding="utf-8") == reference(), mend.format("reference", page.name)
    assert schema.read_text(encoding="utf-8") == json_schema(), mend.format("schema", schema.name)
