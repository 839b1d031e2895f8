"""The platform's assets: what is uploaded for a release, under a name made of its content.

    cfn/…, service-catalog/…, buildspecs/…    as they are in the repository
    seedcode.zip                              the cookiecutter template
    lambda.zip                                this package and Powertools for AWS Lambda, for Lambda functions
    constraints.txt                           the lock, as constraints
    build-image.zip                           this package, and the build context of the platform's build image

The same repository always gives the same bytes, hence the same digest and the same place: a deployment that changes
nothing uploads nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError

from slipway import __version__
from slipway.archive import archive
from slipway.errors import SlipwayError

# The same loader in C, where PyYAML was built with it: it reads ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FOLDERS = ("cfn", "service-catalog", "buildspecs")
# The templates of the audit. They and their function's code lie where who deploys the platform cannot write.
AUDIT = ("access-analyzer", "audit", "audit-findings", "audit-store", "audit-trail", "config-recorder", "config-rules",
         "guard", "threat-detection")  # fmt: skip
# Pure Python, and with boto3 all that the handlers import; Lambda's runtime has boto3.
LAMBDA_PACKAGES = ("aws_lambda_powertools", "jmespath")
LAMBDA_MODULES = ("typing_extensions",)
# Most of Powertools: a function starts the sooner, the less there is of it.
_UNUSED = ("aws_lambda_powertools/event_handler/", "aws_lambda_powertools/utilities/")
_USED = ("aws_lambda_powertools/utilities/__init__.py", "aws_lambda_powertools/utilities/jmespath_utils/")
_AT_ONCE = 8  # of boto3's ten connections
_SKIPPED = {"__pycache__", ".ruff_cache", ".pytest_cache", ".mypy_cache"}


@dataclass(frozen=True)
class Assets:
    """Everything a release consists of, by its key below the release's prefix."""

    files: Mapping[str, bytes]
    folder: str = "releases"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over all names and contents."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name}\0{hashlib.sha256(self.files[name]).hexdigest()}\0".encode())
        return digest.hexdigest()[:16]

    @property
    def prefix(self) -> str:
        """Where the release lies in the assets bucket."""
        return f"{self.folder}/{self.digest}"


def collect(repository: Path) -> Assets:
    """Pack the repository at `repository`. Raises SlipwayError if it is not a Slipway repository."""
    files: dict[str, bytes] = {}
    for folder in FOLDERS:
        found = dict(_tree(repository / folder, f"{folder}/"))
        if not found:
            raise SlipwayError(f"{repository / folder}: there is nothing: give the repository's root with --repository")
        files |= found
    check_yaml(repository, files)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "cicd"
        shutil.copytree(repository / "cicd", project, ignore=shutil.ignore_patterns(*_SKIPPED, "*.egg-info"))
        version = _stamp_version(project)
        wheel = {f"slipway-{version}-py3-none-any.whl": _wheel(project)}
        files["lambda.zip"] = archive(_lambda(project))
    files["seedcode.zip"] = seedcode(repository)
    constraints = _constraints(repository / "requirements.lock")
    files["constraints.txt"] = constraints
    image = repository / "cicd" / "image"
    files["build-image.zip"] = archive(
        {
            **wheel,
            "Dockerfile": (image / "Dockerfile").read_bytes(),
            "constraints.txt": constraints,
            "requirements.txt": _locked(repository / "requirements.lock", image / "packages.txt"),
        }
    )
    return Assets(files)


def audit(repository: Path) -> Assets:
    """Pack what an administrator deploys beside the platform, to watch it. Raises SlipwayError."""
    try:
        files = {f"cfn/{name}.yaml": (repository / "cfn" / f"{name}.yaml").read_bytes() for name in AUDIT}
    except FileNotFoundError as error:
        raise SlipwayError(
            f"{error.filename}: there is no such file: give the repository's root with --repository"
        ) from None
    check_yaml(repository, files)
    files["lambda.zip"] = archive(_lambda(repository / "cicd"))
    return Assets(files, "guardrails")


def check_yaml(repository: Path, files: Mapping[str, bytes]) -> None:
    """Refuse a template or buildspec that is not YAML, with its file and line: CloudFormation would not name the file.

    Only whether it can be read is looked at; what it says is CloudFormation's business.
    """
    for name, content in files.items():
        if not name.endswith((".yaml", ".yml")):
            continue
        try:
            for _ in yaml.parse(content, _LOADER):
                pass
        except (yaml.YAMLError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error)
            raise SlipwayError(
                f"{repository / name}{line}: not YAML: {problem}; look at this line and the one before it. "
                "Nothing was uploaded or deployed."
            ) from None


