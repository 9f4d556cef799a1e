# SPDX-License-Identifier: Apache-2.0
"""Own a slot of a journal on a database server: take it, keep it, give it up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.journal.journal import Journal
from worker.journal.slots.adoption import Adoption
from worker.journal.slots.slot_rows import Slots
from worker.service.inputs import Identity, Inputs
from worker.service.leases import instance
from worker.service.leases.lease_note import LeaseNote
from worker.service.leases.slot_lease import SlotLease
from worker.service.leases.times import LeaseTimes


@dataclass(frozen=True)
class OwnSlot:
    """The slot of this process.

    :param apart: the slots by connections of their own.
    """

    lease: SlotLease
    adoption: Adoption
    apart: Slots

    def end(self, give_up: Callable[[], bool], *, drained: bool) -> None:
        """Give the slot up, in an orderly stop."""
        self.lease.end(give_up, drained=drained)

    def close(self) -> None:
        """Drop the connections."""
        self.apart.close()


def take(inputs: Inputs, identity: Identity, journal: Journal) -> OwnSlot | None:
    """Take the slot of this process and renew its lease; None for a journal in SQLite.

    The caller holds the lock file of the slot.

    :raises ProcessStopping: the process stops before the slot is free.
    """
    state_path, times = inputs.conf.state_path, LeaseTimes.from_conf(inputs.conf)
    apart = journal.slots.apart(times.silence, times.kill_after)
    if apart is None:
        return None
    holder = instance.holder_of(state_path)
    note = LeaseNote(state_path, identity.slot, holder.owner)
    lease = SlotLease(apart, identity.slot, identity.pool, identity.host, holder, times, note)
    try:
        ownership = lease.take(inputs.stopping, inputs.waits)
    except BaseException:
        apart.close()
        raise
    adoption = journal.slots.hold(ownership, lease.lost, times.kill_after)
    lease.start()
    return OwnSlot(lease, adoption, apart)
