# SPDX-License-Identifier: Apache-2.0
"""Read entries for a listing, those that cannot be read among them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence.models import FlowDetail

from worker.journal.entries import listed_entry
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.stored_operation import UNREADABLE
from worker.journal.statements import Statements

CLOCKS = datetime.timedelta(minutes=5)
"""By how much the clocks of hosts may differ."""

MOST = 10000
"""Successes that are searched for a repetition, the newest."""


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


def was_repeated(statements: Statements, connection: sa.Connection, flow: FlowDetail) -> bool:
    """Return whether the caller of an operation has sent its request again, with success.

    A caller without a reply repeats its request, which another host may carry out.
    """
    accepted = statements.accepted_at(connection, flow.uuid)
    request_id = (flow.meta.get("request") or {}).get("request_id")
    if accepted is None or not request_id:
        return False
    wanted = statements.which_ended(flow.name, states.SUCCESS, accepted - CLOCKS)
    resource = " ".join(flow.meta["resource"])
    return any(
        (one.request_id, one.resource) == (request_id, resource)
        for one in read(statements, connection, wanted, MOST)
    )


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
