"""The image's entry point: `train` or `serve`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from .errors import failure_of


def main() -> int:
    """Returns the exit code."""
    logging.basicConfig(format="[%(asctime)s:%(levelname)s] %(message)s", datefmt="%Y-%m-%d:%H:%M:%S", level="INFO")
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    if sys.argv[1:] == ["train"]:
        return _train(base)
    if sys.argv[1:] == ["serve"]:
        from .serving import serve

        serve(base)
        return 0
    logging.error("unknown arguments %s; allowed: train, serve", sys.argv[1:])
    return 2


def _train(base: Path) -> int:
    logging.info("Running XGBoost Sagemaker in algorithm mode")
    try:
        from .training import train

        train(base)
    except Exception as error:
        text = failure_of(error)
        logging.exception("Reporting training FAILURE")
        logging.error(text)
        (base / "output").mkdir(parents=True, exist_ok=True)
        (base / "output" / "failure").write_text(text)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
