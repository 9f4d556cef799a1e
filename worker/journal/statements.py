# SPDX-License-Identifier: Apache-2.0
"""SQL statements of the journal, prepared once for one database."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils
from taskflow.persistence import models
from taskflow.persistence.backends.sqlalchemy.tables import Tables

from flows import former_names, storable_errors
from flows.storable_errors import without_secrets
from worker.compat.sqlalchemy import bind_processors
from worker.journal.entries.stored_columns import (
    LONGEST,
    bounded,
    bounded_columns,
    check_parts,
    fits,
)

_MOVED_AT_ONCE = 500

_ESCAPED = "\\\"'"
"""Characters that the drivers of MySQL send as two."""


class SizeLimit:
    """How large the texts of one statement may be."""

    def __init__(self) -> None:
        self.longest = LONGEST

    def check(self, values: Iterable[Any]) -> None:
        """Refuse texts that the database would not take; it may break the connection instead.

        Refuse those as well that no reader of the journal would decode.

        :raises ValueError: they are too long, or have too many parts.
        """
        texts = [value for value in values if isinstance(value, str)]
        length = sum(map(len, texts))
        if length * 2 > self.longest:
            length += sum(text.count(one) for text in texts for one in _ESCAPED)
        if length > self.longest:
            raise ValueError(f"a row of {length} bytes is too long; {self.longest} are possible")
        for text in texts:
            check_parts(text)


class Prepared:
    """One statement, compiled for the database at hand.

    An operation is five small transactions in the journal; going through
    SQLAlchemy's execution for each of their statements costs more than the
    database does. The compiled text and its value conversions are SQLAlchemy's.
    """

    def __init__(
        self,
        statement: sa.sql.expression.UpdateBase,
        names: str,
        engine: sa.Engine,
        limit: SizeLimit,
    ) -> None:
        self._limit = limit
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
        self._limit.check(bound.values())
        cursor.execute(self._sql, bound if self._order is None else [bound[n] for n in self._order])


_ATOM = (
    "created_at updated_at meta name version state uuid failure results"
    " revert_results revert_failure intention atom_type"
)


class Statements:
    """The journal's SQL, built once for one database."""

    def __init__(self, tables: Tables, engine: sa.Engine) -> None:
        self.limit = SizeLimit()
        books, flows, atoms = tables.logbooks, tables.flowdetails, tables.atomdetails
        which: sa.BindParameter[str] = sa.bindparam("which")
        dialect = engine.dialect

        def prepared(statement: Any, names: str) -> Prepared:
            return Prepared(statement, names, engine, self.limit)

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
        self._drop_atom = prepared(sa.delete(atoms).where(atoms.c.uuid == which), "")
        self._drop_atoms = prepared(sa.delete(atoms).where(atoms.c.parent_uuid == which), "")
        self._unfinished = (
            sa.select(flows.c.uuid)
            .join(books, flows.c.parent_uuid == books.c.uuid)
            .where(books.c.name == sa.bindparam("slot"), fits(flows.c.uuid, dialect))
            .order_by(flows.c.created_at)
        )
        self._slots = (
            sa.select(books.c.name)
            .distinct()
            .join(flows, flows.c.parent_uuid == books.c.uuid)
            .where(fits(books.c.name, dialect))
        )
        self._slot_of = (
            sa.select(books.c.name)
            .join(flows, flows.c.parent_uuid == books.c.uuid)
            .where(flows.c.uuid == which)
        )
        pending = sa.select(flows.c.parent_uuid).where(
            flows.c.uuid == which, flows.c.state == sa.bindparam("pending")
        )
        self._remove = sa.delete(books).where(books.c.uuid.in_(pending))
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
        with_book = flows.join(books, flows.c.parent_uuid == books.c.uuid)
        slot = bounded(books.c.name, dialect).label("slot")
        self._listing = sa.select(*bounded_columns(flows, dialect), slot).select_from(with_book)
        heads = (flows.c.uuid, books.c.name, flows.c.name, flows.c.state)
        self._heads = sa.select(
            *(bounded(column, dialect).label(f"head_{n}") for n, column in enumerate(heads))
        ).select_from(with_book)
        self._load = sa.select(*bounded_columns(flows, dialect)).where(flows.c.uuid == which)
        self._load_atoms = sa.select(*bounded_columns(atoms, dialect)).where(
            atoms.c.parent_uuid == which
        )
        self._prune = sa.delete(books).where(
            books.c.uuid.in_(
                sa.select(flows.c.parent_uuid).where(
                    flows.c.state == sa.bindparam("state"),
                    flows.c.updated_at < sa.bindparam("before"),
                )
            )
        )
        self._flows, self._books = flows, books

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

    def insert_atoms(self, cursor: Any, flow: str, atoms: Sequence[Any], again: bool) -> None:
        """Insert tasks that were not written before.

        :param again: whether an earlier attempt has perhaps written them.
        """
        if again:
            self._drop_atom.run_many(cursor, [{"which": atom.uuid} for atom in atoms])
        self._insert_atom.run_many(cursor, [_atom_row(a) | {"parent_uuid": flow} for a in atoms])

    def update_atoms(self, cursor: Any, atoms: Sequence[Any]) -> None:
        """Write tasks that are known."""
        self._update_atom.run_many(cursor, [_atom_row(a) | {"which": a.uuid} for a in atoms])

    def drop_atoms(self, cursor: Any, flow: str) -> None:
        """Forget the tasks of a flow that succeeded."""
        self._drop_atoms.run(cursor, which=flow)

    def load(self, connection: sa.Connection, flow: str) -> models.FlowDetail | None:
        """Return a flow with its tasks, None where there is none of that id.

        :raises ValueError: a column has more than the journal writes, or cannot be decoded.
        """
        row = connection.execute(self._load, {"which": flow}).mappings().first()
        if row is None:
            return None
        detail = models.FlowDetail.from_dict(dict(row))
        for atom in connection.execute(self._load_atoms, {"which": flow}).mappings():
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

    def unfinished_by_slot(
        self, connection: sa.Connection, ended: Sequence[str]
    ) -> dict[str, tuple[int, datetime.datetime]]:
        """Return how many flows of each slot have not ended, and when the oldest was accepted."""
        books, flows = self._books, self._flows
        wanted = (
            sa.select(books.c.name, sa.func.count(), sa.func.min(flows.c.created_at))
            .join(flows, flows.c.parent_uuid == books.c.uuid)
            .where(flows.c.state.not_in(ended))
            .group_by(books.c.name)
        )
        return {name: (count, oldest) for name, count, oldest in connection.execute(wanted)}

    def slot_of(self, connection: sa.Connection, flow: str) -> str | None:
        """Return the slot that owns a flow, None where there is no flow of that id."""
        return connection.scalar(self._slot_of, {"which": flow})

    def remove_pending(self, connection: sa.Connection, flow: str, pending: str) -> None:
        """Remove the logbook, and by cascade its flow, of a flow that has not begun."""
        connection.execute(self._remove, {"which": flow, "pending": pending})

    def ages(
        self, connection: sa.Connection, slot: str, ended: Sequence[str]
    ) -> dict[str, datetime.datetime]:
        """Return the times of acceptance of the flows of a slot that have not ended."""
        wanted = self._unfinished.add_columns(self._flows.c.created_at)
        rows = connection.execute(
            wanted.where(self._flows.c.state.not_in(ended)), {"slot": slot}
        ).all()
        return {row.uuid: row.created_at for row in rows}

    def move(self, connection: sa.Connection, flows: Sequence[str], slot: str) -> None:
        """Give flows to another slot."""
        books = self._books
        for start in range(0, len(flows), _MOVED_AT_ONCE):
            some = list(flows[start : start + _MOVED_AT_ONCE])
            of_flows = sa.select(self._flows.c.parent_uuid).where(self._flows.c.uuid.in_(some))
            parents = list(connection.scalars(of_flows))
            connection.execute(sa.update(books).where(books.c.uuid.in_(parents)).values(name=slot))

    def rename(self, connection: sa.Connection, before: str, after: str) -> None:
        """Give all flows of a slot to another one."""
        connection.execute(self._rename.values(name=after), {"before": before})

    def set_all(self, connection: sa.Connection, slot: str, state: str, but: Sequence[str]) -> None:
        """Set the flows of a slot to a state, but for those in some states."""
        flows = self._flows
        owned = sa.select(self._books.c.uuid).where(self._books.c.name == slot)
        connection.execute(
            sa.update(flows)
            .where(flows.c.parent_uuid.in_(owned), flows.c.state.not_in(but))
            .values(state=state, updated_at=timeutils.utcnow())
        )

    def listing(
        self,
        connection: sa.Connection,
        conditions: Sequence[sa.ColumnElement[bool]],
        limit: int,
        after: int = 0,
    ) -> Sequence[Any]:
        """Return flows with their slots, the newest first."""
        wanted = self._listing.where(*conditions)
        return connection.execute(self._newest(wanted, limit, after)).all()

    def heads(
        self,
        connection: sa.Connection,
        conditions: Sequence[sa.ColumnElement[bool]],
        limit: int,
        after: int = 0,
    ) -> Sequence[Any]:
        """Return id, slot, name and state of flows, the newest first: columns without a format."""
        wanted = self._heads.where(*conditions)
        return connection.execute(self._newest(wanted, limit, after)).all()

    def _newest(self, wanted: sa.Select[Any], limit: int, after: int) -> sa.Select[Any]:
        flows = self._flows.c
        # Entries of one second have an order of their own, or pages of a list would overlap.
        newest = wanted.order_by(flows.created_at.desc(), flows.uuid)
        return newest.limit(limit).offset(after) if after else newest.limit(limit)

    def accepted_at(self, connection: sa.Connection, flow: str) -> datetime.datetime | None:
        """Return when a flow was accepted, by the clock of its host."""
        return connection.scalar(
            sa.select(self._flows.c.created_at).where(self.which_flow(flow)[0])
        )

    def which_ended(self, method: str, state: str, since: Any) -> list[sa.ColumnElement[bool]]:
        """Return the conditions of a listing of the flows of a method that ended of late."""
        flow = self._flows.c
        return [flow.state == state, flow.updated_at >= since, flow.name == method]

    def which_flow(self, flow: str) -> list[sa.ColumnElement[bool]]:
        """Return the conditions of a listing of one flow."""
        return [self._flows.c.uuid == flow]

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


