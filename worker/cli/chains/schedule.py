# SPDX-License-Identifier: Apache-2.0
"""When a volume is due for a backup: an interval, a window of the day, and a spread in it."""

from __future__ import annotations

import datetime
import hashlib
import re
from dataclasses import dataclass

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"([0-9]{1,5})([mhdw])")
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_DAY = datetime.timedelta(days=1)
_SLACK = datetime.timedelta(minutes=30)
LEFT = datetime.timedelta(minutes=20)
"""Time of a window behind its jitter, at least: the timer runs every quarter of an hour."""


@dataclass(frozen=True)
class Window:
    """A part of each day, in UTC; one that ends before it begins goes over midnight."""

    begin: datetime.timedelta
    end: datetime.timedelta

    @property
    def length(self) -> datetime.timedelta:
        """Its length; a whole day where it ends as it begins."""
        return (self.end - self.begin) % _DAY or _DAY

    def since_begin(self, now: datetime.datetime) -> datetime.timedelta | None:
        """Return for how long it has been open; None where it is closed."""
        time = now - now.replace(hour=0, minute=0, second=0, microsecond=0)
        passed = (time - self.begin) % _DAY
        return passed if passed < self.length else None


@dataclass(frozen=True)
class Schedule:
    """How often backups of a volume are made.

    :param every: time between two backups.
    :param full_every: time between two full ones; None for full ones only.
    :param jitter: over which the begins of volumes are spread, from the begin of the window on.
    """

    every: datetime.timedelta
    full_every: datetime.timedelta | None = None
    window: Window | None = None
    jitter: datetime.timedelta = datetime.timedelta()

    def is_due(
        self, volume_id: str, newest: datetime.datetime | None, now: datetime.datetime
    ) -> bool:
        """Return whether a backup is to be made now.

        :param newest: begin of the newest one that was made or is being made.
        """
        if newest is not None and now - newest < self.every - self._slack:
            return False
        if self.window is None:
            return True
        passed = self.window.since_begin(now)
        return passed is not None and passed >= self._offset(volume_id)

    def wants_full(self, newest_full: datetime.datetime | None, now: datetime.datetime) -> bool:
        """Return whether the next backup is to be a full one.

        :param newest_full: begin of the newest full one that can be built on.
        """
        if self.full_every is None or newest_full is None:
            return True
        return now - newest_full >= self.full_every

    @property
    def _slack(self) -> datetime.timedelta:
        """How much earlier a backup is due, so that each delay does not move all later ones."""
        if self.window is None:
            return datetime.timedelta()
        return min(self.every / 10, _SLACK)

    def _offset(self, volume_id: str) -> datetime.timedelta:
        """Return the place of a volume in the spread: the same each day."""
        number = int.from_bytes(hashlib.sha256(volume_id.encode()).digest()[:4], "big")
        return self.jitter * (number / 2**32)


def span(text: str) -> datetime.timedelta:
    """Return a time such as ``30m``, ``12h``, ``1d`` or ``4w``. :raises ValueError: it is none."""
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None or not int(found[1]):
        raise ValueError(f"{text!r:.40} is no time such as 30m, 12h, 1d or 4w")
    return datetime.timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def window(text: str) -> Window:
    """Return a window such as ``22:00-05:30``. :raises ValueError: it is none."""
    found = _WINDOW.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r:.40} is no window such as 22:00-05:30")
    begin, end = (
        datetime.timedelta(hours=int(found[at]), minutes=int(found[at + 1])) for at in (1, 3)
    )
    return Window(begin, end)
