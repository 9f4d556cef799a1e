# SPDX-License-Identifier: Apache-2.0
"""Bytes that one run of a flow moves, and their rate, from the fractions that it notes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_OLD = 0.9
"""Weight of the former rate, for each second that has passed since."""


class Transfer:
    """The data transfer of one run.

    :param continues: whether it may begin at a checkpoint, which the first fraction shows.
    :ivar size: its bytes; 0 where nothing is moved.
    :ivar rate: bytes in a second, smoothed.
    """

    def __init__(self, *, continues: bool = False) -> None:
        self.size = 0
        self.rate = 0.0
        self._fraction = self._taken = 0.0
        self._continues = continues
        self._at: float | None = None
        self._guard = threading.Lock()

    def begin(self, size: int) -> None:
        """Note the bytes of a copy that begins."""
        self.size = size
        self._fraction = self._taken = self.rate = 0.0
        self._at = None

    def advance(self, fraction: float) -> None:
        """Note the part that is done."""
        if self._continues:
            self._taken, self._continues = fraction, False
        self._fraction = fraction

    def take(self, now: float | None = None) -> int:
        """Return the bytes that were moved since the last call, and renew the rate."""
        with self._guard:
            return self._take(time.monotonic() if now is None else now)

    def _take(self, now: float) -> int:
        moved = max(0, int((self._fraction - self._taken) * self.size))
        self._taken = max(self._taken, self._fraction)
        if self._at is not None and now > self._at:
            seconds = now - self._at
            weight = _OLD**seconds
            self.rate = moved / seconds * (1 - weight) + self.rate * weight
        self._at = now
        return moved

    @property
    def remaining(self) -> float | None:
        """Seconds until the end at the present rate; None where that is not known."""
        return self.size * (1 - self._fraction) / self.rate if self.rate > 0 else None


_LOCAL = threading.local()


@contextmanager
def of_thread(transfer: Transfer) -> Iterator[None]:
    """Have :func:`begin` on this thread note the bytes of a transfer, inside the block."""
    before = getattr(_LOCAL, "transfer", None)
    _LOCAL.transfer = transfer
    try:
        yield
    finally:
        _LOCAL.transfer = before


def begin(size: int) -> None:
    """Note the bytes of a copy that the flow of this thread begins."""
    transfer: Transfer | None = getattr(_LOCAL, "transfer", None)
    if transfer is not None:
        transfer.begin(size)
