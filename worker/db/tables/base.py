# SPDX-License-Identifier: Apache-2.0
"""Kinds of columns that all tables are made of (spec/schema §1).

Times are naive UTC. Booleans are 0 or 1 in the database, never NULL where we insert.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData()


def text(
    name: str,
    length: int | None,
    *,
    primary: bool = False,
    required: bool = False,
    refers: str | None = None,
    prose: bool = False,
) -> sa.Column[Any]:
    """Return a column of text; without a length it is as long as it needs to be.

    :param prose: whether only people read it: a text that does not fit is shortened.
    """
    kind = sa.String(length) if length else sa.Text()
    extra = [sa.ForeignKey(refers)] if refers else []
    nullable = not (primary or required)
    info = {"prose": prose}
    return sa.Column(name, kind, *extra, primary_key=primary, nullable=nullable, info=info)


def integer(
    name: str, *, required: bool = False, default: int | None = None, refers: str | None = None
) -> sa.Column[Any]:
    """Return a column of whole numbers."""
    extra = [sa.ForeignKey(refers)] if refers else []
    given = None if default is None else str(default)
    return sa.Column(name, sa.Integer, *extra, nullable=not required, server_default=given)


def key() -> sa.Column[Any]:
    """Return the number that the database gives to a row."""
    return sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)


def flag(name: str, *, required: bool = False, default: bool | None = None) -> sa.Column[Any]:
    """Return a column of yes and no."""
    given = None if default is None else sa.true() if default else sa.false()
    return sa.Column(name, sa.Boolean, nullable=not required, server_default=given)


def moment(name: str, *, required: bool = False, precise: bool = False) -> sa.Column[Any]:
    """Return a column of times; MySQL keeps microseconds only where asked."""
    kind = sa.DateTime()
    if precise:
        kind = kind.with_variant(mysql.DATETIME(fsp=6), "mysql")
    return sa.Column(name, kind, nullable=not required, info={"precise": precise})


def soft(*, precise: bool = False) -> tuple[sa.Column[Any], ...]:
    """Return the four columns of a table whose rows are deleted softly.

    :param precise: whether ``updated_at`` takes part in a compare-and-set.
    """
    return (
        moment("created_at"),
        moment("updated_at", precise=precise),
        moment("deleted_at"),
        flag("deleted"),
    )
