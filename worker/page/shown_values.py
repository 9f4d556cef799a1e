# SPDX-License-Identifier: Apache-2.0
"""Values as a person reads them on a page."""

from __future__ import annotations

import datetime
from typing import Any

from flows.statuses import VolumeStatus
from worker.cli.output.colour import meaning_of
from worker.cli.output.copy_progress import shown_bytes
from worker.explanation import next_steps

_MARKS = {"good": "✓", "bad": "✗", "undone": "↩", "running": "▶", "faint": "…"}
"""Marks of meanings, so that none depends on a colour."""

_STATUSES = {
    **dict.fromkeys((VolumeStatus.AVAILABLE, VolumeStatus.IN_USE, "up"), "good"),
    "down": "bad",
}
"""Meanings of statuses beside those of operations and tasks."""

_UNDONE = "NOT UNDONE"


def meaning(state: object) -> str:
    """Return good, bad, undone, running or faint for the state of an operation or a resource."""
    text = str(state)
    if text == _UNDONE or next_steps.is_in_error(text):
        return "bad"
    found = meaning_of(text.partition(" ")[0]) or _STATUSES.get(text, "")
    return found or ("running" if text.endswith("ing") else "faint")


def mark(state: object) -> str:
    """Return the mark of a state."""
    return "‖" if state == "SUSPENDED" else _MARKS[meaning(state)]


def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units, as ``2 h 5 min``."""
    if seconds is None:
        return ""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def moment(value: Any) -> str:
    """Return a time in UTC to the second, without the zone."""
    if isinstance(value, int | float):
        value = datetime.datetime.fromtimestamp(value, datetime.UTC)
    return "" if value is None else str(value)[:19]


def percent(part: float | None) -> str:
    """Return a part as ``37 %``."""
    return "" if part is None else f"{part:.0%}".replace("%", " %")


FILTERS = {
    "bytes": shown_bytes,
    "duration": duration,
    "mark": mark,
    "meaning": meaning,
    "moment": moment,
    "percent": percent,
}
"""Filters of the templates."""
