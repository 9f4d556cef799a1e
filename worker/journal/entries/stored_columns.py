# SPDX-License-Identifier: Apache-2.0
"""Columns of the journal as they are read: bounded before they are fetched and decoded.

Whoever can write the journal can add a column of any size, and JSON of 60 MiB takes a gigabyte as
objects. So the database compares the size, and sends a mark in place of a longer value; of a
shorter one, the structure is counted before it is decoded. The writer has the same bounds.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from oslo_serialization import jsonutils
from oslo_utils import units
from taskflow.persistence.backends.sqlalchemy.tables import JSONType

from worker.rpc.received import message_limits

LONGEST = 15 * units.Mi
"""Bytes of all texts of one row, unless the database takes less: MEDIUMTEXT has 16 MiB."""

STRUCTURE_MAX = 300_000
"""Separators and brackets in a text; a message has at most 200,000, and they take 35 MiB here."""

_PLAIN_MAX = 16 * units.Ki
"""Bytes of a column that is no JSON; an answer to an operator has 4000."""

TOO_LONG = "(too long)"
"""The value of a column that is not fetched; it is no JSON, no time and no state."""


class ExcessiveColumn(ValueError):
    """A column is longer than any that the journal writes."""


def check_parts(text: str) -> None:
    """Refuse JSON whose objects would need much memory. :raises ValueError: they would."""
    if len(text) > STRUCTURE_MAX:  # nearly none is
        message_limits.check_structure(text, STRUCTURE_MAX)


class BoundedJson(sa.types.TypeDecorator[Any]):
    """JSON that was fetched as text."""

    impl = sa.UnicodeText
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Decode a value. :raises ValueError: it is longer than any of the journal, or no JSON."""
        if value is None:
            return None
        if value == TOO_LONG:
            raise ExcessiveColumn(f"a column has more than {LONGEST} bytes")
        check_parts(value)
        return jsonutils.loads(value)


def bounded(column: sa.Column[Any], dialect: sa.Dialect) -> sa.ColumnElement[Any]:
    """Return a column as it is to be selected, under its own name."""
    is_json = isinstance(column.type, JSONType)
    if dialect.name != "sqlite" and not is_json and not isinstance(column.type, sa.Text):
        return column  # the server bounds it
    text = sa.cast(column, sa.Text) if dialect.name == "postgresql" else column
    most = LONGEST if is_json else _PLAIN_MAX
    mark = sa.literal(TOO_LONG, literal_execute=True)
    shown = sa.case((_size(text, dialect) > most, mark), else_=sa.type_coerce(text, sa.Text))
    return sa.type_coerce(shown, BoundedJson() if is_json else column.type).label(column.name)


def bounded_columns(table: sa.Table, dialect: sa.Dialect) -> list[sa.ColumnElement[Any]]:
    """Return all columns of a table as they are to be selected."""
    return [bounded(column, dialect) for column in table.c]


def fits(column: sa.Column[Any], dialect: sa.Dialect) -> sa.ColumnElement[bool]:
    """Return the condition that a column is none that :func:`bounded` would not fetch."""
    if dialect.name != "sqlite":
        return sa.true()
    return _size(column, dialect) <= _PLAIN_MAX


def _size(text: sa.ColumnElement[Any], dialect: sa.Dialect) -> sa.ColumnElement[int]:
    """Return the number of bytes of a text."""
    if dialect.name == "sqlite":  # its length() counts characters, and ends at a NUL
        return sa.func.length(sa.cast(text, sa.LargeBinary))
    return sa.func.octet_length(text)
