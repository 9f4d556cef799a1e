# SPDX-License-Identifier: Apache-2.0
"""taskflow persistence backend that writes only the state that a resume needs.

The stock backend reads, merges and writes every row for every change: 54
statements and 18 commits for three tasks. Here one process owns a flow, so its memory
is current; changes are gathered and written in one transaction when a task is about to
start or to be reverted. A kill loses the changes since then, which are exactly those that
a repeated task makes again.
"""

from __future__ import annotations

import datetime
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils
from taskflow import states
from taskflow.exceptions import StorageFailure
from taskflow.persistence import models
from taskflow.persistence.backends.sqlalchemy.tables import Tables

from flows import former_names
from worker.compat.sqlalchemy import bind_processors

SQLITE_BUSY_TIMEOUT = 30.0
"""How long a process waits for another one's transaction, in seconds."""

PROGRESS_PAUSE = 2.0
"""Seconds between two writes of a task's progress."""

Writing = Callable[[], AbstractContextManager[Any]]
"""Gives a cursor in a transaction of its own."""


_ALONE = {
    "mysql": (
        "SELECT GET_LOCK('holdfast_journal', 60)",
        "SELECT RELEASE_LOCK('holdfast_journal')",
    ),
    "postgresql": ("SELECT pg_advisory_lock(748193)", "SELECT pg_advisory_unlock(748193)"),
}
_ALONE["mariadb"] = _ALONE["mysql"]


class JournalError(Exception):
    """The database of the journal refused or failed a request; it may be repeated."""


_BOUNDARIES = (states.RUNNING, states.REVERTING)
_ENDED = (states.SUCCESS, states.FAILURE, states.REVERTED, states.REVERT_FAILURE)


