# SPDX-License-Identifier: Apache-2.0
"""Limits of the time in which Glance sends an answer.

The limit of a connection holds for each of its reads, so a server that sends one byte at a
time never reaches it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

Waited = Callable[[float, int], None]
"""Is called with the seconds of a wait, and the number of bytes that ended it."""


class AnswerDeadline:
    """Limits the time of a whole answer.

    :param seconds: that its body may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._spent = 0.0

    def waited(self, seconds: float, size: int) -> None:
        """Count a wait. :raises TimeoutError: the answer takes too long."""
        self._spent += seconds
        if size and self._spent > self._seconds:
            raise TimeoutError(f"the answer did not end in {self._seconds:.0f} s")


class MinimumRate:
    """Ends a download that makes too little progress.

    Only waits for data count: a slow volume is no fault of Glance's.

    :param rate: bytes per second; 0 for no limit.
    :param window: seconds over which the rate is measured.
    """

    def __init__(self, rate: float, window: float) -> None:
        self._rate, self._window = rate, window
        self._seconds, self._size = 0.0, 0

    def waited(self, seconds: float, size: int) -> None:
        """Count a wait. :raises TimeoutError: names the amount, the time and the option."""
        self._seconds += seconds
        self._size += size
        if self._seconds < self._window or not size:
            return
        if self._size < self._rate * self._seconds:
            text = f"only {self._size} bytes came in {self._seconds:.0f} s of waiting"
            raise TimeoutError(f"{text}, see glance_download_min_rate")
        self._seconds, self._size = 0.0, 0


def read(raw: Any, length: int, waited: Waited) -> Iterator[bytes]:
    """Yield the body of an answer in chunks of a length; the last may be shorter.

    :param raw: the answer of urllib3, whose ``read1`` returns as soon as there is any data.
    """
    chunk = bytearray()
    while True:
        begin = time.monotonic()
        piece = raw.read1(length - len(chunk), decode_content=True)
        waited(time.monotonic() - begin, len(piece))
        chunk += piece
        if chunk and (not piece or len(chunk) == length):
            yield bytes(chunk)
            chunk.clear()
        if not piece:
            return
