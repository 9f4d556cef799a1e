# SPDX-License-Identifier: Apache-2.0
"""Try a transaction again that others were in the way of: nothing of it was written.

Galera refuses a transaction at its COMMIT when another node has changed the same row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import tenacity

from worker.journal.errors import JournalConflict

ATTEMPTS = 10
"""How often one transaction is tried, at most."""

_AGAIN = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(JournalConflict),
    wait=tenacity.wait_random(0.0, 0.1),
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    reraise=True,
)

GRANT_TIME = 10.0
"""How long one statement is tried against a process that always writes the same row, in seconds."""

_UNTIL_GRANTED = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(JournalConflict),
    wait=tenacity.wait_random(0.0, 0.02),  # less than the time between two commits of it
    stop=tenacity.stop_after_delay(GRANT_TIME),
    reraise=True,
)

P = ParamSpec("P")
T = TypeVar("T")


def repeated(transact: Callable[P, T]) -> Callable[P, T]:
    """Return a function that tries again from its first read."""

    @functools.wraps(transact)
    def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return transact(*args, **kwargs)
        except JournalConflict:  # rare: each transaction without one is spared tenacity's costs
            return _AGAIN(transact, *args, **kwargs)

    return attempt


def until_granted(transact: Callable[P, T]) -> Callable[P, T]:
    """Return a function that tries again quickly: a transaction of one statement."""

    @functools.wraps(transact)
    def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
        return _UNTIL_GRANTED(transact, *args, **kwargs)

    return attempt
