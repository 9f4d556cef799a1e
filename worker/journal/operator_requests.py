# SPDX-License-Identifier: Apache-2.0
"""Requests of operators on flows: a table beside those of the journal.

The command line writes a request; the process that owns the slot of the flow reads it
within a second and writes its answer. A request for a slot whose process does not run is
carried out when that process starts.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import sqlalchemy as sa
from oslo_utils import timeutils
from taskflow.persistence.backends.sqlalchemy.tables import Tables

from flows.storable_errors import bounded
from worker.journal.entries.rejected_messages import REJECTED
from worker.journal.entries.stored_columns import bounded_columns
from worker.journal.transaction import Transactions

ACTIONS = ("resume", "revert", "cancel", "retry", "check", "drain")

DRAIN = "drain"
"""The request to a process to stop its work: others adopt it. It names no flow."""

_ANSWER = 4000
"""Bytes that are kept of an answer."""

_METADATA = sa.MetaData()
_T = sa.Table(
    "holdfast_requests",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("slot", sa.String(255), nullable=False, index=True),
    sa.Column("flow", sa.String(64), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("asked_at", sa.DateTime, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("done", sa.Boolean, nullable=False, default=False),
)


@dataclass(frozen=True)
class OperatorRequest:
    """One request.

    :param action: one of :data:`ACTIONS`.
    """

    id: int
    flow: str
    action: str


@dataclass(frozen=True)
class PastRequest:
    """A request with its result, for listings.

    :param asked_at: UTC.
    :param answer: None as long as no process has carried it out.
    :param done: False if it was refused, or has no answer.
    """

    action: str
    asked_at: datetime.datetime
    answer: str | None
    done: bool


@dataclass(frozen=True)
class RequestResult:
    """The result of a request.

    :param done: False if it was refused.
    """

    done: bool
    text: str


class OperatorRequests:
    """The requests in one journal.

    :param transactions: of the journal.
    :param tables: of the journal; they name the present owner of a flow.
    :raises JournalError: from each method: the database does not do it.
    """

    def __init__(self, transactions: Transactions, tables: Tables) -> None:
        self._transactions = transactions
        flows, books = tables.flowdetails, tables.logbooks
        joined = _T.outerjoin(flows, flows.c.uuid == _T.c.flow).outerjoin(
            books, books.c.uuid == flows.c.parent_uuid
        )
        # A rejected message belongs to no slot: the request names one of its service.
        of_slot = sa.case((books.c.name != REJECTED, books.c.name))
        owner = sa.func.coalesce(of_slot, _T.c.slot)
        self._columns = bounded_columns(_T, transactions.engine.dialect)
        self._open = (
            sa.select(*self._columns)
            .select_from(joined)
            .where(_T.c.answer.is_(None), owner == sa.bindparam("which"))
            .order_by(_T.c.id)
        )

    def upgrade(self) -> None:
        """Create the table."""
        _METADATA.create_all(self._transactions.engine)

    def ask(self, slot: str, flow: str, action: str) -> int:
        """Write a request and return its number."""
        row = {"slot": slot, "flow": flow, "action": action, "asked_at": timeutils.utcnow()}
        with self._transactions.changing(fenced=False) as connection:
            key = connection.execute(sa.insert(_T).values(**row)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def pending(self, slot: str) -> list[OperatorRequest]:
        """Return the requests without an answer of a slot, the oldest first.

        A request on a flow is of the slot that owns the flow now: another process may have
        adopted it after the command read the slot.
        """
        with self._transactions.reading() as connection:
            rows = connection.execute(self._open, {"which": slot}).all()
        return [OperatorRequest(row.id, row.flow, row.action) for row in rows]

    def answer(self, request: int, answer: RequestResult) -> None:
        """Write the result of a request."""
        change = sa.update(_T).where(_T.c.id == request)
        with self._transactions.changing() as connection:
            text = bounded(answer.text, _ANSWER)
            connection.execute(change.values(answer=text, done=answer.done))

    def answer_of(self, request: int) -> RequestResult | None:
        """Return the result of a request, None as long as it has none."""
        with self._transactions.reading() as connection:
            row = connection.execute(sa.select(*self._columns).where(_T.c.id == request)).one()
        return None if row.answer is None else RequestResult(bool(row.done), row.answer)

    def of_flow(self, flow: str) -> list[PastRequest]:
        """Return the requests on a flow, the oldest first."""
        query = sa.select(*self._columns).where(_T.c.flow == flow).order_by(_T.c.id)
        with self._transactions.reading() as connection:
            rows = connection.execute(query).all()
        return [PastRequest(row.action, row.asked_at, row.answer, bool(row.done)) for row in rows]

    def prune(self, asked_before: datetime.datetime) -> None:
        """Remove requests that were answered and are older than a time (UTC)."""
        old = sa.delete(_T).where(_T.c.asked_at < asked_before, _T.c.answer.is_not(None))
        with self._transactions.changing() as connection:
            connection.execute(old)
