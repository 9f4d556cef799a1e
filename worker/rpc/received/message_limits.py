# SPDX-License-Identifier: Apache-2.0
"""Limits of a received message, far above the messages of Cinder's services.

The structure is limited before JSON is decoded, since an empty list in three bytes becomes an
object of a hundred.
"""

from __future__ import annotations

from typing import Any

from oslo_utils import units

STRUCTURE_MAX = 200_000
"""Separators and brackets in a message; each value and each key needs one."""

DEPTH_MAX = 64
"""Levels of lists and mappings in each other; objects of Cinder have some twenty."""

TEXT_MAX = units.Mi
"""Characters of a text; the longest is an exported record of a backup."""

KEY_MAX = 1000
"""Characters of a key."""

NUMBER_MAX = 1 << 1023
"""The first number that no floating-point number can stand for."""

_STRUCTURE = (b",", b":", b"[", b"{")


class ExcessiveMessage(ValueError):
    """A message is larger, deeper or has longer values than any that a service sends."""


def check_structure(body: object, most: int = STRUCTURE_MAX) -> None:
    """Refuse a body whose objects would need much memory. :raises ExcessiveMessage: they would."""
    raw = body.encode(errors="replace") if isinstance(body, str) else body
    if not isinstance(raw, bytes | bytearray | memoryview) or len(raw) <= most:
        return  # a body has no more marks than bytes
    raw = bytes(raw)
    count = sum(raw.count(mark) for mark in _STRUCTURE)
    if count > most:
        raise ExcessiveMessage(f"it has {count} values, more than {most}")


def check_values(message: Any) -> None:
    """Refuse values that no service sends. :raises ExcessiveMessage: there is one.

    :param message: decoded from JSON, so that its values have no other types than those of JSON.
    """
    level: list[Any] = [message]
    for _depth in range(DEPTH_MAX):
        deeper: list[Any] = []
        for one in level:
            _check_level(one, deeper)
        if not deeper:
            return
        level = deeper
    raise ExcessiveMessage(f"it is deeper than {DEPTH_MAX} levels")


def _check_level(value: Any, deeper: list[Any]) -> None:
    """Check the values of a list or mapping, and collect those that are one themselves.

    Every message passes here: exact types and one loop need a quarter of a general walk's time.
    """
    values: Any = value if isinstance(value, list) else (value,)
    if isinstance(value, dict):
        if value and max(map(len, value)) > KEY_MAX:
            raise ExcessiveMessage(f"it has a key of more than {KEY_MAX} characters")
        values = value.values()
    for one in values:
        kind = type(one)
        if kind is str:
            if len(one) > TEXT_MAX:
                raise ExcessiveMessage(f"it has a text of more than {TEXT_MAX} characters")
        elif kind is dict or kind is list:
            deeper.append(one)
        elif kind is int and not -NUMBER_MAX <= one < NUMBER_MAX:
            raise ExcessiveMessage(f"it has a number of more than {NUMBER_MAX.bit_length()} bits")