def _atom_of(row: Mapping[str, Any]) -> Any:
    """Return a task; its failures get the present names of their errors' classes."""
    kind = models.atom_detail_class(row["atom_type"])
    stored = {name: value for name, value in row.items() if name != "atom_type"}
    for name in ("failure", "revert_failure"):
        stored[name] = former_names.present_failure(stored[name])
    return kind.from_dict(stored)


def _bounded_failure(failure: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a failure, as taskflow stores it, whose texts are short and without secrets."""
    if failure is None:
        return None
    kept = dict(failure)
    kept["exception_str"] = without_secrets(kept["exception_str"], storable_errors.LONGEST)
    if trace := kept.get("traceback_str"):
        longest = storable_errors.TRACEBACK_LONGEST
        kept["traceback_str"] = without_secrets(trace, longest, end=True)
    causes = list(kept.get("causes") or ())[: storable_errors.DEEPEST]
    kept["causes"] = [_bounded_failure(cause) for cause in causes]
    return kept


def _atom_row(atom: Any) -> dict[str, Any]:
    row: dict[str, Any] = atom.to_dict()
    for name in ("failure", "revert_failure"):
        row[name] = _bounded_failure(row[name])
    row["atom_type"] = models.atom_detail_type(atom)
    row["created_at"] = row.get("created_at") or timeutils.utcnow()
    row["updated_at"] = timeutils.utcnow()
    return row
