# SPDX-License-Identifier: Apache-2.0
"""Adopt the operations of dead processes of the pool, and resume them here (spec/cluster §5)."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from taskflow.persistence.models import FlowDetail

from flows.errors import ProcessStopping, Unavailable
from worker.journal.errors import JournalError
from worker.journal.slots.adoption import Adopted, Adoption
from worker.journal.slots.slot_rows import Slot, Slots
from worker.metrics.definitions import ADOPTED
from worker.metrics.measurements import MEASURED
from worker.service.leases.silence import Silences
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
    :param silences: of the owners of the pool.
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
        silences: Silences | None = None,
    ) -> None:
        self._adoption = adoption
        self._slots = slots
        self._own = own
        self._times = times
        self._load = load
        self._moved = moved
        self._resume = resume
        self._stopping = stopping
        self._silences = silences or Silences()
        self._unresumed: Adopted | None = None  # is ours, and an error came between

    def start(self) -> None:
        """Start to look, on a thread of its own; the driver is up."""
        threading.Thread(target=self._loop, name="adoption", daemon=True).start()

    def adopt_one(self) -> bool:
        """Adopt the operations of one slot, if there is one; return whether there was.

        After an error that came between the adoption and the resumption, those operations are
        resumed first: they belong to this process, and no other one looks for them.
        """
        if self._unresumed is None:
            self._unresumed = self._adoption.settle() or self._adopt_any()
            if self._unresumed is None:
                return False
            self._log(self._unresumed)
        self._resume_all(self._unresumed)
        return True

    def _adopt_any(self) -> Adopted | None:
        for slot, margin, is_dead in self._candidates():
            lost = not is_dead and self._is_host_lost(slot)
            adopted = self._adoption.adopt(slot, margin, lost=lost)
            if adopted is not None:  # otherwise another process was faster
                return adopted
        return None

    def _loop(self) -> None:
        while not self._stopping.wait(random.uniform(*PAUSE)):
            try:
                self.adopt_one()
            except (JournalError, Unavailable) as error:
                LOG.debug("no operations can be adopted now: %s", error)
            except ProcessStopping:
                return
            except Exception:
                LOG.exception("the operations of a slot are not resumed yet; tried again")

    def _candidates(self) -> Iterator[tuple[Slot, float | None, bool]]:
        """Yield slots to adopt, in any order.

        With each one for how long its lease has to be over by the database's clock, None where
        that does not matter, and whether its owner is known to be dead on this host.
        """
        own, margin = self._own, self._times.margin
        found = [one for one in self._slots.of_pool(own.pool) if one.slot != own.slot]
        self._silences.note(found)
        random.shuffle(found)
        for one in found:
            if one.is_adoptable(margin) and (one.is_free or self._is_silent(one)):
                yield one, margin, False
            elif self._is_silent(one, margin):  # the database's clock was set back
                yield one, None, False
            elif self._is_dead_here(one):
                yield one, None, True

    def _is_silent(self, slot: Slot, margin: float = 0.0) -> bool:
        """Return whether an owner has written nothing for so long that its timer killed it."""
        silent = self._silences.of(slot)
        return slot.armed and not slot.is_free and silent >= slot.length + margin

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

    def _log(self, adopted: Adopted) -> None:
        former, count = adopted.former, len(adopted.flows)
        MEASURED.count(ADOPTED)
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

    def _resume_all(self, adopted: Adopted) -> None:
        count, resumed = len(adopted.flows), 0
        if count:
            details = self._load(adopted.flows)
            self._moved(adopted.former.host, details)
        self._unresumed = None  # first: no operation is resumed twice
        if count:
            resumed = self._resume(details)
        if resumed != count:
            LOG.warning("%d of the %d operations of %s resume", resumed, count, adopted.former.slot)
