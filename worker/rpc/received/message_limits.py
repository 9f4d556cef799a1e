# SPDX-License-Identifier: Apache-2.0
"""Limits of a received message, far above the messages of Cinder's services.

The structure is limited before JSON is decoded, since an empty list in three bytes becomes an
object of a hundred.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

STRUCTURE_MAX = 200_000
"""Separators and brackets in a message; each value and each key needs one."""

DEPTH_MAX = 64
"""Levels of lists and mappings in each other; objects of Cinder have some twenty."""

TEXT_MAX = 1 << 20
"""Characters of a text; the longest is an exported record of a backup."""

KEY_MAX = 1000
"""Characters of a key."""

NUMBER_MAX = 1 << 1023
"""The first number that no floating-point number can stand for."""

_STRUCTURE = re.compile(rb"[,:\[{]")


class ExcessiveMessage(ValueError):
    """A message is larger, deeper or has longer values than any that a service sends."""


def check_structure(body: object) -> None:
    """Refuse a body whose objects would need much memory. :raises ExcessiveMessage: they would."""
    raw = body.encode(errors="replace") if isinstance(body, str) else body
    if not isinstance(raw, bytes | bytearray | memoryview):
        return
    count = sum(1 for _ in _STRUCTURE.finditer(raw))
    if count > STRUCTURE_MAX:
        raise ExcessiveMessage(f"it has {count} values, more than {STRUCTURE_MAX}")


def check_values(message: Any) -> None:
    """Refuse values that no service sends. :raises ExcessiveMessage: there is one."""
    level: list[Any] = [message]
    for _depth in range(DEPTH_MAX):
        level = [inner for one in level for inner in _inner(one)]
        if not level:
            return
    raise ExcessiveMessage(f"it is deeper than {DEPTH_MAX} levels")


def _inner(value: Any) -> Iterator[Any]:
    """Yield the lists and mappings in one of these, and check its other values."""
    values: Any = (value,)
    if isinstance(value, dict):
        if any(len(key) > KEY_MAX for key in value):
            raise ExcessiveMessage(f"it has a key of more than {KEY_MAX} characters")
        values = value.values()
    elif isinstance(value, list):
        values = value
    for one in values:
        if isinstance(one, dict | list):
            yield one
        elif isinstance(one, str):
            if len(one) > TEXT_MAX:
                raise ExcessiveMessage(f"it has a text of more than {TEXT_MAX} characters")
        elif isinstance(one, int) and not -NUMBER_MAX <= one < NUMBER_MAX:
            raise ExcessiveMessage(f"it has a number of more than {NUMBER_MAX.bit_length()} bits")
