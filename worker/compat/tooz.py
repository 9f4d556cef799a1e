# SPDX-License-Identifier: Apache-2.0
"""Private parts of tooz: the file of a lock of its file driver."""

from __future__ import annotations

from typing import Any


def descriptor(lock: Any) -> int:
    """Return the file descriptor of a file lock that is held."""
    number: int = lock._lock.lockfile.fileno()
    return number
