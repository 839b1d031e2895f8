"""The Dockerfile reader, its words, and pip's options: what is understood is understood as Docker and a shell do."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.children import Children
from localcloud.runtime import commands, dockerfile, pip, references, words
from localcloud.runtime.files import file_mode
from localcloud.runtime.paths import PathMap
from localcloud.runtime.sandbox import Failed, Refused, Sandbox
from localcloud.runtime.secret_env import with_secret_files
from localcloud.runtime.types import BuildError

PLAIN = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)


def parse(text: str, **build_args: str) -> dockerfile.Dockerfile:
    return dockerfile.parse(text.encode(), "Dockerfile", build_args)


# Words


@given(st.lists(PLAIN, max_size=5))
def test_quoted_words_come_out_as_they_went_in(items: list[str]) -> None:
    """Whatever a person quotes for a shell reaches the program unchanged, `$`, `#`, `*` and blanks included."""
    found = words.shell(shlex.join(items), {})
    assert [token.text for token in found] == items


@given(st.lists(st.sampled_from(["a", "b c", "&&", ";", "|", "'", '"x"', "\\", "$A", "${A:-b}", "#", "*"])))
def test_every_line_is_read_or_refused(parts: list[str]) -> None:
    """No line makes the reader fail in a way that has no name."""
    line = " ".join(parts)
    with contextlib.suppress(words.NotPlain):
        words.shell(line, {"A": "1"})


@given(NAMES, PLAIN)
def test_a_variable_in_quotes_is_one_word(name: str, value: str) -> None:
    """A path with blanks in a variable stays one argument."""
    assert words.shell(f'"${name}" "${{{name}}}"', {name: value}) == [words.Word(value)] * 2


@given(NAMES, PLAIN, PLAIN.filter(lambda text: not set(text) & set("{}\\$\"'`")))
def test_defaults_hold_only_where_nothing_is_set(name: str, value: str, default: str) -> None:
    """${NAME:-default} and ${NAME-default} differ for an empty value, as in Docker and in a shell."""
    assert words.expand(f"${{{name}:-{default}}}", {name: value}) == (value or default)
    assert words.expand(f"${{{name}-{default}}}", {name: value}) == value
    assert words.expand(f"${{{name}:+{default}}}", {name: value}) == (default if value else "")
    assert words.expand(f"${{{name}:-{default}}}", {}) == default


@pytest.mark.parametrize("line", ["a `b`", "a $(b", "a 'b", 'a "b', "echo $?", "${a", "${a/b/c}", "${1}"])
def test_what_needs_a_shell_is_named(line: str) -> None:
    """A construct that is not understood is never passed over."""
    with pytest.raises(words.NotPlain):
        words.shell(line, {})


# Dockerfiles

_LINES = st.sampled_from([
    "FROM python:3.11-slim", "FROM python:3.11-slim AS build", "FROM ${BASE}", "ARG BASE=python:3.11-slim", "ARG X",
    "ENV A=1 B='two words' \\\n    C=${A}", "ENV OLD form", "RUN pip install x && \\\n  # note\n  true", "RUN",
    "COPY a b", "COPY --from=build /a /b", "COPY [\"a b\", \"c\"]", "CMD [\"x\"]", "CMD x", "SHELL [\"x\"]", "# c", "",
    "RUN <<EOF\nx\nEOF", "USER 1", "EXPOSE 80", "LABEL a=b", "HEALTHCHECK NONE", "VOLUME /x", "RUN x \\", "frob",
    "ADD https://a.example/x /x", "WORKDIR /opt", "STOPSIGNAL SIGINT", "ONBUILD RUN x", "\tcopy a b",
])  # fmt: skip


@given(st.lists(_LINES, max_size=8))
def test_every_file_is_read_or_refused_with_its_line(lines: list[str]) -> None:
    """A refusal names the file and, where there is an instruction, its line."""
    told = ""
    try:
        found = parse("\n".join(lines))
    except BuildError as error:
        told = str(error)
    assert told.startswith("Dockerfile:") or (not told and found.stages)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(content: bytes) -> None:
    """Whatever file is given, there is either a Dockerfile or one clear error."""
    with contextlib.suppress(BuildError):
        dockerfile.parse(content)


@given(st.dictionaries(NAMES, PLAIN, max_size=4))
def test_env_sets_exactly_what_is_quoted(values: dict[str, str]) -> None:
    """ENV NAME='value' gives back the value, whatever is in it."""
    if not values:
        return
    line = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    instruction = dockerfile.Instruction("Dockerfile", 1, "ENV", line)
    assert dockerfile.pairs(instruction, {}) == values


def test_a_build_argument_before_from_chooses_the_base() -> None:
    """The platform passes its mirror of the base image this way."""
    text = "ARG BASE_IMAGE=python:3.11-slim\nFROM ${BASE_IMAGE} AS run\n"
    assert parse(text).stages[0].base == "python:3.11-slim"
    assert parse(text, BASE_IMAGE="mirror:1").stages[0].base == "mirror:1"


def test_flags_and_continuations_are_taken_apart() -> None:
    """A secret mount on a RUN over several lines, as the project's images have it."""
    text = 'FROM a\nRUN --mount=type=secret,id=i,env=PIP_INDEX_URL \\\n  # why\n    pip install \\\n    x\nCMD ["a"]'
    run, command = parse(text).stages[0].instructions
    assert run.flags == (("mount", "type=secret,id=i,env=PIP_INDEX_URL"),)
    assert run.value.split() == ["pip", "install", "x"]
    assert (run.line, command.line) == (2, 6)
    assert command.exec_form == ["a"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('FROM a\nSHELL ["x"]', "Dockerfile:2: SHELL"),
        ("FROM a\nONBUILD RUN x", "Dockerfile:2: ONBUILD"),
        ("FROM a\nADD https://x.example/y /y", "COPY it"),
        ("FROM a\nCOPY --from=none a b", "--from=none is not an earlier stage"),
        ("FROM a\nCOPY --parents a b", "--chown, --from, --link"),
        ("FROM a\nRUN <<EOF\nx\nEOF", "here-documents"),
        ("RUN x", "no build stage"),
        ("", "there is no FROM"),
        ("FROM", "at least one argument"),
        ("FROM --platform=linux/arm64 a", "linux/amd64"),
        ("FROM ${NONE}", "--build-arg"),
        ("FROM a\nENV A", "has no value"),
        ("FROM a\nARG 1=2", "is not a name"),
    ],
)
def test_a_refusal_says_what_to_do(text: str, told: str) -> None:
    """Line, instruction, what is allowed or the mend."""
    with pytest.raises(BuildError) as error:
        parse(text)
    assert told in str(error.value)


