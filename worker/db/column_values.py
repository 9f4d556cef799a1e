# SPDX-License-Identifier: Apache-2.0
"""Validate values of columns before any SQL, so that every database refuses the same.

A message names table and column, never the value: it may be a secret.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from flows.storable_errors import bounded

Check = Callable[[Any], Any]

INT_MAX = 2**31 - 1

TEXT_MAX = 2**16 - 1
"""Bytes of a column of text without a length, as MySQL has it."""


def now() -> datetime.datetime:
    """Return the time as the tables keep it: naive UTC, whole seconds."""
    return timeutils.utcnow().replace(microsecond=0)


def checked(table: sa.Table, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns as the table takes them.

    :raises ValueError: an unknown column, or a value that does not fit into it.
    """
    checks = _checks(table)
    values = {}
    for name, value in columns.items():
        check = checks.get(name)
        if check is None:
            raise ValueError(f"{table.name}.{name}: there is no such column")
        try:
            values[name] = check(value)
        except ValueError as error:
            raise ValueError(f"{table.name}.{name}: {error}") from None
    return values


def is_key(value: object) -> bool:
    """Return whether a value can be an id at all; another one is just not found."""
    if not isinstance(value, str) or not 0 < len(value) <= 36:
        return False
    return value.isascii() and value.isprintable()


@functools.cache
def _checks(table: sa.Table) -> dict[str, Check]:
    return {column.name: _check(column) for column in table.columns}


def _check(column: sa.Column[Any]) -> Check:
    kind = column.type
    check: Check
    if isinstance(kind, sa.Boolean):
        check = _flag
    elif isinstance(kind, sa.Integer):
        check = _whole
    elif isinstance(kind, sa.DateTime):
        # Only columns of a compare-and-set are kept to the microsecond.
        check = functools.partial(_time, column.info.get("precise", False))
    elif column.info.get("prose"):
        check = functools.partial(_prose, getattr(kind, "length", None) or TEXT_MAX)
    else:
        check = functools.partial(_text, getattr(kind, "length", None))
    return functools.partial(_nullable if column.nullable else _required, check)


def _nullable(check: Check, value: Any) -> Any:
    return None if value is None else check(value)


def _required(check: Check, value: Any) -> Any:
    if value is None:
        raise ValueError("must have a value")
    return check(value)


def _text(length: int | None, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"takes text, not {type(value).__name__}")
    text = str(value)
    if length is not None and len(text) > length:
        raise ValueError(f"takes {length} characters, not {len(text)}")
    if length is None and len(text.encode(errors="surrogatepass")) > TEXT_MAX:
        raise ValueError(f"takes {TEXT_MAX} bytes")
    if "\0" in text:
        raise ValueError("takes no NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("takes Unicode text only") from None
    return text


def _prose(length: int, value: Any) -> str:
    """Return a text that only people read; it is shortened rather than refused."""
    return bounded(value, length)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"takes a whole number, not {type(value).__name__}")
    if abs(value) > INT_MAX:
        raise ValueError("takes a number of 32 bits")
    return value


def _flag(value: Any) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ValueError(f"takes yes or no, not {type(value).__name__}")


def _time(precise: bool, value: Any) -> datetime.datetime:
    if not isinstance(value, datetime.datetime):
        raise ValueError(f"takes a time, not {type(value).__name__}")
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    time: datetime.datetime = value
    return time if precise else time.replace(microsecond=0)
