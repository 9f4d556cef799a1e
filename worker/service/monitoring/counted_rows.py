# SPDX-License-Identifier: Apache-2.0
"""Numbers that take a query: entries of the journal, rows in transient statuses.

The first process of a service asks once a minute, on a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from worker import database_url
from worker.journal import sqlite_file
from worker.metrics import definitions as d
from worker.metrics.measurements import Series
from worker.service.monitoring import gauges
from worker.service.parts import Parts

LOG = logging.getLogger(__name__)

PAUSE = 60.0
"""Seconds between two counts."""


class CountedRows:
    """The last numbers.

    :ivar series: as a snapshot has them.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.series: dict[str, Series] = {}

    def start(self) -> None:
        """Start to count, until the process stops."""
        threading.Thread(target=self._loop, name="counted-rows", daemon=True).start()

    def count(self) -> None:
        """Count once; the last numbers stay while a database is away."""
        try:
            self.series = gauges.series([*self._journal(), *self._rows()])
        except Exception as error:  # noqa: BLE001 - the next count makes up for it
            LOG.debug("nothing was counted for monitors: %s", error)

    def _loop(self) -> None:
        stopping = self._parts.base.stopping
        while not stopping.is_set():
            self.count()
            stopping.wait(PAUSE)

    def _journal(self) -> Iterator[gauges.Value]:
        usage = self._parts.base.journal.usage()
        for state in ("unfinished", "finished", "failed", "rejected"):
            yield d.JOURNAL_ENTRIES, (state,), getattr(usage, state)
        yield d.JOURNAL_BYTES, ("failures",), usage.kept_bytes
        if (path := database_url.file_of(self._parts.base.conf.journal.connection)) is not None:
            yield d.JOURNAL_BYTES, ("file",), sqlite_file.size(Path(path))

    def _rows(self) -> Iterator[gauges.Value]:
        base = self._parts.base
        found = base.records.transient(base.identity.binary, base.identity.backend_rows)
        for one in found:
            labels = (one.resource, one.status)
            yield d.TRANSIENT, labels, one.count
            yield d.TRANSIENT_AGE, labels, one.oldest
