# SPDX-License-Identifier: Apache-2.0
"""Numbers that take a query: entries of the journal, rows in transient statuses.

The first process of a service counts once a minute, on the threads of the probes.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from worker import database_url
from worker.audit import last_run
from worker.journal import sqlite_file
from worker.metrics import definitions as d
from worker.metrics.measurements import Series
from worker.service.monitoring import gauges
from worker.service.parts import Parts

LOG = logging.getLogger(__name__)

PAUSE = 60.0
"""Seconds between two counts."""


class Counted:
    """The last numbers of one system.

    :param query: yields them.
    :ivar series: as a snapshot has them.
    """

    def __init__(self, query: Callable[[], Iterator[gauges.Value]]) -> None:
        self._query = query
        self._next = 0.0
        self.series: dict[str, Series] = {}

    def renew(self) -> None:
        """Count if it is time; the last numbers stay while a database is away."""
        if time.monotonic() < self._next:
            return
        try:
            self.series = gauges.series(self._query())
        except Exception as error:  # noqa: BLE001 - the next count makes up for it
            LOG.debug("nothing was counted for monitors: %s", error)
        self._next = time.monotonic() + PAUSE


def of(parts: Parts) -> Mapping[str, Counted]:
    """Return the numbers by their systems; none for a process that is not the first one."""
    if not parts.base.identity.first:
        return {}
    return {
        "journal": Counted(lambda: itertools.chain(_journal(parts), _audit(parts))),
        "database": Counted(lambda: _rows(parts)),
    }


def _journal(parts: Parts) -> Iterator[gauges.Value]:
    usage = parts.base.journal.usage()
    for state in ("unfinished", "finished", "failed", "rejected"):
        yield d.JOURNAL_ENTRIES, (state,), getattr(usage, state)
    yield d.JOURNAL_BYTES, ("failures",), usage.kept_bytes
    if (path := database_url.file_of(parts.base.conf.journal.connection)) is not None:
        yield d.JOURNAL_BYTES, ("file",), sqlite_file.size(Path(path))


def _audit(parts: Parts) -> Iterator[gauges.Value]:
    """Yield the figures of the last audit; none where there was none."""
    if (last := last_run.read(parts.base.conf.state_path)) is None:
        return
    yield d.AUDIT_AGE, (), max(0.0, time.time() - last.ended_at)
    yield d.AUDIT_SECONDS, (), last.seconds
    yield d.AUDIT_UNABLE, (), len(last.unable)
    for kind, count in last.counts.items():
        yield d.AUDIT_DRIFTS, (kind,), count


def _rows(parts: Parts) -> Iterator[gauges.Value]:
    base = parts.base
    for one in base.records.transient(base.identity.binary, base.identity.backend_rows):
        labels = (one.resource, one.status)
        yield d.TRANSIENT, labels, one.count
        yield d.TRANSIENT_AGE, labels, one.oldest