def test_bases_of_any_dockerfile_are_found() -> None:
    """The other runtimes have to fetch bases of files that hold more than the process runtime serves."""
    text = 'ARG B=one:1\nFROM --platform=linux/amd64 $B AS x\nSHELL ["a"]\nFROM x\nFROM two:2\nFROM scratch\n'
    assert dockerfile.bases(text, "Dockerfile", {}) == ["one:1", "two:2"]


def test_a_secret_variable_becomes_a_secret_file() -> None:
    """Builders that know secrets as files only see the same variable."""
    text = "FROM a\nRUN --mount=type=secret,id=i,env=URL \\\n    pip install x\nRUN true\n"
    changed = with_secret_files(text)
    assert "env=URL" not in changed
    assert (
        "--mount=type=secret,id=i,target=/run/secrets/i \\\n    if [ -f /run/secrets/i ]; then export URL=" in changed
    )
    assert changed.endswith("pip install x\nRUN true\n")


# Names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python:3.11-slim", ("", "python", "3.11-slim", "")),
        ("docker.io/library/python", ("", "python", "latest", "")),
        ("localhost:5000/a/b:1", ("localhost:5000", "a/b", "1", "")),
        ("x.example/a@sha256:" + "0" * 64, ("x.example", "a", "", "sha256:" + "0" * 64)),
    ],
)
def test_names_are_parted(text: str, expected: tuple[str, str, str, str]) -> None:
    """Registry, repository, tag, digest."""
    found = references.parse(text)
    assert (found.registry, found.repository, found.tag, found.digest) == expected


@pytest.mark.parametrize("text", ["", "A", "a:", "a@sha256:1", "a b", "a:b:c", "/a", "a/"])
def test_what_is_no_name_is_refused(text: str) -> None:
    """A typing error in an address is told at once."""
    with pytest.raises(ValueError, match="not the name of an image"):
        references.parse(text)


@given(st.text(max_size=60))
def test_a_name_is_read_back_as_it_is_written(text: str) -> None:
    """Tags are kept under the written form."""
    try:
        found = references.parse(text)
    except ValueError:
        return
    assert references.parse(str(found)) == found


# pip


def test_pip_options_mean_the_same_to_uv() -> None:
    """What images are written with, as a real pip would do it."""
    made = pip.translate(
        "install", ["--no-cache-dir", "-r", "a.txt", "-cb.txt", "--index-url=http://i", "--upgrade", "x[y]>=1"],
        lambda value: "/root/" + value if value.endswith(".txt") else value,
    )  # fmt: skip
    assert made == ["pip", "install", "-r", "/root/a.txt", "-c", "/root/b.txt", "--default-index", "http://i",
                    "--upgrade", "x[y]>=1"]  # fmt: skip


@pytest.mark.parametrize("options", [["--target", "x"], ["--user"], ["-r"], ["--frobnicate"]])
def test_unknown_pip_options_are_refused_by_name(options: list[str]) -> None:
    """An option that is passed over would install something else."""
    with pytest.raises(pip.PipRefused, match=options[0]):
        pip.translate("install", options, str)