class Prepared:
    """One statement, compiled for the database at hand.

    An operation is five small transactions in the journal; going through
    SQLAlchemy's execution for each of their statements costs more than the
    database does. The compiled text and its value conversions are SQLAlchemy's.
    """

    def __init__(
        self, statement: sa.sql.expression.UpdateBase, names: str, engine: sa.Engine
    ) -> None:
        compiled = statement.compile(dialect=engine.dialect, column_keys=names.split())
        self._sql = compiled.string
        self._order: list[str] | None = compiled.positiontup
        self._processors: Any = bind_processors(compiled)

    def run(self, cursor: Any, **values: Any) -> None:
        """Execute with these values, each named as its column."""
        self._execute(cursor, values)

    def run_many(self, cursor: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute once for each row."""
        for row in rows:
            self._execute(cursor, row)

    def _execute(self, cursor: Any, values: Mapping[str, Any]) -> None:
        bound = {
            name: self._processors[name](value) if name in self._processors else value
            for name, value in values.items()
        }
        cursor.execute(self._sql, bound if self._order is None else [bound[n] for n in self._order])


_ATOM = (
    "created_at updated_at meta name version state uuid failure results"
    " revert_results revert_failure intention atom_type"
)


class Statements:
    """The journal's SQL, built once for one database."""

    def __init__(self, tables: Tables, engine: sa.Engine) -> None:
        books, flows, atoms = tables.logbooks, tables.flowdetails, tables.atomdetails
        which: sa.BindParameter[str] = sa.bindparam("which")

        def prepared(statement: Any, names: str) -> Prepared:
            return Prepared(statement, names, engine)

        self._insert_book = prepared(sa.insert(books), "uuid name meta created_at")
        self._insert_flow = prepared(
            sa.insert(flows), "uuid parent_uuid name state meta created_at updated_at"
        )
        self._insert_atom = prepared(sa.insert(atoms), f"{_ATOM} parent_uuid")
        self._update_atom = prepared(sa.update(atoms).where(atoms.c.uuid == which), _ATOM)
        by_flow = sa.update(flows).where(flows.c.uuid == which)
        self._set_state = prepared(by_flow, "state updated_at")
        self._set_meta = prepared(by_flow, "state updated_at meta")
        self._only_meta = prepared(by_flow, "meta updated_at")
        self._drop_atoms = prepared(sa.delete(atoms).where(atoms.c.parent_uuid == which), "")
        self._unfinished = (
            sa.select(flows.c.uuid)
            .join(books, flows.c.parent_uuid == books.c.uuid)
            .where(books.c.name == sa.bindparam("slot"))
            .order_by(flows.c.created_at)
        )
        self._slots = (
            sa.select(books.c.name).distinct().join(flows, flows.c.parent_uuid == books.c.uuid)
        )
        self._rename = sa.update(books).where(books.c.name == sa.bindparam("before"))
        newest = (
            sa.select(books.c.uuid)
            .where(books.c.name == sa.bindparam("slot"))
            .order_by(books.c.created_at.desc())
            .limit(sa.bindparam("keep", type_=sa.Integer()))
            .subquery()
        )
        self._prune_rejected = sa.delete(books).where(
            books.c.name == sa.bindparam("slot"), books.c.uuid.not_in(sa.select(newest))
        )
        self._listing = sa.select(flows, books.c.name.label("slot")).join(
            books, flows.c.parent_uuid == books.c.uuid
        )
        self._prune = sa.delete(books).where(
            books.c.uuid.in_(
                sa.select(flows.c.parent_uuid).where(
                    flows.c.state == sa.bindparam("state"),
                    flows.c.updated_at < sa.bindparam("before"),
                )
            )
        )
        self._flows, self._books, self._atoms = flows, books, atoms

    def insert(self, cursor: Any, slot: str, detail: models.FlowDetail) -> None:
        """Insert a flow with a logbook of its own."""
        now = timeutils.utcnow()
        self._insert_book.run(cursor, uuid=detail.uuid, name=slot, meta={}, created_at=now)
        self._insert_flow.run(
            cursor,
            uuid=detail.uuid,
            parent_uuid=detail.uuid,
            name=detail.name,
            state=detail.state,
            meta=detail.meta,
            created_at=now,
            updated_at=now,
        )

    def set_flow(
        self, cursor: Any, flow: str, state: str, meta: dict[str, Any] | None = None
    ) -> None:
        """Write a flow's state and, where given, its meta."""
        now = timeutils.utcnow()
        if meta is None:
            self._set_state.run(cursor, which=flow, state=state, updated_at=now)
        else:
            self._set_meta.run(cursor, which=flow, state=state, updated_at=now, meta=meta)

    def set_meta(self, cursor: Any, flow: str, meta: dict[str, Any]) -> None:
        """Write a flow's meta and leave its state, which its engine may be changing."""
        self._only_meta.run(cursor, which=flow, updated_at=timeutils.utcnow(), meta=meta)

    def insert_atoms(self, cursor: Any, flow: str, atoms: Sequence[Any]) -> None:
        """Insert tasks that were not written before."""
        self._insert_atom.run_many(cursor, [_atom_row(a) | {"parent_uuid": flow} for a in atoms])

    def update_atoms(self, cursor: Any, atoms: Sequence[Any]) -> None:
        """Write tasks that are known."""
        self._update_atom.run_many(cursor, [_atom_row(a) | {"which": a.uuid} for a in atoms])

    def drop_atoms(self, cursor: Any, flow: str) -> None:
        """Forget the tasks of a flow that succeeded."""
        self._drop_atoms.run(cursor, which=flow)

    def load(self, connection: sa.Connection, flow: str) -> models.FlowDetail | None:
        """Return a flow with its tasks, None where there is none of that id."""
        wanted = sa.select(self._flows).where(self._flows.c.uuid == flow)
        row = connection.execute(wanted).mappings().first()
        if row is None:
            return None
        detail = models.FlowDetail.from_dict(dict(row))
        of_flow = sa.select(self._atoms).where(self._atoms.c.parent_uuid == flow)
        for atom in connection.execute(of_flow).mappings():
            detail.add(_atom_of(dict(atom)))
        return detail

    def unfinished(self, connection: sa.Connection, slot: str, ended: Sequence[str]) -> list[str]:
        """Return the flows of a slot that have not ended, the oldest first."""
        wanted = self._unfinished.where(self._flows.c.state.not_in(ended))
        return list(connection.scalars(wanted, {"slot": slot}))

    def slots(self, connection: sa.Connection, beginning: str, ended: Sequence[str]) -> list[str]:
        """Return the slots with flows that have not ended."""
        begins = self._books.c.name.startswith(beginning, autoescape=True)
        wanted = self._slots.where(self._flows.c.state.not_in(ended), begins)
        return list(connection.scalars(wanted))

    def rename(self, connection: sa.Connection, before: str, after: str) -> None:
        """Give all flows of a slot to another one."""
        connection.execute(self._rename.values(name=after), {"before": before})

    def listing(
        self,
        connection: sa.Connection,
        conditions: Sequence[sa.ColumnElement[bool]],
        limit: int,
    ) -> Sequence[Any]:
        """Return flows with their slots, the newest first."""
        wanted = self._listing.where(*conditions)
        newest = wanted.order_by(self._flows.c.created_at.desc()).limit(limit)
        return connection.execute(newest).all()

    def which(
        self, rejected_book: str, rejected: bool, among: Sequence[str] | None, beginning: str
    ) -> list[sa.ColumnElement[bool]]:
        """Return the conditions of a listing.

        :param among: states; None for any.
        :param beginning: of the flow's id.
        """
        name, flow = self._books.c.name, self._flows.c
        conditions = [name == rejected_book if rejected else name != rejected_book]
        if among is not None:
            conditions.append(flow.state.in_(among))
        if beginning:
            conditions.append(flow.uuid.startswith(beginning, autoescape=True))
        return conditions

    def prune(self, connection: sa.Connection, state: str, before: datetime.datetime) -> int:
        """Delete logbooks, and by cascade their flows, that ended before a time."""
        return connection.execute(self._prune, {"state": state, "before": before}).rowcount

    def prune_rejected(self, connection: sa.Connection, slot: str, keep: int) -> None:
        """Delete all but the newest logbooks of a slot, and by cascade their flows."""
        connection.execute(self._prune_rejected, {"slot": slot, "keep": keep})


class FlowProgress:
    """The backend that one flow's engine is given; it is its own connection."""

    def __init__(self, statements: Statements, writing: Writing, detail: models.FlowDetail) -> None:
        self._statements = statements
        self._writing = writing
        self._flow = detail.uuid
        self._written = {atom.uuid: atom.state for atom in detail}
        self._state: str | None = None
        self._changed: dict[str, Any] = {}
        self._written_at = time.monotonic()
        self._progressed = any(atom.state != states.PENDING for atom in detail)

    @property
    def started(self) -> bool:
        """Whether any task of the flow has been written."""
        return bool(self._written)

    def get_connection(self) -> FlowProgress:
        """Return itself: there is nothing to open."""
        return self

    def close(self) -> None:
        """Nothing to close."""

    def update_flow_details(self, detail: models.FlowDetail) -> models.FlowDetail:
        """Gather a change of the flow's state."""
        self._state = detail.state
        return detail

    def update_atom_details(self, atom: Any) -> Any:
        """Gather a change of a task; write when it is about to run or to be reverted."""
        _note_time(atom)
        self._changed[atom.uuid] = atom
        boundary = atom.state in _BOUNDARIES and self._written.get(atom.uuid) != atom.state
        # The accepted entry already implies that the first task starts.
        if boundary and (self._progressed or atom.state != states.RUNNING):
            self.flush()
        elif atom.state == states.RUNNING and "progress" in atom.meta:
            self._show_progress()
        if atom.state != states.PENDING:
            self._progressed = True
        return atom

    def _show_progress(self) -> None:
        """Write the progress of a task now and then, for listings."""
        if time.monotonic() - self._written_at >= PROGRESS_PAUSE:
            self.flush()

    def flush(self) -> None:
        """Write the gathered changes. :raises StorageFailure: they could not be written."""
        try:
            with self._writing() as cursor:
                self.write(cursor)
        except JournalError as error:
            raise StorageFailure(str(error)) from error

    def write(self, cursor: Any) -> None:
        """Write the gathered changes in the caller's transaction."""
        changed = [a for a in self._changed.values() if a.state != states.PENDING]
        known = [atom for atom in changed if atom.uuid in self._written]
        fresh = [atom for atom in changed if atom.uuid not in self._written]
        if self._state is not None:
            self._statements.set_flow(cursor, self._flow, self._state)
        if known:
            self._statements.update_atoms(cursor, known)
        if fresh:
            self._statements.insert_atoms(cursor, self._flow, fresh)
        self._written.update((atom.uuid, atom.state) for atom in changed)
        self._changed.clear()
        self._state = None
        self._written_at = time.monotonic()


def engines(connection: str) -> tuple[sa.Engine, sa.Engine]:
    """Return two engines: one whose commits survive a power cut, one for progress.

    They differ only for SQLite, where the first waits for the disk at each commit.
    """
    url = sa.engine.make_url(connection)
    if url.get_backend_name() != "sqlite":
        engine = sa.create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED")
        return engine, engine
    if url.database:
        _to_write_ahead(url.database)
    return _sqlite_engine(url, "full"), _sqlite_engine(url, "normal")


def upgrade(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Make or migrate taskflow's tables.

    taskflow has no migrations for SQLite either; for the others they are its own,
    imported only then, as alembic costs a service 11 MiB and a tenth of a second.
    """
    if engine.dialect.name == "sqlite":
        metadata.create_all(engine)
        return
    from taskflow.persistence.backends.sqlalchemy import migration

    with engine.connect() as connection:
        migration.db_sync(connection)
        connection.commit()


@contextmanager
def alone(engine: sa.Engine) -> Iterator[None]:
    """Keep other processes from migrating the same server's journals meanwhile.

    SQLite has no such lock; there the second process tries again.
    """
    if engine.dialect.name not in _ALONE:
        yield
        return
    take, give = _ALONE[engine.dialect.name]
    with engine.connect() as connection:
        connection.execute(sa.text(take))
        try:
            yield
        finally:
            connection.execute(sa.text(give))


def add_indexes(engine: sa.Engine) -> None:
    """Add the indexes that taskflow's tables lack for look-ups by parent and slot."""
    wanted = {
        "holdfast_logbooks_name": ("logbooks", "name"),
        "holdfast_flowdetails_parent": ("flowdetails", "parent_uuid"),
        "holdfast_flowdetails_ended": ("flowdetails", "state, updated_at"),
        "holdfast_atomdetails_parent": ("atomdetails", "parent_uuid"),
    }
    inspector = sa.inspect(engine)
    with engine.begin() as connection:
        for index, (table, columns) in wanted.items():
            if index not in {found["name"] for found in inspector.get_indexes(table)}:
                connection.execute(sa.text(f"CREATE INDEX {index} ON {table} ({columns})"))


def _to_write_ahead(path: str) -> None:
    try:
        opened = sqlite3.connect(path, isolation_level=None, timeout=SQLITE_BUSY_TIMEOUT)
        opened.execute("PRAGMA journal_mode=wal")
        opened.close()
    except sqlite3.Error as error:
        raise JournalError(f"journal {path}: {error}") from error


def _sqlite_engine(url: sa.URL, synchronous: str) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=sa.pool.QueuePool,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_TIMEOUT},
    )

    @sa.event.listens_for(engine, "connect")
    def _set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=on")

    return engine


def _note_time(atom: Any) -> None:
    """Keep when a task began and ended, in seconds since the epoch, for ``flow show``."""
    if atom.state == states.RUNNING:
        atom.meta.setdefault("began", time.time())
    elif atom.state in _ENDED:
        atom.meta["ended"] = time.time()


def _atom_of(row: Mapping[str, Any]) -> Any:
    """Return a task; its failures get the present names of their errors' classes."""
    kind = models.atom_detail_class(row["atom_type"])
    stored = {name: value for name, value in row.items() if name != "atom_type"}
    for name in ("failure", "revert_failure"):
        stored[name] = former_names.present_failure(stored[name])
    return kind.from_dict(stored)


def _atom_row(atom: Any) -> dict[str, Any]:
    row: dict[str, Any] = atom.to_dict()
    row["atom_type"] = models.atom_detail_type(atom)
    row["created_at"] = row.get("created_at") or timeutils.utcnow()
    row["updated_at"] = timeutils.utcnow()
    return row
