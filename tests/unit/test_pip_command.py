"""`pip` in a curated build image: what installs goes to uv with pip's own settings; everything else stays pip's."""

from __future__ import annotations

from pathlib import Path

from localcloud.runtime import pip_command

PYTHON = "/build/python/bin/python"


def test_an_installation_goes_to_uv_with_the_index_that_pip_was_configured_for(tmp_path: Path) -> None:
    """`aws codeartifact login --tool pip` writes pip's configuration: a build must install from there alone."""
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text("[global]\nindex-url = http://aws:token@packages/simple/\n")
    words, variables = pip_command.command(
        PYTHON, ["install", "--quiet", "--constraint", "constraints.txt", "./slipway-1.whl[publish]"],
        {"HOME": str(tmp_path), "PATH": "/bin"},
    )  # fmt: skip
    assert words[0].endswith("uv")
    assert words[1:] == ["pip", "install", "-c", "constraints.txt", "./slipway-1.whl[publish]", "--python", PYTHON,
                         "--quiet"]  # fmt: skip
    assert variables["UV_DEFAULT_INDEX"] == "http://aws:token@packages/simple/"
    assert variables["UV_NO_CONFIG"] == "1"
    assert variables["PATH"] == "/bin"


def test_whatever_uv_does_not_do_as_pip_does_is_left_to_pip() -> None:
    environ = {"HOME": "/nonexistent"}
    for arguments in (
        [], ["--version"], ["config", "set", "global.index-url", "http://x/"], ["install", "--help"], ["download", "x"],
        ["install", "--user", "x"], ["install", "--target", "here", "x"],
    ):  # fmt: skip
        assert pip_command.command(PYTHON, arguments, environ) == ([PYTHON, "-m", "pip", *arguments], environ)


def test_a_setting_is_written_where_pip_reads_it_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    """What `aws codeartifact login` sets must not take away the certificates that the machine's file names."""
    environ = {"HOME": str(tmp_path)}
    file = tmp_path / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[global]\ncert = /etc/ca.pem\nindex-url = http://old/\n")
    assert pip_command.write_setting(["config", "set", "global.index-url", "http://aws:%2Ftoken@new/"], environ) == file
    assert file.read_text().split("\n")[:3] == [
        "[global]",
        "cert = /etc/ca.pem",
        "index-url = http://aws:%2Ftoken@new/",
    ]
    for other in (["config", "list"], ["config", "set", "--site", "global.x", "y"], ["config", "set", "x", "y"]):
        assert pip_command.write_setting(other, environ) is None
    assert pip_command.write_setting(["config", "set", "a.b", "c"], environ | {"PIP_CONFIG_FILE": "/x"}) is None
