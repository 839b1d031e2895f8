"""`slipway-demo`, or `python -m slipway_demo`."""

from __future__ import annotations

import sys


def main() -> int:
    """Entry point. Ctrl-C while the libraries are read, which takes a second, is no reason for a traceback either."""
    try:
        from slipway_demo.cli import main as command
    except KeyboardInterrupt:
        print("\nslipway-demo: stopped before anything was begun.", file=sys.stderr)
        return 130
    return command()


if __name__ == "__main__":
    sys.exit(main())
