"""A project's images built for real, and run with /opt/ml mounted as SageMaker mounts it.

The process runtime is what the local cloud uses by default; here real containers say whether it tells the truth.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from localcloud.runtime import RunSpec
from tests.images.conftest import IMAGES, Loop

Loops = Callable[[str], Loop]


def test_the_same_rows_come_out_of_preprocessing(loops: Loops) -> None:
    """Byte for byte: training sees the same data in a container and without one."""
    assert loops("process").files == loops("buildah").files


def test_the_same_figures_come_out_of_training(loops: Loops) -> None:
    """The quality gate decides alike."""
    process, real = loops("process").evaluation, loops("buildah").evaluation
    assert process.keys() == real.keys()
    for name, figure in real["regression_metrics"].items():
        assert process["regression_metrics"][name] == pytest.approx(figure, rel=1e-9), name


def test_an_endpoint_answers_as_the_model_was_evaluated(loop: Loop) -> None:
    """Rows sent to the serving container get the predictions that evaluation.json is made of."""
    assert loop.predictions == pytest.approx(loop.samples["predicted"], rel=1e-9)


def test_the_same_predictions_are_served(loops: Loops) -> None:
    """A release behaves alike on both."""
    assert loops("process").predictions == pytest.approx(loops("buildah").predictions, rel=1e-9)


@pytest.mark.parametrize("name", IMAGES)
def test_the_configuration_is_read_alike(loops: Loops, name: str) -> None:
    """Entry point, command, directory and variables of each Dockerfile."""
    process, real = loops("process").images[name].config, loops("buildah").images[name].config
    assert process.entrypoint == real.entrypoint
    assert process.command == real.command
    assert process.workdir == real.workdir
    own = {"PYTHON_VERSION", "PATH"}
    assert {k: v for k, v in process.environment.items() if k not in own} == {
        k: v for k, v in real.environment.items() if k not in own
    }


@pytest.mark.parametrize("name", IMAGES)
def test_the_same_packages_are_installed(loops: Loops, name: str) -> None:
    """uv, which the process runtime uses, and the image's own pip choose the same versions."""
    assert loops("process").packages(name) == loops("buildah").packages(name)


def test_exit_codes_and_signals_come_through(loop: Loop) -> None:
    """A failed step is a failed job; a stopped one leaves nothing running."""
    image = loop.images["training"]
    lines: list[str] = []
    spec = RunSpec(image, entrypoint=["python", "-c", "import sys; print('out'); sys.exit(7)"], on_line=lines.append)
    assert loop.runtime.run(spec) == 7
    assert lines == ["out"]
    assert loop.runtime.run(RunSpec(image, entrypoint=["sleep", "60"], timeout=1)) == 124


def test_nothing_of_this_machine_s_way_to_packages_is_in_an_image(loops: Loops) -> None:
    """Index settings and certificates are mounted while an image is built and are gone afterwards."""
    loop = loops("buildah")
    code = "import pathlib; print(sum(p.stat().st_size for p in pathlib.Path('/etc').rglob('pip.conf') if p.is_file()))"
    lines: list[str] = []
    spec = RunSpec(loop.images["training"], entrypoint=["python", "-c", code], on_line=lines.append)
    assert loop.runtime.run(spec) == 0
    assert lines == ["0"]
