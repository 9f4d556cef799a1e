# SPDX-License-Identifier: Apache-2.0
"""Quota: what operations give back or settle, in the transaction of their row.

Source: spec/volume-rpc §7. Amounts that a row's end releases are taken off
``in_use`` at once, without a reservation: they cannot be refused, and one
transaction with the row cannot be repeated by half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from oslo_utils import timeutils

from worker.db import models
from worker.db.records import types

_USAGES = models.quota_usages
_RESERVATIONS = models.reservations


def release(
    connection: sa.Connection,
    project_id: str | None,
    volume_type_id: str | None,
    amounts: Mapping[str, int],
) -> None:
    """Take amounts off a project's use, also under the name of the volume type."""
    wanted = {name: amount for name, amount in amounts.items() if amount}
    if not wanted:
        return
    type_name = types.name_of(connection, volume_type_id)
    if type_name is not None:
        wanted |= {f"{name}_{type_name}": amount for name, amount in wanted.items()}
    amount = sa.case(wanted, value=_USAGES.c.resource, else_=0)
    connection.execute(
        sa.update(_USAGES)
        .where(
            _USAGES.c.project_id == project_id,
            _USAGES.c.resource.in_(list(wanted)),
            _USAGES.c.deleted == sa.false(),
        )
        .values(in_use=_not_below_zero(_USAGES.c.in_use, amount), updated_at=timeutils.utcnow())
    )


def settle(connection: sa.Connection, reservation_ids: Sequence[str], *, used: bool) -> None:
    """End reservations: what they hold becomes used, or is given back.

    One that ended before is skipped, so a second try changes nothing.
    """
    wanted = (
        sa.select(_RESERVATIONS)
        .where(
            _RESERVATIONS.c.uuid.in_(list(reservation_ids)),
            _RESERVATIONS.c.deleted == sa.false(),
        )
        .order_by(_RESERVATIONS.c.usage_id)
        .with_for_update()
    )
    now = timeutils.utcnow()
    for row in connection.execute(wanted).all():
        values = {"updated_at": now}
        if row.delta > 0:
            values["reserved"] = _not_below_zero(_USAGES.c.reserved, row.delta)
        if used:
            values["in_use"] = _not_below_zero(_USAGES.c.in_use, -row.delta)
        connection.execute(sa.update(_USAGES).where(_USAGES.c.id == row.usage_id).values(values))
        connection.execute(
            sa.update(_RESERVATIONS)
            .where(_RESERVATIONS.c.id == row.id)
            .values(deleted=True, deleted_at=now)
        )


def _not_below_zero(column: sa.Column[int], amount: sa.ColumnElement[int] | int) -> sa.Case[int]:
    return sa.case((column - amount > 0, column - amount), else_=0)
