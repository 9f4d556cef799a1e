# SPDX-License-Identifier: Apache-2.0
"""Rows that one run of a flow has read: each is fetched once, until something is written.

The steps of a flow ask for the same volume again and again. While the flow holds
its lock nobody else changes what the steps look at; a status is changed by
compare-and-set anyway.
"""

from __future__ import annotations

import functools
from typing import Any

from drivers.interface.records import Record


class RecordCache:
    """Records of one kind, for one run.

    :param rows: the records; anything but ``get`` is asked of them and clears what is known.
    """

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._seen: dict[str, Record] = {}

    def get(self, row_id: str) -> Record:
        """Return the live row."""
        if row_id not in self._seen:
            self._seen[row_id] = self._rows.get(row_id)
        return self._seen[row_id]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._rows, name)

        @functools.wraps(found)
        def asked(*args: Any, **kwargs: Any) -> Any:
            self._seen.clear()
            return found(*args, **kwargs)

        return asked
