# SPDX-License-Identifier: Apache-2.0
"""Lease of the slot of this process: taken at the start, renewed, given up (spec/cluster §3, §4).

While the pool has other instances, a timer of the kernel kills the process if it cannot renew the
lease: it is dead before others take the slot. The timer is set before the row says so, and
cancelled after the row does. A host that was down counts: it may be back while this process is
stopped, and would take its locks, which have expired. Without other instances there is no timer,
and an outage of the database of any length is waited for.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable

from flows.errors import ProcessStopping
from worker.compat import libc
from worker.journal.errors import JournalError, JournalUnavailable
from worker.journal.slots.ownership import Holder, Ownership
from worker.journal.slots.slot_rows import OtherInstances, Slot, Slots
from worker.metrics.beats import BEATS
from worker.outage_log import OutageLog
from worker.service.leases.lease_note import LeaseNote
from worker.service.leases.silence import Silences
from worker.service.leases.times import LeaseTimes
from worker.service.startup.database_wait import when_available
from worker.service.startup.waits import Waits

LOG = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two attempts to take a slot, or to renew a lease in an outage."""

UNARMED = 60.0
"""Seconds for which the lease of an owner without a timer has to be over before a process that
starts with the same host takes its slot."""

ENDING = 5.0
"""Seconds that a process has, after a stop that could not end a driver call."""

_NOTED_BEFORE = 1.0
"""Seconds before the death at which it is noted in the state path."""


