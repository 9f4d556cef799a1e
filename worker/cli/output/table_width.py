# SPDX-License-Identifier: Apache-2.0
"""Tables that fit a terminal: without empty columns, and with ids that are cut short.

Cliff breaks cells over lines instead, so that no id can be copied. Commands take the first
characters of an id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_ID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")

_FRAME = 3
"""Characters around a cell: two spaces and a line."""

Columns = Sequence[str]
Rows = Sequence[Sequence[Any]]


def fitted(columns: Columns, rows: Rows, width: int) -> tuple[Columns, Rows]:
    """Return a table that is no wider than necessary for a terminal.

    :param width: columns of the terminal.
    """
    for shorten in (_without_empty_columns, _with_short_ids):
        if _width(columns, rows) > width:
            columns, rows = shorten(columns, rows)
    return columns, rows


def _width(columns: Columns, rows: Rows) -> int:
    cells = zip(columns, *rows, strict=True)
    return 1 + sum(_FRAME + max(map(_longest_line, column)) for column in cells)


def _longest_line(cell: Any) -> int:
    return max(map(len, str(cell).split("\n")))


def _without_empty_columns(columns: Columns, rows: Rows) -> tuple[Columns, Rows]:
    kept = [at for at in range(len(columns)) if any(row[at] not in ("", None) for row in rows)]
    if not kept:
        return columns, rows
    return [columns[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _with_short_ids(columns: Columns, rows: Rows) -> tuple[Columns, Rows]:
    return columns, [
        [_ID.sub(r"\1", cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    ]
