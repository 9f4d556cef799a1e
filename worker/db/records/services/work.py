# SPDX-License-Identifier: Apache-2.0
"""Rows of ``workers`` (spec/volume-rpc §8).

Implements :class:`flows.protocols.service_records.WorkRecords`.

With a journal of our own they matter to others only: a Cinder service that starts
cleans up resources with a row that names it. So a row goes with the end of its work, and a row
that Cinder left under our name shows an unfinished operation.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Any, Protocol

import sqlalchemy as sa
from oslo_db import exception as db_exception

from drivers.interface.records import Record
from flows.claims import FIRST_MARK
from worker.db import models
from worker.db.column_values import checked
from worker.db.commit import CommittedBefore, perhaps_committed
from worker.db.database import Database
from worker.db.records.base import drop_work, precise_now
from worker.db.row_statements.prepared_statement import PreparedStatement

_T = models.workers
_OF = (_T.c.resource_type == sa.bindparam("kind"), _T.c.resource_id == sa.bindparam("which"))
_NEXT = {
    "service_id": sa.bindparam("owner"),
    "status": sa.bindparam("now_status"),
    "race_preventer": _T.c.race_preventer + 1,
    "updated_at": sa.bindparam("now"),
}
_OTHERWISE = sa.or_(
    _T.c.service_id.is_(None),
    _T.c.service_id != sa.bindparam("owner"),
    _T.c.status != sa.bindparam("now_status"),
)
_CLAIM = PreparedStatement(sa.update(_T).where(*_OF, _OTHERWISE).values(_NEXT))
_MARK = sa.update(_T).where(*_OF).values({**_NEXT, "race_preventer": sa.bindparam("mark")})
_MARK_UNLESS_MARKED = _MARK.where(
    sa.or_(
        _T.c.race_preventer < FIRST_MARK,
        _T.c.race_preventer == sa.bindparam("mark"),
        _T.c.service_id.is_(None),
    )
)
_IS_MARKED = sa.select(_T.c.id).where(*_OF, _T.c.race_preventer == sa.bindparam("mark"))
_UNMARK = sa.delete(_T).where(*_OF, _T.c.race_preventer == sa.bindparam("mark"))
_RELEASE = sa.update(_T).where(*_OF).values(_NEXT)
_CHANGED_SINCE = sa.select(_T.c.id).where(
    *_OF, _T.c.updated_at >= sa.bindparam("now", type_=_T.c.updated_at.type)
)
_FIND = sa.select(_T.c.id).where(*_OF)
_INSERT = sa.insert(_T)

SENTINEL = "SENTINEL"
"""Type of a row of Cinder's that is no work: it shows the precision of times."""

_READ = (_T.c.id == sa.bindparam("which"), _T.c.race_preventer == sa.bindparam("raced"))
_SET: dict[str, sa.ColumnElement[Any]] = {
    "service_id": sa.bindparam("owner"),
    "race_preventer": _T.c.race_preventer + 1,
    "updated_at": sa.bindparam("at"),
}
_TAKE = (
    sa.update(_T)
    .where(*_READ, _T.c.status == sa.bindparam("now_status"))
    .where(_T.c.updated_at <= sa.bindparam("read_at", type_=_T.c.updated_at.type))
    .values(_SET)
)
_TAKEN = sa.select(_T.c.id).where(
    *_READ,
    _T.c.service_id == sa.bindparam("owner"),
    _T.c.updated_at == sa.bindparam("at", type_=_T.c.updated_at.type),
)
_PUT_BACK = sa.update(_T).where(*_READ).values(_SET)
_DROP = sa.delete(_T).where(*_READ)


class Owner(Protocol):
    """A row of ``services``."""

    @property
    def id(self) -> int:
        """The id of the row; another one when the row was inserted again."""


