# SPDX-License-Identifier: Apache-2.0
"""How many operations of one process run at once, and how many wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oslo_utils import units

QUICK_THREADS = 16
"""Threads for casts that are done in a moment, at least."""

CALL_THREADS = 64
"""Threads for calls, at least."""

RESERVED_PART = 8
"""Part of the threads, as a divisor, that projects without a running operation have besides."""


@dataclass(frozen=True)
class PoolSize:
    """How many operations run at once.

    :param threads: those that take long and move no data; others have as many, or more.
    :param data_transfers: 0 for no limit.
    :param most: returns a limit for each kind below its threads; 0 for none.
    """

    threads: int
    data_transfers: int = 0
    most: Callable[[], int] = lambda: 0


@dataclass(frozen=True)
class WaitingLimits:
    """How many accepted operations may wait.

    :param most: in each pool, for their turn or for a thread.
    :param per_resource: for their turn on one resource.
    :param most_bytes: their arguments in each pool; the last one that is accepted may exceed it.
    """

    most: int = 20_000
    per_resource: int = 100
    most_bytes: int = 32 * units.Mi


DEFAULT_LIMITS = WaitingLimits()
