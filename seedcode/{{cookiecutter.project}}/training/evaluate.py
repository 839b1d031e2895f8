"""Measures the model on the test rows: metrics, a report with plots, sample rows and a baseline."""

import os
import tarfile
import tempfile
from pathlib import Path

from slipway import container, evaluation

import predictor
from {{ cookiecutter.__package }} import columns

# What the pipeline says of the data, for the head of the report.
FACTS = {
    "project": "SLIPWAY_PROJECT",
    "dataset": "SLIPWAY_DATASET",
    "version of the data": "SLIPWAY_DATA_VERSION",
}


def evaluate(paths: container.Paths) -> None:
    """Write evaluation.json, samples.json and report.html, and the baseline for monitoring."""
    target = container.target()
    with tempfile.TemporaryDirectory() as folder:
        model = load(container.model_archive(paths), Path(folder))
    rows = columns.read(paths.processing_input("test"))
    found = evaluation.evaluate(model, rows, target, container.problem())
    output = paths.processing_output("evaluation")
    evaluation.write_json(output / "evaluation.json", found.report())
    evaluation.write_json(output / "samples.json", found.samples())
    facts = {name: os.environ[key] for name, key in FACTS.items() if os.environ.get(key)}
    (output / "report.html").write_text(found.html(facts), encoding="utf-8")
    if paths.has_processing_input("train"):  # as monitoring.baseline of project.yaml says
        seen = columns.read(paths.processing_input("train"))[list(columns.FEATURES)]
        seen = seen.assign(prediction=evaluation.ask(model, seen))
        evaluation.write_baseline(paths.processing_output("baseline"), seen)
    for name, figure in found.metrics.items():
        print(f"{name}: {figure['value']:.4f} ± {figure['standard_deviation']:.4f}")


def load(archive: Path, folder: Path) -> predictor.{{ cookiecutter.__class }}:
    """The model out of model.tar.gz, as SageMaker packed it, and as the endpoint serves it."""
    try:
        with tarfile.open(archive) as tar:
            # Python 3.11 before 3.11.4, which distributions still have, knows no filter by name.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(folder)
        return predictor.load(folder)
    except (OSError, ValueError, tarfile.TarError) as error:
        raise container.StepError(f"{archive.name}: no readable model: {error}") from error


if __name__ == "__main__":
    container.run(evaluate)
