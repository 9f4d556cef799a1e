# SPDX-License-Identifier: Apache-2.0
"""Locks that a step of a flow takes beside those of its operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from worker.endpoints.arguments import volume_lock
from worker.execution.concurrency import Limiter
from worker.execution.resource_queue import ResourceQueue


class QueueLocks:
    """Implements :class:`flows.protocols.image_cache.ResourceLocks`."""

    def __init__(self, queue: ResourceQueue, limiter: Limiter) -> None:
        self._queue = queue
        self._limiter = limiter

    @contextmanager
    def volume(self, volume_id: str) -> Iterator[None]:
        """Share the lock of a volume's deletion."""
        with self._turn((), (volume_lock(volume_id),)):
            yield

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold a name against all other operations."""
        with self._turn((name,)):
            yield

    @contextmanager
    def _turn(self, exclusive: Sequence[str], shared: Sequence[str] = ()) -> Iterator[None]:
        with ExitStack() as held:
            with self._limiter.released():
                held.enter_context(self._queue.turn(exclusive, shared))
            yield
