# SPDX-License-Identifier: Apache-2.0
"""Cache of the rows that one run of a flow has read, until the next write.

The steps of a flow read the same volume several times. No other operation changes it
while the flow holds its lock, and statuses are changed by compare-and-set.
"""

from __future__ import annotations

import functools
from typing import Any

from drivers.interface.records import Record


class RecordCache:
    """Records of one kind, for one run.

    :param rows: the records; every method except ``get`` is passed on and clears the cache.
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
