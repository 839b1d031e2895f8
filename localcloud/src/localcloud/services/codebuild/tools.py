"""What stands in for CodeBuild's curated images: this machine's programs, with Python and `aws` of the build's own."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

from localcloud.runtime import bytecode, pip, trees

_NO_DAEMON = """\
#!/bin/sh
echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2
echo "The project's environment has no privilegedMode; set it to true to build images." >&2
exit 1
"""
_NO_PIP = "#!/bin/sh\necho 'pip is not installed with this Python' >&2\nexit 1\n"
_PIP = '#!/bin/sh\nexec {own} -I -m localcloud.runtime.pip_command {python} "$@"\n'
_AWS = '#!/bin/sh\nexec {python} -m awscli "$@"\n'


def script(path: Path, text: str) -> None:
    """Write an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def refuse_docker(directory: Path) -> Path:
    """A `docker` that answers what a build without a daemon gets. Returns its directory."""
    script(directory / "docker", _NO_DAEMON)
    return directory


def curated(root: Path) -> Path:
    """Make `python`, `pip` and `aws` in a directory of their own; installs go nowhere else. Returns the directory.

    The interpreter is the one that the local cloud runs on; its own packages are not visible to the build.
    """
    python = root / "python"
    base = Path(getattr(sys, "_base_executable", sys.executable) or sys.executable)
    builder = venv.EnvBuilder(with_pip=False, symlinks=True)
    builder.create(python)
    commands = python / "bin"
    if _install_pip(python):
        for name in ("pip", "pip3"):
            text = _PIP.format(own=shlex.quote(sys.executable), python=shlex.quote(str(commands / "python")))
            script(commands / name, text)
    else:
        script(commands / "pip", _NO_PIP)
    for name in ("python", "python3"):
        if not (commands / name).exists():
            (commands / name).symlink_to(base)
    return aws_command(commands)


def aws_command(directory: Path) -> Path:
    """Put an `aws` into a directory, which is returned."""
    script(directory / "aws", _AWS.format(python=shlex.quote(sys.executable)))
    return directory


def _install_pip(python: Path) -> bool:
    """Put the pip that comes with the interpreter into the environment; quicker than running it to install itself."""
    try:
        import ensurepip
    except ImportError:
        return False
    bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    packages = sorted(python.glob("lib/python*/site-packages"))
    if not bundled or not packages:
        return False
    with zipfile.ZipFile(bundled[-1]) as wheel:
        wheel.extractall(packages[0])
    bytecode.provide(python, trees.recorded(python), Path(pip.machine()["LOCALCLOUD_BYTECODE"]))
    return True


class Environments:
    """The virtual environments that a build makes in its source: their packages get the bytecode that is known.

    Every build makes them anew, and Python would compile again what each of them imports.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self._seen: dict[Path, int] = {}

    def provide(self) -> None:
        """Look for environments and packages that were not there before; a failure costs time, never the build."""
        for made in self._source.glob("*/pyvenv.cfg"):
            with contextlib.suppress(OSError, LookupError, ValueError):
                if self._seen.get(made) != _changed(made.parent):
                    found = trees.recorded(made.parent)
                    bytecode.provide(made.parent, found, Path(pip.machine()["LOCALCLOUD_BYTECODE"]))
                    self._seen[made] = _changed(made.parent)


def _changed(environment: Path) -> int:
    """When something was last installed or removed; nanoseconds of the file system's clock."""
    return max(place.stat().st_mtime_ns for place in environment.glob("lib/python*/site-packages"))


def search_path(environ: Mapping[str, str]) -> str:
    """The machine's PATH without the local cloud's own virtual environment."""
    own = Path(sys.prefix) / "bin"
    entries = [entry for entry in environ.get("PATH", os.defpath).split(os.pathsep) if entry]
    return os.pathsep.join(entry for entry in entries if Path(entry) != own)


def hash_files(directory: Path) -> Path:
    """`codebuild-hash-files`, which buildspecs call in cache keys, in a directory, which is returned."""
    script(directory / "codebuild-hash-files", "#!/bin/sh\ncat \"$@\" | sha256sum | cut -d ' ' -f 1\n")
    return directory
