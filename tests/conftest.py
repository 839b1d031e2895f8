"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no defect: examples may take as long as they take.
settings.register_profile("slipway", deadline=None)
settings.load_profile("slipway")
