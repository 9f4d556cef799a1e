# SPDX-License-Identifier: Apache-2.0
"""Note the slot and the epoch of this process, for the history of its calls.

The driver does not know them. The process takes its slot before it makes its driver, and
keeps its epoch until it ends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from tests.cluster.backend import history
from worker.journal.slots.adoption import Adoption
from worker.journal.slots.journal_slots import JournalSlots
from worker.journal.slots.ownership import Ownership


def install() -> None:
    """Note the slot that this process takes."""
    hold = JournalSlots.hold

    @functools.wraps(hold)
    def noted(
        slots: JournalSlots,
        ownership: Ownership,
        lost: Callable[[str], None],
        idle: float | None = None,
    ) -> Adoption:
        history.own(ownership.slot, ownership.epoch)
        return hold(slots, ownership, lost, idle)

    JournalSlots.hold = noted  # type: ignore[method-assign]