def test_an_index_of_the_image_keeps_the_machine_s_out(tmp_path: Path) -> None:
    """A build that names CodeArtifact takes nothing from anywhere else, but trusts the same certificates."""
    machine = {"UV_FIND_LINKS": "/w", "UV_DEFAULT_INDEX": "http://m", "SSL_CERT_FILE": "/c", "UV_CACHE_DIR": "/k"}
    own = pip.environment({"PIP_INDEX_URL": "http://i"}, [], machine)
    assert own["UV_DEFAULT_INDEX"] == "http://i"
    assert "UV_FIND_LINKS" not in own
    assert (own["SSL_CERT_FILE"], own["UV_CACHE_DIR"]) == ("/c", "/k")
    assert pip.environment({}, [], machine)["UV_FIND_LINKS"] == "/w"
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = http://c\nextra-index-url =\n    http://d\n    http://e\n")
    found = pip.environment({}, [config], machine)
    assert (found["UV_DEFAULT_INDEX"], found["UV_INDEX"]) == ("http://c", "http://d http://e")


# RUN


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    root = tmp_path / "root"
    (root / "opt" / "app").mkdir(parents=True)
    (root / "opt" / "app" / "a.txt").write_text("a")
    lines: list[str] = []
    return Sandbox(
        root=root, venv=tmp_path / "venv", environment={}, workdir="/opt/app", home=tmp_path, machine={},
        processes=Children(), on_line=lines.append, key="k",
    )  # fmt: skip


def test_file_commands_act_on_the_image_alone(sandbox: Sandbox) -> None:
    """Absolute paths are the image's; links stay inside it; what is exported is seen by later commands."""
    commands.run(
        "set -eux; export D=/srv/data && mkdir -p $D/x && cp a.txt $D/x/b.txt && ln -s /opt/app/a.txt $D/link"
        " && chmod 755 *.txt && mv a.txt c.txt && rm -rf /var/lib/apt/lists/* && cd $D && touch here", sandbox,
    )  # fmt: skip
    root = sandbox.root
    assert (root / "srv/data/x/b.txt").read_text() == "a"
    assert not (root / "srv/data/link").readlink().is_absolute()
    assert (root / "opt/app/c.txt").stat().st_mode & 0o777 == 0o755
    assert (root / "srv/data/here").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("curl -o x http://a.example", "'curl' is not served"),
        ("echo a | sh", r"'\|' needs a shell"),
        ("echo a > b", "'>' needs a shell"),
        ("echo $(date)", "needs a shell"),
        ("apt-get install -y postgresql", "postgresql is not served"),
        ("rm -rf /", "rm of /"),
        ("python -m venv /opt/venv", "leave `-m venv` out"),
        ("python -c \"open('/data/x', 'w')\"", "no container around it"),
        ("pip wheel x", "pip wheel is not served"),
        ("chmod u+s a.txt", "allowed: 755"),
    ],
)
def test_other_commands_are_refused_by_name(sandbox: Sandbox, line: str, told: str) -> None:
    """Nothing is left out in silence, and nothing is done to the machine."""
    with pytest.raises(Refused, match=told):
        commands.run(line, sandbox)


def test_a_failure_ends_the_chain(sandbox: Sandbox) -> None:
    """As with set -e and &&."""
    with pytest.raises(Failed, match="non-zero code"):
        commands.run("cp none x && touch y", sandbox)
    assert not (sandbox.root / "opt/app/y").exists()


def test_a_link_does_not_lead_out_of_the_image(sandbox: Sandbox, tmp_path: Path) -> None:
    """An image cannot be written in a way that changes this machine."""
    (sandbox.root / "out").symlink_to(tmp_path)
    with pytest.raises(Refused, match="leads out"):
        commands.run("touch /out/x", sandbox)


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [("644", 0o777, 0o644), ("u+x", 0o644, 0o744), ("a-w", 0o666, 0o444), ("go=r", 0o777, 0o744)],
)
def test_modes_are_chmod_s(text: str, before: int, after: int) -> None:
    """Octal and symbolic."""
    assert file_mode(text, before, False) == after


# Paths


def test_container_paths_become_paths_here(tmp_path: Path) -> None:
    """In arguments, flags, lists and JSON; what is neither mounted nor in the image stays as it is."""
    root = tmp_path / "root"
    (root / "opt" / "app").mkdir(parents=True)
    data, model = tmp_path / "ml", tmp_path / "m"
    paths = PathMap(root, [(data, "/opt/ml"), (model, "/opt/ml/model")])
    assert paths.text("/opt/ml/input/x") == f"{data}/input/x"
    assert paths.text("/opt/ml/model") == str(model)
    assert paths.text("--dir=/opt/app/new") == f"--dir={root}/opt/app/new"
    assert paths.text("/opt/app:/usr/bin") == f"{root}/opt/app:/usr/bin"
    assert paths.text('{"a": ["/opt/ml/x"]}') == f'{{"a": ["{data}/x"]}}'
    assert paths.text("s3://bucket/opt/ml") == "s3://bucket/opt/ml"
    assert paths.command("python /opt/app/x.py --in /opt/ml/input") == f"python {root}/opt/app/x.py --in {data}/input"
    assert paths.text("/usr/bin/env") == "/usr/bin/env"
    assert paths.text("/opt/mlx") == f"{root}/opt/mlx"