class WorkRows:
    """Rows of ``workers``.

    :param owner: the service that claims rows; None where rows are only offered.
    """

    def __init__(self, database: Database, owner: Owner | None = None) -> None:
        self._db = database
        self._owner = owner

    @property
    def _owner_id(self) -> int | None:
        return self._owner.id if self._owner is not None else None

    def claim(self, resource_type: str, resource_id: str, status: str) -> None:
        """Take over the row if there is one and it is not ours already."""
        values = self._values(resource_type, resource_id, status, self._owner_id)
        self._db.change(_CLAIM, values)

    def offer(self, resource_type: str, resource_id: str, status: str) -> None:
        """Leave an unclaimed row, making it where there is none."""
        values = self._values(resource_type, resource_id, status, None)

        def work(connection: sa.Connection) -> None:
            if perhaps_committed(connection) and connection.scalar(_CHANGED_SINCE, values):
                raise CommittedBefore  # and another service may have claimed it since
            if connection.execute(_RELEASE, values).rowcount == 0:
                _insert(connection, resource_type, resource_id, status)

        self._db.write(work)

    def done(self, resource_type: str, resource_id: str) -> None:
        """Remove the row of a resource."""
        self._db.write(lambda connection: drop_work(connection, resource_type, resource_id))

    def mark(
        self, resource_type: str, resource_id: str, status: str, mark: int, *, unless_marked: bool
    ) -> bool:
        """Write the mark of an operation (see :mod:`flows.claims`); return whether it is there."""
        owner = self._owner_id
        values = {**self._values(resource_type, resource_id, status, owner), "mark": mark}
        of = {"kind": resource_type, "which": resource_id}

        def work(connection: sa.Connection) -> bool:
            change = _MARK_UNLESS_MARKED if unless_marked else _MARK
            if connection.execute(change, values).rowcount:
                return True
            if unless_marked and connection.execute(_FIND, of).first() is not None:
                return False
            _insert(connection, resource_type, resource_id, status, owner, mark)
            return True

        return self._db.write(work)

    def is_marked(self, resource_type: str, resource_id: str, mark: int) -> bool:
        """Return whether a resource has the mark."""
        values = {"kind": resource_type, "which": resource_id, "mark": mark}
        return bool(self._db.rows(_IS_MARKED, values))

    def unmark(self, resource_type: str, resource_id: str, mark: int) -> None:
        """Remove the row of a resource if it has the mark."""
        self._db.change(_UNMARK, {"kind": resource_type, "which": resource_id, "mark": mark})

    def left(
        self,
        service_id: int | None = None,
        resource_type: str | None = None,
        resource_id: str | None = None,
        until: datetime.datetime | None = None,
    ) -> list[Record]:
        """Return the rows that a service has claimed, ours if none is named."""
        owner = self._owner_id if service_id is None else service_id
        if owner is None:
            return []
        named = {"resource_type": resource_type, "resource_id": resource_id}
        where = [_T.c[name] == value for name, value in named.items() if value is not None]
        where.append(_T.c.service_id == owner)
        if until is not None:
            where.append(_T.c.updated_at <= until)
        where.append(_T.c.resource_type != SENTINEL)
        rows = self._db.rows(sa.select(_T).where(*where).order_by(_T.c.id))
        return [Record("work", row._asdict()) for row in rows]

    def take(self, work: Record) -> bool:
        """Claim a row that is as it was read; say whether it was."""
        changed = {**_as_read(work), "owner": self._owner_id, "at": precise_now()}
        if self._db.change(_TAKE, changed) > 0:
            return True
        # The update may have been ours, and only its answer was lost.
        taken = {**changed, "raced": work.race_preventer + 1}
        return bool(self._db.rows(_TAKEN, taken))

    def adopt(self, former: Collection[int], resource_ids: Collection[str]) -> int:
        """Claim the rows of operations that this service has adopted; return how many.

        A clean-up of Cinder's for the former service does not find them then. Marks stay.

        :param former: ids of the rows of the service that had the operations.
        :param resource_ids: of the operations.
        """
        if not former or not resource_ids:
            return 0
        change = (
            sa.update(_T)
            .where(_T.c.service_id.in_(former), _T.c.resource_id.in_(resource_ids))
            .values(service_id=self._owner_id, updated_at=precise_now())
        )
        return self._db.write(lambda connection: connection.execute(change).rowcount)

    def put_back(self, work: Record) -> None:
        """Give a row that was taken back as it was read."""
        kept = {"owner": work.service_id, "at": work.updated_at}
        self._db.change(_PUT_BACK, {**_as_read(work), "raced": work.race_preventer + 1, **kept})

    def drop(self, work: Record) -> None:
        """Remove a row that was claimed, unless another service owns it by now."""
        self._db.change(_DROP, {**_as_read(work), "raced": work.race_preventer + 1})

    @staticmethod
    def _values(
        resource_type: str, resource_id: str, status: str, service_id: int | None
    ) -> dict[str, object]:
        return {
            "kind": resource_type,
            "which": resource_id,
            "owner": service_id,
            "now_status": status,
            "now": precise_now(),
        }


def _as_read(work: Record) -> dict[str, object]:
    return {
        "which": work.id,
        "raced": work.race_preventer,
        "now_status": work.status,
        "read_at": work.updated_at,
    }


def _insert(
    connection: sa.Connection,
    resource_type: str,
    resource_id: str,
    status: str,
    service_id: int | None = None,
    raced: int = 0,
) -> None:
    row = {"resource_type": resource_type, "resource_id": resource_id, "status": status}
    times = {"created_at": precise_now(), "updated_at": precise_now()}
    values = checked(_T, {**row, **times, "service_id": service_id, "race_preventer": raced})
    try:
        connection.execute(_INSERT, {**values, "deleted": False})
    except db_exception.DBDuplicateEntry as error:
        raise db_exception.DBDeadlock(error) from error
