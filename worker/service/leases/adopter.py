# SPDX-License-Identifier: Apache-2.0
"""Adopt the operations of dead processes of the pool, and resume them here (spec/cluster §5)."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from taskflow.persistence.models import FlowDetail

from flows.errors import ProcessStopping
from worker.journal.errors import JournalError
from worker.journal.slots.adoption import Adopted, Adoption
from worker.journal.slots.slot_rows import Slot, Slots
from worker.service.leases.times import LeaseTimes

LOG = logging.getLogger(__name__)

PAUSE = (1.0, 2.0)
"""Shortest and longest pause between two looks at the slots, in seconds: hosts take turns."""


@dataclass(frozen=True)
class OwnSlots:
    """The slots of this host.

    :param slot: of this process.
    :param pool: the slots that it may adopt.
    :param instance: of this process.
    :param served: the slots of the configured processes, which the supervisor starts again.
    :param prove_dead: takes the lock file of a slot of this instance; returns whether it did,
        so that its owner has ended. None in other processes than the first one.
    """

    slot: str
    pool: str
    instance: str
    served: Collection[str]
    prove_dead: Callable[[str], bool] | None


class Adopter:
    """Looks for slots that lost their owners, and adopts them one at a time.

    :param times: of the leases.
    :param load: reads flows from the journal.
    :param moved: called with the former host and the flows before they resume.
    :param resume: resumes flows beside new ones; returns how many.
    """

    def __init__(
        self,
        adoption: Adoption,
        slots: Slots,
        own: OwnSlots,
        times: LeaseTimes,
        load: Callable[[Sequence[str]], Sequence[FlowDetail]],
        moved: Callable[[str, Sequence[FlowDetail]], None],
        resume: Callable[[Sequence[FlowDetail]], int],
        stopping: threading.Event,
    ) -> None:
        self._adoption = adoption
        self._slots = slots
        self._own = own
        self._times = times
        self._load = load
        self._moved = moved
        self._resume = resume
        self._stopping = stopping

    def start(self) -> None:
        """Start to look, on a thread of its own; the driver is up."""
        threading.Thread(target=self._loop, name="adoption", daemon=True).start()

    def adopt_one(self) -> bool:
        """Adopt the operations of one slot, if there is one; return whether there was."""
        if (settled := self._adoption.settle()) is not None:
            self._take_over(settled)
            return True
        for slot, margin in self._candidates():
            lost = margin is not None and self._is_host_lost(slot)
            adopted = self._adoption.adopt(slot, margin, lost=lost)
            if adopted is not None:  # otherwise another process was faster
                self._take_over(adopted)
                return True
        return False

    def _loop(self) -> None:
        while not self._stopping.wait(random.uniform(*PAUSE)):
            try:
                self.adopt_one()
            except JournalError as error:
                LOG.debug("no slots can be adopted now: %s", error)
            except ProcessStopping:
                return
            except Exception:
                LOG.exception("the operations of a slot were not adopted; tried again")

    def _candidates(self) -> Iterator[tuple[Slot, float | None]]:
        """Yield slots to adopt, in any order, and for how long each lease has to be over."""
        own = self._own
        found = [one for one in self._slots.of_pool(own.pool) if one.slot != own.slot]
        random.shuffle(found)
        for one in found:
            if one.is_adoptable(self._times.margin):
                yield one, self._times.margin
            elif self._is_dead_here(one):
                yield one, None

    def _is_host_lost(self, slot: Slot) -> bool:
        """Return whether a lease ended because its host is away, dead or frozen.

        A process that crashed is started again, and takes its slot back before the lease ends.
        Where that failed, but other processes of its instance still renew their leases, the
        process alone has ended, and that counts as a crash.
        """
        if slot.is_free and not slot.armed:
            return False  # an orderly stop, or an operator
        latest = slot.renewed_before - self._times.kill_after
        return not any(
            one.instance == slot.instance and not one.is_free and one.renewed_before < latest
            for one in self._slots.every()
        )

    def _is_dead_here(self, slot: Slot) -> bool:
        """Return whether no process serves a slot of this host any more."""
        own = self._own
        if own.prove_dead is None or slot.is_free or slot.slot in own.served:
            return False
        return slot.instance == own.instance and own.prove_dead(slot.slot)

    def _take_over(self, adopted: Adopted) -> None:
        former, count = adopted.former, len(adopted.flows)
        how = f"lost its lease {-former.expires_in:.0f} s ago"
        if former.is_free and not former.armed:
            how = "has given it up"
        elif former.expires_in > 0:
            how = "has ended"
        LOG.warning(
            "%s adopts slot %s: its process %s of %s %s; %d operations resume here, the oldest was"
            " accepted %.0f s ago",
            *(self._own.slot, former.slot, former.pid, former.node, how, count, adopted.oldest),
        )
        if not count:
            return
        details = self._load(adopted.flows)
        self._moved(former.host, details)
        resumed = self._resume(details)
        if resumed != count:
            LOG.warning("%d of the %d operations of %s resume", resumed, count, former.slot)
