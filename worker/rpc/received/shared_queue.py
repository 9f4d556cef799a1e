# SPDX-License-Identifier: Apache-2.0
"""Leave the queue of a cluster to other hosts while this one can begin no operation.

A host that reaches the broker, and not the server of the locks, would take its part of the
messages, and begin none of them: callers get no reply, however often they ask, although other
hosts could do the work. If no host reaches that server, the messages wait with the broker.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Protocol

LOG = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks."""


class PausableListener(Protocol):
    """The consumers of a queue."""

    def pause(self) -> None:
        """Consume nothing, and leave the messages that are not acknowledged with the broker."""

    def resume(self) -> None:
        """Consume again."""


class SharedQueue:
    """Pauses the consumers of a queue that other hosts consume as well.

    :param name: of the queue, as it stands in the lines of the log.
    :param is_away: returns whether a system is away without which no operation begins.
    :param ask: asks that system, so that the end of its outage is known; it may take long.
    :param others_serve: returns whether other hosts are up.
    :param listeners: returns the consumers that have been started.
    """

    def __init__(
        self,
        name: str,
        is_away: Callable[[], bool],
        ask: Callable[[], None],
        others_serve: Callable[[], bool],
        listeners: Callable[[], Collection[PausableListener]],
    ) -> None:
        self._name = name
        self._is_away, self._ask = is_away, ask
        self._others_serve = others_serve
        self._listeners = listeners
        self._paused: list[PausableListener] = []

    def start(self, stopping: threading.Event) -> None:
        """Begin to look, on a thread of its own."""
        threading.Thread(target=self._loop, args=(stopping,), name="queue", daemon=True).start()

    def look(self) -> None:
        """Look once."""
        if self._is_away():
            self._pause()
            self._ask()
        if self._paused and not self._is_away():
            LOG.info("this host consumes %s again", self._name)
            for listener in self._paused:
                listener.resume()
            self._paused = []

    def _pause(self) -> None:
        if not self._paused and not self._others_serve():
            return
        begun = [one for one in self._listeners() if one not in self._paused]
        if begun and not self._paused:
            text = "this host leaves %s to others, as it cannot begin operations without locks"
            LOG.warning(text, self._name)
        self._paused += begun
        for listener in begun:
            listener.pause()

    def _loop(self, stopping: threading.Event) -> None:
        while not stopping.wait(PAUSE):
            try:
                self.look()
            except Exception:
                LOG.exception("consuming %s could not be paused or resumed", self._name)
