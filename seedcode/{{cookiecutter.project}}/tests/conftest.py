"""What the tests share: a container's folders, and a small dataset in them."""

import pytest
from slipway.container import Paths

from .invented import TARGET, write


@pytest.fixture(scope="session", autouse=True)
def told():
    """The pipeline tells every step target and problem of project.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_TARGET", TARGET)
        patch.setenv("SLIPWAY_PROBLEM", "{{ cookiecutter.__problem }}")
        yield


@pytest.fixture
def paths(tmp_path, monkeypatch) -> Paths:
    """A container's folders."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    return Paths(tmp_path)


@pytest.fixture
def dataset(paths):
    """The dataset, where the processing job finds it."""
    folder = paths.base / "processing" / "input" / "dataset"
    folder.mkdir(parents=True)
    write(folder)
    return folder
