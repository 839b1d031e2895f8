"""`python -m slipway_demo`."""

import sys

from slipway_demo.cli import main

sys.exit(main())
