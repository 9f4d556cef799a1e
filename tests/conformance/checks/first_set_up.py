# SPDX-License-Identifier: Apache-2.0
"""The set-up of a given driver: where it fails the first time, the run ends with its cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

_HAS_BEEN_UP = pytest.StashKey[bool]()


def set_up(request: pytest.FixtureRequest, make: Callable[[], T]) -> T:
    """Set a driver up; end the run of a given one that cannot be set up the first time."""
    stash = request.config.stash
    try:
        made = make()
    except (Exception, SystemExit) as error:
        if request.config.getoption("driver") and not stash.get(_HAS_BEEN_UP, False):
            text = " ".join(str(error).split())
            cause = f"{type(error).__name__}: {text}"
            request.session.shouldfail = f"the driver could not be set up: {cause}"
        raise
    stash[_HAS_BEEN_UP] = True
    return made
