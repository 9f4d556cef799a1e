# SPDX-License-Identifier: Apache-2.0
"""Adopt the operations of a slot that its owner has lost, in one transaction (spec/cluster §5)."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from oslo_utils import timeutils
from taskflow import states

from worker.journal import interruptions
from worker.journal.consumers import Consumers
from worker.journal.errors import JournalConflict, JournalUnavailable
from worker.journal.slots.conflicts import repeated
from worker.journal.slots.slot_rows import Slot, Slots
from worker.journal.statements import Statements
from worker.journal.transaction import Transactions

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adopted:
    """Operations that have another owner now.

    :param former: the slot that had them, as it was read.
    :param oldest: seconds since the acceptance of the oldest one; 0 where there is none.
    """

    former: Slot
    flows: tuple[str, ...]
    oldest: float


class Adoption:
    """Gives the unfinished operations of other slots to the slot of this process.

    :param transactions: of the journal, with the fence of this process.
    :param ended: states of operations that have ended.
    :param slot: of this process.
    """

    def __init__(
        self,
        transactions: Transactions,
        statements: Statements,
        slots: Slots,
        consumers: Consumers,
        ended: Sequence[str],
        slot: str,
    ) -> None:
        self._transactions = transactions
        self._statements = statements
        self._slots = slots
        self._consumers = consumers
        self._ended = ended
        self._slot = slot
        self._in_doubt: Adopted | None = None

    def adopt(self, former: Slot, margin: float | None, *, lost: bool = False) -> Adopted | None:
        """Take over the operations of a slot; return None where it is not to be had any more.

        :param margin: seconds for which its lease has to be over; None where its owner is known
            to be dead.
        :param lost: whether its host was lost, which is not counted as an interruption of each
            operation that was inside a step.
        :raises JournalUnavailable: perhaps they are ours now: see :meth:`settle`.
        :raises JournalFenced: this process has lost its own slot.
        """
        try:
            return self._move(former, former, margin, lost)
        except JournalConflict:  # a former owner that still writes, or another adopter
            LOG.debug("slot %s is written elsewhere: it is freed before its adoption", former.slot)
        freed = former if former.is_free else self._slots.free(former, margin)
        return None if freed is None else self._move_freed(former, freed, lost)

    @repeated
    def _move_freed(self, former: Slot, freed: Slot, lost: bool) -> Adopted | None:
        return self._move(former, freed, None, lost)

    def _move(
        self, former: Slot, present: Slot, margin: float | None, lost: bool
    ) -> Adopted | None:
        """Free the slot and move its operations in one transaction.

        :param former: the slot with its last owner.
        :param present: the slot as it is now.
        """
        found: Adopted | None = None
        try:
            with self._transactions.changing() as connection:
                if not self._slots.clear(connection, present, margin, self._slot):
                    return None
                ages = self._statements.ages(connection, former.slot, self._ended)
                found = Adopted(former, tuple(ages), _seconds(ages.values()))
                if lost:
                    but = (*self._ended, states.PENDING, states.SUSPENDED)
                    self._statements.set_all(connection, former.slot, interruptions.LOST, but)
                self._statements.move(connection, list(found.flows), self._slot)
                self._consumers.forget_in(connection, former.slot)
        except JournalConflict:
            raise
        except JournalUnavailable:
            self._in_doubt = found
            raise
        return found

    def settle(self) -> Adopted | None:
        """Return the operations of an adoption whose commit had no answer, if they are ours."""
        found = self._in_doubt
        if found is None:
            return None
        is_ours = False
        if found.flows:
            with self._transactions.reading() as connection:
                owner = self._statements.slot_of(connection, found.flows[0])
            is_ours = owner == self._slot
        self._in_doubt = None
        return found if is_ours else None


def has_unfinished(
    statements: Statements, slot: str, ended: Sequence[str], connection: sa.Connection
) -> bool:
    """Return whether a slot has operations that have not ended."""
    return bool(statements.unfinished(connection, slot, ended))


def _seconds(accepted: Iterable[datetime.datetime | None]) -> float:
    now = timeutils.utcnow()
    return max(((now - one).total_seconds() for one in accepted if one is not None), default=0.0)
