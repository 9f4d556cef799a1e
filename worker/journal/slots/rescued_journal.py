# SPDX-License-Identifier: Apache-2.0
"""Import the unfinished operations of a journal in SQLite whose host does not come back."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from taskflow.persistence.backends.sqlalchemy.tables import Tables

from worker.journal.errors import JournalError
from worker.journal.transaction import Transactions

SUFFIX = " (imported)"
"""End of the name of a slot whose operations were imported: no process has such a slot."""


@dataclass(frozen=True)
class Imported:
    """The operations of one slot.

    :param slot: its name in the file.
    :param copied: how many are in the journal now.
    :param known: how many were there before.
    """

    slot: str
    copied: int
    known: int

    @property
    def name(self) -> str:
        """The slot that has them now."""
        return f"{self.slot}{SUFFIX}"

    @property
    def host(self) -> str:
        """The service that had them."""
        return self.slot.rpartition("/")[0]


def import_file(
    path: Path, transactions: Transactions, tables: Tables, ended: Sequence[str]
) -> list[Imported]:
    """Copy the operations of a file, each in one transaction, unless the journal has them.

    A second import of the same file copies nothing.

    :raises JournalError: the file cannot be read, or the journal cannot be written.
    """
    found = []
    with _opened(path) as source:
        for slot, flows in _unfinished(source, tables, ended).items():
            copied = sum(
                _copy(source, flow, f"{slot}{SUFFIX}", transactions, tables) for flow in flows
            )
            found.append(Imported(slot, copied, len(flows) - copied))
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sa.Connection]:
    address = f"{path.resolve().as_uri()}?mode=ro"
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True))
    try:
        with engine.connect() as connection:
            yield connection
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        raise JournalError(f"the journal {path} cannot be read: {error}") from error
    finally:
        engine.dispose()


def _unfinished(
    source: sa.Connection, tables: Tables, ended: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    books, flows = tables.logbooks, tables.flowdetails
    wanted = (
        sa.select(books.c.name, flows.c.uuid)
        .join(flows, flows.c.parent_uuid == books.c.uuid)
        .where(flows.c.state.not_in(ended))
        .order_by(flows.c.created_at)
    )
    found: dict[str, list[str]] = {}
    for slot, flow in source.execute(wanted):
        found.setdefault(slot, []).append(flow)
    return found


def _copy(
    source: sa.Connection, flow: str, slot: str, transactions: Transactions, tables: Tables
) -> bool:
    """Copy one operation with its tasks; return whether the journal did not have it."""
    books, flows, atoms = tables.logbooks, tables.flowdetails, tables.atomdetails
    (row,) = _rows(source, flows, flows.c.uuid == flow)
    (book,) = _rows(source, books, books.c.uuid == row["parent_uuid"])
    tasks = _rows(source, atoms, atoms.c.parent_uuid == flow)
    with transactions.changing() as connection:
        known = sa.select(flows.c.uuid).where(flows.c.uuid == flow)
        if connection.execute(known).first() is not None:
            return False
        connection.execute(sa.insert(books), {**book, "name": slot})
        connection.execute(sa.insert(flows), row)
        if tasks:
            connection.execute(sa.insert(atoms), tasks)
    return True


def _rows(source: sa.Connection, table: sa.Table, condition: Any) -> list[dict[str, Any]]:
    found = source.execute(sa.select(table).where(condition)).mappings()
    return [dict(row) for row in found]
