"""Images are named by what goes into them, and by nothing else."""

from pathlib import Path

import pytest

from slipway import images
from slipway.errors import SlipwayError
from slipway.settings import environment

from .fakes import Session

REGISTRY = "111111111111.dkr.ecr.eu-west-1.amazonaws.com"
DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY training/requirements.txt ./
COPY shared/ \\
     shared/
COPY --from=other /x /y
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "training/Dockerfile": DOCKERFILE,
        "training/requirements.txt": "numpy\n",
        "shared/a.py": "A = 1\n",
        "shared/__pycache__/a.pyc": "x",
        "README.md": "hello\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_sources_are_what_the_dockerfile_copies(root: Path) -> None:
    found = [str(path.relative_to(root)) for path in images.sources(root, root / "training" / "Dockerfile")]
    assert found == ["shared/a.py", "training/requirements.txt"]


def test_the_tag_changes_with_what_goes_in_and_only_with_that(root: Path) -> None:
    tag = images.content_tag(root, "training", "sha256:1")
    assert len(tag) == 12
    (root / "README.md").write_text("other\n")
    (root / "shared" / "__pycache__" / "a.pyc").write_text("y")
    assert images.content_tag(root, "training", "sha256:1") == tag
    assert images.content_tag(root, "training", "sha256:2") != tag
    for name in ("shared/a.py", "training/requirements.txt", "training/Dockerfile"):
        before = (root / name).read_text()
        (root / name).write_text(before + "# more\n")
        assert images.content_tag(root, "training", "sha256:1") != tag, name
        (root / name).write_text(before)
    (root / "shared" / "a.py").rename(root / "shared" / "b.py")
    assert images.content_tag(root, "training", "sha256:1") != tag


def test_what_the_dockerfile_copies_must_be_there(root: Path) -> None:
    (root / "training" / "requirements.txt").unlink()
    with pytest.raises(SlipwayError, match=r"Dockerfile:3: COPY training/requirements.txt: there is no such file"):
        images.content_tag(root, "training", "x")
    with pytest.raises(SlipwayError, match="every image has a folder"):
        images.content_tag(root, "inference", "x")
    with pytest.raises(SlipwayError, match="given 'trainin', allowed preprocessing, training, inference"):
        images.check_name("trainin")


def test_the_base_image_is_pinned() -> None:
    session = Session()
    expected = {
        "registryId": "111111111111",
        "repositoryName": "slipway/base/python",
        "imageIds": [{"imageTag": "3.11"}],
    }
    session.stub("ecr", "describe_images", {"imageDetails": [{"imageDigest": "sha256:abc"}]}, expected)
    uri = f"{REGISTRY}/slipway/base/python"
    assert images.base_image(session.client("ecr"), f"{uri}:3.11") == f"{uri}@sha256:abc"
    session.refuse("ecr", "describe_images", "ImageNotFoundException")
    with pytest.raises(SlipwayError, match="is not in the registry"):
        images.base_image(session.client("ecr"), f"{uri}:3.11")


def test_an_image_that_is_not_built_says_what_to_run() -> None:
    with pytest.raises(SlipwayError, match="run `slipway image build training` first"):
        _ = images.Image("training", f"{REGISTRY}/x", "abc").pinned


def test_a_command_that_fails_says_so() -> None:
    with pytest.raises(SlipwayError, match=r"`false` failed with exit code 1"):
        images.command(["false"])
    with pytest.raises(SlipwayError, match="'no-such-command' is not on the PATH"):
        images.command(["no-such-command"])


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_PROJECT", raising=False)
    with pytest.raises(SlipwayError, match="SLIPWAY_PROJECT is not set"):
        environment("SLIPWAY_PROJECT")
