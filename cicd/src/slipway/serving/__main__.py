"""Entry point of an inference image: `python -m slipway.serving predictor:load serve`.

`predictor:load` is a function that takes the folder of the model's files and returns a slipway.serving.Model; SageMaker
adds the word `serve`. Environment: SAGEMAKER_BIND_TO_PORT (default 8080), SAGEMAKER_MODEL_SERVER_WORKERS (default: one
a vCPU).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Before anything is imported that starts threads; the workers inherit it.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def vcpus() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="slipway.serving", description="Serve a project's model.")
    parser.add_argument("loader", help="module:function that loads the model")
    parser.add_argument("command", nargs="?", default="serve", choices=["serve"], help="what SageMaker adds")
    given = parser.parse_args()
    if ":" not in given.loader:
        parser.error(f"loader: given {given.loader!r}, allowed module:function")
    for name in THREADS:
        os.environ.setdefault(name, "1")
    os.environ["SLIPWAY_SERVING_LOADER"] = given.loader
    # `python -m` puts the working folder on the path of this process, not on that of its workers.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))

    import uvicorn

    uvicorn.run(
        "slipway.serving.app:from_environment",
        factory=True,
        host="0.0.0.0",  # noqa: S104 - SageMaker reaches the container from outside
        port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        workers=int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS", vcpus())),
        access_log=False,
        timeout_keep_alive=75,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
