# SPDX-License-Identifier: Apache-2.0
"""Group commit of a journal in SQLite: one wait for the disk serves all threads that wait.

SQLite would wait for the disk inside each durable transaction, and all other writers with it.
Here a transaction is committed to the write-ahead log without that, and its thread waits
afterwards, when the database is free again. Transactions that are committed while the disk is
busy share the next wait.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from pathlib import Path

from worker.journal.errors import JournalUnavailable


class GroupCommit:
    """Waits until the committed transactions of a database survive a power cut.

    :param database: the file of the database in write-ahead mode; None for a server, whose
        commits are durable by themselves.
    """

    def __init__(self, database: str | None) -> None:
        self._log = None if database is None else Path(f"{database}-wal")
        self._guard = threading.Lock()
        self._disk = threading.Lock()
        self._round: Future[None] = Future()  # of the transactions that wait for the disk

    def wait(self) -> None:
        """Return when each transaction that was committed before this call is on the disk.

        :raises JournalUnavailable: the disk refuses; a power cut may undo the transactions.
        """
        if self._log is None:
            return
        with self._guard:
            joined = self._round
        with self._disk:
            if not joined.done():
                self._write(self._log, joined)
        if error := joined.exception():
            raise JournalUnavailable(f"journal: {self._log} is not on the disk: {error}") from error

    def _write(self, log: Path, joined: Future[None]) -> None:
        """Write the log for the threads of a round; the next one begins."""
        with self._guard:
            self._round = Future()
        try:
            _sync(log)
        except OSError as error:
            joined.set_exception(error)
        else:
            joined.set_result(None)


def _sync(log: Path) -> None:
    try:
        # SQLite holds no lock on this file, which closing it here would release.
        fd = os.open(log, os.O_RDONLY)
    except FileNotFoundError:  # SQLite has moved all of it to the database, and waited
        return
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
