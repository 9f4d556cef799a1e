# SPDX-License-Identifier: Apache-2.0
"""Suspend a call at a point within it, make another call, and resume the first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .points import Watch

PATIENCE = 0.3
"""Seconds for the second call; after them it may be waiting for a lock of the first."""

_LONGEST = 120


class _Call(threading.Thread):
    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.answer: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._call()
        except BaseException as error:  # noqa: BLE001 - raised on the thread that waits
            self.error = error

    def result(self) -> Any:
        self.join(_LONGEST)
        assert not self.is_alive(), "two calls at once wait for each other"
        if self.error is not None:
            raise self.error
        return self.answer


def interleaved(
    first: Callable[[], Any], second: Callable[[], Any], places: tuple[str, ...], at: int
) -> tuple[Any, int]:
    """Make the second call while the first one is at a point; return the first one's answer.

    A first call without that point ends before the second one begins.

    :returns: the answer, and how many points the first call has.
    """
    is_there, may_go_on = threading.Event(), threading.Event()
    watch = Watch(places, at, lambda: (is_there.set(), may_go_on.wait(_LONGEST))[0])

    def watched() -> Any:
        try:
            with watch:
                return first()
        finally:
            is_there.set()

    one = _Call(watched)
    try:
        assert is_there.wait(_LONGEST), "the call had no end"
        other = _Call(second)
        other.join(PATIENCE)
    finally:
        may_go_on.set()
    failed = None
    try:
        answer = one.result()
    except BaseException as error:  # noqa: BLE001 - raised below, after the other call's end
        failed = error
    other.result()
    if failed is not None:
        raise failed
    return answer, watch.count