class SlotLease:
    """The lease of one slot.

    :param slots: by connections of their own: a renewal waits for no other thread.
    :param pool: the slots whose processes adopt each other's operations.
    :param host: of the service.
    :param holder: this life of this process.
    :param timer: kills the process.
    """

    def __init__(
        self,
        slots: Slots,
        slot: str,
        pool: str,
        host: str,
        holder: Holder,
        times: LeaseTimes,
        note: LeaseNote,
        timer: libc.KillTimer | None = None,
    ) -> None:
        self.slot = slot
        self.pool = pool
        self.host = host
        self.holder = holder
        self.times = times
        self.was_lost = False
        """Whether the former owner could not renew its lease, so that nothing was at fault."""
        self._slots = slots
        self._silences = Silences()
        self._note = note
        self._timer = timer or libc.KillTimer()
        self._ownership: Ownership | None = None
        self._others = OtherInstances()
        self._armed = False
        self._deadline = float("inf")
        self.until: float | None = None
        """When the lease ends without a further renewal, by the clock of the kernel's timer."""
        self._changed = threading.Condition()
        self._arming = threading.Lock()
        self._ended = threading.Event()
        self._outage = OutageLog("the database of the leases", LOG, "leases")

    @property
    def ownership(self) -> Ownership:
        """The slot, which was taken, and its epoch."""
        assert self._ownership is not None, "the slot has not been taken"
        return self._ownership

    @property
    def has_others(self) -> bool:
        """Whether other instances of the pool held slots at the last renewal."""
        return self._others.living > 0

    @property
    def is_armed(self) -> bool:
        """Whether the timer kills the process if the lease is not renewed."""
        return self._armed

    def take(self, stopping: threading.Event, waits: Waits) -> Ownership:
        """Become the owner of the slot; the caller holds its lock file.

        :raises ProcessStopping: the process stops before its lease ends.
        """
        logged = False
        while (ownership := self._attempt(stopping)) is None:
            found = self._slots.find(self.slot)
            if found is not None and not found.is_free and not logged:
                self._log_wait(found)
                logged = True
            with waits.on(f"the end of the lease of {self.slot}, which another host holds"):
                if stopping.wait(PAUSE):
                    raise ProcessStopping(f"another process still owns {self.slot}")
        self._ownership = ownership
        return ownership

    def start(self) -> None:
        """Renew the lease from now on, on a thread of its own."""
        threading.Thread(target=self._renew_always, name="lease", daemon=True).start()
        threading.Thread(target=self._note_death, name="lease-note", daemon=True).start()

    def renew(self) -> float:
        """Renew the lease once; return the seconds until the next renewal."""
        sent = libc.now()
        try:
            others = self._slots.renew(
                self.ownership,
                self.pool,
                ttl=self.times.ttl,
                armed=self._armed and self._others.may_adopt,
            )
        except JournalError as error:
            self._outage.begin(error)
            return min(PAUSE, self.times.renewal)
        self._outage.end()
        self.until = sent + self.times.ttl
        if others is None:
            if self._ended.is_set():  # by this process itself, meanwhile
                return self.times.renewal
            self.lost(f"slot {self.slot}: its lease was taken over by another process")
            return self.times.renewal
        return self._set_timer(sent + self.times.kill_after, others)

    def lost(self, reason: str) -> None:
        """End this process at once: another one may resume its operations already."""
        self._timer.arm(libc.now() + 1.0)  # a log line may wait for a disk
        LOG.critical("%s; this process ends at once, and undoes nothing", reason)
        os.kill(os.getpid(), signal.SIGKILL)

    def end(self, give_up: Callable[[], bool], *, drained: bool) -> None:
        """Give the slot up in an orderly stop; nothing is written to the journal after it.

        :param give_up: frees the slot; returns whether it has operations for others.
        :param drained: whether every driver call has returned. If not, others take the slot
            only when this process has ended.
        """
        with self._arming:
            self._ended.set()
        try:
            if drained:
                if give_up() and self.has_others:
                    LOG.info("the operations of %s are left to other hosts", self.slot)
            elif self._others.may_adopt:
                self._timer.arm(libc.now() + ENDING)
                self._slots.expire(self.ownership, ENDING + 1.0)
                return
        except JournalError as error:
            LOG.warning("slot %s is not given up, its lease has to end: %s", self.slot, error)
            return
        self._cancel_timer()

    def _attempt(self, stopping: threading.Event) -> Ownership | None:
        """Take the slot if that is allowed now."""

        def take() -> Ownership | None:
            found = self._find()
            if found is not None and found.owner == self.holder.owner:
                return Ownership(self.slot, self.holder.owner, found.epoch)
            expired = None
            if found is not None and not self._is_known_dead(found):
                if not self._is_over(found):
                    return None
                wait = self._wait_after(found)
                expired = wait if found.is_expired(wait) else None
            if found is not None and found.pool != self.pool:  # it has joined a cluster, or left
                names = (self.host, found.pool, self.pool, self.holder.instance)
                self._slots.bring_along(*names)
            taken = self._slots.take(
                *(self.slot, self.pool, self.host, self.holder),
                ttl=self.times.ttl,
                former=found,
                expired=expired,
            )
            if taken is not None and found is not None:
                self._log_taken(found, taken)
            return taken

        return when_available(take, stopping, JournalUnavailable, "the journal's database")

    def _find(self) -> Slot | None:
        """Read the slot, and note since when its owner has been silent."""
        try:
            found = self._slots.find(self.slot)
        except JournalUnavailable:
            self._silences = Silences()  # its owner cannot write either
            raise
        self._silences.note([] if found is None else [found])
        return found

    def _is_known_dead(self, found: Slot) -> bool:
        """Return whether the slot has no owner that lives, whatever its lease is.

        The lock file, which this process holds, proves the death of an owner of its instance.
        """
        return found.is_free or found.instance == self.holder.instance

    def _is_over(self, found: Slot) -> bool:
        """Return whether the lease of an owner on another instance is over.

        The clock of the database may have been set. So the owner has to be silent for the time of
        its lease by the clock of this host as well; with a timer, that alone proves its death.
        """
        silent, wait = self._silences.of(found), self._wait_after(found)
        if found.armed and silent >= found.length + wait:
            return True
        return found.is_expired(wait) and silent >= found.length

    def _wait_after(self, found: Slot) -> float:
        """Return for how long the lease of an owner on another instance has to be over."""
        return self.times.margin if found.armed else UNARMED

    def _log_wait(self, found: Slot) -> None:
        wait = self._wait_after(found)
        LOG.warning(
            "slot %s belongs to process %s of %s, which renewed its lease %.0f s ago; this process"
            " takes it when the lease has been over for %.0f s, in %.0f s if it is not renewed"
            " (holdfast slot release %s, if that process has ended)",
            *(self.slot, found.pid, found.node, found.renewed_before, wait),
            *(max(found.length, found.expires_in + wait), self.slot),
        )

    def _log_taken(self, found: Slot, taken: Ownership) -> None:
        self.was_lost = self._note.take(found.owner)
        if found.is_free and found.adopted_by:
            by = f"free, and its operations were adopted by {found.adopted_by}"
        elif found.is_free:
            by = "free"
        else:
            by = f"that of process {found.pid} of {found.node}, which has ended"
        LOG.info("slot %s is ours from epoch %d on; before it was %s", self.slot, taken.epoch, by)

    def _renew_always(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            BEATS.beat("lease")
            pause = self.renew()
        BEATS.end("lease")

    def _set_timer(self, deadline: float, others: OtherInstances) -> float:
        """Follow a renewal that succeeded; return the seconds until the next one."""
        was_in_row = self._armed and self._others.may_adopt
        self._others = others
        in_time = deadline - libc.now() > self.times.kill_after / 2
        if was_in_row or (others.may_adopt and in_time):
            self._arm(deadline)
        elif self._armed:  # the row does not say so any more
            self._cancel_timer()
        if others.may_adopt != was_in_row:
            return 0.0 if self._armed else PAUSE  # the row has to say so, or to say so no more
        return self.times.renewal

    def _arm(self, deadline: float) -> None:
        with self._arming:
            if self._ended.is_set():
                return
            self._timer.arm(deadline)
        if not self._armed:
            LOG.debug("slot %s: other hosts may adopt its operations from now on", self.slot)
        self._armed = True
        self._set_deadline(deadline)

    def _cancel_timer(self) -> None:
        self._timer.disarm()
        self._armed = False
        self._set_deadline(float("inf"))

    def _set_deadline(self, deadline: float) -> None:
        with self._changed:
            self._deadline = deadline
            self._changed.notify_all()
        self._note.withdraw()

    def _note_death(self) -> None:
        """Note the death a moment before it, on a thread that waits for nothing else."""
        while not self._ended.is_set():
            with self._changed:
                left = self._deadline - _NOTED_BEFORE - libc.now()
                if left > 0:
                    self._changed.wait(min(left, 3600.0))
                    continue
            self._note.write()
            LOG.critical("the lease of %s cannot be renewed: this process ends", self.slot)
            with self._changed:
                noted = self._deadline
                while self._deadline == noted:
                    self._changed.wait()
