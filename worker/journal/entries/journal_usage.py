# SPDX-License-Identifier: Apache-2.0
"""How much a journal holds, and how much was removed because of its limit.

Each process removes entries, so the number of removed ones is kept in a table.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils
from taskflow.persistence.backends.sqlalchemy.tables import Tables

from worker.journal.entries.stored_columns import bounded

_METADATA = sa.MetaData()
_T = sa.Table(
    "holdfast_removed_failures",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("removed_at", sa.DateTime),
)
_ROW = 1

_TOUCH = (
    f"INSERT INTO {_T.name} (id, entries, bytes) VALUES (0, 0, 0)",
    f"DELETE FROM {_T.name} WHERE id = 0",
)


@dataclass(frozen=True)
class JournalUsage:
    """The numbers of entries of a journal, and the bytes that are limited.

    :param failed: operations that failed, with their arguments.
    :param rejected: messages that are no operation.
    :param kept_bytes: of failed operations and rejected messages.
    :param removed_entries: failures that were removed before their time, by any process.
    :param removed_bytes: their size.
    :param removed_at: when the last of them was removed (UTC); None for never.
    """

    unfinished: int
    finished: int
    failed: int
    rejected: int
    kept_bytes: int
    removed_entries: int = 0
    removed_bytes: int = 0
    removed_at: datetime.datetime | None = None


def upgrade(engine: sa.Engine) -> None:
    """Make the table, with its row."""
    _METADATA.create_all(engine)
    with engine.begin() as connection:
        if connection.scalar(sa.select(_T.c.id)) is None:
            connection.execute(sa.insert(_T).values(id=_ROW, entries=0, bytes=0))


def note_removed(connection: sa.Connection, entries: int, size: int) -> None:
    """Add entries that were removed, in the transaction that removes them."""
    values = {"entries": _T.c.entries + entries, "bytes": _T.c.bytes + size}
    connection.execute(sa.update(_T).values(**values, removed_at=timeutils.utcnow()))


def touch(cursor: Any) -> None:
    """Write to the table, and leave it as it is: SQLite writes no row that stays the same."""
    for statement in _TOUCH:
        cursor.execute(statement)


def read(
    connection: sa.Connection,
    tables: Tables,
    kept_bytes: int,
    *,
    rejected: str,
    succeeded: str,
    failed: Sequence[str],
) -> JournalUsage:
    """Count the entries.

    :param kept_bytes: of failures.
    :param rejected: the logbook of messages that are no operation.
    :param succeeded: the state of an operation that succeeded.
    :param failed: the states of those that failed.
    """
    books, flows = tables.logbooks, tables.flowdetails
    is_rejected = books.c.name == rejected
    state = bounded(flows.c.state, connection.dialect)
    wanted = (
        sa.select(is_rejected, state, sa.func.count())
        .join_from(flows, books, flows.c.parent_uuid == books.c.uuid)
        .group_by(is_rejected, state)
    )
    numbers: dict[str, Any] = {"unfinished": 0, "finished": 0, "failed": 0, "rejected": 0}
    ended = {succeeded: "finished", **dict.fromkeys(failed, "failed")}
    for refused, found, number in connection.execute(wanted):
        numbers["rejected" if refused else ended.get(found, "unfinished")] += number
    return JournalUsage(**numbers, kept_bytes=kept_bytes, **_removed(connection))


def _removed(connection: sa.Connection) -> dict[str, Any]:
    """Return the columns of removed entries; none in a journal of an earlier version."""
    if not sa.inspect(connection).has_table(_T.name):
        return {}
    row = connection.execute(sa.select(_T)).first()
    if row is None:
        return {}
    return {
        "removed_entries": row.entries,
        "removed_bytes": row.bytes,
        "removed_at": row.removed_at,
    }
