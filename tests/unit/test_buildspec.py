"""The buildspec: what CodeBuild takes is taken, and every mistake is told with its line and what is allowed."""

from __future__ import annotations

import string
import textwrap

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.codebuild.buildspec import PHASES, BuildspecError, parse
from localcloud.services.codebuild.patterns import matches

WHOLE = """
version: 0.2
run-as: root
env:
  shell: bash
  variables: {COUNT: 3, FLAG: yes, TEXT: "a: b"}
  parameter-store: {PASSWORD: /db/password}
  secrets-manager: {KEY: "secret:key:AWSCURRENT"}
  exported-variables: [TEXT]
  git-credential-helper: yes
phases:
  install:
    runtime-versions: {python: 3.11}
    commands: [pip install x]
    finally: [echo over]
  pre_build:
    on-failure: RETRY-2-.*timeout.*
    commands:
      - echo pre
  build:
    on-failure: ABORT
    commands:
      - |
        cat <<END
        several lines
        END
      - echo "quoted"
  post_build:
    on-failure: CONTINUE
    commands: echo one text is a sequence of one
reports:
  unit:
    files: ['**/*.xml']
    base-directory: out
    file-format: junitxml
    discard-paths: yes
artifacts:
  files: ['**/*']
  name: it-$(date +%Y)
  base-directory: dist
  discard-paths: no
  exclude-paths: ['**/*.pyc']
  secondary-artifacts:
    docs: {files: [index.html]}
cache:
  key: k-1
  fallback-keys: [k-]
  paths: ['/root/.cache/**/*']
"""


def error(text: str) -> str:
    with pytest.raises(BuildspecError) as caught:
        parse(textwrap.dedent(text))
    return str(caught.value)


def test_everything_that_the_reference_names_is_read() -> None:
    """Protects: each key of the buildspec reference has its effect; scalars are texts as they were written."""
    spec = parse(WHOLE)
    assert (spec.version, spec.env.shell, spec.env.git_credential_helper) == ("0.2", "bash", True)
    assert spec.env.variables == {"COUNT": "3", "FLAG": "yes", "TEXT": "a: b"}
    assert spec.env.parameter_store == {"PASSWORD": "/db/password"}
    assert spec.env.secrets_manager == {"KEY": "secret:key:AWSCURRENT"}
    assert spec.env.exported == ("TEXT",)
    assert spec.phases["install"].runtime_versions == {"python": "3.11"}
    assert spec.phases["install"].finally_commands == ("echo over",)
    retry = spec.phases["pre_build"].on_failure
    assert (retry.action, retry.count, retry.regex) == ("RETRY", 2, ".*timeout.*")
    assert spec.phases["build"].commands == ("cat <<END\nseveral lines\nEND\n", 'echo "quoted"')
    assert spec.phases["post_build"].commands == ("echo one text is a sequence of one",)
    assert spec.artifacts is not None
    assert spec.artifacts.secondary["docs"].files == ("index.html",)
    assert spec.reports[0].file_format == "JUNITXML"
    assert (spec.cache.key, spec.cache.fallback_keys) == ("k-1", ("k-",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the buildspec is empty"),
        ("version: 0.2\nphases: [", "at line"),
        ("version: 0.2\nphases:\n\tbuild: x", "found character '\\t' that cannot start any token at line 3"),
        ("phases: {build: {commands: [a]}}", "Expected the key 'version' at line 1; allowed values: 0.1, 0.2"),
        ("version: 1.0\nphases: {}", "Unknown buildspec version '1.0' at line 1; allowed values: 0.1, 0.2"),
        ("version: 0.2", "Expected the section 'phases'"),
        ("version: 0.2\nphase: {}", "Unknown key 'phase' in 'buildspec' at line 2; allowed: version, run-as"),
        (
            "version: 0.2\nphases:\n  test: {commands: [a]}",
            "Unknown key 'test' in 'phases' at line 3; allowed: install",
        ),
        ("version: 0.2\nphases:\n  build: {command: [a]}", "Unknown key 'command' in 'build' at line 3"),
        (
            "version: 0.2\nphases:\n  build: {commands: []}",
            "Expected the key 'commands' in the phase 'build' at line 3",
        ),
        (
            "version: 0.2\nphases:\n  build:\n    commands:\n      - echo Hello: world",
            "Expected Commands[0] to be of string type: found subkeys instead at line 5, "
            "value of the key tag on line 4 might be empty",
        ),
        ("version: 0.2\nrun-as: bob\nphases: {build: {commands: [a]}}", "'run-as: bob' at line 2 is not served"),
        ("version: 0.2\nproxy: {logs: yes}\nphases: {build: {commands: [a]}}", "'proxy' at line 2 is not served"),
        ("version: 0.2\nbatch: {fast-fail: no}\nphases: {build: {commands: [a]}}", "'batch' at line 2 is not served"),
        (
            "version: 0.2\nphases: {build: {commands: [a], on-failure: GO}}",
            "Unknown on-failure 'GO' at line 2; allowed",
        ),
        ("version: 0.2\nphases: {build: {commands: [a], on-failure: RETRY-101}}", "a count of 0 to 100"),
        ("version: 0.2\nphases: {build: {commands: [a], on-failure: 'RETRY-('}}", "is no regular expression"),
        ("version: 0.2\nphases: {install: {runtime-versions: {cobol: 1}}}", "Unknown runtime named 'cobol' at line 2"),
        (
            "version: 0.2\nenv: {shell: fish}\nphases: {build: {commands: [a]}}",
            "Unknown shell 'fish' at line 2; allowed",
        ),
        ("version: 0.2\nenv: {variables: {CODEBUILD_X: 1}}\nphases: {build: {commands: [a]}}", "are reserved"),
        ("version: 0.2\nenv: {variables: {A-B: 1}}\nphases: {build: {commands: [a]}}", "is no name of an environment"),
        ("version: 0.2\nenv: {exported-variables: [AWS_X]}\nphases: {build: {commands: [a]}}", "cannot be exported"),
        (
            "version: 0.2\nphases: {build: {commands: [a]}}\nartifacts: {name: x}",
            "Expected the key 'files' in 'artifacts'",
        ),
        (
            "version: 0.2\nphases: {build: {commands: [a]}}\nreports: {r: {files: [x], file-format: CLOVERXML}}",
            "The file-format 'CLOVERXML' at line 3 is not served by the local cloud; allowed: JUNITXML",
        ),
        (
            "version: 0.2\nphases: {build: {commands: [a], commands: [b]}}",
            "The key 'commands' in 'build' at line 2 is given",
        ),
        ("- a\n- b", "Expected 'buildspec' to be a mapping of keys to values at line 1: found a sequence"),
    ],
)
def test_a_mistake_is_told_with_line_key_and_what_is_allowed(text: str, expected: str) -> None:
    """Protects: the author of a wrong buildspec sees where and what, before any command has run."""
    assert expected in error(text)


