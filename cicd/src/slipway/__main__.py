"""`slipway`, or `python -m slipway`."""

from __future__ import annotations

import atexit
import gc


def main() -> int:
    """Entry point. A command lives for seconds and leaves little to collect.

    Python would walk again and again over what the libraries make while they are read, and once more at the end: a
    quarter of the time of a command that needs the SageMaker SDK.
    """
    gc.set_threshold(50_000, 20, 50)
    atexit.register(gc.freeze)
    from slipway.cli import main as command

    return command()


if __name__ == "__main__":
    raise SystemExit(main())
