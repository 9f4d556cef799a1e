# SPDX-License-Identifier: Apache-2.0
"""For how long owners of slots have written nothing, by the clock of this host.

The clock of the database may be set forward, or another server with another clock takes over:
then the leases of all living processes look expired at once. An owner that has written nothing
for the whole lease, by a clock that is never set, was killed by its timer, whatever the
database's clock says. That clock counts from the first look at the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from worker.compat import libc
from worker.journal.slots.slot_rows import Slot

_Row = tuple[str | None, int, int]


class Silences:
    """Since when each slot has been unchanged.

    :param clock: seconds, by a clock that is never set; by default that of the kernel's timers.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or libc.now
        self._since: dict[str, tuple[_Row, float]] = {}

    def note(self, slots: Iterable[Slot]) -> None:
        """Compare slots with those that were read before, and forget all others."""
        now, known = self._clock(), self._since
        self._since = {}
        for one in slots:
            row = (one.owner, one.epoch, one.writes)
            before = known.get(one.slot)
            self._since[one.slot] = before if before and before[0] == row else (row, now)

    def of(self, slot: Slot) -> float:
        """Return the seconds for which a slot, noted before, has certainly been unchanged."""
        return self._clock() - self._since[slot.slot][1]
