# SPDX-License-Identifier: Apache-2.0
"""Limit the bytes of failed operations in the journal: the oldest are removed first.

A failed operation keeps its arguments, so that an operator can run it again. Casts of 4 MiB that
fail would fill the disk in the days for which failures are kept.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence.backends.sqlalchemy.tables import Tables

from worker.journal.entries import journal_usage

LOG = logging.getLogger(__name__)

PART = 8
"""The limit is applied again when failures of this part of it have been added."""

FAILED = (states.REVERTED, states.FAILURE)
"""States of operations that failed."""

_CHUNK = 500


class KeptFailures:
    """The failed entries of one journal.

    :param most: returns how many bytes of failed entries are kept; None for no limit.
    :ivar removed_entries: entries that this process has removed, since its start.
    :ivar removed_bytes: their size.
    """

    def __init__(self, tables: Tables, most: Callable[[], int] | None = None) -> None:
        self.most = most
        self.removed_entries = 0
        self.removed_bytes = 0
        self._added = 0
        self._guard = threading.Lock()
        self._books, self._flows, atoms = tables.logbooks, tables.flowdetails, tables.atomdetails
        texts = (atoms.c.failure, atoms.c.results, atoms.c.revert_failure, atoms.c.revert_results)
        of_tasks = (
            sa.select(sa.func.coalesce(sa.func.sum(sum(map(_length, texts), sa.literal(0))), 0))
            .where(atoms.c.parent_uuid == self._flows.c.uuid)
            .scalar_subquery()
        )
        size = _length(self._flows.c.meta) + of_tasks
        self._sizes = (
            sa.select(self._flows.c.parent_uuid, size)
            .where(self._flows.c.state.in_(FAILED))
            .order_by(self._flows.c.updated_at.desc(), self._flows.c.uuid)
        )

    def added(self, meta: Mapping[str, Any]) -> bool:
        """Count a failed entry; return whether the limit is to be applied now."""
        most = self.most() if self.most is not None else None
        if most is None:
            return False
        with self._guard:
            self._added += len(json.dumps(meta, default=str))
            due = self._added * PART >= most
            if due:
                self._added = 0
        return due

    def kept_bytes(self, connection: sa.Connection) -> int:
        """Return the bytes of all failed entries."""
        sizes = self._sizes.order_by(None).subquery()
        return int(connection.scalar(sa.select(sa.func.sum(sizes.c[1]))) or 0)

    def prune(self, connection: sa.Connection) -> None:
        """Remove the oldest failed entries that exceed the limit."""
        if self.most is None:
            return
        most, kept, removed = self.most(), 0, {}
        for book, size in connection.execute(self._sizes):
            kept += int(size)
            if kept > most:
                removed[book] = int(size)
        for some in _chunks(list(removed)):
            # An operator may have one of them run again meanwhile.
            still = sa.select(self._flows.c.parent_uuid).where(
                self._flows.c.parent_uuid.in_(some), self._flows.c.state.in_(FAILED)
            )
            connection.execute(sa.delete(self._books).where(self._books.c.uuid.in_(still)))
        if removed:
            size = sum(removed.values())
            journal_usage.note_removed(connection, len(removed), size)
            self.removed_entries += len(removed)
            self.removed_bytes += size
            LOG.warning(
                "%d failed operations were removed from the journal before their time, %d bytes:"
                " [journal] keep_failed_mib is exceeded; %d since the start",
                *(len(removed), size, self.removed_entries),
            )


def _length(column: sa.Column[Any]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.length(sa.cast(column, sa.Text)), 0)


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
