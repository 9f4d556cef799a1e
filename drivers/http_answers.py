# SPDX-License-Identifier: Apache-2.0
"""Bodies of HTTP answers, read with limits of size and time.

A server may send a body that has no end, that inflates, or one byte at a time: a library that
reads it whole takes all memory, or waits for ever. The limit of a connection holds for each of
its reads, and a drip never meets it. So requests are sent with ``stream`` and without the
library's own log, which would read the body, and are read here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from oslo_utils import units

Waited = Callable[[float, int], None]
"""Is called with the seconds of a wait, and the number of bytes that ended it."""

LONGEST = 4 * units.Mi
"""Bytes that an answer may have which is no image's data."""


class AnswerTooLong(ValueError):
    """A body that exceeds its limit."""


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


def content(raw: Any, seconds: float, longest: int = LONGEST) -> bytes:
    """Return a whole body.

    :param raw: the answer of urllib3.
    :param seconds: in which it has to end.
    :param longest: the bytes that it may have.
    :raises AnswerTooLong: it has more.
    :raises TimeoutError: it takes too long.
    """
    body, deadline = bytearray(), AnswerDeadline(seconds)
    for chunk in read(raw, 64 * units.Ki, deadline.waited):
        body += chunk
        if len(body) > longest:
            raise AnswerTooLong(f"it has more than {longest} bytes")
    return bytes(body)


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