COMMANDS = st.lists(st.text(string.printable, min_size=1).map(str.strip).filter(bool), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(phases=st.dictionaries(st.sampled_from(PHASES), COMMANDS, min_size=1))
def test_commands_survive_yaml_as_they_are(phases: dict[str, list[str]]) -> None:
    """Protects: no command is changed on its way from YAML to the shell, whatever characters it holds."""
    text = yaml.safe_dump({"version": 0.2, "phases": {name: {"commands": items} for name, items in phases.items()}})
    spec = parse(text)
    assert {name: list(phase.commands) for name, phase in spec.phases.items()} == phases


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(alphabet=string.printable, max_size=120) | st.binary(max_size=60).map(lambda b: b.decode("latin-1"))
)
def test_no_text_makes_the_parser_fail_otherwise_than_by_name(text: str) -> None:
    """Protects: garbage in a repository ends in a YAML_FILE_ERROR, never in a traceback of the local cloud."""
    try:
        parse(text)
    except BuildspecError as found:
        assert str(found)  # noqa: PT017


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.ascii_letters + ":- ", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["version", "phases", "build", "commands", "env", "variables", "artifacts", "files", "reports"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(document=JSONS)
def test_any_structure_is_read_or_refused_by_name(document: object) -> None:
    """Protects: a value of the wrong kind at any place is a message, not a crash."""
    try:
        spec = parse(yaml.safe_dump(document))
    except BuildspecError as found:
        assert str(found)  # noqa: PT017
    else:
        assert spec.version in ("0.1", "0.2")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**/*", "a/b/c.txt", True),
        ("**/*", ".hidden", True),
        ("*", "a/b", False),
        ("dir/*", "dir/a", True),
        ("dir/*", "dir/a/b", False),
        ("dir/**/*.xml", "dir/x.xml", True),
        ("dir/**/*.xml", "dir/a/b/x.xml", True),
        ("dir/**/*.xml", "other/x.xml", False),
        ("./a.txt", "a.txt", True),
        ("a[1].txt", "a[1].txt", True),
        ("file-?.txt", "file-1.txt", True),
    ],
)
def test_locations_name_the_files_that_codebuild_documents(pattern: str, path: str, expected: bool) -> None:
    """Protects: artifacts and reports hold what `**/*`, `dir/*` and plain names stand for."""
    assert matches(pattern, path) is expected