def seedcode(repository: Path) -> bytes:
    """The cookiecutter template as a zip."""
    return archive(dict(_tree(repository / "seedcode", "", hidden=True)))


def upload(s3: Any, bucket: str, assets: Assets) -> int:
    """Upload what is not there yet. Returns how many files were uploaded."""
    # The marker is written last: a release that has it is complete, and its name says its content.
    marker = f"{assets.prefix}/complete"
    try:
        s3.head_object(Bucket=bucket, Key=marker)
        return 0
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"404", "NoSuchKey", "NotFound"}:
            raise

    def put(name: str) -> None:
        s3.put_object(Bucket=bucket, Key=f"{assets.prefix}/{name}", Body=assets.files[name])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(put, sorted(assets.files)))
    s3.put_object(Bucket=bucket, Key=marker, Body=b"")
    return len(assets.files)


def _tree(folder: Path, prefix: str, *, hidden: bool = False) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or _SKIPPED & set(parts) or path.suffix == ".pyc":
            continue
        if hidden or not any(part.startswith(".") for part in parts):
            yield prefix + "/".join(parts), path.read_bytes()


def _stamp_version(project: Path) -> str:
    """Give the package a version of its own: `0.1.0` → `0.1.0.post<number made of its content>`.

    A package repository never takes the same version twice, and rightly: whoever pins a version gets the same code. So
    every change of this package is another version, without anybody having to think of it.
    """
    digest = hashlib.sha256()
    for name, content in [("pyproject.toml", (project / "pyproject.toml").read_bytes()), *_tree(project / "src", "")]:
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\0".encode())
    version = f"{__version__.partition('.post')[0]}.post{int(digest.hexdigest()[:8], 16)}"
    source = project / "src" / "slipway" / "__init__.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(re.sub(r'__version__ = "[^"]*"', f'__version__ = "{version}"', text), encoding="utf-8")
    return version


def _wheel(project: Path) -> bytes:
    """Build the wheel with the build backend itself: no environment is made and nothing is downloaded."""
    try:
        from hatchling.builders.wheel import WheelBuilder
    except ImportError:
        raise SlipwayError("hatchling is needed to build the wheel: install requirements.lock") from None
    with tempfile.TemporaryDirectory() as folder:
        built = next(WheelBuilder(str(project)).build(directory=folder, versions=["standard"]))
        return Path(built).read_bytes()


def _lambda(project: Path) -> dict[str, bytes]:
    files = dict(_tree(project / "src" / "slipway", "slipway/"))
    for name in LAMBDA_PACKAGES:
        files |= dict(_tree(_location(name).parent, f"{name}/"))
    for name in LAMBDA_MODULES:
        files[f"{name}.py"] = _location(name).read_bytes()
    return {name: file for name, file in files.items() if not name.startswith(_UNUSED) or name.startswith(_USED)}


def _location(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise SlipwayError(f"the Python package {module!r} is needed to pack lambda.zip: install requirements.lock")
    return Path(spec.origin)


def _locked(lock: Path, packages: Path) -> bytes:
    """The lock's entries, hashes included, of the packages that a file names."""
    entries: dict[str, str] = {}
    for entry in re.findall(r"^[A-Za-z0-9].*==.*(?:\n[ ]+.*)*", _text(lock), re.M):
        name = entry.partition("==")[0]
        entries[name] = f"{entries.get(name, '')}{entry}\n"  # another version for other Pythons, with a marker
    names = [line for line in _text(packages).splitlines() if line and not line.startswith("#")]
    if missing := [name for name in names if name not in entries]:
        raise SlipwayError(f"{packages}: not in {lock.name}: {', '.join(missing)}: run `make lock`")
    return "".join(entries[name] for name in names).encode()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SlipwayError(f"{path}: there is no such file: give the repository's root with --repository") from None


def _constraints(lock: Path) -> bytes:
    """The lock without hashes: pip wants either a hash for everything or for nothing, and our own wheel has none."""
    text = _text(lock)
    # A pin may have a marker: `scipy==1.17.1 ; python_full_version < '3.12'`.
    pins = re.findall(r"^([A-Za-z0-9][^\\\n]*==[^\\\n]*?)[ ]*\\?$", text, re.M)
    return "".join(f"{pin}\n" for pin in pins).encode()
