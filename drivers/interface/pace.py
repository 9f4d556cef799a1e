# SPDX-License-Identifier: Apache-2.0
"""Progress of a long copy, and a context in which other operations may run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


class OwnershipLost(BaseException):
    """Raised by ``progress``: another host may have adopted the operation; nothing more is written.

    Not an :class:`Exception`, since it is no failure of the operation, which continues elsewhere.
    """


@dataclass(frozen=True)
class Pace:
    """Callbacks of a long copy.

    :param progress: called repeatedly with the part that is done, from 0 to 1, on the
        thread on which the work was begun; it raises when the work is to end. The same
        part again means that nothing has moved.
    :param waiting: entered around each thing that may take long.
    :param key: names the operation: the same for each try of one, another for the next.
    :param show: given, at most once, a function that returns the payload of notifications about the
        progress besides the part, fit for JSON; it is called within ``progress``, and in the end.
    :param saved: called after each checkpoint, on the thread of ``progress``, with the part that a
        later try does not repeat. A copy that is killed again and again is not given up while
        this part grows.
    :param moved: called with the number of bytes that were read or written, without holes, by any
        thread of the copy; it waits while the transfers exceed their bandwidth.
    """

    progress: Callable[[float], None] = lambda _fraction: None
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext
    key: str = ""
    show: Callable[[Callable[[], Mapping[str, Any]]], None] = lambda _facts: None
    saved: Callable[[float], None] = lambda _fraction: None
    moved: Callable[[int], None] = lambda _size: None
