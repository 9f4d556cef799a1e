# SPDX-License-Identifier: Apache-2.0
"""Rejected messages in the journal: kept, turned into operations, and dropped.

A rejected message is an entry in a logbook of its own, which belongs to no slot. Turning it into an
operation moves the entry to the slot of a process, under the same id, in one transaction that
finds it in that logbook: so of several attempts, on one host or on several, one succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence.backends.sqlalchemy.tables import Tables
from taskflow.persistence.models import FlowDetail

from flows.storable_errors import bounded
from worker.journal.entries.ended_operation import shown
from worker.journal.entries.insertions import Insertions, flow_id
from worker.journal.statements import Statements
from worker.journal.transaction import Transactions
from worker.rpc.operation import Operation

REJECTED = "rejected"
"""Logbook name of messages that are no operation; no slot is called so."""

_NAME = 100
"""Bytes that are kept of an id or a method that a message names."""


class RejectedEntries:
    """The rejected messages of one journal.

    :raises JournalError: from each method: the database does not do it.
    """

    def __init__(
        self,
        transactions: Transactions,
        tables: Tables,
        statements: Statements,
        insertions: Insertions,
    ) -> None:
        self._transactions = transactions
        self._books = tables.logbooks
        self._statements = statements
        self._insertions = insertions

    def add(
        self,
        unique_id: str,
        method: str,
        reason: str,
        contents: Mapping[str, Any] | None = None,
        **ids: Any,
    ) -> None:
        """Keep a message that is no operation, to be listed for an operator.

        :param contents: more fields of the entry, from which it can become an operation later.
        """
        name = bounded(method, _NAME)
        detail = FlowDetail(name or "?", flow_id(unique_id))
        named = {k: shown(v) if k == "body" else bounded(v, _NAME) for k, v in ids.items()}
        detail.meta = {
            "method": name,
            "reason": shown(reason),
            "resumes": 0,
            **named,
            **(contents or {}),
        }
        detail.state = states.FAILURE
        self._insertions.insert(REJECTED, detail)

    def prune(self, keep: int) -> None:
        """Forget all but so many of the messages that were rejected last."""
        with self._transactions.changing() as connection:
            self._statements.prune_rejected(connection, REJECTED, keep)

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
