# SPDX-License-Identifier: Apache-2.0
"""Ownership of one slot by one life of a process, and its fence (spec/cluster §3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from worker.compat.sqlalchemy import bind_processors
from worker.journal.errors import JournalFenced
from worker.journal.slots.slot_table import SLOTS


@dataclass(frozen=True)
class Holder:
    """A process, as the table of the slots names it.

    :param owner: unique to this life of the process.
    :param instance: the state path on this booted machine.
    :param node: the machine, for operators.
    """

    owner: str
    instance: str
    node: str
    pid: int


@dataclass(frozen=True)
class Ownership:
    """A slot and the epoch in which a process owns it."""

    slot: str
    owner: str
    epoch: int

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of a statement that compares the owner."""
        return {"of_slot": self.slot, "of_owner": self.owner, "of_epoch": self.epoch}


OWNED = (
    SLOTS.c.slot == sa.bindparam("of_slot"),
    SLOTS.c.owner == sa.bindparam("of_owner"),
    SLOTS.c.epoch == sa.bindparam("of_epoch"),
)
"""Conditions of a statement on the slot that the process owns."""

_FENCE = sa.update(SLOTS).where(*OWNED).values(writes=SLOTS.c.writes + sa.literal_column("1"))


class SlotFence:
    """Writes the row of a slot in each transaction of its owner.

    Only a write is a fence on each server: Galera compares the rows that transactions write, not
    those that they read.

    :param lost: called in the transaction that finds the slot lost, with the reason.
    """

    def __init__(
        self, engine: sa.Engine, ownership: Ownership, lost: Callable[[str], None]
    ) -> None:
        self.ownership = ownership
        self._lost = lost
        self._released = False
        compiled = _FENCE.compile(dialect=engine.dialect)
        self._sql = compiled.string
        values, processors = ownership.values, bind_processors(compiled)
        bound = {k: processors[k](v) if k in processors else v for k, v in values.items()}
        order = compiled.positiontup
        self._bound: Any = bound if order is None else [bound[name] for name in order]

    def release(self) -> None:
        """Refuse every further transaction: the process gives its slot up."""
        self._released = True

    def check_cursor(self, cursor: Any) -> None:
        """Write the slot's row by a cursor. :raises JournalFenced: the slot is lost."""
        self._require_held()
        cursor.execute(self._sql, self._bound)
        self._require(cursor.rowcount)

    def check(self, connection: sa.Connection) -> None:
        """Write the slot's row by a connection. :raises JournalFenced: the slot is lost."""
        self._require_held()
        self._require(connection.execute(_FENCE, self.ownership.values).rowcount)

    def _require_held(self) -> None:
        if self._released:
            raise JournalFenced(f"journal: the process has given {self.ownership.slot} up")

    def _require(self, rows: int) -> None:
        if rows:
            return
        slot, epoch = self.ownership.slot, self.ownership.epoch
        text = f"journal: epoch {epoch} of slot {slot} has ended, another process has taken it"
        self._lost(text)
        raise JournalFenced(text)
