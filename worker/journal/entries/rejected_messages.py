# SPDX-License-Identifier: Apache-2.0
"""Rejected messages in the journal: kept, turned into operations, and dropped.

A rejected message is an entry in a logbook of its own, which belongs to no slot. Turning it into an
operation moves the entry to the slot of a process, under the same id, in one transaction that
finds it in that logbook: so of several attempts, on one host or on several, one succeeds.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence.backends.sqlalchemy.tables import Tables

from worker.journal.statements import Statements
from worker.journal.transaction import Transactions
from worker.rpc.operation import Operation

REJECTED = "rejected"
"""Logbook name of messages that are no operation; no slot is called so."""


class RejectedEntries:
    """The rejected messages of one journal.

    :raises JournalError: from each method: the database does not do it.
    """

    def __init__(self, transactions: Transactions, tables: Tables, statements: Statements) -> None:
        self._transactions = transactions
        self._books = tables.logbooks
        self._statements = statements

    def accept(self, message: str, slot: str, operation: Operation) -> bool:
        """Turn a rejected message into an operation of a slot, ready to run.

        :returns: False where it is none any more: it was dropped, or has become an operation.
        """
        books = self._books
        taken = sa.update(books).where(books.c.uuid == message, books.c.name == REJECTED)
        with self._transactions.changing() as connection:
            if not connection.execute(taken.values(name=slot)).rowcount:
                return False
            cursor: Any = connection.connection.cursor()
            meta = {**operation.to_meta(), "was_rejected": True}
            self._statements.set_flow(cursor, message, states.PENDING, meta)
        return True

    def drop(self, message: str) -> bool:
        """Forget a rejected message; return whether it was there."""
        books = self._books
        with self._transactions.changing(fenced=False) as connection:
            gone = sa.delete(books).where(books.c.uuid == message, books.c.name == REJECTED)
            return bool(connection.execute(gone).rowcount)
