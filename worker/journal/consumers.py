# SPDX-License-Identifier: Apache-2.0
"""Consumers of the processes that share a journal: a table beside those of the journal.

Each process registers the consumers of its queues before it starts them, and notes the marker
messages that they take (:mod:`worker.rpc.markers`). A process that was killed leaves its rows;
the next process of its slot replaces them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from worker.journal.entries.stored_columns import bounded_columns, fits
from worker.journal.transaction import Transactions

_METADATA = sa.MetaData()
_T = sa.Table(
    "holdfast_consumers",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("slot", sa.String(255), nullable=False, index=True),
    sa.Column("queue", sa.String(255), nullable=False, index=True),
    sa.Column("name", sa.String(64), nullable=False, index=True),
    sa.Column("marker", sa.String(64)),
    sa.Column("channel", sa.Integer),
    sa.Column("taken", sa.Integer, nullable=False),
)


@dataclass(frozen=True)
class Consumer:
    """One consumer of one queue.

    :param name: unique to a listener of one life of a process.
    :param marker: the last marker that it has taken.
    :param channel: the number of the channel that delivered the marker; a listener that
        connects anew counts on.
    :param taken: how many markers it has taken.
    """

    slot: str
    queue: str
    name: str
    marker: str | None
    channel: int | None
    taken: int


class Consumers:
    """The registered consumers.

    :param transactions: of the journal.
    :raises JournalError: from each method: the database does not do it.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def upgrade(self) -> None:
        """Create the table."""
        _METADATA.create_all(self._transactions.engine)

    def register(self, slot: str, consumers: Iterable[tuple[str, str]]) -> None:
        """Replace the consumers of a slot.

        :param consumers: the queue and the name of each.
        """
        rows = [{"slot": slot, "queue": queue, "name": name} for queue, name in consumers]
        with self._transactions.changing() as connection:
            connection.execute(sa.delete(_T).where(_T.c.slot == slot))
            connection.execute(sa.insert(_T).values(taken=0), rows)

    def forget(self, slot: str) -> None:
        """Remove the consumers of a slot that no process has any more."""
        with self._transactions.changing() as connection:
            self.forget_in(connection, slot)

    @staticmethod
    def forget_in(connection: sa.Connection, slot: str) -> None:
        """Remove the consumers of a slot in the caller's transaction."""
        connection.execute(sa.delete(_T).where(_T.c.slot == slot))

    def slots(self, beginning: str) -> list[str]:
        """Return the slots with consumers whose names begin like this."""
        dialect = self._transactions.engine.dialect
        wanted = sa.select(_T.c.slot).distinct().where(fits(_T.c.slot, dialect))
        with self._transactions.reading() as connection:
            begins = _T.c.slot.startswith(beginning, autoescape=True)
            return list(connection.scalars(wanted.where(begins)))

    def note(self, queue: str, name: str, marker: str, channel: int) -> None:
        """Note that a consumer has taken a marker, and has accepted all casts before it."""
        change = sa.update(_T).where(_T.c.queue == queue, _T.c.name == name)
        with self._transactions.changing() as connection:
            connection.execute(change.values(marker=marker, channel=channel, taken=_T.c.taken + 1))

    def of(self, queue: str) -> list[Consumer]:
        """Return the consumers of a queue."""
        columns = bounded_columns(_T, self._transactions.engine.dialect)
        wanted = sa.select(*columns).where(_T.c.queue == queue).order_by(_T.c.id)
        with self._transactions.reading() as connection:
            rows = connection.execute(wanted).all()
        return [
            Consumer(row.slot, row.queue, row.name, row.marker, row.channel, row.taken)
            for row in rows
        ]
