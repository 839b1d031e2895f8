"""What all tests share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# A busy machine is no defect: examples may take as long as they take.
settings.register_profile("slipway", deadline=None)
settings.load_profile("slipway")

# Folders whose tests share what takes minutes to make: each is run by one worker.
_TOGETHER = ("tests/loop/",)


class Together(LoadScopeScheduling):
    """One unit of work a file, whose tests share what they set up, but for the folders that stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in _TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """However tests are to be distributed (`-n 2`, `--dist …`), a folder stays together.

    `--dist loadgroup` would be the way, but xdist 3.8 tells the group by a suffix of the test's id, which pytest 9.2
    drops in silence: two workers would each play the whole demonstration.
    """
    return Together(config, log)
