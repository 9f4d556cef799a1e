# SPDX-License-Identifier: Apache-2.0
"""Compute hashes of an image's data on threads of their own, while the data is read and written.

A SHA-512 and an MD5 of a GiB take two seconds each: one after another on the thread that also
reads and writes, they are most of the time of a copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, Self

_AHEAD = 1
"""Pieces that are hashed while the caller continues: it has another one in memory."""


class Hash(Protocol):
    """A hash as of ``hashlib``, which may take holes as well."""

    @property
    def update(self) -> Callable[[Any], None]:
        """Take the next piece."""

    def hexdigest(self) -> str:
        """Return the hash of the pieces so far."""


class HashThreads:
    """A thread for each of some hashes; all of them get the same pieces, in order.

    As a context manager it ends the threads, also after an error.
    """

    def __init__(self, hashes: Sequence[Hash]) -> None:
        self._threads = [(one, ThreadPoolExecutor(1, "image-hash")) for one in hashes]
        self._running: deque[list[Future[None]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _hash, thread in self._threads:
            thread.shutdown(cancel_futures=True)

    def update(self, piece: Any) -> None:
        """Add the next piece, and wait until the one before it is hashed."""
        self._running.append([thread.submit(one.update, piece) for one, thread in self._threads])
        while len(self._running) > _AHEAD:
            self._wait_for_first()

    def finish(self) -> None:
        """Wait until all pieces are hashed."""
        while self._running:
            self._wait_for_first()

    def _wait_for_first(self) -> None:
        for one in self._running.popleft():
            one.result()
