# SPDX-License-Identifier: Apache-2.0
"""When rows were last written."""

from __future__ import annotations

import datetime
from typing import Any

_COLUMNS = ("created_at", "updated_at", "deleted_at")


def last_written(*rows: Any) -> datetime.datetime | None:
    """Return the newest time in rows of a query; None where they have none."""
    found = [getattr(row, name, None) for row in rows for name in _COLUMNS]
    return max((one for one in found if one is not None), default=None)
