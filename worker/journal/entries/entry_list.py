# SPDX-License-Identifier: Apache-2.0
"""Read entries for a listing, those that cannot be read among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from worker.journal.entries import listed_entry
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.stored_operation import UNREADABLE
from worker.journal.statements import Statements


def read(
    statements: Statements,
    connection: sa.Connection,
    wanted: Sequence[sa.ColumnElement[bool]],
    limit: int,
    after: int = 0,
) -> list[JournalEntry]:
    """Return the entries that fulfil all conditions, the newest first.

    One that cannot be read is listed with the reason, and hides no other.
    """
    try:
        rows = statements.listing(connection, wanted, limit, after)
        return [listed_entry.entry_of(row) for row in rows]
    except UNREADABLE:
        return list(_one_by_one(statements, connection, wanted, limit, after))


def _one_by_one(
    statements: Statements,
    connection: sa.Connection,
    wanted: Sequence[sa.ColumnElement[bool]],
    limit: int,
    after: int,
) -> Iterator[JournalEntry]:
    for flow, slot, name, state in statements.heads(connection, wanted, limit, after):
        try:
            for row in statements.listing(connection, statements.which_flow(flow), 1):
                yield listed_entry.entry_of(row)
        except UNREADABLE as error:
            yield listed_entry.unreadable(flow, slot, name, state, error)
