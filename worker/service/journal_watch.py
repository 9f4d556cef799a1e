# SPDX-License-Identifier: Apache-2.0
"""Watch the journal's file: stop the service when it was removed, replaced or damaged.

The next start would not find the casts that are accepted into a removed file. So the service
stops in order and writes the content to a file again, and systemd starts it with that file.
Casts that are accepted into a damaged file may be lost as well; a start refuses such a file.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable

from worker.journal.sqlite_file import WatchedFile
from worker.metrics.beats import BEATS

LOG = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds between two checks of the file."""

CONTENT_PAUSE = 30.0
"""Seconds between two checks of its content."""


def stop_the_service() -> None:
    """Ask the whole service to stop in order, as systemd does."""
    parent = multiprocessing.parent_process()
    number = parent.pid if parent is not None else os.getpid()
    os.kill(number or os.getpid(), signal.SIGTERM)


class JournalWatch:
    """Watches the file of the journal.

    :param file: None for a journal on a server, which has no file to watch.
    :param stopping: set when the process stops.
    :param stop: stops the service.
    """

    def __init__(
        self,
        file: WatchedFile | None,
        stopping: threading.Event,
        stop: Callable[[], None] = stop_the_service,
    ) -> None:
        self._file = file
        self._stopping = stopping
        self._stop = stop

    def start(self) -> None:
        """Start to watch, on a thread of its own."""
        if self._file is not None:
            threading.Thread(target=self._loop, name="journal-watch", daemon=True).start()

    def close(self) -> None:
        """Write the content again if the file is not in place; the last use of the journal."""
        if (file := self._file) is None:
            return
        if not file.is_in_place():
            self._preserve(file)
        file.close()

    def _loop(self) -> None:
        assert self._file is not None
        next_content = time.monotonic() + CONTENT_PAUSE
        while not self._stopping.wait(PAUSE):
            BEATS.beat("journal-watch")
            if not self._file.is_in_place():
                text = (
                    "the journal %s was removed, replaced or cut in use: the service stops in order"
                )
                LOG.critical(text, self._file.path)
                self._stop()
                return
            if time.monotonic() < next_content:
                continue
            if (problem := self._file.damage()) is not None:
                advice = "the service stops in order; run: holdfast journal check"
                LOG.critical("the journal %s is damaged (%s): %s", self._file.path, problem, advice)
                self._stop()
                return
            next_content = time.monotonic() + CONTENT_PAUSE

    @staticmethod
    def _preserve(file: WatchedFile) -> None:
        try:
            written = file.preserve()
        except (sqlite3.Error, OSError) as error:
            LOG.critical("the content of the removed journal %s is lost: %s", file.path, error)
            return
        if written == file.path:
            LOG.warning("the content of the removed journal %s was written again", written)
            return
        advice = "if its operations are wanted, stop the service and rename it"
        LOG.critical("the content of the replaced journal is in %s: %s", written, advice)
