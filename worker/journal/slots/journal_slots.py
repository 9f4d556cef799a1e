# SPDX-License-Identifier: Apache-2.0
"""The slots of a journal: which process writes as the owner of which flows."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa
from taskflow.persistence.backends.sqlalchemy.tables import Tables

from worker import database_sessions
from worker.journal import schema
from worker.journal.consumers import Consumers
from worker.journal.slots.adoption import Adoption, has_unfinished
from worker.journal.slots.ownership import Ownership, SlotFence
from worker.journal.slots.rescued_journal import Imported, import_file
from worker.journal.slots.slot_rows import Slots
from worker.journal.statements import Statements
from worker.journal.transaction import Transactions


class JournalSlots:
    """The slots of one journal, as one process sees them.

    :param ended: states of operations that have ended.
    """

    def __init__(
        self,
        engine: sa.Engine,
        transactions: Transactions,
        statements: Statements,
        tables: Tables,
        consumers: Consumers,
        ended: Sequence[str],
    ) -> None:
        self._engine = engine
        self._transactions = transactions
        self._statements = statements
        self._tables = tables
        self._consumers = consumers
        self._ended = ended
        self.table = None if schema.is_file(engine) else Slots(transactions)
        """The slots and their leases; None for a journal in SQLite, which has none."""

    def apart(self, silence: int, idle: float) -> Slots | None:
        """Return the slots by connections of their own; None for a journal in SQLite.

        :param silence: how long the server may take to reply, in seconds.
        :param idle: after which the server ends a transaction that is not continued, in seconds.
        """
        if self.table is None:
            return None
        url = self._engine.url.render_as_string(hide_password=False)
        # A renewal waits for no other node: its UPDATE decides, whatever it has read.
        engine = schema.make_engine(url, silence, causal=False)
        database_sessions.limit_idle(engine, idle)
        return Slots(Transactions(engine))

    def hold(
        self, ownership: Ownership, lost: Callable[[str], None], idle: float | None = None
    ) -> Adoption:
        """Write as the owner of a slot from now on; return how to adopt other slots.

        :param lost: called when a transaction finds the slot lost, with the reason.
        :param idle: seconds after which the server ends a transaction that is not continued: it
            keeps others from taking the slot.
        """
        assert self.table is not None, "a journal in SQLite has no leases"
        if idle is not None:
            database_sessions.limit_idle(self._engine, idle)
            self._engine.dispose()  # of the connections that were made without it
        self._transactions.fence = SlotFence(self._engine, ownership, lost)
        return Adoption(
            *(self._transactions, self._statements, self.table, self._consumers),
            *(self._ended, ownership.slot),
        )

    def give_up(self) -> bool:
        """Give the slot up, and write nothing any more; return whether it has operations left."""
        fence = self._transactions.fence
        if self.table is None or not isinstance(fence, SlotFence):
            return False
        fence.release()
        return self.table.release(
            fence.ownership,
            functools.partial(has_unfinished, self._statements, fence.ownership.slot, self._ended),
        )

    def with_unfinished(self, beginning: str) -> list[str]:
        """Return the slots whose names begin like this and that have unfinished flows."""
        with self._transactions.reading() as connection:
            return self._statements.slots(connection, beginning, self._ended)

    def unfinished(self) -> dict[str, tuple[int, datetime.datetime]]:
        """Return how many flows of each slot have not ended, and when the oldest was accepted."""
        with self._transactions.reading() as connection:
            return self._statements.unfinished_by_slot(connection, self._ended)

    def import_file(self, path: Path) -> list[Imported]:
        """Copy the unfinished operations of a journal in SQLite into this one.

        :raises JournalError: the file cannot be read, or this journal cannot be written.
        """
        return import_file(path, self._transactions, self._tables, self._ended)

    def adopt(self, slot: str, by: str) -> None:
        """Give the flows of a slot without an owner to another slot."""
        with self._transactions.changing() as connection:
            self._statements.rename(connection, slot, by)
