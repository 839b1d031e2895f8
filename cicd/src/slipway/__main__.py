"""`python -m slipway` is the same as `slipway`."""

from slipway.cli import main

raise SystemExit(main())
