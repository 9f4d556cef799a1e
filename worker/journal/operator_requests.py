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

from flows.storable_errors import bounded

ACTIONS = ("resume", "revert", "cancel")

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
_OPEN = sa.select(_T).where(_T.c.slot == sa.bindparam("which"), _T.c.answer.is_(None))


@dataclass(frozen=True)
class OperatorRequest:
    """One request.

    :param action: one of :data:`ACTIONS`.
    """

    id: int
    flow: str
    action: str


@dataclass(frozen=True)
class RequestResult:
    """The result of a request.

    :param done: False if it was refused.
    """

    done: bool
    text: str


class OperatorRequests:
    """The requests in one journal.

    :param engine: the journal's database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def upgrade(self) -> None:
        """Create the table."""
        _METADATA.create_all(self._engine)

    def ask(self, slot: str, flow: str, action: str) -> int:
        """Write a request and return its number."""
        row = {"slot": slot, "flow": flow, "action": action, "asked_at": timeutils.utcnow()}
        with self._engine.begin() as connection:
            key = connection.execute(sa.insert(_T).values(**row)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def pending(self, slot: str) -> list[OperatorRequest]:
        """Return the requests without an answer of a slot, the oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(_OPEN.order_by(_T.c.id), {"which": slot}).all()
        return [OperatorRequest(row.id, row.flow, row.action) for row in rows]

    def answer(self, request: int, answer: RequestResult) -> None:
        """Write the result of a request."""
        change = sa.update(_T).where(_T.c.id == request)
        with self._engine.begin() as connection:
            text = bounded(answer.text, _ANSWER)
            connection.execute(change.values(answer=text, done=answer.done))

    def answer_of(self, request: int) -> RequestResult | None:
        """Return the result of a request, None as long as it has none."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_T).where(_T.c.id == request)).one()
        return None if row.answer is None else RequestResult(bool(row.done), row.answer)

    def prune(self, asked_before: datetime.datetime) -> None:
        """Remove requests that were answered and are older than a time (UTC)."""
        old = sa.delete(_T).where(_T.c.asked_at < asked_before, _T.c.answer.is_not(None))
        with self._engine.begin() as connection:
            connection.execute(old)
